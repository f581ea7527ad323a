"""All errors that clients get, each with OSS's status and code.

They may be raised anywhere. Only :mod:`vipsgate.server.app` turns them into a response;
:mod:`vipsgate.worker.protocol` sends them from a renderer to the front by :func:`dump` and
:func:`load`. The classes are one table: a class has a status and a code and nothing else.

::

    OssError
     +-- BadRequest            400  not a picture, or a position outside of it
     +-- InvalidArgument       400  a parameter with a bad value
     +-- MissingArgument       400  a required parameter is missing
     +-- TooManyPipes          400  too many "|"
     +-- ImageTooLarge         400  bytes, sides, area, frames or memory of a picture
     +-- WatermarkError        400  the object of a watermark
     +-- InvalidBucketName     400
     +-- InvalidObjectName     400
     +-- InvalidRequest        400  parts that contradict each other
     +-- InvalidTag            400  a tag that is not valid, or too many
     +-- InvalidDigest         400  the body does not have this Content-MD5
     +-- MalformedXML          400  the document of a call
     +-- MalformedPOSTRequest  400  a body that is not a form
     +-- FieldItemTooLong      400  a field of a form
     +-- MaxPOSTPreDataLengthExceededError 400  all fields of a form
     +-- IncorrectNumberOfFilesInPOSTRequest 400  a form with no file, or several
     +-- InvalidPolicyDocument 400  the policy of a form
     +-- IncompleteBody        400  fewer bytes than announced
     +-- RequestTimeout        400  a body that arrives too slowly
     +-- NotSymlink            400  an object that is not a symlink
     +-- InvalidTargetType     400  a symlink to a symlink
     +-- EntityTooLarge        400  too many bytes of an object, a part or a document
     +-- EntityTooSmall        400  a part other than the last
     +-- MetadataTooLarge      400  the headers that are stored with an object
     +-- InvalidPart           400  a part that was not uploaded, or was replaced
     +-- InvalidPartOrder      400  part numbers that do not ascend
     +-- AccessDenied          403
     +-- AccessForbidden       403  a cross-origin request that no CORS rule allows
     +-- InvalidAccessKeyId    403  an unknown access key
     +-- InvalidSecurityToken  403  an unknown token
     +-- AccessKeyIdAndSecurityTokenNotMatch  403  the token of another key
     +-- RequestTimeTooSkewed  403  a date too far from the server's clock
     +-- SignatureDoesNotMatch 403  a signature for another request, or by another secret
     +-- ImageDamage           403  the file of a picture that cannot be decoded
     +-- NoSuchBucket          404
     +-- NoSuchStyle           404
     +-- NoSuchKey             404
     +-- NoSuchUpload          404  completed, aborted, or never begun
     +-- NoSuchVersion         404  a version other than the only one
     +-- SymlinkTargetNotExist 404  a symlink whose target is missing
     +-- NoSuchBucketPolicy 404
     +-- NoSuchCORSConfiguration 404
     +-- NoSuchInventory 404
     +-- NoSuchLifecycle 404
     +-- NoSuchServerSideEncryptionRule 404
     +-- NoSuchTransferAccelerationConfiguration 404
     +-- NoSuchWebsiteConfiguration 404
     +-- NoSuchWORMConfiguration 404
     +-- MethodNotAllowed      405
     +-- BucketAlreadyExists   409
     +-- BucketNotEmpty        409
     +-- PositionNotEqualToLength 409  an append that does not begin at the end
     +-- ObjectNotAppendable   409  an append to an object of another call
     +-- FileAlreadyExists     409  an object that the caller forbids to overwrite
     +-- MissingContentLength  411
     +-- PreconditionFailed    412
     +-- UriTooLong            414
     +-- InvalidRange          416
     +-- ExpectationFailed     417  an Expect header that is not 100-continue
     +-- RequestHeaderFieldsTooLarge  431
     +-- InternalError         500  a fault of the server
     +-- Unimplemented         501  a part of OSS that vipsgate does not support
     +-- BadGateway            502  the object store is unreachable or fails; retry later
     +-- CpuLimitExceeded      503  too much work; retry later
     +-- ServiceUnavailable    503  something that is needed is not available; retry later
     +-- SourceChanged         503  not the object that was looked up; sent as ServiceUnavailable
     +-- GatewayTimeout        504  the store does not answer in time; retry later
     +-- HttpVersionNotSupported  505  neither HTTP/1.1 nor HTTP/1.0
     +-- InsufficientStorage   507  the store is full
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

# the rules that can deny a request: an expired signature, the caller's role, the ACL of the bucket
# or of the object, source protection, hotlink protection
RULES = ("expired", "role", "bucket-acl", "object-acl", "protection", "referer")
SHOWN = 64  # characters of a client's text that a message repeats
MAX_MESSAGE = 4096  # characters of a message, whatever it repeats: an element's name has no end


class OssError(Exception):
    """The base of all errors that clients get.

    Attributes:
        status: HTTP status.
        code: OSS error code, the ``<Code>`` of the XML body.
        message: What is wrong, with which parameter, and what was expected; at most
            :data:`MAX_MESSAGE` characters.
        ec: OSS's sub-code (``x-oss-ec``, ``<EC>``); empty if none is known.
        rule: The rule that denied the request, one of :data:`RULES`; empty for other errors. It is
            counted and logged, and not sent.
        extra: Further elements of the XML body, such as ``Key``.
        headers: Further headers of the response, such as ``Retry-After``.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        ec: str = "",
        rule: str = "",
        extra: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if len(message) > MAX_MESSAGE:
            message = f"{message[: MAX_MESSAGE - 3]}..."
        super().__init__(message)
        self.message = message
        self.ec = ec
        self.rule = rule
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


class BadRequest(OssError):
    """The object is not a picture, or the request does not fit it."""

    status = 400
    code = "BadRequest"


class InvalidArgument(OssError):
    """A parameter is malformed or out of range."""

    status = 400
    code = "InvalidArgument"


class MissingArgument(OssError):
    """A required parameter is missing."""

    status = 400
    code = "MissingArgument"


class TooManyPipes(OssError):
    """The process text has more ``|`` than OSS allows."""

    status = 400
    code = "TooManyPipes"


class ImageTooLarge(OssError):
    """The bytes, a side, the area, the frames or the memory of a picture exceed a limit."""

    status = 400
    code = "ImageTooLarge"


class WatermarkError(OssError):
    """The object of a watermark does not exist, or is not a picture that can be read."""

    status = 400
    code = "WatermarkError"


class InvalidBucketName(OssError):
    """The name is not valid for a bucket."""

    status = 400
    code = "InvalidBucketName"


class InvalidObjectName(OssError):
    """The name is not valid for an object."""

    status = 400
    code = "InvalidObjectName"


class InvalidRequest(OssError):
    """Parts of the request contradict each other."""

    status = 400
    code = "InvalidRequest"


class InvalidTag(OssError):
    """A tag is not valid, or there are too many."""

    status = 400
    code = "InvalidTag"


class InvalidDigest(OssError):
    """The body does not have the digest in Content-MD5."""

    status = 400
    code = "InvalidDigest"


class MalformedXML(OssError):
    """The document of a call is not XML, or is not valid for the call."""

    status = 400
    code = "MalformedXML"


class MalformedPOSTRequest(OssError):
    """The body of a PostObject is not valid multipart/form-data."""

    status = 400
    code = "MalformedPOSTRequest"


class FieldItemTooLong(OssError):
    """A field of a form has too many bytes."""

    status = 400
    code = "FieldItemTooLong"


class MaxPOSTPreDataLengthExceededError(OssError):
    """A form has too many fields, or too many bytes in all of them."""

    status = 400
    code = "MaxPOSTPreDataLengthExceededError"


class IncorrectNumberOfFilesInPOSTRequest(OssError):
    """A form has no file, or more than one."""

    status = 400
    code = "IncorrectNumberOfFilesInPOSTRequest"


class InvalidPolicyDocument(OssError):
    """The policy of a form is malformed."""

    status = 400
    code = "InvalidPolicyDocument"


class IncompleteBody(OssError):
    """The body has fewer bytes than announced."""

    status = 400
    code = "IncompleteBody"


class RequestTimeout(OssError):
    """The body arrives too slowly."""

    status = 400
    code = "RequestTimeout"


class NotSymlink(OssError):
    """The object exists, and is not a symlink."""

    status = 400
    code = "NotSymlink"


class InvalidTargetType(OssError):
    """A symlink leads to another symlink, which is not followed."""

    status = 400
    code = "InvalidTargetType"


class EntityTooLarge(OssError):
    """An object, a part or a document has too many bytes."""

    status = 400
    code = "EntityTooLarge"


class EntityTooSmall(OssError):
    """A part other than the last has too few bytes."""

    status = 400
    code = "EntityTooSmall"


class MetadataTooLarge(OssError):
    """The headers that are stored with an object have too many bytes."""

    status = 400
    code = "MetadataTooLarge"


class InvalidPart(OssError):
    """A part was not uploaded, or has been replaced."""

    status = 400
    code = "InvalidPart"


class InvalidPartOrder(OssError):
    """The part numbers do not ascend."""

    status = 400
    code = "InvalidPartOrder"


class AccessDenied(OssError):
    """The caller may not do this."""

    status = 403
    code = "AccessDenied"


class AccessForbidden(OssError):
    """No CORS rule allows this cross-origin request."""

    status = 403
    code = "AccessForbidden"


class InvalidAccessKeyId(OssError):
    """No key pair has this access key id."""

    status = 403
    code = "InvalidAccessKeyId"


class InvalidSecurityToken(OssError):
    """No key pair has this security token."""

    status = 403
    code = "InvalidSecurityToken"


class AccessKeyIdAndSecurityTokenNotMatch(OssError):
    """The security token belongs to another key pair."""

    status = 403
    code = "AccessKeyIdAndSecurityTokenNotMatch"


class RequestTimeTooSkewed(OssError):
    """The date of a signature is too far from the server's clock."""

    status = 403
    code = "RequestTimeTooSkewed"


class SignatureDoesNotMatch(OssError):
    """The signature is not that of this request by the secret of this access key id."""

    status = 403
    code = "SignatureDoesNotMatch"


class ImageDamage(OssError):
    """The file begins like a picture, but cannot be decoded."""

    status = 403
    code = "ImageDamage"


class NoSuchBucket(OssError):
    """There is no such bucket."""

    status = 404
    code = "NoSuchBucket"


class NoSuchStyle(OssError):
    """The bucket has no style of this name."""

    status = 404
    code = "NoSuchStyle"


class NoSuchKey(OssError):
    """There is no such object."""

    status = 404
    code = "NoSuchKey"


class NoSuchUpload(OssError):
    """There is no such multipart upload: it was completed, was aborted, or never existed."""

    status = 404
    code = "NoSuchUpload"


class NoSuchVersion(OssError):
    """The object has no such version; every object has one version here."""

    status = 404
    code = "NoSuchVersion"


class SymlinkTargetNotExist(OssError):
    """The target of a symlink does not exist."""

    status = 404
    code = "SymlinkTargetNotExist"


class NoSuchBucketPolicy(OssError):
    """The bucket has no policy."""

    status = 404
    code = "NoSuchBucketPolicy"


class NoSuchCORSConfiguration(OssError):
    """The bucket has no CORS rules."""

    status = 404
    code = "NoSuchCORSConfiguration"


class NoSuchInventory(OssError):
    """The bucket has no inventory."""

    status = 404
    code = "NoSuchInventory"


class NoSuchLifecycle(OssError):
    """The bucket has no lifecycle rules."""

    status = 404
    code = "NoSuchLifecycle"


class NoSuchServerSideEncryptionRule(OssError):
    """The bucket has no encryption rule."""

    status = 404
    code = "NoSuchServerSideEncryptionRule"


class NoSuchTransferAccelerationConfiguration(OssError):
    """The bucket was never set up for transfer acceleration."""

    status = 404
    code = "NoSuchTransferAccelerationConfiguration"


class NoSuchWebsiteConfiguration(OssError):
    """The bucket is not set up as a website."""

    status = 404
    code = "NoSuchWebsiteConfiguration"


class NoSuchWORMConfiguration(OssError):
    """The bucket has no retention policy."""

    status = 404
    code = "NoSuchWORMConfiguration"


class MethodNotAllowed(OssError):
    """The resource does not support the method."""

    status = 405
    code = "MethodNotAllowed"


class BucketAlreadyExists(OssError):
    """There is a bucket of this name, and the call may not change it."""

    status = 409
    code = "BucketAlreadyExists"


class BucketNotEmpty(OssError):
    """The bucket has objects, so it is not deleted."""

    status = 409
    code = "BucketNotEmpty"


class PositionNotEqualToLength(OssError):
    """The position of an append is not the end of the object."""

    status = 409
    code = "PositionNotEqualToLength"


class ObjectNotAppendable(OssError):
    """The object was not created by AppendObject."""

    status = 409
    code = "ObjectNotAppendable"


class FileAlreadyExists(OssError):
    """There is an object of this name, and the caller forbids to overwrite it."""

    status = 409
    code = "FileAlreadyExists"


class MissingContentLength(OssError):
    """The length of the body is not announced."""

    status = 411
    code = "MissingContentLength"


class PreconditionFailed(OssError):
    """``If-Match`` or ``If-Unmodified-Since`` does not hold."""

    status = 412
    code = "PreconditionFailed"


class UriTooLong(OssError):
    """The request line has too many bytes. OSS has no code; this is RFC 9110's phrase."""

    status = 414
    code = "UriTooLong"


class InvalidRange(OssError):
    """The range begins after the end of the object."""

    status = 416
    code = "InvalidRange"


class ExpectationFailed(OssError):
    """``Expect`` is not ``100-continue``. OSS has no code; this is RFC 9110's phrase."""

    status = 417
    code = "ExpectationFailed"


class RequestHeaderFieldsTooLarge(OssError):
    """A header, or all headers together, have too many bytes. This is RFC 6585's phrase."""

    status = 431
    code = "RequestHeaderFieldsTooLarge"


class InternalError(OssError):
    """A fault of the server, not of the request."""

    status = 500
    code = "InternalError"


class Unimplemented(OssError):
    """OSS supports this, and vipsgate does not."""

    status = 501
    code = "NotImplemented"


class BadGateway(OssError):
    """The object store, or another server, cannot be reached or answers with an error."""

    status = 502
    code = "BadGateway"


class SourceChanged(OssError):
    """An object is not the one that was looked up: it is looked up again, or the answer is 503."""

    status = 503
    code = "SourceChanged"


class CpuLimitExceeded(OssError):
    """The server has too much work."""

    status = 503
    code = "CpuLimitExceeded"
    hold: float = 0.0  # seconds by which the answer may be delayed; 0 if the time is up


class ServiceUnavailable(OssError):
    """Something that the answer needs is temporarily not available."""

    status = 503
    code = "ServiceUnavailable"


class GatewayTimeout(OssError):
    """The object store, another server, or the file system does not answer in time."""

    status = 504
    code = "GatewayTimeout"


class HttpVersionNotSupported(OssError):
    """Neither HTTP/1.1 nor HTTP/1.0. OSS has no code; this is RFC 9110's phrase."""

    status = 505
    code = "HttpVersionNotSupported"


class InsufficientStorage(OssError):
    """The store is full."""

    status = 507
    code = "InsufficientStorage"


def shown(text: str) -> str:
    """Return a client's text for a message, cut off after :data:`SHOWN` characters."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def dump(error: OssError) -> dict[str, Any]:
    """Return an error as plain values, which a renderer sends to the front."""
    return {
        "code": error.code,
        "message": error.message,
        "ec": error.ec,
        "extra": error.extra,
        "headers": error.headers,
    }


def load(values: Mapping[str, Any]) -> OssError:
    """Return the error of :func:`dump`'s values; an :class:`InternalError` for an unknown code."""
    cls = _BY_CODE.get(values["code"], InternalError)
    error = cls.__new__(cls)
    OssError.__init__(
        error,
        values["message"],
        ec=values["ec"],
        extra=values["extra"],
        headers=values["headers"],
    )
    return error


_BY_CODE = {cls.code: cls for cls in OssError.__subclasses__()}

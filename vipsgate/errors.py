"""Everything that can go wrong, each with the status and the code that OSS gives it.

Raise these anywhere; :mod:`vipsgate.server.app` alone turns them into a response, and
:mod:`vipsgate.worker.protocol` sends them to the front with :func:`dump`.

::

    OssError
     +-- BadRequest            400  not a picture, a position outside of it
     +-- InvalidArgument       400  a parameter's value
     +-- MissingArgument       400  a parameter that must be there
     +-- TooManyPipes          400  too many "|"
     +-- ImageTooLarge         400  bytes, sides, area, frames, memory
     +-- WatermarkError        400  the object of a watermark
     +-- InvalidBucketName     400
     +-- InvalidObjectName     400
     +-- InvalidRequest        400  parts that do not go together
     +-- InvalidTag            400  tags that no object can have
     +-- InvalidDigest         400  Content-MD5 is not that of the body
     +-- MalformedXML          400  the document of a call
     +-- MalformedPOSTRequest  400  a body that is no form
     +-- FieldItemTooLong      400  a field of a form
     +-- MaxPOSTPreDataLengthExceededError 400  all fields of a form
     +-- IncorrectNumberOfFilesInPOSTRequest 400  a form with no file, or two
     +-- InvalidPolicyDocument 400  what a form may do, in no words of OSS's
     +-- IncompleteBody        400  fewer bytes than were announced
     +-- RequestTimeout        400  a body that comes too slowly
     +-- NotSymlink            400  an object that is no symlink
     +-- InvalidTargetType     400  a symlink to a symlink
     +-- EntityTooLarge        400  more bytes than an object, a part or a document may have
     +-- EntityTooSmall        400  a part that is not the last
     +-- MetadataTooLarge      400  more headers than are kept with an object
     +-- InvalidPart           400  a part that was never sent, or another one
     +-- InvalidPartOrder      400  parts that do not ascend
     +-- AccessDenied          403
     +-- AccessForbidden       403  a page of another origin, by no rule of CORS
     +-- InvalidAccessKeyId    403  no such key
     +-- InvalidSecurityToken  403  no such token
     +-- AccessKeyIdAndSecurityTokenNotMatch  403  another key's token
     +-- RequestTimeTooSkewed  403  the clocks differ
     +-- SignatureDoesNotMatch 403  not made of this request with this secret
     +-- ImageDamage           403  a picture's file that cannot be decoded
     +-- NoSuchBucket          404
     +-- NoSuchStyle           404
     +-- NoSuchKey             404
     +-- NoSuchUpload          404  ended, or never begun
     +-- NoSuchVersion         404  another version of an object than its only one
     +-- SymlinkTargetNotExist 404  a symlink to nothing
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
     +-- ObjectNotAppendable   409  an append to what was put as a whole
     +-- FileAlreadyExists     409  an object that is not to be overwritten
     +-- MissingContentLength  411
     +-- PreconditionFailed    412
     +-- UriTooLong            414
     +-- InvalidRange          416
     +-- ExpectationFailed     417  an Expect header that is not 100-continue
     +-- RequestHeaderFieldsTooLarge  431
     +-- InternalError         500  a fault of ours
     +-- Unimplemented         501  OSS knows it, this version does not
     +-- BadGateway            502  the object store cannot be had; come again
     +-- CpuLimitExceeded      503  more work than is taken on; come again
     +-- ServiceUnavailable    503  something that is needed is away; come again
     +-- SourceChanged         503  another one than was looked up; told as ServiceUnavailable
     +-- GatewayTimeout        504  the store does not answer; come again
     +-- HttpVersionNotSupported  505  neither HTTP/1.1 nor HTTP/1.0
     +-- InsufficientStorage   507  the store is full
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

# what can deny a request: the time of its signature, the caller's role, the bucket's or the
# object's ACL, protection of sources, hotlink protection
RULES = ("expired", "role", "bucket-acl", "object-acl", "protection", "referer")
SHOWN = 64  # characters of a client's own text that a message repeats


class OssError(Exception):
    """A refusal that the client is told about.

    Attributes:
        status: HTTP status.
        code: OSS error code, the ``<Code>`` of the XML body.
        message: What was wrong, with which parameter, and what was expected.
        ec: OSS's sub-code (``x-oss-ec``, ``<EC>``), empty where none is known.
        rule: Which of a bucket's or a role's rules it was, one of :data:`RULES`; the client is not
            told, counts and the log are.
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
        super().__init__(message)
        self.message = message
        self.ec = ec
        self.rule = rule
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


class BadRequest(OssError):
    """The picture and the request do not fit together."""

    status = 400
    code = "BadRequest"


class InvalidArgument(OssError):
    """A parameter is malformed or out of range."""

    status = 400
    code = "InvalidArgument"


class MissingArgument(OssError):
    """A parameter without which the action means nothing."""

    status = 400
    code = "MissingArgument"


class TooManyPipes(OssError):
    """More ``|`` than OSS takes."""

    status = 400
    code = "TooManyPipes"


class ImageTooLarge(OssError):
    """Bytes, a side, the area, the frames or the memory of a picture pass a limit."""

    status = 400
    code = "ImageTooLarge"


class WatermarkError(OssError):
    """The object of a watermark is not there, or no picture can be made of it."""

    status = 400
    code = "WatermarkError"


class InvalidBucketName(OssError):
    """Not a name that a bucket can have."""

    status = 400
    code = "InvalidBucketName"


class InvalidObjectName(OssError):
    """Not a name that an object can have."""

    status = 400
    code = "InvalidObjectName"


class InvalidRequest(OssError):
    """Parts of the request that do not go together."""

    status = 400
    code = "InvalidRequest"


class InvalidTag(OssError):
    """A tag that no object can have, or too many."""

    status = 400
    code = "InvalidTag"


class InvalidDigest(OssError):
    """The body is not what Content-MD5 says."""

    status = 400
    code = "InvalidDigest"


class MalformedXML(OssError):
    """The document of a call is not XML, or not of the call's shape."""

    status = 400
    code = "MalformedXML"


class MalformedPOSTRequest(OssError):
    """The body of a PostObject is no multipart/form-data."""

    status = 400
    code = "MalformedPOSTRequest"


class FieldItemTooLong(OssError):
    """A field of a form has more bytes than it may have."""

    status = 400
    code = "FieldItemTooLong"


class MaxPOSTPreDataLengthExceededError(OssError):
    """The fields of a form are too many, or too large together."""

    status = 400
    code = "MaxPOSTPreDataLengthExceededError"


class IncorrectNumberOfFilesInPOSTRequest(OssError):
    """A form has no file, or more than one."""

    status = 400
    code = "IncorrectNumberOfFilesInPOSTRequest"


class InvalidPolicyDocument(OssError):
    """The policy of a form cannot be read."""

    status = 400
    code = "InvalidPolicyDocument"


class IncompleteBody(OssError):
    """Fewer bytes came than were announced."""

    status = 400
    code = "IncompleteBody"


class RequestTimeout(OssError):
    """A body comes too slowly."""

    status = 400
    code = "RequestTimeout"


class NotSymlink(OssError):
    """The object is there and is no symlink."""

    status = 400
    code = "NotSymlink"


class InvalidTargetType(OssError):
    """A symlink leads to another symlink, which is not followed."""

    status = 400
    code = "InvalidTargetType"


class EntityTooLarge(OssError):
    """An object, a part or a document has more bytes than it may have."""

    status = 400
    code = "EntityTooLarge"


class EntityTooSmall(OssError):
    """A part that is not the last has fewer bytes than it must have."""

    status = 400
    code = "EntityTooSmall"


class MetadataTooLarge(OssError):
    """More headers than are kept with an object."""

    status = 400
    code = "MetadataTooLarge"


class InvalidPart(OssError):
    """A part that was never sent, or that is another one by now."""

    status = 400
    code = "InvalidPart"


class InvalidPartOrder(OssError):
    """The numbers of the parts do not ascend."""

    status = 400
    code = "InvalidPartOrder"


class AccessDenied(OssError):
    """The caller may not have this."""

    status = 403
    code = "AccessDenied"


class AccessForbidden(OssError):
    """A page of another origin may not send this."""

    status = 403
    code = "AccessForbidden"


class InvalidAccessKeyId(OssError):
    """No credential has this id."""

    status = 403
    code = "InvalidAccessKeyId"


class InvalidSecurityToken(OssError):
    """No credential has this token."""

    status = 403
    code = "InvalidSecurityToken"


class AccessKeyIdAndSecurityTokenNotMatch(OssError):
    """The token is that of another credential."""

    status = 403
    code = "AccessKeyIdAndSecurityTokenNotMatch"


class RequestTimeTooSkewed(OssError):
    """A signature's date is too far from the server's clock."""

    status = 403
    code = "RequestTimeTooSkewed"


class SignatureDoesNotMatch(OssError):
    """The secret of this id does not make this signature of this request."""

    status = 403
    code = "SignatureDoesNotMatch"


class ImageDamage(OssError):
    """The file begins like a picture but cannot be decoded."""

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
    """There is no such upload in parts; it has ended, or never begun."""

    status = 404
    code = "NoSuchUpload"


class NoSuchVersion(OssError):
    """The object has no such version; here each has one."""

    status = 404
    code = "NoSuchVersion"


class SymlinkTargetNotExist(OssError):
    """There is no object of the name that a symlink leads to."""

    status = 404
    code = "SymlinkTargetNotExist"


class NoSuchBucketPolicy(OssError):
    """The bucket has no policy."""

    status = 404
    code = "NoSuchBucketPolicy"


class NoSuchCORSConfiguration(OssError):
    """The bucket has no rules of CORS."""

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
    """Not a method of this resource."""

    status = 405
    code = "MethodNotAllowed"


class BucketAlreadyExists(OssError):
    """There is a bucket of this name, which is not to be changed so."""

    status = 409
    code = "BucketAlreadyExists"


class BucketNotEmpty(OssError):
    """A bucket with objects in it is not deleted."""

    status = 409
    code = "BucketNotEmpty"


class PositionNotEqualToLength(OssError):
    """What is to be appended does not begin where the object ends."""

    status = 409
    code = "PositionNotEqualToLength"


class ObjectNotAppendable(OssError):
    """The object was put as a whole or in parts, so nothing is appended to it."""

    status = 409
    code = "ObjectNotAppendable"


class FileAlreadyExists(OssError):
    """There is an object of this name, and the caller does not want it overwritten."""

    status = 409
    code = "FileAlreadyExists"


class MissingContentLength(OssError):
    """A body without its length."""

    status = 411
    code = "MissingContentLength"


class PreconditionFailed(OssError):
    """``If-Match`` or ``If-Unmodified-Since`` does not hold."""

    status = 412
    code = "PreconditionFailed"


class UriTooLong(OssError):
    """The request line has more bytes than it may have; RFC 9110's phrase, OSS has no code."""

    status = 414
    code = "UriTooLong"


class InvalidRange(OssError):
    """The range begins behind the end."""

    status = 416
    code = "InvalidRange"


class ExpectationFailed(OssError):
    """``Expect`` asks for something else than ``100-continue``; RFC 9110's phrase likewise."""

    status = 417
    code = "ExpectationFailed"


class RequestHeaderFieldsTooLarge(OssError):
    """A header, or all of them together, has more bytes than it may have; RFC 6585's phrase."""

    status = 431
    code = "RequestHeaderFieldsTooLarge"


class InternalError(OssError):
    """A fault of the server, never of the request."""

    status = 500
    code = "InternalError"


class Unimplemented(OssError):
    """OSS knows this, the present version of vipsgate does not."""

    status = 501
    code = "NotImplemented"


class BadGateway(OssError):
    """The object store behind this server cannot be had, or answers with a fault of its own."""

    status = 502
    code = "BadGateway"


class SourceChanged(OssError):
    """An object is not what was looked up; who can look anew does, others are told 503."""

    status = 503
    code = "SourceChanged"


class CpuLimitExceeded(OssError):
    """More work than this server takes on."""

    status = 503
    code = "CpuLimitExceeded"
    hold: float = 0.0  # seconds that the answer may be held back; 0 after the time is up


class ServiceUnavailable(OssError):
    """Something that the answer needs is away for now."""

    status = 503
    code = "ServiceUnavailable"


class GatewayTimeout(OssError):
    """The object store, or the file system, behind this server does not answer in time."""

    status = 504
    code = "GatewayTimeout"


class HttpVersionNotSupported(OssError):
    """Neither HTTP/1.1 nor HTTP/1.0; RFC 9110's phrase likewise."""

    status = 505
    code = "HttpVersionNotSupported"


class InsufficientStorage(OssError):
    """The store has no room for it."""

    status = 507
    code = "InsufficientStorage"


def shown(text: str) -> str:
    """A client's text as a message may repeat it: at most ``SHOWN`` characters."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def dump(error: OssError) -> dict[str, Any]:
    """The error as plain values, for the way from a renderer to the front."""
    return {
        "code": error.code,
        "message": error.message,
        "ec": error.ec,
        "extra": error.extra,
        "headers": error.headers,
    }


def load(values: Mapping[str, Any]) -> OssError:
    """The error again; one of an unknown code is an :class:`InternalError`."""
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

"""May this caller have it? The answer comes before anything of the object is looked at.

Only anonymous reading by bucket ACL is decided yet. Whatever carries a signature is refused: one
that is not verified must never pass, not even as anonymous on a public object.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..buckets import Bucket
from ..errors import AccessDenied, InvalidRequest, NoSuchBucket, Unimplemented
from .target import Target

SIGNATURE = frozenset(  # query parameters of V1, V2 and V4 signatures
    "Expires OSSAccessKeyId Signature security-token x-oss-access-key-id x-oss-credential "
    "x-oss-date x-oss-expires x-oss-security-token x-oss-signature x-oss-signature-version".split()
)
OVERRIDES = "response-"  # response-content-type and the like


def check(target: Target, headers: Mapping[str, str], bucket: Bucket | None) -> Bucket:
    """Let an anonymous read of a public bucket pass, and nothing else.

    Args:
        target: What is asked for; it has a bucket.
        headers: The request's, looked up without regard to case.
        bucket: The bucket's document; ``None`` where there is no such bucket.

    Returns:
        The bucket's document, now known to be one.

    Raises:
        Unimplemented: The request is signed.
        NoSuchBucket: There is no such bucket.
        AccessDenied: The bucket is private.
        InvalidRequest: The request overrides headers of the response.
    """
    names = target.names()
    if "Authorization" in headers or names & SIGNATURE:
        raise Unimplemented("Signatures are not verified by this version; the request carries one.")
    if bucket is None:
        raise NoSuchBucket(
            "The specified bucket does not exist.", extra={"BucketName": target.bucket}
        )
    if bucket.acl == "private":
        raise AccessDenied("You have no right to access this object because of bucket acl.")
    if any(name.startswith(OVERRIDES) for name in names):
        raise InvalidRequest(
            "Request specific response headers cannot be used for anonymous GET requests."
        )
    return bucket

"""May this caller have it? The answer comes before anything of the object is looked at.

A signature is looked at first, wherever it leads: one that fails is refused also on a public
object, and never taken for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..buckets import Bucket
from ..errors import AccessDenied, InvalidRequest, NoSuchBucket, Unimplemented
from . import protection, referer, sign, style
from .target import Target

OVERRIDES = "response-"  # response-content-type and the like


@dataclass(frozen=True, slots=True)
class Keys:
    """What signatures are verified with.

    Attributes:
        credentials: All there are.
        region: The one that V4 signatures name.
    """

    credentials: Sequence[sign.Credential] = ()
    region: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The caller may have it.

    Attributes:
        bucket: The bucket's document, now known to be one.
        caller: Who signed the request; ``None`` for an anonymous one.
    """

    bucket: Bucket
    caller: sign.Credential | None

    @property
    def cache_control(self) -> str:
        """Of the answer: one that needed a signature is private, unless the bucket says else."""
        personal = self.caller is not None and self.bucket.acl == "private"
        return self.bucket.cache_control or ("private" if personal else "")


def check_source(grant: Grant, asked: Target, needs: Sequence[str]) -> None:
    """Keep anonymous callers from protected objects, but for what a style makes of them.

    Args:
        grant: That the bucket may be read.
        asked: The object and what is to be done with it, as the caller wants it.
        needs: Keys of further objects that the caller has named: laid on a public picture, a
            protected one would be seen as well as by itself.

    Raises:
        AccessDenied: One of them is protected.
    """
    if grant.caller is not None or style.pure(asked.process):
        return
    if any(protection.covers(grant.bucket.protection, key) for key in (asked.key, *needs)):
        raise AccessDenied("You are forbidden to access the source image.", ec="0040-00000031")


def check(
    target: Target,
    method: str,
    headers: Mapping[str, str],
    bucket: Bucket | None,
    keys: Keys,
    now: float,
) -> Grant:
    """Let a signed read pass, and an anonymous one of a public bucket.

    Args:
        target: What is asked for; it has a bucket.
        method: Of the request, as sent.
        headers: Of the request, from :func:`sign.fields`.
        bucket: The bucket's document; ``None`` where there is no such bucket.
        keys: What signatures are verified with.
        now: Seconds since the epoch.

    Raises:
        OssError: The signature is not right, see :func:`sign.verify`.
        NoSuchBucket: There is no such bucket.
        AccessDenied: The bucket is private, and the caller anonymous; or the page that shows it
            may not.
        InvalidRequest: An anonymous request overrides headers of the response.
        Unimplemented: A signed one does.
    """
    request = sign.Request(method, target.bucket, target.key, target.query, headers)
    caller = sign.verify(request, keys.credentials, now, keys.region)
    if bucket is None:
        raise NoSuchBucket(
            "The specified bucket does not exist.", extra={"BucketName": target.bucket}
        )
    if caller is None and bucket.acl == "private":
        raise AccessDenied("You have no right to access this object because of bucket acl.")
    if "authorization" not in headers:  # a program that signs its headers sends no Referer
        referer.check(bucket.referer, headers.get("referer", ""))
    if overrides := sorted(name for name in target.names() if name.startswith(OVERRIDES)):
        if caller is None:
            raise InvalidRequest(
                "Request specific response headers cannot be used for anonymous GET requests."
            )
        raise Unimplemented(f"The parameter: {overrides[0]} is not implemented by this version.")
    return Grant(bucket, caller)

"""May this caller have it? The answer comes before anything of an object is read.

A signature is looked at first, wherever it leads: one that fails is refused also on a public
object, and never taken for none. What remains is asked of the object's ACL, as soon as that is
known: :meth:`Grant.check_acl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ..buckets import Bucket
from ..errors import AccessDenied, InvalidArgument, InvalidRequest, NoSuchBucket, shown
from . import protection, referer, sign, style
from .rights import ACLS, OF_OBJECTS, ROLES, Right
from .target import Target

# what a signed caller may have said otherwise (OSS guide, GetObject)
OVERRIDES = {
    f"response-{name.lower()}": name
    for name in (
        "Content-Type",
        "Content-Language",
        "Expires",
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
    )
}


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
    """The caller may have it, as far as the bucket is concerned.

    Attributes:
        bucket: The bucket's document, now known to be one.
        caller: Who signed the request; ``None`` for an anonymous one.
        overrides: Headers of the answer as the caller wants them.
    """

    bucket: Bucket
    caller: sign.Credential | None
    overrides: Mapping[str, str] = field(default_factory=dict)

    def check_acl(self, acl: str, right: Right = Right.READ) -> None:
        """Keep anonymous callers from what the ACL does not give them.

        Args:
            acl: The object's own; empty where it has none, or where there is no object.
            right: What is done to the object.

        Raises:
            AccessDenied: It does not. An object that is not there and one that the bucket's ACL
                covers are denied in the same words.
        """
        if self.caller is not None or right in ACLS[acl or self.bucket.acl]:
            return
        if not acl:
            raise AccessDenied(
                "You have no right to access this object because of bucket acl.", rule="bucket-acl"
            )
        what = "read" if right is Right.READ else "write"
        raise AccessDenied(f"You do not have {what} permission on this object.", rule="object-acl")

    def took_signature(self, key: str, acl: str, kind: str = "") -> bool:
        """Would an anonymous caller have been refused this object?"""
        if self.caller is None:
            return False
        open_to_all = Right.READ in ACLS[acl or self.bucket.acl]
        return not open_to_all or protection.covers(self.bucket.protection, key, kind)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as the gate sees it.

    Attributes:
        key: Its name.
        acl: Its own; empty where it has none.
        kind: The Content-Type that it was stored with; empty where nobody has said it.
    """

    key: str
    acl: str = ""
    kind: str = ""


def check(
    target: Target,
    method: str,
    headers: Mapping[str, str],
    bucket: Bucket | None,
    keys: Keys,
    now: float,
    right: Right = Right.READ,
) -> Grant:
    """Let pass who may come this far: the object's ACL is still to be asked.

    Args:
        target: What is asked for; it has a bucket.
        method: Of the request, as sent.
        headers: Of the request, from :func:`sign.fields`.
        bucket: The bucket's document; ``None`` where there is no such bucket.
        keys: What signatures are verified with.
        now: Seconds since the epoch.
        right: What the call does.

    Raises:
        OssError: The signature is not right, see :func:`sign.verify`.
        NoSuchBucket: There is no such bucket.
        AccessDenied: The caller's role does not have the right; or the caller is anonymous and the
            call one to the bucket; or the page that shows the object may not.
        InvalidRequest: An anonymous request overrides headers of the response.
        InvalidArgument: A header cannot have the value wanted.
    """
    caller = identify(target, method, headers, keys, now)
    return admit(target, headers, bucket, caller, right)


def admit(
    target: Target,
    headers: Mapping[str, str],
    bucket: Bucket | None,
    caller: sign.Credential | None,
    right: Right = Right.READ,
) -> Grant:
    """What :func:`check` asks once it is known who signed; see there."""
    if bucket is None:
        raise NoSuchBucket(
            "The specified bucket does not exist.", extra={"BucketName": target.bucket}
        )
    check_role(caller, right)
    if "authorization" not in headers:  # a program that signs its headers sends no Referer
        referer.check(bucket.referer, headers.get("referer", ""))
    return Grant(bucket, caller, _overrides(target, caller))


def identify(
    target: Target, method: str, headers: Mapping[str, str], keys: Keys, now: float
) -> sign.Credential | None:
    """Who has signed this; see :func:`check` and :func:`sign.verify`."""
    request = sign.Request(method, target.bucket, target.key, target.query, headers)
    return sign.verify(request, keys.credentials, now, keys.region)


def check_role(caller: sign.Credential | None, right: Right) -> None:
    """Refuse what the caller's role does not have, and calls to buckets without a signature.

    Raises:
        AccessDenied: It is refused.
    """
    if caller is None and right not in OF_OBJECTS:
        raise AccessDenied("Anonymous access is forbidden for this operation.", rule="role")
    if caller is not None and right not in ROLES[caller.role]:
        raise AccessDenied(
            f"Access denied by authorizer's policy: the role {caller.role} of this AccessKeyId "
            f"has no right to {right.value}.",
            rule="role",
        )


def check_source(grant: Grant, asked: Target, key: str, kind: str = "") -> None:
    """Keep anonymous callers from protected objects, but for what a style makes of them.

    Args:
        grant: That the bucket may be read.
        asked: The object and what is to be done with it, as the caller wants it.
        key: The object itself, or another that the caller has named: laid on a public picture, a
            protected one would be seen as well as by itself.
        kind: The Content-Type that it was stored with, where that is known already.

    Raises:
        AccessDenied: It is protected.
    """
    if grant.caller is not None or style.pure(asked.process):
        return
    if protection.covers(grant.bucket.protection, key, kind):
        raise AccessDenied(
            "You are forbidden to access the source image.", ec="0040-00000031", rule="protection"
        )


def check_objects(grant: Grant, asked: Target, objects: Iterable[Seen]) -> None:
    """Ask what objects say of themselves: their ACLs and their types.

    Those that the caller has named; what a style names is read with the right of the bucket's
    owner, who has written it.

    Args:
        grant: That the bucket may be read.
        asked: The object and what is to be done with it, as the caller wants it.
        objects: The object itself first, then those that are laid on it.

    Raises:
        AccessDenied: One does not let this caller read.
    """
    for item in islice(objects, 1 if style.pure(asked.process) else None):
        grant.check_acl(item.acl)
        check_source(grant, asked, item.key, item.kind)


def _overrides(target: Target, caller: sign.Credential | None) -> dict[str, str]:
    wanted = {OVERRIDES[name]: value for name, value in target.query if name in OVERRIDES and value}
    if caller is None and any(name in OVERRIDES for name in target.names()):
        raise InvalidRequest(
            "Request specific response headers cannot be used for anonymous GET requests."
        )
    for name, value in wanted.items():
        if not value.isprintable():
            raise InvalidArgument(
                f"The value: {shown(value)!r} of parameter: response-{name.lower()} is invalid. "
                "It expects printable characters."
            )
    return wanted

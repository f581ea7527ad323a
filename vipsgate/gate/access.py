"""Access control: every decision is taken before anything of an object is read.

A signature is verified first: a wrong one is refused on public objects, too, and never treated as
none. The object's ACL is checked as soon as it is known, by :meth:`Grant.check_acl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from ..buckets import Bucket, Protection
from ..errors import AccessDenied, InvalidArgument, InvalidRequest, NoSuchBucket, shown
from . import parameters, protection, referer, sign, style
from .rights import ACLS, OF_OBJECTS, ROLES, Right
from .target import Target

READING = ("GetObject", "HeadObject")  # the calls for which a CDN's signature is valid


@dataclass(frozen=True, slots=True)
class Keys:
    """The settings by which signatures are verified.

    Attributes:
        credentials: All key pairs.
        region: The region that V4 signatures must name.
        v4_expires_max: Seconds for which a URL signed with V4 may be valid.
    """

    credentials: Sequence[sign.Credential] = ()
    region: str = ""
    v4_expires_max: int = sign.MAX_EXPIRES


@dataclass(frozen=True, slots=True)
class Grant:
    """The result of a successful check of the caller's rights to the bucket.

    Attributes:
        bucket: The bucket's document.
        caller: Who signed the request; ``None`` for an anonymous one.
        overrides: Headers of the answer that the caller has set.
        cdn: Whether the URL is signed as for a CDN (:mod:`.sign.cdn`). It allows to read the object
            that it names, whatever the ACLs say; otherwise the caller is anonymous.
    """

    bucket: Bucket
    caller: sign.Credential | None
    overrides: Mapping[str, str] = field(default_factory=dict)
    cdn: bool = False

    @property
    def of_others(self) -> Grant:
        """The grant for others in the process text, which a CDN's signature does not open."""
        return replace(self, cdn=False) if self.cdn else self

    @property
    def is_signed(self) -> bool:
        """Whether the request is signed, or its URL is signed as for a CDN."""
        return self.caller is not None or self.cdn

    def check_acl(self, acl: str, right: Right = Right.READ) -> None:
        """Refuse anonymous callers what the ACL does not allow.

        Args:
            acl: The object's own ACL; empty if it has none, or if there is no object.
            right: The right that is needed.

        Raises:
            AccessDenied: The ACL does not give the right. The message is the same for a missing
                object and for one without its own ACL.
        """
        if self.caller is not None or right in ACLS[acl or self.bucket.acl]:
            return
        if self.cdn and right is Right.READ:
            return
        if not acl:
            raise AccessDenied(
                "You have no right to access this object because of bucket acl.", rule="bucket-acl"
            )
        what = "read" if right is Right.READ else "write"
        raise AccessDenied(f"You do not have {what} permission on this object.", rule="object-acl")

    def took_signature(self, item: Seen) -> bool:
        """Return whether an anonymous caller might have been refused this object.

        If all pictures are protected, this is true for every object, whatever its bytes are.
        """
        if not self.is_signed:
            return False
        if any(Right.READ not in ACLS[acl or self.bucket.acl] for acl in item.acls):
            return True
        if self.cdn:  # it does not open protected objects
            return False
        protected = self.bucket.protection
        return protection.of_all_pictures(protected) or item.is_protected(protected)


@dataclass(frozen=True, slots=True)
class Seen:
    """The properties of an object that access depends on.

    Attributes:
        key: Its name.
        acl: Its own ACL; empty if it has none.
        kind: The Content-Type of its answer; empty if it is not known yet.
        aliases: Its other names, if ``key`` is a symlink of the disk.
        picture: Whether its first bytes are those of a picture; set if :func:`asks_bytes` needs it.
        link: The symlink of OSS that leads to it, which has to allow access, too; ``None`` if the
            object is named itself.
    """

    key: str
    acl: str = ""
    kind: str = ""
    aliases: tuple[str, ...] = ()
    picture: bool = False
    link: Seen | None = None

    @property
    def acls(self) -> tuple[str, ...]:
        """The ACLs of the object and of the symlink that leads to it."""
        return (self.acl, self.link.acl) if self.link else (self.acl,)

    def is_protected(self, rules: Protection) -> bool:
        """Return whether rules protect it by any of its known names (:func:`protection.covers`)."""
        return protection.covers(
            rules, self.key, self.kind, aliases=self.aliases, picture=self.picture
        ) or (self.link is not None and self.link.is_protected(rules))


def check(
    target: Target,
    method: str,
    headers: Mapping[str, str],
    bucket: Bucket | None,
    keys: Keys,
    now: float,
    right: Right = Right.READ,
) -> Grant:
    """Check signature, role and Referer of a request; the object's ACL is checked later.

    Args:
        target: The target of the request, which has a bucket.
        method: Method of the request.
        headers: Headers of the request, from :func:`sign.fields`.
        bucket: The bucket's document; ``None`` if there is no such bucket.
        keys: The settings by which signatures are verified.
        now: Seconds since the epoch.
        right: The right that the call needs.

    Raises:
        NoSuchBucket: There is no such bucket; this is checked before the signature.
        OssError: The signature is wrong, see :func:`sign.verify`.
        AccessDenied: The caller's role lacks the right; or the caller is anonymous and this is a
            call to the bucket; or the Referer is not allowed.
        InvalidRequest: An anonymous request overrides headers of the response.
        InvalidArgument: The value of an overridden header, or the spelling of its parameter, is not
            valid.
    """
    if bucket is None:  # OSS checks the bucket before the key pair
        raise _no_bucket(target)
    caller = identify(target, method, headers, keys, now)
    return admit(target, headers, bucket, caller, right)


def admit(
    target: Target,
    headers: Mapping[str, str],
    bucket: Bucket | None,
    caller: sign.Credential | None,
    right: Right = Right.READ,
) -> Grant:
    """Do the checks of :func:`check` after the signature."""
    if bucket is None:
        raise _no_bucket(target)
    check_role(caller, right)
    if "authorization" not in headers:  # programs that sign headers send no Referer
        referer.check(bucket.referer, headers.get("referer", ""))
    return Grant(bucket, caller, _overrides(target, caller))


def _no_bucket(target: Target) -> NoSuchBucket:
    return NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": target.bucket})


def by_cdn(target: Target, headers: Mapping[str, str], bucket: Bucket, call: str) -> Grant:
    """Return the grant of a request whose URL is signed as for a CDN.

    The signature has been verified by :mod:`.sign.cdn`.

    Args:
        target: The target of the request, without that signature.
        headers: Headers of the request, from :func:`sign.fields`.
        bucket: The bucket's document.
        call: The name of the call.

    Raises:
        AccessDenied: The call does not read an object, or the Referer is not allowed.
        InvalidArgument: The request also has another signature.
        InvalidRequest: The request overrides headers of the response.
    """
    if "authorization" in headers or target.names() & sign.NAMES:
        raise InvalidArgument("The request is signed in more than one way; one is enough.")
    if call not in READING:
        raise AccessDenied(
            "A URL that is signed for a CDN is good for GetObject and HeadObject.",
            rule="cdn-signature",
        )
    return replace(admit(target, headers, bucket, None), cdn=True)


def identify(
    target: Target, method: str, headers: Mapping[str, str], keys: Keys, now: float
) -> sign.Credential | None:
    """Return the key pair that has signed a request; see :func:`check` and :func:`sign.verify`."""
    request = sign.Request(method, target.bucket, target.key, target.query, headers)
    return sign.verify(request, keys.credentials, now, keys.region, keys.v4_expires_max)


def check_role(caller: sign.Credential | None, right: Right) -> None:
    """Refuse calls that the caller's role does not allow, and anonymous calls to buckets.

    Raises:
        AccessDenied: The call is refused.
    """
    if caller is None and right not in OF_OBJECTS:
        raise AccessDenied("Anonymous access is forbidden for this operation.", rule="role")
    if caller is not None and right not in ROLES[caller.role]:
        raise AccessDenied(
            f"Access denied by authorizer's policy: the role {caller.role} of this AccessKeyId "
            f"has no right to {right.value}.",
            rule="role",
        )


def check_source(grant: Grant, target: Target, item: Seen) -> None:
    """Refuse anonymous callers protected objects, except through a style.

    If all pictures are protected, every object that is to be processed is taken for one.

    Args:
        grant: The grant for the bucket.
        target: The target of the request, with its process.
        item: The object, or another one that the caller has named, because a protected object could
            also be seen as a watermark. It may be known in part; the key alone may be enough to
            refuse it.

    Raises:
        AccessDenied: The object is protected.
    """
    protected = grant.bucket.protection
    if not protected.enabled or grant.caller is not None or style.pure(target.process):
        return
    processed = bool(target.process) and protection.of_all_pictures(protected)
    if processed or item.is_protected(protected):
        raise AccessDenied(
            "You are forbidden to access the source image.", ec="0040-00000031", rule="protection"
        )


def asks_bytes(grant: Grant, target: Target, item: Seen) -> bool:
    """Return whether :func:`check_source` depends on the first bytes of the object.

    Args:
        grant: The grant for the bucket.
        target: The target of the request, with its process.
        item: The object, as far as it is known without reading it.
    """
    protected = grant.bucket.protection
    return (
        protection.of_all_pictures(protected)
        and grant.caller is None
        and not target.process
        and not item.is_protected(protected)
    )


def check_objects(grant: Grant, target: Target, objects: Iterable[Seen]) -> None:
    """Check the ACLs and the protection of objects.

    Only objects that the caller has named are checked. Those that a style names are read with the
    rights of the bucket's owner, who has written the style.

    Args:
        grant: The grant for the bucket.
        target: The target of the request, with its process.
        objects: The object first, then its overlays.

    Raises:
        AccessDenied: The caller may not read one of them.
    """
    for item in islice(objects, 1 if style.pure(target.process) else None):
        for acl in item.acls:
            grant.check_acl(acl)
        check_source(grant, target, item)
        grant = grant.of_others


def _overrides(target: Target, caller: sign.Credential | None) -> dict[str, str]:
    headers = {}
    for name, value in target.query:
        header = parameters.overridden(name)
        if header and caller is None:
            raise InvalidRequest(
                "Request specific response headers cannot be used for anonymous GET requests."
            )
        if header and not value.isprintable():
            raise InvalidArgument(
                f"The value: {shown(value)!r} of parameter: {name} is invalid. "
                "It expects printable characters."
            )
        if header and value:
            headers[header] = value
    return headers

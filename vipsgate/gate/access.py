"""Access control: every decision is taken before anything of an object is read.

A signature is looked at first, wherever it leads: one that fails is refused also on a public
object, and never taken for none. What remains is asked of the object's ACL, as soon as that is
known: :meth:`Grant.check_acl`.
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

READING = ("GetObject", "HeadObject")  # the calls that a CDN's signature is good for


@dataclass(frozen=True, slots=True)
class Keys:
    """What signatures are verified with.

    Attributes:
        credentials: All there are.
        region: The one that V4 signatures name.
        v4_expires_max: Seconds that a URL signed with V4 may be valid.
    """

    credentials: Sequence[sign.Credential] = ()
    region: str = ""
    v4_expires_max: int = sign.MAX_EXPIRES


@dataclass(frozen=True, slots=True)
class Grant:
    """The caller may have it, as far as the bucket is concerned.

    Attributes:
        bucket: The bucket's document, now known to be one.
        caller: Who signed the request; ``None`` for an anonymous one.
        overrides: Headers of the answer as the caller wants them.
        cdn: Whether the URL is signed as for a CDN (:mod:`.sign.cdn`). It opens the object that it
            names, against every ACL; to all else its caller is an anonymous one.
    """

    bucket: Bucket
    caller: sign.Credential | None
    overrides: Mapping[str, str] = field(default_factory=dict)
    cdn: bool = False

    @property
    def of_others(self) -> Grant:
        """The same for objects that the process text names: the signature of a CDN has no part."""
        return replace(self, cdn=False) if self.cdn else self

    @property
    def is_signed(self) -> bool:
        """Whether the request is signed, or its URL is signed as for a CDN."""
        return self.caller is not None or self.cdn

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

        Where all pictures are protected every object counts, without a look at its bytes.
        """
        if not self.is_signed:
            return False
        if any(Right.READ not in ACLS[acl or self.bucket.acl] for acl in item.acls):
            return True
        if self.cdn:  # has opened nothing that is protected
            return False
        protected = self.bucket.protection
        return protection.of_all_pictures(protected) or item.is_protected(protected)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as the gate sees it.

    Attributes:
        key: Its name.
        acl: Its own; empty where it has none.
        kind: The Content-Type that it is answered with; empty where it is not known yet.
        aliases: Its other names, where ``key`` is a symlink of the disk to it.
        picture: Whether its first bytes are a picture's, where :func:`asks_bytes` asks for them.
        link: The symlink of OSS's by which it is reached, which has to allow it, too; ``None``
            where it is reached by its own name.
    """

    key: str
    acl: str = ""
    kind: str = ""
    aliases: tuple[str, ...] = ()
    picture: bool = False
    link: Seen | None = None

    @property
    def acls(self) -> tuple[str, ...]:
        """Of the object, and of the symlink that leads to it."""
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
        NoSuchBucket: There is no such bucket, whoever has signed.
        OssError: The signature is not right, see :func:`sign.verify`.
        AccessDenied: The caller's role does not have the right; or the caller is anonymous and the
            call one to the bucket; or the page that shows the object may not.
        InvalidRequest: An anonymous request overrides headers of the response.
        InvalidArgument: A header cannot have the value wanted, or its parameter this spelling.
    """
    if bucket is None:  # OSS looks for the bucket before it looks for the key
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
    """What :func:`check` asks once it is known who signed; see there."""
    if bucket is None:
        raise _no_bucket(target)
    check_role(caller, right)
    if "authorization" not in headers:  # a program that signs its headers sends no Referer
        referer.check(bucket.referer, headers.get("referer", ""))
    return Grant(bucket, caller, _overrides(target, caller))


def _no_bucket(target: Target) -> NoSuchBucket:
    return NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": target.bucket})


def by_cdn(target: Target, headers: Mapping[str, str], bucket: Bucket, call: str) -> Grant:
    """Let a request pass whose URL is signed as for a CDN, which :mod:`.sign.cdn` has verified.

    Args:
        target: What is asked for, without that signature.
        headers: Of the request, from :func:`sign.fields`.
        bucket: The bucket's document.
        call: The name of the call.

    Raises:
        AccessDenied: It is another call than those that read an object, or the page that shows
            the object may not.
        InvalidArgument: The request is signed in another way, too.
        InvalidRequest: It overrides headers of the response.
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
    """Who has signed this; see :func:`check` and :func:`sign.verify`."""
    request = sign.Request(method, target.bucket, target.key, target.query, headers)
    return sign.verify(request, keys.credentials, now, keys.region, keys.v4_expires_max)


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


def check_source(grant: Grant, target: Target, item: Seen) -> None:
    """Keep anonymous callers from protected objects, but for what a style makes of them.

    Where all pictures are protected, whatever is to be processed is taken for one.

    Args:
        grant: That the bucket may be read.
        target: The object and what is to be done with it, as the caller wants it.
        item: The object itself, or another that the caller has named: laid on a public picture, a
            protected one would be seen as well as by itself. As far as it is known: its key alone
            may be enough to refuse it.

    Raises:
        AccessDenied: It is protected.
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
        grant: That the bucket may be read.
        target: The object and what is to be done with it.
        item: The object, all that is known of it without reading it.
    """
    protected = grant.bucket.protection
    return (
        protection.of_all_pictures(protected)
        and grant.caller is None
        and not target.process
        and not item.is_protected(protected)
    )


def check_objects(grant: Grant, target: Target, objects: Iterable[Seen]) -> None:
    """Ask what objects say of themselves: their ACLs and their types.

    Those that the caller has named; what a style names is read with the right of the bucket's
    owner, who has written it.

    Args:
        grant: That the bucket may be read.
        target: The object and what is to be done with it, as the caller wants it.
        objects: The object itself first, then those that are laid on it.

    Raises:
        AccessDenied: One does not let this caller read.
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

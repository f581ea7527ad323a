"""Looks objects up for a caller who may read them, following symlinks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from ..errors import InvalidTargetType, NoSuchKey, SymlinkTargetNotExist, WatermarkError, shown
from ..gate import access
from ..gate.rights import Right
from ..gate.target import Target, check_key
from ..store.base import Object, Opened
from .order import Link, see
from .services import Services

Sent = Mapping[str, str] | None  # headers of a request; None: missing objects are not fetched
Stat = Callable[[str, str], Awaitable[Object]]  # bucket and key -> object
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """The object that a key leads to.

    Attributes:
        key: The key of the object itself.
        object: The object.
        link: The symlink that led to it; ``None`` if there was none.
        picture: Whether its bytes are those of a picture, if protection depends on that.
    """

    key: str
    object: Object
    link: Link | None = None
    picture: bool = False


async def stat(
    services: Services,
    grant: access.Grant,
    bucket: str,
    key: str,
    right: Right = Right.READ,
) -> Object:
    """Look up an object, and check that its ACL gives the caller a right.

    Raises:
        AccessDenied: The ACL does not give it; or there is no object, and the bucket's ACL does
            not.
        NoSuchKey: There is no such object.
    """
    if not services.store.object_acls(bucket):
        grant.check_acl("", right)
    try:
        item = await services.store.stat(bucket, key)
    except NoSuchKey:
        grant.check_acl("", right)
        raise
    grant.check_acl(item.properties.acl, right)
    return item


async def find(
    services: Services, grant: access.Grant, target: Target, sent: Sent = None
) -> Source:
    """Return the source of a target, fetching it from the mirror if needed.

    Raises:
        AccessDenied: The caller may not read it by its ACL; protection is not checked.
        NoSuchKey: There is no such object.
        OssError: It is a symlink that cannot be followed, see :func:`follow`.
    """
    look_at = partial(stat, services, grant)
    item = await obtain(look_at, services, grant, target, sent, target.bucket, target.key)
    source = await follow(look_at, grant, target, target.key, item)
    return await sniff(services, grant, target, source)


async def obtain(
    look_at: Stat,
    services: Services,
    grant: access.Grant,
    target: Target,
    sent: Sent,
    bucket: str,
    key: str,
) -> Object:
    """Look up an object that the caller may read; fetch it from the mirror if it is missing."""
    try:
        return await look_at(bucket, key)
    except NoSuchKey:  # after the ACL was checked
        if sent is None or not grant.bucket.mirror:
            raise
    return await services.mirror.fetch(grant, target, key, sent)


async def follow(
    look_at: Stat, grant: access.Grant, target: Target, key: str, item: Object
) -> Source:
    """Follow an object if it is a symlink, and return what it leads to.

    Access is checked for both keys: a caller who may not read an object by its own key may not read
    it through a symlink either.

    Args:
        look_at: Looks up an object, and checks that the caller may read it.
        grant: The grant of the caller.
        target: The target of the request; its key is not used.
        key: The key of the object.
        item: The object.

    Raises:
        AccessDenied: The caller may not read the object behind the symlink.
        SymlinkTargetNotExist: There is no such object.
        InvalidTargetType: That is a symlink, too.
    """
    aim = item.properties.target
    if not aim:
        return Source(key, item)
    access.check_source(grant, target, access.Seen(aim))
    try:
        check_key(aim)
        reached = await look_at(target.bucket, aim)
    except NoSuchKey:
        raise SymlinkTargetNotExist(
            "The symlink target object does not exist.", ec="0026-00000012"
        ) from None
    if reached.properties.target:
        raise InvalidTargetType("The symlink target object is a symlink, too.")
    return Source(aim, reached, Link(key, item))


async def sniff(services: Services, grant: access.Grant, target: Target, source: Source) -> Source:
    """Return a source with ``picture`` filled in, if protection depends on that."""
    key, item, link = source.key, source.object, source.link
    protected = grant.bucket.protection.enabled
    if protected and access.asks_bytes(grant, target, see(grant, key, item, link=link)):
        item, picture = await services.sniffer.sniff(services.store, target.bucket, key, item)
        return Source(key, item, link, picture)
    return source


def check_opened(
    services: Services,
    grant: access.Grant,
    target: Target,
    source: Source,
    opened: Opened,
) -> bool:
    """Check access to an object again once it is open, as it may have been replaced.

    Args:
        services: The services.
        grant: The grant of the caller.
        target: The target of the request.
        source: The source as it was looked up, of which only the keys are used.
        opened: The open object.

    Returns:
        Whether it is a picture, if protection depends on that; ``False`` otherwise.

    Raises:
        AccessDenied: The caller may not read it.
    """
    item, picture = see(grant, source.key, opened.object, link=source.link), False
    if access.asks_bytes(grant, target, item):
        picture = services.sniffer.sniff_opened(target.bucket, source.key, opened)
        item = replace(item, picture=picture)
    access.check_objects(grant, target, [item])
    return picture


async def overlay(call: Callable[[str, str], Awaitable[T]], bucket: str, key: str) -> T:
    """Call a method of the store for a watermark object, and return its result.

    Raises:
        WatermarkError: There is no such object.
        InvalidObjectName: The key is not valid.
    """
    try:
        check_key(key)
        return await call(bucket, key)
    except NoSuchKey:
        raise WatermarkError(f"The watermark object {shown(key)!r} does not exist.") from None

"""What is known of an object, for a caller who may have it: by its name, or through a symlink."""

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

Sent = Mapping[str, str] | None  # headers of a request that may have a missing object fetched
Stat = Callable[[str, str], Awaitable[Object]]  # bucket and key -> what is known of an object
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """The object that is read for a name.

    Attributes:
        key: Its own name.
        object: What is known of it.
        link: The symlink that has the name; ``None`` where that is the object's own.
        picture: Whether its bytes are a picture's, where the gate wants to know.
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
    """What is known of an object, for a caller to whom its ACL gives the right.

    Raises:
        AccessDenied: It does not; also where there is no object, and the bucket is private.
        NoSuchKey: There is none of this name.
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
    """The object of a name, and whether it is a picture, where the gate wants to know.

    Raises:
        AccessDenied: Its ACL does not give it to this caller; protection is not checked.
        NoSuchKey: There is none of this name.
        OssError: It is a symlink that leads nowhere, see :func:`follow`.
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
    """What is known of an object that a caller may have, fetched if it has to be."""
    try:
        return await look_at(bucket, key)
    except NoSuchKey:  # the right was checked all the same
        if sent is None or not grant.bucket.mirror:
            raise
    return await services.mirror.fetch(grant, target, key, sent)


async def follow(
    look_at: Stat, grant: access.Grant, target: Target, key: str, item: Object
) -> Source:
    """The object that a symlink leads to; the same where it is none, at no cost.

    Both names are checked: a caller who may not read the target by its own name may not by another.

    Args:
        look_at: Says what is known of an object, for a caller who may have it.
        grant: The caller's.
        target: What is to be done with the object; its bucket counts, not its key.
        key: The name of the object, or of a symlink to it.
        item: What is known of that.

    Raises:
        AccessDenied: The caller may not have what is there.
        SymlinkTargetNotExist: There is nothing.
        InvalidTargetType: There is another symlink.
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
    """See :func:`find`; ``source`` is what is known from a look just before."""
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
    """Ask the gate about the object that has been opened, which may be another one by now.

    Args:
        services: Where it is.
        grant: The caller's.
        target: What is to be done with it.
        source: What was known of it; its names count.
        opened: It.

    Returns:
        Whether it is a picture, where the gate wants to know.

    Raises:
        AccessDenied: It is not for this caller.
    """
    item, picture = see(grant, source.key, opened.object, link=source.link), False
    if access.asks_bytes(grant, target, item):
        picture = services.sniffer.sniff_opened(target.bucket, source.key, opened)
        item = replace(item, picture=picture)
    access.check_objects(grant, target, [item])
    return picture


async def overlay(call: Callable[[str, str], Awaitable[T]], bucket: str, key: str) -> T:
    """What the store says of an object that is to be laid on the picture.

    Raises:
        WatermarkError: There is none of this name.
        InvalidObjectName: There cannot be one.
    """
    try:
        check_key(key)
        return await call(bucket, key)
    except NoSuchKey:
        raise WatermarkError(f"The watermark object {shown(key)!r} does not exist.") from None

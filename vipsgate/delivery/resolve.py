"""From the name in a request to the objects that it means, for a caller who may have them.

:func:`resolve` finds out which object is meant and what is to be done with it; :func:`authorise`
looks at all objects that this takes, and refuses what the caller may not have. Nothing is opened,
but where protection asks which objects are pictures. One that is missing may be fetched for a
request that says so (:mod:`.mirror`), once nothing else speaks against it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from ..errors import (
    InvalidRequest,
    InvalidTargetType,
    NoSuchKey,
    OssError,
    SymlinkTargetNotExist,
    WatermarkError,
    shown,
)
from ..gate import access, legacy, mirror, style
from ..gate.rights import Right
from ..gate.target import Target, check_key
from ..image import notes
from ..image.actions import strip
from ..image.process import parse
from ..store.base import Object, Opened, Store
from . import negotiate
from . import partial as remote
from .order import Link, Order, see
from .services import Services

T = TypeVar("T")


Look = Callable[[str, str], Awaitable[Object]]  # bucket and key -> what is known


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


@dataclass(frozen=True, slots=True)
class Name:
    """Which object a request means, and what is to be done with it.

    Attributes:
        target: Bucket, key, and the process text as the caller has said it.
        literal: The key as it came; another one where it also said what is to be done.
        legacy: Whether the older service's ``OBJECT@100w.jpg`` is understood.
    """

    target: Target
    literal: str
    legacy: bool

    def process(self, grant: access.Grant) -> str:
        """The process text with the bucket's styles in place of their names; empty for none.

        Raises:
            OssError: There is no such style, or no such text of the older service.
        """
        text = self.target.process
        if self.legacy and text.startswith(legacy.MARK):
            return legacy.translate(text.removeprefix(legacy.MARK))
        return style.expanded(text, grant.bucket.styles)


Sent = Mapping[str, str] | None  # headers of a request that may have a missing object fetched


async def order(
    services: Services,
    grant: access.Grant,
    target: Target,
    accept: str = "",
    *,
    sent: Sent = None,
    switch: bool = True,
) -> Order:
    """What the caller wants, known to be there and allowed.

    Args:
        services: Where it is.
        grant: The caller's.
        target: What is wanted.
        accept: The caller's Accept header.
        sent: Headers of a request that may have a missing object fetched; ``None`` for another.
        switch: Whether the bucket's ``auto_format`` counts.

    Raises:
        AccessDenied: Not by this caller.
        NoSuchKey: There is no such object.
        OssError: The process text is not valid, or something that it needs is not there.
    """
    name = await resolve(services, grant, target, may_fetch=sent is not None)
    return await authorise(services, grant, name, accept, sent=sent, switch=switch)


async def resolve(
    services: Services, grant: access.Grant, target: Target, *, may_fetch: bool = False
) -> Name:
    """Which object is meant: where a key may also say what is to be done, what there is decides.

    Raises:
        AccessDenied: The bucket's ACL alone decides, and does not give it to this caller.
    """
    server = services.settings.server
    old = target.legacy or server.legacy_at_api or grant.bucket.legacy_at_api
    if not services.store.object_acls(target.bucket):
        grant.check_acl("")  # before the look, which may be expensive
    named = await _split(target, grant, services.store, old=old, may_fetch=may_fetch)
    return Name(named, target.key, old)


async def authorise(
    services: Services,
    grant: access.Grant,
    name: Name,
    accept: str = "",
    *,
    sent: Sent = None,
    switch: bool = True,
) -> Order:
    """Look at all objects that are needed, and refuse what the caller may not have.

    Raises:
        OssError: See :func:`order`.
    """
    target, limits = name.target, services.settings.limits
    access.check_source(grant, target, access.Seen(target.key))
    source = await look(services, grant, target, sent)
    sources = [source]
    text = name.process(grant)
    process = parse(text, limits) if text else None
    if process and (kept := grant.bucket.keep_metadata):
        process = process.by_default(strip.keeping(kept))
    if process and grant.bucket.strict:
        notes.refuse(process.notes)
    process, offered = negotiate.chosen(process, grant.bucket, accept, limits, switch=switch)
    needs = process.needs() if process else ()
    by_owner = style.pure(target.process)
    for key in needs:
        access.check_source(grant, target, access.Seen(key))
        look_at = services.store.stat if by_owner else partial(stat, services, grant.of_others)
        obtain = partial(_obtain, look_at, services, grant, target, sent)
        item = await overlay(obtain, target.bucket, key)
        try:
            sources.append(await follow(look_at, grant, target, key, item))
        except SymlinkTargetNotExist as error:
            raise WatermarkError(f"The watermark object {shown(key)!r}: {error.message}") from None
    result = Order(
        target,
        name.literal,
        grant,
        process,
        tuple(item.key for item in sources),
        tuple(item.object for item in sources),
        source.picture,
        tuple(item.link for item in sources),
        offered,
    )
    result.check()
    if process:
        _check_overrides(grant)
        if not process.snapshot:  # of a video only a part is read
            limits.check_bytes(source.object.size)
        elif services.store.ranged(target.bucket):
            remote.check_video(source.object.size, services.settings.store.video_fetch_bytes)
    return result


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


async def plain_order(
    services: Services, grant: access.Grant, target: Target, accept: str = ""
) -> Order:
    """The same of the object itself, also where its key says what is to be done with it.

    For what is told of an object and not of its picture: so ``a.jpg!thumb`` is ``a.jpg``, and who
    may see that through styles only is told nothing of it.
    """
    result = await order(services, grant, replace(target, query=()), accept)
    if result.target.process:
        return await order(services, grant, Target(target.bucket, result.target.key))
    return result


async def look(
    services: Services, grant: access.Grant, target: Target, sent: Sent = None
) -> Source:
    """The object of a name, and whether it is a picture, where the gate wants to know.

    Raises:
        AccessDenied: Its ACL does not give it to this caller; whether it is protected is not asked.
        NoSuchKey: There is none of this name.
        OssError: It is a symlink that leads nowhere, see :func:`follow`.
    """
    look_at = partial(stat, services, grant)
    item = await _obtain(look_at, services, grant, target, sent, target.bucket, target.key)
    source = await follow(look_at, grant, target, target.key, item)
    return await sniff(services, grant, target, source)


async def _obtain(
    look_at: Look,
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
    except NoSuchKey:  # his right has been asked all the same
        if sent is None or not grant.bucket.mirror:
            raise
    return await services.mirror.fetch(grant, target, key, sent)


async def follow(
    look_at: Look, grant: access.Grant, target: Target, key: str, item: Object
) -> Source:
    """The object that a symlink leads to; the same where it is none, at no cost.

    Both names are asked: who may not have the target by its own name does not get it by another.

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
    """See :func:`look`; ``source`` is what is known from a look just before."""
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


async def _split(
    target: Target, grant: access.Grant, store: Store, *, old: bool, may_fetch: bool
) -> Target:
    """A key that also says what is to be done, read so; unless an object has that very name.

    Where there is neither, and a missing object may be fetched, it is the one whose name says
    something that can be done.

    Args:
        target: With the key as it came.
        grant: Of the bucket.
        store: Where there are objects, or not.
        old: Whether ``OBJECT@100w.jpg`` is understood.
        may_fetch: Whether a missing object may be fetched.
    """
    separators = (*grant.bucket.separators, *([style.CLASSIC] if old else ()))
    ways = (legacy.split(target) if old else None, style.split(target, separators))
    readings = [way for way in ways if way is not None]
    if not readings:
        return target
    if not store.object_acls(target.bucket) and not any(
        _may_look(way, target, grant, old=old) for way in (target, *readings)
    ):
        return target  # which will be refused, and nobody is asked for it
    if await _is_there(target, store):
        return target
    for way in readings:
        if await _is_there(way, store):
            return way
    if may_fetch:
        for way in readings:
            if mirror.match(grant.bucket.mirror, way.key) and _can_be_done(way, grant, old=old):
                return way
    return target


def _may_look(way: Target, literal: Target, grant: access.Grant, *, old: bool) -> bool:
    """Might this caller have what is meant, as far as its name tells?"""
    try:
        access.check_source(grant, way, access.Seen(way.key))
    except OssError:
        return False
    return way is literal or _can_be_done(way, grant, old=old)


def _can_be_done(target: Target, grant: access.Grant, *, old: bool) -> bool:
    try:
        check_key(target.key)
        return bool(Name(target, target.key, old).process(grant))
    except OssError:
        return False


async def _is_there(target: Target, store: Store) -> bool:
    try:
        check_key(target.key)
        await store.stat(target.bucket, target.key)
    except NoSuchKey:
        return False
    return True


def _check_overrides(grant: access.Grant) -> None:
    """The type of a picture that is made here is for nobody else to say.

    Raises:
        InvalidRequest: Somebody does.
    """
    if "Content-Type" in grant.overrides:
        raise InvalidRequest(
            "The parameter: response-content-type cannot be used with x-oss-process: "
            "the result has a type of its own."
        )


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

"""Resolves the target of a request to objects that exist and that the caller may read.

:func:`resolve` splits the key into an object's key and a process (:mod:`.naming`);
:func:`authorise` looks up all objects that are needed (:mod:`.lookup`), and checks access to them.
No object is opened, unless protection depends on whether it is a picture. A missing object may be
fetched (:mod:`.mirror`) after access was checked.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..errors import (
    InvalidRequest,
    SymlinkTargetNotExist,
    WatermarkError,
    shown,
)
from ..gate import access, style
from ..gate.target import Target
from ..image import notes
from ..image.actions import strip
from ..image.process import parse
from . import lookup, negotiate
from . import partial as remote
from .naming import Name, split
from .order import Order
from .services import Services


async def order(
    services: Services,
    grant: access.Grant,
    target: Target,
    accept: str = "",
    *,
    sent: lookup.Sent = None,
    switch: bool = True,
) -> Order:
    """Return the order for a request.

    Args:
        services: The services.
        grant: The grant of the caller.
        target: The target of the request.
        accept: The caller's Accept header.
        sent: Headers of a request for which missing objects may be fetched; ``None`` otherwise.
        switch: Whether the bucket's ``auto_format`` applies.

    Raises:
        AccessDenied: The caller may not read an object.
        NoSuchKey: There is no such object.
        OssError: The process text is not valid, or a watermark does not exist.
    """
    name = await resolve(services, grant, target, may_fetch=sent is not None)
    return await authorise(services, grant, name, accept, sent=sent, switch=switch)


async def resolve(
    services: Services, grant: access.Grant, target: Target, *, may_fetch: bool = False
) -> Name:
    """Return the object and the process that a target names, see :func:`.naming.split`.

    Raises:
        AccessDenied: The store has no ACLs of objects, and the bucket's ACL does not allow reading.
    """
    server = services.settings.server
    old = target.legacy or server.legacy_at_api or grant.bucket.legacy_at_api
    if not services.store.object_acls(target.bucket):
        grant.check_acl("")  # before the lookup, which may be expensive
    named = await split(target, grant, services.store, old=old, may_fetch=may_fetch)
    return Name(named, target.key, old)


async def authorise(
    services: Services,
    grant: access.Grant,
    name: Name,
    accept: str = "",
    *,
    sent: lookup.Sent = None,
    switch: bool = True,
) -> Order:
    """Look up all objects that are needed, check access to them, and return the order.

    Raises:
        OssError: See :func:`order`.
    """
    target, limits = name.target, services.settings.limits
    access.check_source(grant, target, access.Seen(target.key))
    source = await lookup.find(services, grant, target, sent)
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
        look_at = (
            services.store.stat if by_owner else partial(lookup.stat, services, grant.of_others)
        )
        obtain = partial(lookup.obtain, look_at, services, grant, target, sent)
        item = await lookup.overlay(obtain, target.bucket, key)
        try:
            sources.append(await lookup.follow(look_at, grant, target, key, item))
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
        if not process.snapshot:  # only a part of a video is read
            limits.check_bytes(source.object.size)
        elif services.store.ranged(target.bucket):
            remote.check_video(source.object.size, services.settings.store.video_fetch_bytes)
    return result


async def plain_order(
    services: Services, grant: access.Grant, target: Target, accept: str = ""
) -> Order:
    """Return the order for the unprocessed object, even if its key names a process, too.

    It is for answers about an object, such as its metadata: ``a.jpg!thumb`` is ``a.jpg``, and a
    caller who may read that through styles only is refused.
    """
    result = await order(services, grant, replace(target, query=()), accept)
    if result.target.process:
        return await order(services, grant, Target(target.bucket, result.target.key))
    return result


def _check_overrides(grant: access.Grant) -> None:
    """Refuse to override the Content-Type of a processed picture.

    Raises:
        InvalidRequest: The request has response-content-type.
    """
    if "Content-Type" in grant.overrides:
        raise InvalidRequest(
            "The parameter: response-content-type cannot be used with x-oss-process: "
            "the result has a type of its own."
        )

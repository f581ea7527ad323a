"""From the name in a request to the objects that it means, for a caller who may have them.

:func:`resolve` finds out which object is meant and what is to be done with it (:mod:`.naming`);
:func:`authorise` looks at all objects that this takes (:mod:`.lookup`), and refuses what the caller
may not have. Nothing is opened, but where protection asks which objects are pictures. A missing
object may be fetched for a request that says so (:mod:`.mirror`), once nothing else speaks against
it.
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
    """Look at all objects that are needed, and refuse what the caller may not have.

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
        if not process.snapshot:  # of a video only a part is read
            limits.check_bytes(source.object.size)
        elif services.store.ranged(target.bucket):
            remote.check_video(source.object.size, services.settings.store.video_fetch_bytes)
    return result


async def plain_order(
    services: Services, grant: access.Grant, target: Target, accept: str = ""
) -> Order:
    """The same of the object itself, also where its key says what is to be done with it.

    For answers about an object and not its picture: so ``a.jpg!thumb`` is ``a.jpg``, and a caller
    who may see that through styles only is refused.
    """
    result = await order(services, grant, replace(target, query=()), accept)
    if result.target.process:
        return await order(services, grant, Target(target.bucket, result.target.key))
    return result


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

"""Fetches the content of an order: an object, or a picture from the cache or a renderer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial

from ..cache.entry import CacheKey, Entry
from ..cache.tiers import JOINED
from ..errors import (
    InvalidArgument,
    NoSuchKey,
    PreconditionFailed,
    SourceChanged,
)
from ..gate import accept, cachetags, freshness, referer
from ..image import notes
from ..renderers import streaming
from ..store.arrival import Arriving
from ..store.base import Opened, RangeReader
from ..web import responses
from ..worker import protocol
from ..worker.protocol import Attachment, Job
from . import looks, masters, peer_calls
from . import partial as remote
from .lookup import Source, check_opened, overlay
from .order import BYPASS, Content, Derivative, Order
from .services import Services

MAX_AT_ONCE = 128 << 10  # bytes of a picture that is sent in one piece with its headers
LATER = notes.note("later", "avif")  # marks a picture that an AVIF will replace
REPLACED = "The object was replaced while it was read."
TAGS = 4096  # ETags that are remembered, as one answer computes its own several times


def check_room(services: Services, waited: float) -> None:
    """Refuse a picture before its objects are looked up, if the renderers are overloaded.

    A picture that is cached or under way could still be answered, which is known only after the
    lookup. So during an overload a limited number of requests per second is looked up, and the
    others are refused at a third of that cost, which leaves more of the CPU to the renderers.

    Args:
        services: The services.
        waited: Time for which the request has waited already, in seconds.

    Raises:
        CpuLimitExceeded: No renderer will be available in time.
    """
    refusal = services.renderers.refusal(waited)
    if refusal and not services.lookups.allow(time.monotonic()):
        raise services.renderers.refuse(refusal)


def etag(services: Services, order: Order) -> str:
    """Return the ETag of the answer, in quotes; it covers all that the bytes depend on.

    It needs no decoding: it is a hash of the ETags of the objects, the process text, the version of
    the renderers and the settings of rendering.
    """
    if order.process is None:
        return order.source.etag
    etags = " ".join([item.etag for item in order.objects])
    return _tag(etags, order.process.text, services.renderers.version, services.rendering)


@lru_cache(maxsize=TAGS)
def _tag(*fingerprints: str) -> str:
    return f'"{hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:32].upper()}"'


def cache_key_of(services: Services, order: Order) -> CacheKey:
    """Return the name of a picture in the cache, from its ETag and the purges that cover it.

    A purge does not change the ETag, as the bytes stay the same, and servers that do not share a
    cache have to agree on it.
    """
    variant, bucket = etag(services, order).strip('"'), order.target.bucket
    if services.cache:
        purges = services.cache.purges
        variant = purges.renamed(variant, bucket, order.names(), order.styles())
    return CacheKey(bucket, order.keys[0], variant)


def is_current(services: Services, content: Content) -> bool:
    """Return whether a picture is cached, and was not purged while it was made."""
    key = content.cache_key
    return key is not None and key == cache_key_of(services, content.order)


def headers(services: Services, order: Order) -> dict[str, str]:
    """Return ETag, Last-Modified, and the headers for caches."""
    bucket = order.grant.bucket
    result = responses.inherited_headers(order.properties, bucket.cache_control)
    # an unprocessed object has only the headers that its writer has set, as with OSS: clients read
    # them, change one, and write all of them back
    if order.process and "Cache-Control" not in result and order.took_signature():
        result["Cache-Control"] = "private"
    if order.process and "Cache-Control" in result:
        result["Cache-Control"] = freshness.extended(result["Cache-Control"], bucket)
    if order.stand_in:
        responses.shorten(result)
    by_referer = referer.counts(bucket.referer)
    if varies := ["Referer"] * by_referer + [accept.ACCEPT] * bool(order.offered):
        result["Vary"] = ", ".join(varies)
    if bucket.cache_tags.headers:
        name = order.target.bucket
        result |= cachetags.headers(bucket.cache_tags, name, order.names(), order.styles())
    return result | responses.validators(etag(services, order), order.modified)


async def fetch(services: Services, order: Order) -> Content:
    """Open the object, or return the picture from the cache or from a renderer.

    Returns:
        The content, for the caller to close.

    Raises:
        SourceChanged: An object has been replaced since it was looked up.
        OssError: The picture cannot be made; see :meth:`vipsgate.renderers.pool.Renderers.render`.
    """
    bucket, key = order.target.bucket, order.keys[0]
    if order.process is None:
        if ranged := services.store.ranged(bucket):
            return Content(order, partial(_read, ranged, order), order.source.size)
        opened = await services.store.open(bucket, key)
        if opened.object != order.source:
            opened.close()
            raise SourceChanged(REPLACED)
        return Content(order, opened, opened.object.size)
    cache_key = cache_key_of(services, order)
    if services.cache and (hit := await services.cache.get(cache_key)):
        result = Derivative(*hit)
    else:
        services.renderers.check_memory(services.flights.waiting + len(services.turns) + 1)
        if cache_key not in services.flights and not (services.cache and services.cache.has_shared):
            services.renderers.check()  # before anything is locked or opened
        make = partial(_obtain, services, order, cache_key)
        result, joined = await services.flights.join(cache_key, make)
        if joined:
            result = Derivative(result.entry, JOINED)
    return _content(order, result, cache_key if services.cache else None)


async def fetch_anew(services: Services, order: Order) -> Content:
    """Fetch the content of the objects as they are when opened, without the cache.

    It is for objects that are replaced so often that :func:`fetch` fails again and again.

    Raises:
        SourceChanged: An object was written to while it was read.
        OssError: See :func:`fetch`.
    """
    opened = await _open(services, order)
    try:
        source = Source(order.keys[0], order.source, order.links[0])
        picture = check_opened(services, order.grant, order.target, source, opened[0])
        objects = tuple(item.object for item in opened)
        order = replace(order, objects=objects, picture=picture)
        order.check()
        if order.process is None:
            return Content(order, opened.pop(), order.source.size)
        result = await _render(services, order, opened)
    finally:
        _close(opened)
    return _content(order, result, None)


def _content(order: Order, derivative: Derivative, cache_key: CacheKey | None) -> Content:
    """Return the content of an order from its picture, which is closed on errors.

    Raises:
        InvalidArgument: The bucket is strict, and the picture was made before it was, with
            parameters changed or ignored.
    """
    entry = derivative.entry
    if order.grant.bucket.strict:
        try:
            notes.refuse(entry.notes)
        except InvalidArgument:
            derivative.close()
            raise
    if order.stand_in and LATER not in entry.notes:
        order = replace(order, stand_in=False)
    return Content(order, entry.body, entry.size, derivative, cache_key)


async def _obtain(services: Services, order: Order, cache_key: CacheKey) -> Derivative:
    """Return the picture that another front is making or the cache has by now, or make it.

    Raises:
        SourceChanged: An object has been replaced since it was looked up.
    """
    if services.peers is None:
        return await _obtain_here(services, order, cache_key)
    claim = services.peers.claims.acquire(f"{cache_key.bucket} {cache_key.variant}")
    try:
        if claim.owner is not None:
            seconds = services.settings.server.request_timeout
            entry = await peer_calls.join(services.peers, claim.owner, cache_key, seconds)
            if entry is not None:
                return Derivative(entry, JOINED)
        return await _obtain_here(services, order, cache_key)
    finally:
        claim.release()


async def _obtain_here(services: Services, order: Order, cache_key: CacheKey) -> Derivative:
    """Return the picture from a tier of the cache, or make it."""
    if services.cache is None:
        return await _make(services, order)
    rendered: Derivative | None = None

    async def make() -> Entry:
        nonlocal rendered
        rendered = await _make(services, order)
        return rendered.entry

    entry, tier = await services.cache.obtain(cache_key, make)
    return rendered._replace(tier=tier) if rendered else Derivative(entry, tier)


async def _read(ranged: RangeReader, order: Order, span: range) -> AsyncIterator[bytes]:
    """Read a part of a remote object.

    Raises:
        SourceChanged: The object has been replaced since it was looked up.
    """
    try:
        return await ranged.read(order.target.bucket, order.keys[0], order.source, span)
    except (PreconditionFailed, NoSuchKey):
        raise SourceChanged(REPLACED) from None


async def _make(services: Services, order: Order) -> Derivative:
    """Open the objects, and have a renderer make the picture.

    Raises:
        SourceChanged: An object has been replaced since it was looked up.
    """
    begun = await _begun(services, order)
    opened = [begun] if begun else await _open(services, order, early=True)
    try:
        if begun:
            return await _render(services, order, opened, alone=True)
        if order.objects != tuple([item.object for item in opened]):
            raise SourceChanged(REPLACED)
        return await _render(services, order, opened)
    finally:
        _close(opened)


async def _begun(services: Services, order: Order) -> Opened | None:
    """Return the beginning of a remote source if that is all that is needed, or ``None``.

    Raises:
        SourceChanged: The source has been replaced since it was looked up.
    """
    answer = order.process.answer if order.process else None
    if answer is None or not answer.of_header:
        return None
    if (ranged := services.store.ranged(order.target.bucket)) is None:
        return None
    try:
        return await remote.begin(ranged, order.target.bucket, order.keys[0], order.source)
    except (PreconditionFailed, NoSuchKey):
        raise SourceChanged(REPLACED) from None


async def _open(services: Services, order: Order, *, early: bool = False) -> list[Opened]:
    """Open the source and the watermarks, for the caller to close.

    Args:
        services: The services.
        order: The order.
        early: Whether a remote source may be rendered while it is fetched.
    """
    bucket, (key, *others) = order.target.bucket, order.keys
    ranged = services.store.ranged(bucket) if early and _streams(services, order) else None
    begin = ranged.begin if ranged else services.store.open
    opened = [await begin(bucket, key)]
    try:
        for other in others:
            opened.append(await overlay(services.store.open, bucket, other))
    except BaseException:
        _close(opened)
        raise
    return opened


def _close(opened: Sequence[Opened]) -> None:
    for item in opened:
        item.close()


def _streams(services: Services, order: Order) -> bool:
    """Return whether a source may be rendered while it is fetched.

    It may not if the renderer analyses it first, if it is a video, or if it is small.
    """
    process = order.process
    if process is None or process.answer or process.snapshot or process.look:
        return False
    return services.settings.store.streaming and order.source.size >= streaming.LEAST


async def _render(
    services: Services,
    order: Order,
    opened: Sequence[Opened],
    *,
    alone: bool = False,
) -> Derivative:
    """Have a renderer make the picture.

    Args:
        services: The services.
        order: The order.
        opened: The source and the watermarks.
        alone: Whether only the beginning of the source is there, so that jobs that need all of it
            may not be rendered in the same batch.

    Raises:
        SourceChanged: An object was written to meanwhile.
    """
    source, *others = opened
    attachments = tuple([Attachment(item.object.etag, item.descriptor) for item in others])
    strict = order.grant.bucket.strict
    begun = time.perf_counter()
    needed = order.process is not None and order.process.look is not None
    seen = await looks.find(services, order, source) if needed else looks.NOTHING
    content = "" if alone else f"{order.target.bucket}/{order.keys[0]} {source.object.etag}"
    kept = masters.opened(services, order, source)
    try:
        job = Job(
            "render",
            str(order.process),
            source.descriptor,
            attachments,
            strict,
            seen.focus,
            kept.descriptor,
            kept.blank,
            times=source.times,
        )
        if isinstance(source, Arriving):
            done = await streaming.render(services.renderers, job, content, source)
        else:
            done = await services.renderers.render(job, content)
        kept.keep(services, done)
    finally:
        kept.close(services)
    queue, render = seen.queue + done.queue, seen.render + done.render
    if any(item.changed() for item in others):  # the worker has checked the source
        protocol.close([done.descriptor])
        raise SourceChanged("The object of a watermark was changed while the picture was made.")
    services.recorder.rendered(begun, queue, seen.queue + done.predicted, done.probe, render)
    entry = Entry(done.mime, done.missing, done.size, None, done.descriptor, notes=done.notes)
    if done.size <= MAX_AT_ONCE:
        with closing(entry):
            entry = entry.in_memory()
    return Derivative(entry, BYPASS, queue, render, done.choice)

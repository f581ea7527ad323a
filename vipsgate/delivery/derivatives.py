"""From what is wanted to the bytes that answer it: an object, or what is made of it."""

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
    ServiceUnavailable,
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
from .order import Content, Derivative, Order, ReplacedError
from .services import Services

MAX_AT_ONCE = 128 << 10  # bytes of a picture that is sent in one piece with its headers
LATER = notes.note("later", "avif")  # of a picture in whose place an AVIF will come
BYPASS = "bypass"  # what X-Vipsgate-Cache says where nothing is kept
BUSY = "The object is written to all the time."
TAGS = 4096  # that are remembered: that of one answer is asked for several times


def check_room(services: Services, waited: float) -> None:
    """Refuse a picture before its objects are looked at, where many are refused by now.

    It may be kept from before, or under way for somebody else, which only its objects tell. So of
    the pictures that come while no renderer is to be had some are looked at, every second, and the
    others are refused at a third of that cost, which else would be taken from the renderers.

    Args:
        services: Where the work is done.
        waited: Seconds that the request has waited already.

    Raises:
        CpuLimitExceeded: No renderer is to be had in time.
    """
    refusal = services.renderers.refusal(waited)
    if refusal and not services.lookups.allow(time.monotonic()):
        raise services.renderers.refuse(refusal)


def etag(services: Services, order: Order) -> str:
    """The tag of the answer, quoted; it covers all that the bytes depend on.

    It is known before any decoding: of the objects, of what is done to them, and of the versions
    of those who do it.
    """
    if order.process is None:
        return order.source.etag
    etags = " ".join([item.etag for item in order.objects])
    return _tag(etags, order.process.text, services.renderers.version, services.rendering)


@lru_cache(maxsize=TAGS)
def _tag(*fingerprints: str) -> str:
    return f'"{hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:32].upper()}"'


def cache_key_of(services: Services, order: Order) -> CacheKey:
    """The name under which a picture is kept: its ETag, and what has been purged of it since.

    A purge changes no ETag, as it says nothing of the bytes; those who share no cache still agree.
    """
    variant, bucket = etag(services, order).strip('"'), order.target.bucket
    if services.cache:
        purges = services.cache.purges
        variant = purges.renamed(variant, bucket, order.names(), order.styles())
    return CacheKey(bucket, order.keys[0], variant)


def is_current(services: Services, content: Content) -> bool:
    """Is a picture kept, and has it not been purged while it was made?"""
    key = content.cache_key
    return key is not None and key == cache_key_of(services, content.order)


def headers(services: Services, order: Order) -> dict[str, str]:
    """ETag, Last-Modified, and who may keep the answer for how long."""
    bucket = order.grant.bucket
    result = responses.inherited_headers(order.properties, bucket.cache_control)
    # an object has the headers that its writer has set and no more, as with OSS: clients read them,
    # change one, and write all of them back
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
    """Open the object, or have the picture: kept from before, or made now.

    Returns:
        The bytes, for the caller to close.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
        OssError: It cannot be; see :meth:`vipsgate.renderers.pool.Renderers.render`.
    """
    bucket, key = order.target.bucket, order.keys[0]
    if order.process is None:
        if ranged := services.store.ranged(bucket):
            return Content(order, partial(_read, ranged, order), order.source.size)
        opened = await services.store.open(bucket, key)
        if opened.object != order.source:
            opened.close()
            raise ReplacedError
        return Content(order, opened.descriptor, opened.object.size, opened=opened)
    cache_key = cache_key_of(services, order)
    if services.cache and (hit := await services.cache.get(cache_key)):
        result = Derivative(*hit)
    else:
        services.renderers.check_memory(services.flights.waiting + len(services.turns) + 1)
        if cache_key not in services.flights and not (services.cache and services.cache.has_shared):
            services.renderers.check()  # before anything is locked or opened for it
        make = partial(_obtain, services, order, cache_key)
        result, joined = await services.flights.join(cache_key, make)
        if joined:
            result = Derivative(result.entry, JOINED)
    return _content(order, result, cache_key if services.cache else None)


async def fetch_anew(services: Services, order: Order) -> Content:
    """As :func:`fetch`, of the objects as they are when they are opened; nothing is kept.

    For objects that are replaced faster than they can be looked at and opened.

    Raises:
        ServiceUnavailable: One is written to while it is read.
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
            plain = opened.pop()
            return Content(order, plain.descriptor, order.source.size, opened=plain)
        try:
            result = await _render(services, order, opened)
        except SourceChanged:
            raise ServiceUnavailable(BUSY) from None
    finally:
        _close(opened)
    return _content(order, result, None)


def _content(order: Order, derivative: Derivative, cache_key: CacheKey | None) -> Content:
    """What has been fetched; what is refused is closed.

    Raises:
        InvalidArgument: It is not to the letter, and was made before the bucket was strict.
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
    """Have the picture from others who have made it meanwhile or make it now, or make it.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
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
    """Have it from those who share the cache, or make it."""
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
    """A part of a remote object.

    Raises:
        ReplacedError: It is another one by now.
    """
    try:
        return await ranged.read(order.target.bucket, order.keys[0], order.source, span)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _make(services: Services, order: Order) -> Derivative:
    """Open the objects, and have a renderer make the picture.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
    """
    begun = await _begun(services, order)
    opened = [begun] if begun else await _open(services, order, early=True)
    try:
        if begun:
            return await _render(services, order, opened, alone=True)
        if order.objects != tuple([item.object for item in opened]):
            raise ReplacedError
        return await _render(services, order, opened)
    except SourceChanged:
        raise ReplacedError from None
    finally:
        _close(opened)


async def _begun(services: Services, order: Order) -> Opened | None:
    """The beginning of a remote source, where that is all that is needed.

    Raises:
        ReplacedError: It is another one by now.
    """
    answer = order.process.answer if order.process else None
    if answer is None or not answer.of_header:
        return None
    if (ranged := services.store.ranged(order.target.bucket)) is None:
        return None
    try:
        return await remote.begin(ranged, order.target.bucket, order.keys[0], order.source)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _open(services: Services, order: Order, *, early: bool = False) -> list[Opened]:
    """The source, perhaps before all of it is there, and what is laid on it, to be closed.

    Args:
        services: Where they are.
        order: What is made of them.
        early: Whether the source is read while it comes.
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
    """May the source be read while it comes? Not where it is looked at first, and not a video."""
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
    """Have it made; ``alone`` where others could not go along, who need all of the source."""
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
    finally:
        kept.close(services)
    kept.keep(services, done)
    queue, render = seen.queue + done.queue, seen.render + done.render
    if any(item.changed() for item in others):  # the worker has looked at the source
        protocol.close([done.descriptor])
        raise SourceChanged("What is laid on the picture was written to while it was made.")
    services.recorder.rendered(begun, queue, seen.queue + done.predicted, done.probe, render)
    entry = Entry(done.mime, done.missing, done.size, None, done.descriptor, notes=done.notes)
    if done.size <= MAX_AT_ONCE:
        with closing(entry):
            entry = entry.in_memory()
    return Derivative(entry, BYPASS, queue, render, done.choice)

"""From what is wanted to the bytes that answer it: an object, or what is made of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import replace
from functools import partial

from ..buckets import RefererPolicy
from ..cache.entry import CacheKey, Entry
from ..cache.tiers import JOINED
from ..errors import NoSuchKey, PreconditionFailed
from ..image import process
from ..store.base import Opened, RangeReader
from ..web import responses
from . import partial as far
from .order import Content, Derivative, Order
from .resolve import check_opened, overlay
from .services import Services

MAX_AT_ONCE = 128 << 10  # bytes of a picture that is sent in one piece with its headers
BYPASS = "bypass"  # what X-Vipsgate-Cache says where nothing is kept


class ReplacedError(Exception):
    """An object is another one than when it was looked at: look again."""


def etag(services: Services, wanted: Order) -> str:
    """The tag of the answer, quoted; it covers all that the bytes depend on.

    It is known before any decoding: of the objects, of what is done to them, and of the versions
    of those who do it.
    """
    if wanted.todo is None:
        return wanted.source.etag
    objects = " ".join(item.etag for item in wanted.found)
    fingerprints = f"{objects} {wanted.todo} {services.renderers.version} {services.settings.image}"
    return f'"{hashlib.sha256(fingerprints.encode()).hexdigest()[:32].upper()}"'


def headers(services: Services, wanted: Order) -> dict[str, str]:
    """ETag, Last-Modified, and who may keep the answer for how long."""
    bucket = wanted.grant.bucket
    made = responses.said(wanted.source.properties, bucket.cache_control)
    if "Cache-Control" not in made and wanted.took_signature():
        made["Cache-Control"] = "private"
    if bucket.referer != RefererPolicy():
        made["Vary"] = "Referer"
    return made | responses.validators(etag(services, wanted), wanted.modified)


@asynccontextmanager
async def fetch(services: Services, wanted: Order) -> AsyncIterator[Content]:
    """Open the object, or have the picture: kept from before, or made now.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
        OssError: It cannot be; see :meth:`vipsgate.renderers.pool.Renderers.render`.
    """
    bucket, key = wanted.target.bucket, wanted.target.key
    if wanted.todo is None:
        if ranged := services.store.ranged(bucket):
            yield Content(wanted, partial(_read, ranged, wanted), wanted.source.size)
            return
        with closing(await services.store.open(bucket, key)) as opened:
            if opened.object != wanted.source:
                raise ReplacedError
            yield Content(wanted, opened.descriptor, opened.object.size)
        return
    place = CacheKey(bucket, key, etag(services, wanted).strip('"'))
    if services.cache and (hit := await services.cache.get(place)):
        made = Derivative(*hit)
    else:
        services.renderers.check_memory(services.flights.waiting + len(services.turns) + 1)
        if place not in services.flights and not (services.cache and services.cache.has_shared):
            services.renderers.check()  # before anything is locked or opened for it
        made, joined = await services.flights.join(place, partial(_obtain, services, wanted, place))
        if joined:
            made = Derivative(made.entry, JOINED)
    with closing(made):
        yield _content(wanted, made, place if services.cache else None)


@asynccontextmanager
async def fetch_anew(services: Services, wanted: Order) -> AsyncIterator[Content]:
    """As :func:`fetch`, of the objects as they are when they are opened; nothing is kept.

    For objects that are replaced faster than they can be looked at and opened.
    """
    with ExitStack() as stack:
        opened = await _open(services, wanted, stack)
        picture = check_opened(services, wanted.grant, wanted.target, opened[0])
        found = tuple(item.object for item in opened)
        wanted = replace(wanted, found=found, picture=picture)
        wanted.check()
        if wanted.todo is None:
            yield Content(wanted, opened[0].descriptor, wanted.source.size)
            return
        made = await _render(services, wanted, opened)
    with closing(made):
        yield _content(wanted, made, None)


def _content(wanted: Order, derivative: Derivative, place: CacheKey | None) -> Content:
    entry = derivative.entry
    return Content(wanted, entry.body, entry.size, derivative, place)


async def _obtain(services: Services, wanted: Order, place: CacheKey) -> Derivative:
    """Have the picture from others who have made it meanwhile, or make it.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
    """
    if services.cache is None:
        return await _make(services, wanted)
    rendered: Derivative | None = None

    async def make() -> Entry:
        nonlocal rendered
        rendered = await _make(services, wanted)
        return rendered.entry

    entry, tier = await services.cache.obtain(place, make)
    return replace(rendered, tier=tier) if rendered else Derivative(entry, tier)


async def _read(ranged: RangeReader, wanted: Order, span: range) -> AsyncIterator[bytes]:
    """A part of a remote object.

    Raises:
        ReplacedError: It is another one by now.
    """
    try:
        return await ranged.read(wanted.target.bucket, wanted.target.key, wanted.source, span)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _make(services: Services, wanted: Order) -> Derivative:
    """Open the objects, and have a renderer make the picture.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
    """
    with ExitStack() as stack:
        if begun := await _begun(services, wanted):
            stack.enter_context(closing(begun))
            return await _render(services, wanted, [begun], alone=True)
        opened = await _open(services, wanted, stack)
        if wanted.found != tuple(item.object for item in opened):
            raise ReplacedError
        return await _render(services, wanted, opened)


async def _begun(services: Services, wanted: Order) -> Opened | None:
    """The beginning of a remote source, where that is all that is needed.

    Raises:
        ReplacedError: It is another one by now.
    """
    ranged = services.store.ranged(wanted.target.bucket)
    if not (ranged and wanted.todo and wanted.todo.answer in process.OF_HEADERS):
        return None
    try:
        return await far.begin(ranged, wanted.target.bucket, wanted.target.key, wanted.source)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _open(services: Services, wanted: Order, stack: ExitStack) -> list[Opened]:
    """The source, and what is laid on it."""
    bucket, (key, *others) = wanted.target.bucket, wanted.keys
    opened = [stack.enter_context(closing(await services.store.open(bucket, key)))]
    for other in others:
        laid = await overlay(services.store.open, bucket, other)
        opened.append(stack.enter_context(closing(laid)))
    return opened


async def _render(
    services: Services,
    wanted: Order,
    opened: Sequence[Opened],
    *,
    alone: bool = False,
) -> Derivative:
    """Have it made; ``alone`` where others could not go along, who need all of the source."""
    beside = [(item.object.etag, item.descriptor) for item in opened[1:]]
    source = "" if alone else f"{wanted.target.bucket}/{wanted.target.key} {opened[0].object.etag}"
    begun = time.perf_counter()
    done = await services.renderers.render(str(wanted.todo), opened[0].descriptor, beside, source)
    services.recorder.rendered(begun, done.queue, done.predicted, done.probe, done.render)
    kept = Entry(done.mime, done.missing, done.size, descriptor=done.descriptor)
    if done.size <= MAX_AT_ONCE:
        with closing(kept):
            kept = kept.in_memory()
    return Derivative(kept, BYPASS, done.queue, done.render)

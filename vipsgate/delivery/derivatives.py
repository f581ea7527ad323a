"""From what is wanted to the bytes that answer it: an object, or what is made of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import replace
from functools import partial

from ..buckets import RefererPolicy
from ..cache.entry import Kept, Place
from ..cache.tiers import JOINED
from ..errors import NoSuchKey, PreconditionFailed
from ..image import process
from ..store.base import Distant, Opened
from ..web import responses
from ..worker.protocol import Attachment, Job
from . import partial as far
from .order import Content, Made, Order
from .resolve import check_opened, overlay
from .services import Services

LARGEST_AT_ONCE = 128 << 10  # bytes of a picture that is sent in one piece with its headers
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
    marks = f"{objects} {wanted.todo} {services.renderers.version} {services.settings.image}"
    return f'"{hashlib.sha256(marks.encode()).hexdigest()[:32].upper()}"'


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
    bucket, key = wanted.asked.bucket, wanted.asked.key
    if wanted.todo is None:
        if distant := services.store.distant(bucket):
            yield Content(wanted, partial(_read, distant, wanted), wanted.source.size)
            return
        with closing(await services.store.open(bucket, key)) as opened:
            if opened.object != wanted.source:
                raise ReplacedError
            yield Content(wanted, opened.descriptor, opened.object.size)
        return
    place = Place(bucket, key, etag(services, wanted).strip('"'))
    if services.cache and (hit := await services.cache.get(place)):
        made = Made(*hit)
    else:
        services.renderers.check_memory(services.flights.waiting + len(services.turns) + 1)
        if place not in services.flights and not (services.cache and services.cache.has_shared):
            services.renderers.check()  # before anything is locked or opened for it
        made, joined = await services.flights.join(place, partial(_obtain, services, wanted, place))
        if joined:
            made = Made(made.kept, JOINED)
    with closing(made):
        yield _content(wanted, made, place if services.cache else None)


@asynccontextmanager
async def fetch_anew(services: Services, wanted: Order) -> AsyncIterator[Content]:
    """As :func:`fetch`, of the objects as they are when they are opened; nothing is kept.

    For objects that are replaced faster than they can be looked at and opened.
    """
    with ExitStack() as stack:
        opened = await _open(services, wanted, stack)
        picture = check_opened(services, wanted.grant, wanted.asked, opened[0])
        found = tuple(item.object for item in opened)
        wanted = replace(wanted, found=found, picture=picture)
        wanted.check()
        if wanted.todo is None:
            yield Content(wanted, opened[0].descriptor, wanted.source.size)
            return
        made = await _render(services, wanted, opened)
    with closing(made):
        yield _content(wanted, made, None)


def _content(wanted: Order, made: Made, place: Place | None) -> Content:
    kept = made.kept
    told = wanted, kept.body, kept.size, kept.mime, kept.missing
    return Content(*told, made.where, place, kept.file, made.queue, made.render)


async def _obtain(services: Services, wanted: Order, place: Place) -> Made:
    """Have the picture from others who have made it meanwhile, or make it.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
    """
    if services.cache is None:
        return await _make(services, wanted)
    made: list[Made] = []

    async def make() -> Kept:
        made.append(await _make(services, wanted))
        return made[0].kept

    kept, where = await services.cache.obtain(place, make)
    return replace(made[0], where=where) if made else Made(kept, where)


async def _read(distant: Distant, wanted: Order, span: range) -> AsyncIterator[bytes]:
    """A part of an object that is far away.

    Raises:
        ReplacedError: It is another one by now.
    """
    try:
        return await distant.read(wanted.asked.bucket, wanted.asked.key, wanted.source, span)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _make(services: Services, wanted: Order) -> Made:
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
    """The beginning of a source that is far away, where that is all that is needed.

    Raises:
        ReplacedError: It is another one by now.
    """
    distant = services.store.distant(wanted.asked.bucket)
    if not (distant and wanted.todo and wanted.todo.answer in process.OF_HEADERS):
        return None
    try:
        return await far.begin(distant, wanted.asked.bucket, wanted.asked.key, wanted.source)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _open(services: Services, wanted: Order, stack: ExitStack) -> list[Opened]:
    """The source, and what is laid on it."""
    bucket, (key, *others) = wanted.asked.bucket, wanted.keys
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
) -> Made:
    """Have it made; ``alone`` where others could not go along, who need all of the source."""
    attachments = tuple(Attachment(item.object.etag, item.descriptor) for item in opened[1:])
    job = Job("render", str(wanted.todo), opened[0].descriptor, attachments)
    content = "" if alone else f"{wanted.asked.bucket}/{wanted.asked.key} {opened[0].object.etag}"
    begun = time.perf_counter()
    done = await services.renderers.render(job, content)
    services.watch.rendered(begun, done.queue, done.predicted, done.probe, done.render)
    kept = Kept(done.mime, done.missing, done.size, descriptor=done.descriptor)
    if done.size <= LARGEST_AT_ONCE:
        with closing(kept):
            kept = kept.in_memory()
    return Made(kept, BYPASS, done.queue, done.render)

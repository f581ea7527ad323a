"""From a request that may be to the bytes that answer it: an object, or what is made of it.

:func:`order` looks and decides, of names, headers and rights alone; :func:`fetch` opens and
renders. Between the two everything is known that a cache, a 304 or a 412 wants to know.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from ..buckets import RefererPolicy
from ..cache.entry import Kept, Place
from ..cache.tiers import JOINED
from ..errors import (
    BadRequest,
    InvalidRequest,
    NoSuchKey,
    OssError,
    PreconditionFailed,
    WatermarkError,
    shown,
)
from ..gate import access, codings, legacy, style, target
from ..image import process
from ..store.base import Distant, Object, Opened, Store
from ..web import responses
from . import partial as far
from .services import House

LARGEST_AT_ONCE = 128 << 10  # bytes of a picture that is sent in one piece with its headers
BYPASS = "bypass"  # what X-Vipsgate-Cache says where nothing is kept
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted, now known to be there and allowed.

    Attributes:
        asked: The source, and what is done to it as the caller has said it.
        literal: The key as it came; another one where it also said what is to be done.
        grant: The caller's.
        todo: The same with styles replaced; ``None`` for the object as it is.
        keys: The names of the source and of what is laid on it.
        found: What is known of them, in this order.
        picture: Whether the source's bytes are a picture's, where the gate wants to know.
    """

    asked: target.Target
    literal: str
    grant: access.Grant
    todo: process.Process | None
    keys: tuple[str, ...]
    found: tuple[Object, ...]
    picture: bool = False

    @property
    def source(self) -> Object:
        """What is known of the source."""
        return self.found[0]

    @property
    def modified(self) -> float:
        """When the newest of the objects came to be, in seconds since the epoch."""
        return max(item.modified for item in self.found)

    def took_signature(self) -> bool:
        """Might an anonymous caller have been refused one of the objects?"""
        return any(map(self.grant.took_signature, self.seen()))

    def seen(self) -> tuple[access.Seen, ...]:
        """The objects as the gate sees them."""
        source = seen(self.grant, self.keys[0], self.found[0], picture=self.picture)
        if len(self.keys) == 1:
            return (source,)
        others = zip(self.keys[1:], self.found[1:], strict=True)
        return (source, *(seen(self.grant, key, item) for key, item in others))

    def check(self) -> None:
        """Refuse objects that the caller may not have, or of which no picture can be made.

        Raises:
            AccessDenied: See :func:`access.check_objects`.
            BadRequest: The source is encoded.
            WatermarkError: What is laid on it is.
        """
        access.check_objects(self.grant, self.asked, self.seen())
        if self.todo:
            _check_encoding(self.source, BadRequest)
            for item in self.found[1:]:
                _check_encoding(item, WatermarkError)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes, open until the one who fetched them is done.

    Attributes:
        order: What they answer.
        body: The bytes, or the descriptor of a file that begins with them, or what reads a part.
        size: How many.
        mime: Content-Type of a picture; empty for the object as it is.
        missing: Characters of its text that no font has.
        cache: Where a picture came from: a word of ``cache.tiers``, or :data:`BYPASS`.
        place: Where it is kept; ``None`` where it is not.
        file: Of the cache, with these bytes and nothing else; empty for none.
        queue: Seconds that the work waited for a renderer.
        render: Seconds that it took.
    """

    order: Order
    body: bytes | int | responses.Reader
    size: int
    mime: str = ""
    missing: int = 0
    cache: str = ""
    place: Place | None = None
    file: str = ""
    queue: float = 0.0
    render: float = 0.0


@dataclass(frozen=True, slots=True)
class Made:
    """A picture, and what it took; whoever has one closes it.

    Attributes:
        kept: The picture.
        where: See ``Content.cache``.
        queue: Seconds that the work waited for a renderer; 0 for who has not had it done.
        render: Seconds that it took, likewise.
    """

    kept: Kept
    where: str
    queue: float = 0.0
    render: float = 0.0

    def again(self) -> Made:
        """The same for somebody else."""
        return replace(self, kept=self.kept.again())

    def close(self) -> None:
        """Give it back."""
        self.kept.close()


class ReplacedError(Exception):
    """An object is another one than when it was looked at: look again."""


def _check_encoding(item: Object, error: type[OssError]) -> None:
    if named := codings.applied(item.properties.headers.get("content-encoding", "")):
        raise error(
            f"The object is stored with Content-Encoding: {', '.join(named)}, "
            "so its bytes are not those of a picture."
        )


def seen(grant: access.Grant, key: str, item: Object, *, picture: bool = False) -> access.Seen:
    """An object as the gate sees it; its type where the gate looks at that."""
    properties, kind = item.properties, ""
    if grant.bucket.protection.enabled:
        kind = properties.content_type or responses.mime_of(key)
    return access.Seen(key, properties.acl, kind, item.aliases, picture)


async def order(house: House, grant: access.Grant, asked: target.Target) -> Order:
    """Look whether it can be had, before anything is opened.

    Raises:
        AccessDenied: Not by this caller.
        NoSuchKey: There is no such object.
        OssError: The process text is not valid, or something that it needs is not there.
    """
    old = house.settings.server.legacy_at_api or grant.bucket.legacy_at_api
    literal = asked.key
    if grant.bucket.synthetic:  # to look at an object may be to have it painted
        grant.check_acl("")
    asked = await _split(asked, grant, house.store, old=old)
    access.check_source(grant, asked, access.Seen(asked.key))
    source, picture = await look(house, grant, asked)
    found = [source]
    if old and asked.process.startswith(legacy.MARK):
        text = legacy.translate(asked.process.removeprefix(legacy.MARK))
    else:
        text = style.expanded(asked.process, grant.bucket.styles)
    todo = process.parse(text, house.settings.limits) if text else None
    needs = todo.needs() if todo else ()
    by_owner = style.pure(asked.process)
    for key in needs:
        access.check_source(grant, asked, access.Seen(key))
        look_at = house.store.stat if by_owner else partial(house.look, grant)
        found.append(await _other(look_at, asked.bucket, key))
    wanted = Order(asked, literal, grant, todo, (asked.key, *needs), tuple(found), picture)
    wanted.check()
    if todo:
        _check_overrides(grant)
        if not todo.snapshot:  # of a film only a part is read
            house.settings.limits.check_bytes(wanted.source.size)
        elif house.store.distant(asked.bucket):
            far.check_film(wanted.source.size, house.settings.store.video_fetch_bytes)
    return wanted


async def plain_order(house: House, grant: access.Grant, asked: target.Target) -> Order:
    """The same of the object itself, also where its key says what is to be done with it.

    For what is told of an object and not of its picture: so ``a.jpg!thumb`` is ``a.jpg``, and who
    may see that through styles only is told nothing of it.
    """
    wanted = await order(house, grant, replace(asked, query=()))
    if wanted.asked.process:
        return await order(house, grant, target.Target(asked.bucket, wanted.asked.key))
    return wanted


async def look(house: House, grant: access.Grant, asked: target.Target) -> tuple[Object, bool]:
    """What is known of an object, and whether it is a picture, where the gate wants to know.

    Raises:
        AccessDenied: Its ACL does not give it to this caller; whether it is protected is not asked.
        NoSuchKey: There is none of this name.
    """
    item = await house.look(grant, asked.bucket, asked.key)
    return await sniff(house, grant, asked, item)


async def sniff(
    house: House, grant: access.Grant, asked: target.Target, item: Object
) -> tuple[Object, bool]:
    """See :func:`look`; ``item`` is what is known of the object from a look just before."""
    protected = grant.bucket.protection.enabled
    if protected and access.asks_bytes(grant, asked, seen(grant, asked.key, item)):
        return await house.sniffer.sniff(house.store, asked.bucket, asked.key, item)
    return item, False


def check_opened(house: House, grant: access.Grant, asked: target.Target, opened: Opened) -> bool:
    """Ask the gate about the object that has been opened, which may be another one by now.

    Returns:
        Whether it is a picture, where the gate wants to know.

    Raises:
        AccessDenied: It is not for this caller.
    """
    item, picture = seen(grant, asked.key, opened.object), False
    if access.asks_bytes(grant, asked, item):
        picture = house.sniffer.sniff_opened(asked.bucket, asked.key, opened)
        item = replace(item, picture=picture)
    access.check_objects(grant, asked, [item])
    return picture


def etag(house: House, wanted: Order) -> str:
    """The tag of the answer, quoted; it covers all that the bytes depend on.

    It is known before any decoding: of the objects, of what is done to them, and of the versions
    of those who do it.
    """
    if wanted.todo is None:
        return wanted.source.etag
    objects = " ".join(item.etag for item in wanted.found)
    marks = f"{objects} {wanted.todo} {house.renderers.version} {house.settings.image}"
    return f'"{hashlib.sha256(marks.encode()).hexdigest()[:32].upper()}"'


def headers(house: House, wanted: Order) -> dict[str, str]:
    """ETag, Last-Modified, and who may keep the answer for how long."""
    bucket = wanted.grant.bucket
    made = responses.said(wanted.source.properties, bucket.cache_control)
    if "Cache-Control" not in made and wanted.took_signature():
        made["Cache-Control"] = "private"
    if bucket.referer != RefererPolicy():
        made["Vary"] = "Referer"
    return made | responses.validators(etag(house, wanted), wanted.modified)


@asynccontextmanager
async def fetch(house: House, wanted: Order) -> AsyncIterator[Content]:
    """Open the object, or have the picture: kept from before, or made now.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
        OssError: It cannot be; see :meth:`vipsgate.renderers.pool.Renderers.render`.
    """
    bucket, key = wanted.asked.bucket, wanted.asked.key
    if wanted.todo is None:
        if distant := house.store.distant(bucket):
            yield Content(wanted, partial(_read, distant, wanted), wanted.source.size)
            return
        with closing(await house.store.open(bucket, key)) as opened:
            if opened.object != wanted.source:
                raise ReplacedError
            yield Content(wanted, opened.descriptor, opened.object.size)
        return
    place = Place(bucket, key, etag(house, wanted).strip('"'))
    if house.cache and (hit := await house.cache.get(place)):
        made = Made(*hit)
    else:
        house.renderers.check_memory(house.flights.waiting + len(house.turns) + 1)
        if place not in house.flights and not (house.cache and house.cache.has_shared):
            house.renderers.check()  # before anything is locked or opened for it
        made, joined = await house.flights.join(place, partial(_obtain, house, wanted, place))
        if joined:
            made = Made(made.kept, JOINED)
    with closing(made):
        yield _content(wanted, made, place if house.cache else None)


@asynccontextmanager
async def fetch_anew(house: House, wanted: Order) -> AsyncIterator[Content]:
    """As :func:`fetch`, of the objects as they are when they are opened; nothing is kept.

    For objects that are replaced faster than they can be looked at and opened.
    """
    with ExitStack() as stack:
        opened = await _open(house, wanted, stack)
        picture = check_opened(house, wanted.grant, wanted.asked, opened[0])
        found = tuple(item.object for item in opened)
        wanted = replace(wanted, found=found, picture=picture)
        wanted.check()
        if wanted.todo is None:
            yield Content(wanted, opened[0].descriptor, wanted.source.size)
            return
        made = await _render(house, wanted, opened)
    with closing(made):
        yield _content(wanted, made, None)


def _content(wanted: Order, made: Made, place: Place | None) -> Content:
    kept = made.kept
    told = wanted, kept.body, kept.size, kept.mime, kept.missing
    return Content(*told, made.where, place, kept.file, made.queue, made.render)


async def _obtain(house: House, wanted: Order, place: Place) -> Made:
    """Have the picture from others who have made it meanwhile, or make it.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
    """
    if house.cache is None:
        return await _make(house, wanted)
    made: list[Made] = []

    async def make() -> Kept:
        made.append(await _make(house, wanted))
        return made[0].kept

    kept, where = await house.cache.obtain(place, make)
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


async def _make(house: House, wanted: Order) -> Made:
    """Open the objects, and have a renderer make the picture.

    Raises:
        ReplacedError: An object has been replaced since it was looked at.
    """
    with ExitStack() as stack:
        if begun := await _begun(house, wanted):
            stack.enter_context(closing(begun))
            return await _render(house, wanted, [begun], alone=True)
        opened = await _open(house, wanted, stack)
        if wanted.found != tuple(item.object for item in opened):
            raise ReplacedError
        return await _render(house, wanted, opened)


async def _begun(house: House, wanted: Order) -> Opened | None:
    """The beginning of a source that is far away, where that is all that is needed.

    Raises:
        ReplacedError: It is another one by now.
    """
    distant = house.store.distant(wanted.asked.bucket)
    if not (distant and wanted.todo and wanted.todo.answer in process.OF_HEADERS):
        return None
    try:
        return await far.begin(distant, wanted.asked.bucket, wanted.asked.key, wanted.source)
    except (PreconditionFailed, NoSuchKey):
        raise ReplacedError from None


async def _open(house: House, wanted: Order, stack: ExitStack) -> list[Opened]:
    """The source, and what is laid on it."""
    bucket, (key, *others) = wanted.asked.bucket, wanted.keys
    opened = [stack.enter_context(closing(await house.store.open(bucket, key)))]
    for other in others:
        laid = await _other(house.store.open, bucket, other)
        opened.append(stack.enter_context(closing(laid)))
    return opened


async def _render(
    house: House,
    wanted: Order,
    opened: Sequence[Opened],
    *,
    alone: bool = False,
) -> Made:
    """Have it made; ``alone`` where others could not go along, who need all of the source."""
    beside = [(item.object.etag, item.descriptor) for item in opened[1:]]
    source = "" if alone else f"{wanted.asked.bucket}/{wanted.asked.key} {opened[0].object.etag}"
    begun = time.perf_counter()
    done = await house.renderers.render(str(wanted.todo), opened[0].descriptor, beside, source)
    house.watch.rendered(begun, done.queue, done.predicted, done.probe, done.render)
    kept = Kept(done.mime, done.missing, done.size, descriptor=done.descriptor)
    if done.size <= LARGEST_AT_ONCE:
        with closing(kept):
            kept = kept.in_memory()
    return Made(kept, BYPASS, done.queue, done.render)


async def _split(
    asked: target.Target, grant: access.Grant, store: Store, *, old: bool
) -> target.Target:
    """A key that also says what is to be done, read so; unless an object has that very name.

    Args:
        asked: With the key as it came.
        grant: Of the bucket.
        store: Where there are objects, or not.
        old: Whether ``OBJECT@100w.jpg`` is understood.
    """
    separators = (*grant.bucket.separators, *([style.CLASSIC] if old else ()))
    ways = (legacy.split(asked) if old else None, style.split(asked, separators))
    found = [way for way in ways if way is not None]
    if not found or await _is_there(asked, store):
        return asked
    for way in found:
        if await _is_there(way, store):
            return way
    return asked


async def _is_there(asked: target.Target, store: Store) -> bool:
    try:
        target.check_key(asked.key)
        await store.stat(asked.bucket, asked.key)
    except NoSuchKey:
        return False
    return True


async def _other(call: Callable[[str, str], Awaitable[T]], bucket: str, key: str) -> T:
    """What the store says of an object that is to be laid on the picture.

    Raises:
        WatermarkError: There is none of this name.
        InvalidObjectName: There cannot be one.
    """
    try:
        target.check_key(key)
        return await call(bucket, key)
    except NoSuchKey:
        raise WatermarkError(f"The watermark object {shown(key)!r} does not exist.") from None


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

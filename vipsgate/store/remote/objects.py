"""Objects of an object store by their names there: looked at, fetched, put, taken away.

What is known of an object is asked for with its attributes (HEAD), and counts for a moment
(:mod:`.head_cache`).

A tag is the store's own where that is an MD5, as S3 has it for what was put in one piece, because
listings tell it, too. Elsewhere it is the one in the object's label, or else the store's as it is.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from weakref import WeakKeyDictionary

from ...errors import BadGateway, GatewayTimeout, NoSuchKey, PreconditionFailed, ServiceUnavailable
from ..arrival import Arrival, Arriving, leave
from ..base import Object, Opened, md5_of
from ..local.draft import apart
from ..singleflight import SingleFlight
from ..writes import Writes
from . import draft, metadata
from .client import StoreClient
from .head_cache import Head, HeadCache
from .source_cache import SourceCache

if TYPE_CHECKING:
    import obstore

MD5 = re.compile(r"[0-9a-f]{32}")
PART, AT_ONCE = 8 << 20, 4  # bytes of one of several pieces, and how many are under way
PIECE = 1 << 20  # bytes of an object that are read at a time
ARRIVES = 256 << 10  # likewise, of one that somebody may read before all of it is there
REFRESH_TIMEOUT = 1.0  # seconds that the store has to say whether what is known still holds
RESUMES = 3  # times that a broken transfer is begun, or gone on with


class Got(Protocol):
    """One object as a store gives it: what obstore calls a GetResult."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """``size``, ``e_tag``, ``last_modified`` and ``version``."""

    @property
    def attributes(self) -> Mapping[Any, Any]:
        """What is kept with it."""

    def stream(self, min_chunk_size: int) -> Any:
        """Its bytes, or those of the part that was wanted."""


class Source(Protocol):
    """A client of a store that is read from."""

    @property
    def away(self) -> str:
        """Why the store is not asked now; empty where it is."""

    async def get(self, path: str, **options: Any) -> Got:
        """An object, with obstore's options: ``head``, ``range``, ``if_match``."""

    def pieces(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """What a stream brings, each piece within the time."""


class RemoteReader:
    """The reading half of :class:`RemoteObjects`.

    Args:
        client: To the store.
        fresh: Seconds for which an answer of the store counts as that of now.
        stale: Seconds for which it will do while the store is away.
        source_cache: Of objects that have been opened; ``None`` for none.
        clock: Seconds.
    """

    def __init__(
        self,
        client: Source,
        fresh: float,
        stale: float,
        source_cache: SourceCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._source_cache, self._clock = client, source_cache, clock
        self._head_cache = HeadCache(fresh, stale, clock)
        self._opening: SingleFlight[Opened] = SingleFlight()
        self._arrivals: WeakKeyDictionary[asyncio.Task[Any], asyncio.Future[Arrival]] = (
            WeakKeyDictionary()
        )

    @property
    def away(self) -> str:
        """Why the store is not asked now; empty where it is."""
        return self._source.away

    def fresh(self, path: str) -> Head | None:
        """What is known and counts as of now."""
        return self._head_cache.fresh(path)

    async def head(self, path: str) -> Head:
        """What is there, as of now."""
        return await self._head_cache.fetch(path, partial(self._look, path))

    async def see(self, path: str) -> Head:
        """What is there, or was a moment ago, or where the store is away longer ago.

        A store that hangs is away long before its time is over: whoever asks for an object that is
        known waits for :data:`REFRESH_TIMEOUT`, the asking goes on.
        """
        head = self._head_cache.fresh(path)
        if head is not None:
            return head
        known = self._head_cache.stale(path)
        wait = REFRESH_TIMEOUT - self._head_cache.waited(path) if known and known.object else None
        try:
            async with asyncio.timeout(wait):
                return await self.head(path)
        except TimeoutError:
            return self._head_cache.stale(path) or await self.head(path)
        except (BadGateway, GatewayTimeout):
            known = self._head_cache.stale(path)
            if known is None:
                raise
            return known

    async def recall(self, path: str, meta: Mapping[str, Any] | None = None) -> Head:
        """What is there, asked only where it is not known from before.

        An empty object that a listing tells of may be one that another client has put under a name
        with a ``/`` at its end, which obstore takes off: that name is asked for, and is not there.

        Args:
            path: Its name.
            meta: What a listing has just said of it; without that anything known will do.
        """
        known = self._head_cache.known(path)
        if known and (meta is None or known.native == _native(meta)):
            return known
        if meta is not None:
            etag, modified = _native(meta)
            if meta["size"] and MD5.fullmatch(etag.strip('"')):
                return Head(Object(meta["size"], _tag(etag), modified))
        return await self.head(path)

    async def open(self, path: str) -> Opened:
        """A copy of the object, which is fetched once for all who ask at the same time.

        Raises:
            NoSuchKey: There is none of this name.
        """
        return await self._copy(path) or await self._join(path)

    async def begin(self, path: str) -> Opened:
        """As :meth:`open`, while the object's bytes may still come; such a one is an Arriving.

        Raises:
            NoSuchKey: There is none of this name.
        """
        if copy := await self._copy(path):
            return copy
        fetch = asyncio.ensure_future(self._join(path))
        try:
            await asyncio.sleep(0)  # it has joined
            if task := self._opening.task(path):
                waiting: set[asyncio.Future[Any]] = {fetch, self._arrival(task)}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                arrival = None if fetch.done() else self._arrival(task).result()
                if arrival and not arrival.failed:
                    return Arriving.of(arrival, fetch)
            return await fetch
        except BaseException:
            leave(fetch)
            raise

    async def _copy(self, path: str) -> Opened | None:
        """That of the source cache, if there is one."""
        if self._source_cache:
            info = (await self.see(path)).object
            descriptor = self._source_cache.find(path, info) if info else None
            if info and descriptor is not None:
                return Opened(info, descriptor)
        return None

    async def _join(self, path: str) -> Opened:
        """All of it, fetched once for all who ask at the same time."""
        opened, _ = await self._opening.join(path, partial(self._fetch, path))
        return opened

    def _arrival(self, task: asyncio.Task[Any]) -> asyncio.Future[Arrival]:
        """What a task is fetching, as soon as that begins to come."""
        if (future := self._arrivals.get(task)) is None:
            future = self._arrivals[task] = asyncio.get_running_loop().create_future()
        return future

    async def _fetch(self, path: str) -> Opened:
        since = self._clock()
        got = await self._source.get(path)
        head = head_of(got, since)
        self._head_cache.keep(path, head)
        info = cast(Object, head.object)
        copy = self._source_cache.begin(path, info) if self._source_cache else None
        descriptor = copy.descriptor if copy else draft.begin(info.size)
        arrival, task = Arrival(info, descriptor), asyncio.current_task()
        assert task
        self._arrival(task).set_result(arrival)
        try:
            async for piece in self._pieces(got, path, head, range(info.size), ARRIVES):
                await draft.write(descriptor, piece)
                arrival.advance(len(piece))
            if arrival.arrived != info.size:
                raise BadGateway(
                    f"The object store has sent {arrival.arrived} bytes of {info.size}."
                )
            if copy and self._source_cache:
                await self._source_cache.keep(copy)
        except BaseException:
            arrival.failed = True
            os.close(descriptor)
            if copy and self._source_cache:
                self._source_cache.drop(copy)
            raise
        return Opened(info, descriptor)

    async def read(self, path: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """A part of an object, as it comes.

        Raises:
            NoSuchKey: There is none of this name.
            PreconditionFailed: It is another one than ``info``.
        """
        head = self._head_cache.known(path)
        if head is None or head.object != info:
            head = await self.head(path)
            if head.object != info:
                raise PreconditionFailed("The object is another one by now.")
        if not span:
            return _none()
        descriptor = self._source_cache.find(path, info) if self._source_cache else None
        if descriptor is not None:
            return copied(descriptor, span)
        got = await self._part(path, head, span)
        return self._pieces(got, path, head, span)

    async def _look(self, path: str) -> Head:
        since = self._clock()
        try:
            return head_of(await self._source.get(path, head=True), since)
        except NoSuchKey:
            return Head(None, since=since)

    async def _part(self, path: str, head: Head, span: range) -> Got:
        return await self._source.get(path, if_match=head.native[0], range=(span.start, span.stop))

    async def _pieces(
        self, got: Got, path: str, head: Head, span: range, least: int = PIECE
    ) -> AsyncIterator[bytes]:
        """What comes of a part; a transfer that breaks is gone on with where it broke.

        One that stops coming has had the time of a call then, and is given up.
        """
        at, left = span.start, RESUMES
        while True:
            try:
                async for piece in self._source.pieces(aiter(got.stream(least))):
                    at += len(piece)
                    yield bytes(piece)
                return
            except BadGateway:
                left -= 1
                if not left or at >= span.stop:
                    raise
            try:
                got = await self._part(path, head, range(at, span.stop))
            except (PreconditionFailed, NoSuchKey):
                raise ServiceUnavailable("The object was replaced while it was read.") from None


class RemoteObjects(RemoteReader):
    """All objects of a store, or those behind a prefix that its client puts before all names.

    Args:
        client: To the store.
        fresh: Seconds for which an answer of the store counts as that of now.
        stale: Seconds for which it will do while the store is away.
        source_cache: Of objects that have been opened; ``None`` for none.
        clock: Seconds.
        writes: Told of names that are written.
    """

    def __init__(
        self,
        client: StoreClient,
        fresh: float,
        stale: float,
        source_cache: SourceCache | None = None,
        clock: Callable[[], float] = time.monotonic,
        writes: Writes | None = None,
    ) -> None:
        super().__init__(client, fresh, stale, source_cache, clock)
        self.client = client
        self._writes = writes or Writes()
        self._writes.forget = self._head_cache.drop

    async def put(
        self,
        path: str,
        body: bytes | BinaryIO,
        attributes: dict[str, str],
        mode: Any = None,
        size: int = 0,
    ) -> str:
        """Put bytes in one piece, a file in parts; the store's own tag.

        Args:
            path: The name.
            body: What.
            attributes: As :func:`.metadata.write` makes them.
            mode: The condition, as obstore has it; for bytes only.
            size: How many there are.

        Raises:
            PreconditionFailed: The condition does not hold.
        """
        import obstore

        work = partial(
            obstore.put_async,
            self.client.store,
            path,
            body,
            attributes=attributes,
            mode=mode,
            use_multipart=not isinstance(body, bytes),
            chunk_size=PART,
            max_concurrency=AT_ONCE,
        )
        try:
            result: obstore.PutResult = await self.client.call(work, size)
            return result["e_tag"] or ""
        finally:
            self._head_cache.drop(path)
            await self._writes.announce(path)

    async def delete(self, path: str) -> None:
        """Take an object away, if it is there."""
        import obstore

        try:
            await self.client.call(partial(obstore.delete_async, self.client.store, path))
        except NoSuchKey:
            return
        finally:
            self._head_cache.drop(path)
            await self._writes.announce(path)


async def copied(descriptor: int, span: range) -> AsyncIterator[bytes]:
    """A part of a file, which is closed behind it."""
    try:
        for at in range(span.start, span.stop, PIECE):
            yield await apart(os.pread, descriptor, min(PIECE, span.stop - at), at)
    finally:
        os.close(descriptor)


async def _none() -> AsyncIterator[bytes]:
    """Nothing, which cannot be asked for."""
    return
    yield


def head_of(got: Got, since: float) -> Head:
    """What a store has said of an object."""
    meta = got.meta
    native, size = _native(meta), meta["size"]
    label = metadata.read(got.attributes, size)
    plain = MD5.fullmatch(native[0].strip('"'))
    etag = _tag(native[0]) if plain or not label.etag else label.etag
    md5 = md5_of(label.etag, label.crc)
    item = Object(size, etag, label.time or native[1], label.properties, label.crc, md5=md5)
    return Head(item, native, meta["version"], since)


def _native(meta: Mapping[str, Any]) -> tuple[str, float]:
    return meta["e_tag"] or "", meta["last_modified"].timestamp()


def _tag(native: str) -> str:
    """The store's tag as OSS writes one: strong, quoted, an MD5 in upper case."""
    bare = native.removeprefix("W/").strip('"')
    return f'"{bare.upper() if MD5.fullmatch(bare) else bare}"'

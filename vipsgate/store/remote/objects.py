"""Objects of an object store by their names there: HEAD, GET, PUT and DELETE.

The facts of an object are requested with its attributes (HEAD), and cached for a short time
(:mod:`.head_cache`).

An object's tag is the store's own if that is an MD5, as with S3 for objects that were put in one
piece, because listings contain it, too. Otherwise it is the one in the object's label
(:mod:`.metadata`), or else the store's own as it is.
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
PART, AT_ONCE = 8 << 20, 4  # bytes of one part of an upload, and how many are sent at a time
PIECE = 1 << 20  # bytes of an object that are read at a time
ARRIVES = 256 << 10  # likewise, if it may be read before all of it has arrived
REFRESH_TIMEOUT = 1.0  # seconds that revalidating may take before a stale response is used
RESUMES = 3  # attempts of one transfer, which is resumed if it breaks


class Got(Protocol):
    """One object as a store returns it, with the interface of obstore's GetResult."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """``size``, ``e_tag``, ``last_modified`` and ``version``."""

    @property
    def attributes(self) -> Mapping[Any, Any]:
        """The headers and metadata that are stored with it."""

    def stream(self, min_chunk_size: int) -> Any:
        """Return an iterator of its bytes, or of those in the requested range."""


class Source(Protocol):
    """A client to read from a store."""

    @property
    def away(self) -> str:
        """Why no requests are sent to the store now; empty if they are."""

    async def get(self, path: str, **options: Any) -> Got:
        """Return an object, with obstore's options: ``head``, ``range``, ``if_match``."""

    def pieces(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the pieces of a stream, each within a timeout."""


class RemoteReader:
    """The reading half of :class:`RemoteObjects`.

    Args:
        client: The client of the store.
        fresh: Seconds for which a response is fresh.
        stale: Seconds for which a stale one may be used while the store is away.
        source_cache: The cache of opened objects; ``None`` for none.
        clock: Returns the time in seconds.
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
        """Why no requests are sent to the store now; empty if they are."""
        return self._source.away

    def fresh(self, path: str) -> Head | None:
        """Return the cached response for a name, if it is fresh."""
        return self._head_cache.fresh(path)

    async def head(self, path: str) -> Head:
        """Request the head of an object from the store."""
        return await self._head_cache.fetch(path, partial(self._look, path))

    async def see(self, path: str) -> Head:
        """Return the head of an object: fresh, requested now, or stale if the store is away.

        If a stale one is known, the request is waited for only for :data:`REFRESH_TIMEOUT`, so that
        a store that hangs holds up no answer for its whole timeout; the request goes on.
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
        """Return the head of an object, requested only if neither cache nor listing has it.

        An empty object of a listing is always requested, if it is not known: another client may
        have put it under a name with a ``/`` at its end, which obstore removes. Then it is missing.

        Args:
            path: Its name.
            meta: Its entry of a listing, which a known head must match; ``None`` to accept any.
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
        """Return a copy of an object, which is fetched once for all requests at the same time.

        Raises:
            NoSuchKey: There is no such object.
        """
        return await self._copy(path) or await self._join(path)

    async def begin(self, path: str) -> Opened:
        """Like :meth:`open`, but return an Arriving while the object is still being fetched.

        Raises:
            NoSuchKey: There is no such object.
        """
        if copy := await self._copy(path):
            return copy
        fetch = asyncio.ensure_future(self._join(path))
        try:
            await asyncio.sleep(0)  # so that ``fetch`` has joined
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
        """Return the copy in the source cache, or ``None``."""
        if self._source_cache:
            info = (await self.see(path)).object
            descriptor = self._source_cache.find(path, info) if info else None
            if info and descriptor is not None:
                return Opened(info, descriptor)
        return None

    async def _join(self, path: str) -> Opened:
        """Fetch a whole object, once for all requests at the same time."""
        opened, _ = await self._opening.join(path, partial(self._fetch, path))
        return opened

    def _arrival(self, task: asyncio.Task[Any]) -> asyncio.Future[Arrival]:
        """Return a future of the Arrival that a task fetches, done when the fetch begins."""
        if (future := self._arrivals.get(task)) is None:
            future = self._arrivals[task] = asyncio.get_running_loop().create_future()
        return future

    async def _fetch(self, path: str) -> Opened:
        since = self._clock()
        got = await self._source.get(path)
        head = head_of(got, since)
        self._head_cache.keep(path, head)
        info = cast(Object, head.object)
        copy = await self._source_cache.begin(path, info) if self._source_cache else None
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
        """Return a part of an object, in pieces as they arrive.

        Raises:
            NoSuchKey: There is no such object.
            PreconditionFailed: It is no longer ``info``.
        """
        head = self._head_cache.known(path)
        if head is None or head.object != info:
            head = await self.head(path)
            if head.object != info:
                raise PreconditionFailed("The object has been replaced in the meantime.")
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
        """Yield the pieces of a part; a transfer that breaks is resumed.

        One that makes no progress within the timeout of a call is not.
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
    """All objects of a store, or those below a prefix that its client adds to all names.

    Args:
        client: The client of the store.
        fresh: Seconds for which a response is fresh.
        stale: Seconds for which a stale one may be used while the store is away.
        source_cache: The cache of opened objects; ``None`` for none.
        clock: Returns the time in seconds.
        writes: Announces names that are written.
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
        """Put bytes in one piece, or a file in parts; return the store's own tag.

        Args:
            path: The name.
            body: The bytes, or a file.
            attributes: The attributes, from :func:`.metadata.write`.
            mode: obstore's condition; for bytes only.
            size: Size of the body in bytes.

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
        """Delete an object, if it exists."""
        import obstore

        try:
            await self.client.call(partial(obstore.delete_async, self.client.store, path))
        except NoSuchKey:
            return
        finally:
            self._head_cache.drop(path)
            await self._writes.announce(path)


async def copied(descriptor: int, span: range) -> AsyncIterator[bytes]:
    """Yield a part of a file in pieces, and close the descriptor."""
    try:
        for at in range(span.start, span.stop, PIECE):
            yield await apart(os.pread, descriptor, min(PIECE, span.stop - at), at)
    finally:
        os.close(descriptor)


async def _none() -> AsyncIterator[bytes]:
    """Yield nothing: an empty range cannot be requested."""
    return
    yield


def head_of(got: Got, since: float) -> Head:
    """Return the head of an object, given a store's response."""
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
    """Return a store's tag as OSS has it: strong, quoted, an MD5 in upper case."""
    bare = native.removeprefix("W/").strip('"')
    return f'"{bare.upper() if MD5.fullmatch(bare) else bare}"'

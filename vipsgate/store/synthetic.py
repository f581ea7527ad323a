"""A store of pictures that are painted on request: an endless supply for load tests.

The last part of a key names the picture; the rest of the key and the bucket make no difference. Its
tag follows from its name. Its size is only known once it has been painted, so the first ``stat``
paints it and holds it for the ``open`` that usually follows. A ``stat`` without a size would be
cheaper, once per picture and start of the server, but every user of an object's size would have to
handle that. Nothing is written to a disk: pictures are held in memory, within a budget.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol

from cachetools import LRUCache

from ..errors import NoSuchKey, ServiceUnavailable
from .base import Object, Opened, Page, Properties
from .routing import Refused, refuse
from .singleflight import SingleFlight

NAMES = 65536  # pictures whose size is remembered; one takes about 400 bytes
HELD_BYTES = 64 << 20  # bytes of pictures that are held; the last one is, however large
MAX_HELD = 512  # pictures that are held: each is a descriptor, and a memory page at least
FAULT = "This fault is simulated by the bucket's error_rate."


class Painter(Protocol):
    """Paints the pictures.

    Attributes:
        identity: Names everything that their bytes depend on besides their names.
        modified: When ``identity`` changed last, in seconds since the epoch.
    """

    @property
    def identity(self) -> str: ...

    @property
    def modified(self) -> float: ...

    def check(self, name: str) -> None:
        """Check that there is a picture of this name.

        Raises:
            NoSuchKey: There is none.
        """

    async def paint(self, name: str) -> int:
        """Paint a picture; return the descriptor of a file with it, for the caller to close.

        Raises:
            OssError: It cannot be painted now.
        """


class PaintedCache:
    """The pictures that have been painted, for all synthetic buckets of a server.

    Args:
        painter: Paints them.
        names: Number of pictures whose size is remembered.
        held: Bytes of pictures that are held.
    """

    def __init__(self, painter: Painter, names: int = NAMES, held: int = HELD_BYTES) -> None:
        self._painter, self._most = painter, held
        self._known: LRUCache[str, Object] = LRUCache(names)
        self._held: OrderedDict[str, int] = OrderedDict()  # descriptors
        self._bytes = 0
        self._painting: SingleFlight[Opened] = SingleFlight()

    def tag(self, key: str) -> str:
        """Return the tag of a picture, quoted.

        Raises:
            NoSuchKey: There is no such picture.
        """
        name = self._name(key)
        return info.etag if (info := self._known.get(name)) else self._tag(name)

    async def stat(self, key: str) -> Object:
        """Return a picture's size, tag and time; the first time, it is painted for that.

        Raises:
            NoSuchKey: There is no such picture.
            OssError: It cannot be painted now.
        """
        name = self._name(key)
        if info := self._known.get(name):
            return info
        with closing(await self._painted(name)) as painted:
            return painted.object

    async def open(self, key: str) -> Opened:
        """Return a picture, painted now if it is not held; raises as :meth:`stat` does."""
        name = self._name(key)
        info, held = self._known.get(name), self._held.get(name)
        if info and held is not None:
            self._held.move_to_end(name)
            return Opened(info, os.dup(held))
        return await self._painted(name)

    def _name(self, key: str) -> str:
        name = key.rpartition("/")[2]
        if name not in self._known:
            try:
                self._painter.check(name)
            except NoSuchKey as error:
                error.extra["Key"] = key
                raise
        return name

    def _tag(self, name: str) -> str:
        fingerprints = f"{name} {self._painter.identity}"
        return f'"{hashlib.sha256(fingerprints.encode()).hexdigest()[:32].upper()}"'

    async def _painted(self, name: str) -> Opened:
        """Paint a picture, once for all requests at the same time."""
        painted, _ = await self._painting.join(name, lambda: self._paint(name))
        return painted

    async def _paint(self, name: str) -> Opened:
        descriptor = await self._painter.paint(name)
        size = os.fstat(descriptor).st_size
        info = Object(size, self._tag(name), self._painter.modified)
        self._known[name] = info
        self._hold(name, os.dup(descriptor), size)
        return Opened(info, descriptor)

    def _hold(self, name: str, descriptor: int, size: int) -> None:
        """Hold a picture; the least recently opened ones are dropped to keep the budget."""
        if (before := self._held.pop(name, None)) is not None:
            self._let_go(before)
        self._held[name] = descriptor
        self._bytes += size
        while len(self._held) > 1 and (self._bytes > self._most or len(self._held) > MAX_HELD):
            self._let_go(self._held.popitem(last=False)[1])

    def _let_go(self, descriptor: int) -> None:
        self._bytes -= os.fstat(descriptor).st_size
        os.close(descriptor)


class Synthetic:
    """See :class:`vipsgate.store.base.Store`: one bucket, with its own delay and faults.

    Args:
        cache: The pictures.
        delay: Seconds that each ``stat`` and each ``open`` takes.
        error_rate: The share of calls of ``stat`` that fail, 0 to 1. ``open`` does not fail: a
            request calls ``stat`` of an object before it opens it, and is to count once.
        chance: Returns random numbers in [0, 1); one below ``error_rate`` is a fault.
    """

    away = ""

    def __init__(
        self, cache: PaintedCache, delay: float, error_rate: float, chance: Callable[[], float]
    ) -> None:
        self._cache, self._delay = cache, delay
        self._error_rate, self._chance = error_rate, chance

    def stale_ok(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`: it is always available."""
        return False

    async def look(self) -> None:
        """Do nothing: there is one bucket, and it always exists."""

    def has(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """Return none: the store does not know the name of its bucket."""
        return []

    async def create(self, bucket: str) -> None:
        """Do nothing: the bucket exists."""

    async def remove(self, bucket: str) -> None:
        """Do nothing: nothing is stored."""

    async def sweep(self) -> None:
        """Do nothing: no drafts are left behind."""

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return False

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`.

        Raises:
            ServiceUnavailable: It is one of the calls that are to fail.
        """
        await self._wait()
        if self._error_rate and self._chance() < self._error_rate:
            raise ServiceUnavailable(
                FAULT, headers={"Retry-After": "1"}, extra={"BucketName": bucket}
            )
        return await self._cache.stat(key)

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`; ``None`` with a delay or faults.

        So every request calls :meth:`stat`, and has its delay and its share of faults.
        """
        if self._delay or self._error_rate:
            return None
        try:
            return self._cache.tag(key)
        except NoSuchKey:
            return ()

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> None:
        """See :class:`vipsgate.store.base.Store`: never reads without waiting."""

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`."""
        await self._wait()
        return await self._cache.open(key)

    def ranged(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`: nothing is remote."""

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """Return an empty page: there are endlessly many pictures, and none is stored."""
        return Page([], [], "")

    def draft(self, bucket: str) -> Refused:
        """See :class:`vipsgate.store.base.Store`: the bucket is read-only."""
        return Refused(bucket)

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """Raise AccessDenied: the bucket is read-only."""
        refuse(bucket)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """Raise AccessDenied: the bucket is read-only."""
        refuse(bucket)

    async def _wait(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)

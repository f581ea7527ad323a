"""A store of pictures that are painted when they are asked for: for load tests, and of no end.

The last part of a key names the picture, whatever stands before it and in whichever bucket. Its tag
follows from its name; its size is known once it has been painted, so the first look has it painted
and holds it for the opening that usually follows. The other way, a look that leaves the size open,
would be cheaper once per picture and start of the server, and every reader of an object's size
would have to know of it. Nothing is written anywhere: what is held is memory within a budget.
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
HELD_BYTES = 64 << 20  # of pictures that are held; the last one is, however large
MAX_HELD = 512  # of them: each is a descriptor, and a memory page at least
FAULT = "This is one of the faults that the bucket's error_rate asks for."


class Painter(Protocol):
    """Who makes the pictures.

    Attributes:
        identity: What their bytes depend on besides their names.
        modified: When that changed last, in seconds since the epoch.
    """

    @property
    def identity(self) -> str: ...

    @property
    def modified(self) -> float: ...

    def check(self, name: str) -> None:
        """Is there a picture of this name?

        Raises:
            NoSuchKey: There is none.
        """

    async def paint(self, name: str) -> int:
        """The descriptor of a file that begins with it and is its own, for the caller to close.

        Raises:
            OssError: It cannot be had now.
        """


class PaintedCache:
    """What has been painted, for all synthetic buckets of a server.

    Args:
        painter: Who does that.
        names: Pictures whose size is remembered.
        held: Bytes of pictures that are held.
    """

    def __init__(self, painter: Painter, names: int = NAMES, held: int = HELD_BYTES) -> None:
        self._painter, self._most = painter, held
        self._known: LRUCache[str, Object] = LRUCache(names)
        self._held: OrderedDict[str, int] = OrderedDict()  # descriptors
        self._bytes = 0
        self._painting: SingleFlight[Opened] = SingleFlight()

    def tag(self, key: str) -> str:
        """The tag of a picture, quoted.

        Raises:
            NoSuchKey: There is none of this name.
        """
        name = self._name(key)
        return info.etag if (info := self._known.get(name)) else self._tag(name)

    async def stat(self, key: str) -> Object:
        """What is known of a picture; the first time it is painted for that.

        Raises:
            NoSuchKey: There is none of this name.
            OssError: It cannot be painted now.
        """
        name = self._name(key)
        if info := self._known.get(name):
            return info
        with closing(await self._painted(name)) as painted:
            return painted.object

    async def open(self, key: str) -> Opened:
        """A picture, held or painted now; raises as :meth:`stat` does."""
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
        """Have it painted, once for all who want it at the same time."""
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
        """Hold this one; those opened longest ago go, as far as there is no room."""
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
        delay: Seconds that each look and each opening takes.
        error_rate: The part of the looks that fail, 0-1. Openings do not: a request looks at each
            of its objects before it opens one, and counts once.
        chance: Gives numbers from 0 to below 1, of which those below ``error_rate`` are faults.
    """

    away = ""

    def __init__(
        self, cache: PaintedCache, delay: float, error_rate: float, chance: Callable[[], float]
    ) -> None:
        self._cache, self._delay = cache, delay
        self._error_rate, self._chance = error_rate, chance

    def stale_ok(self, bucket: str) -> bool:
        """It is never away."""
        return False

    async def look(self) -> None:
        """Nothing: there is one bucket, for ever."""

    def has(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """None that it could name: whoever asks has named it."""
        return []

    async def create(self, bucket: str) -> None:
        """Nothing: it is there."""

    async def remove(self, bucket: str) -> None:
        """Nothing: there is nothing in it."""

    async def sweep(self) -> None:
        """Nothing: nothing is ever left behind."""

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return False

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`.

        Raises:
            ServiceUnavailable: It is one of the looks that fail.
        """
        await self._wait()
        if self._error_rate and self._chance() < self._error_rate:
            raise ServiceUnavailable(
                FAULT, headers={"Retry-After": "1"}, extra={"BucketName": bucket}
            )
        return await self._cache.stat(key)

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`; with delay or faults nobody can tell at once.

        So no request is answered without a look, and each has its delay and its share of faults.
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
        """See :class:`vipsgate.store.base.Store`: nothing is read at once."""

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`."""
        await self._wait()
        return await self._cache.open(key)

    def ranged(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`: nothing is remote."""

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """An empty page: there are more pictures than any listing has an end, and none is kept."""
        return Page([], [], "")

    def draft(self, bucket: str) -> Refused:
        """See :class:`vipsgate.store.base.Store`: none can be begun."""
        return Refused(bucket)

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """Refused."""
        refuse(bucket)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """Refused."""
        refuse(bucket)

    async def _wait(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)

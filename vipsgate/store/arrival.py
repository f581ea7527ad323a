"""Objects that are opened while their bytes still come: how far they are, and who waits for them.

The bytes come into a file that grows, so its length says how far they are, to any process that has
its descriptor, and a reader may begin again with it. A reader in another process has a
:class:`Bell` besides: a byte means that the file is longer, its end that nobody waits for that
reader any more. The other design, the bytes themselves in a pipe to the reader, serves one reader
once: not several pictures of one source, and not the renderer that is tried after one that died.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .base import Object, Opened


class Bell:
    """Tells one reader in another process that more bytes have come.

    Attributes:
        reader: The descriptor that the reader gets.
    """

    __slots__ = ("_rung", "_writer", "reader")

    def __init__(self, rung: set[Bell]) -> None:
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        self._rung = rung
        rung.add(self)

    def ring(self) -> None:
        """More bytes have come; a reader that has heard nothing yet needs no second byte."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._writer, b"\0")

    def sent(self) -> None:
        """The reader has its descriptor, and this process needs none."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        """Nobody waits for the reader any more."""
        self.sent()
        if self._writer >= 0:
            self._rung.discard(self)
            os.close(self._writer)
            self._writer = -1


class Arrival:
    """A file that is being filled with an object.

    Args:
        item: The object.
        descriptor: Of the file, empty.
        clock: Seconds.

    Attributes:
        object: The object.
        arrived: Bytes that are in the file.
        openers: How many have opened it, and not closed it again.
        failed: Whether no more bytes will come.
    """

    def __init__(
        self, item: Object, descriptor: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.object, self.arrived, self.openers, self.failed = item, 0, 0, False
        self._descriptor, self._clock = descriptor, clock
        self._begun = self._latest = clock()
        self._bells: set[Bell] = set()
        self._more: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def complete(self) -> bool:
        """Are all bytes there?"""
        return self.arrived >= self.object.size

    def advance(self, count: int) -> None:
        """So many more bytes are in the file."""
        self.arrived += count
        self._latest = self._clock()
        for bell in self._bells:
            bell.ring()
        more, self._more = self._more, asyncio.get_running_loop().create_future()
        more.set_result(None)

    def more(self) -> asyncio.Future[None]:
        """Is done as soon as more bytes are there."""
        return self._more

    def seconds_left(self) -> float:
        """How long the rest takes, as predicted: at the pace so far, or as long as the silence."""
        if self.complete:
            return 0.0
        if not self.arrived:
            return float("inf")
        now = self._clock()
        left = (now - self._begun) * (self.object.size - self.arrived) / self.arrived
        return max(left, now - self._latest)

    def head(self, size: int) -> bytes:
        """The first bytes, as far as they are there."""
        return os.pread(self._descriptor, size, 0)

    def open(self) -> int:
        """Another descriptor of the file, which can be read and not written."""
        return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def bell(self) -> Bell:
        """A bell that rings from now on."""
        return Bell(self._bells)


@dataclass(frozen=True, slots=True)
class Arriving(Opened):
    """An object that was opened before all of its bytes were there.

    Attributes:
        arrival: How far they are.
        fetch: What waits for all of them; while it does, they are fetched.
    """

    arrival: Arrival
    fetch: asyncio.Task[Opened]

    @classmethod
    def of(cls, arrival: Arrival, fetch: asyncio.Task[Opened]) -> Arriving:
        """One more who reads it."""
        descriptor = arrival.open()
        arrival.openers += 1
        return cls(arrival.object, descriptor, arrival, fetch)

    async def more(self) -> None:
        """Wait until more bytes are there.

        Raises:
            OssError: They will not come.
        """
        waiting: set[asyncio.Future[Any]] = {self.fetch, self.arrival.more()}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self.fetch.done():
            self.fetch.result()

    async def whole(self) -> None:
        """Wait until all bytes are there.

        Raises:
            OssError: They will not come.
        """
        await asyncio.shield(self.fetch)

    def close(self) -> None:
        """Give it back; what nobody waits for is not fetched to its end."""
        self.arrival.openers -= 1
        os.close(self.descriptor)
        leave(self.fetch)


def leave(fetch: asyncio.Task[Opened]) -> None:
    """Wait for an object no longer; what has come is closed."""
    fetch.cancel()
    fetch.add_done_callback(_close)


def _close(fetch: asyncio.Task[Opened]) -> None:
    if not fetch.cancelled() and not fetch.exception():
        fetch.result().close()

"""Objects that are opened while their bytes are still arriving, and the readers that wait for them.

The bytes are written to a file that grows. Its length tells any process with a descriptor how many
have arrived, and a reader can start over at any time. A reader in another process also has a
:class:`Bell`, a pipe: a byte means that the file has grown, end of file that the reader's result is
no longer wanted. The alternative, the bytes themselves in a pipe, serves one reader once: not
several pictures of one source, and not a second renderer after the first one died.
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
    """Tells one reader in another process that more bytes have arrived.

    Attributes:
        reader: The descriptor for the reader; -1 once it is closed here.
    """

    __slots__ = ("_rung", "_writer", "reader")

    def __init__(self, rung: set[Bell]) -> None:
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        self._rung = rung
        rung.add(self)

    def ring(self) -> None:
        """Tell the reader that more bytes have arrived, unless the pipe is full or closed."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._writer, b"\0")

    def sent(self) -> None:
        """Close this process's copy of ``reader``, once that was sent to the other process."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        """Close both ends: the reader's result is no longer wanted."""
        self.sent()
        if self._writer >= 0:
            self._rung.discard(self)
            os.close(self._writer)
            self._writer = -1


class Arrival:
    """A file that is being filled with an object.

    Args:
        item: The object.
        descriptor: The descriptor of the file, which is empty.
        clock: Returns the time in seconds.

    Attributes:
        object: The object.
        arrived: Bytes that are in the file.
        openers: Number of readers that have it open.
        failed: Whether the transfer has failed, so that no more bytes arrive.
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
        """Whether all bytes have arrived."""
        return self.arrived >= self.object.size

    def advance(self, count: int) -> None:
        """Note that ``count`` more bytes are in the file, and wake all readers."""
        self.arrived += count
        self._latest = self._clock()
        for bell in self._bells:
            bell.ring()
        more, self._more = self._more, asyncio.get_running_loop().create_future()
        more.set_result(None)

    def more(self) -> asyncio.Future[None]:
        """Return a future that is done as soon as more bytes have arrived."""
        return self._more

    def seconds_left(self) -> float:
        """Predict the seconds until all bytes have arrived; infinite before the first one.

        That is at the average pace so far, but no less than the time since the last byte arrived.
        """
        if self.complete:
            return 0.0
        if not self.arrived:
            return float("inf")
        now = self._clock()
        left = (now - self._begun) * (self.object.size - self.arrived) / self.arrived
        return max(left, now - self._latest)

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes, or as many as have arrived."""
        return os.pread(self._descriptor, size, 0)

    def open(self) -> int:
        """Return a new read-only descriptor of the file."""
        return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def bell(self) -> Bell:
        """Return a new bell that rings whenever bytes arrive."""
        return Bell(self._bells)


@dataclass(frozen=True, slots=True)
class Arriving(Opened):
    """An object that was opened before all of its bytes had arrived.

    Attributes:
        arrival: The file that is being filled.
        fetch: A task of this reader that waits for the whole object. The transfer goes on as long
            as a reader's task does.
    """

    arrival: Arrival
    fetch: asyncio.Task[Opened]

    @classmethod
    def of(cls, arrival: Arrival, fetch: asyncio.Task[Opened]) -> Arriving:
        """Return one for another reader."""
        descriptor = arrival.open()
        arrival.openers += 1
        return cls(arrival.object, descriptor, arrival, fetch)

    async def more(self) -> None:
        """Wait until more bytes have arrived.

        Raises:
            OssError: The transfer failed.
        """
        waiting: set[asyncio.Future[Any]] = {self.fetch, self.arrival.more()}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self.fetch.done():
            self.fetch.result()

    async def whole(self) -> None:
        """Wait until all bytes have arrived.

        Raises:
            OssError: The transfer failed.
        """
        await asyncio.shield(self.fetch)

    def close(self) -> None:
        """Close it; a transfer that no reader waits for is stopped."""
        self.arrival.openers -= 1
        os.close(self.descriptor)
        leave(self.fetch)


def leave(fetch: asyncio.Task[Opened]) -> None:
    """Stop waiting for an object, and close it if it is complete already."""
    fetch.cancel()
    fetch.add_done_callback(_close)


def _close(fetch: asyncio.Task[Opened]) -> None:
    if not fetch.cancelled() and not fetch.exception():
        fetch.result().close()

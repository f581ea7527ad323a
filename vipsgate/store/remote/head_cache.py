"""A cache of HEAD responses; equal requests at the same time are coalesced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from ..base import Object

MAX_ENTRIES = 65536  # one takes about 1 KB


@dataclass(frozen=True, slots=True)
class Head:
    """A response of the store.

    Attributes:
        object: The object; ``None`` if it does not exist.
        native: The store's own tag and time, which a listing contains, too.
        version: The store's version of the object, for a conditional request.
        since: When the request was sent, in seconds of the clock.
    """

    object: Object | None
    native: tuple[str, float] = ("", 0.0)
    version: str | None = None
    since: float = 0.0


class Pending(NamedTuple):
    """A request that is under way, and when it was sent, in seconds of the clock."""

    task: asyncio.Task[Head]
    since: float


class HeadCache:
    """The responses for the most recently used names.

    Args:
        fresh: Seconds for which a response is fresh.
        stale: Seconds for which a stale one may be used while the store is away.
        clock: Returns the time in seconds.
    """

    def __init__(self, fresh: float, stale: float, clock: Callable[[], float]) -> None:
        self._fresh, self._stale, self._clock = fresh, stale, clock
        self._known: LRUCache[str, Head] = LRUCache(MAX_ENTRIES)
        self._pending: dict[str, Pending] = {}

    def fresh(self, path: str) -> Head | None:
        """Return the response of a name, if it is fresh."""
        return self._within(path, self._fresh)

    def stale(self, path: str) -> Head | None:
        """Return the response of a name, if it may be used while the store is away."""
        return self._within(path, self._stale)

    def known(self, path: str) -> Head | None:
        """Return the response of a name, however old."""
        return self._known.get(path)

    def keep(self, path: str, head: Head) -> None:
        """Store a response, unless a later one is known."""
        before = self._known.get(path)
        if before is not None and before.since > head.since:
            return
        self._known[path] = head

    def drop(self, path: str) -> None:
        """Drop a name, and its request under way: the object may have been replaced."""
        self._pending.pop(path, None)
        self._known.pop(path, None)

    async def fetch(self, path: str, work: Callable[[], Awaitable[Head]]) -> Head:
        """Send a request by ``work``, or wait for the same one that is under way."""
        pending = self._pending.get(path)
        if pending is None:
            pending = Pending(asyncio.ensure_future(self._fetch(path, work)), self._clock())
            self._pending[path] = pending
            pending.task.add_done_callback(lambda done: self._done(path, done))
        return await asyncio.shield(pending.task)

    def waited(self, path: str) -> float:
        """Return the seconds since the request under way was sent; 0 if there is none."""
        pending = self._pending.get(path)
        return self._clock() - pending.since if pending else 0.0

    async def _fetch(self, path: str, work: Callable[[], Awaitable[Head]]) -> Head:
        head = await work()
        if self._is_pending(path, asyncio.current_task()):  # nothing was written meanwhile
            self.keep(path, head)
        return head

    def _is_pending(self, path: str, task: asyncio.Task[Head] | None) -> bool:
        pending = self._pending.get(path)
        return pending is not None and pending.task is task

    def _done(self, path: str, task: asyncio.Task[Head]) -> None:
        if self._is_pending(path, task):
            del self._pending[path]
        if not task.cancelled():
            task.exception()  # retrieved, as there may be no caller that waits

    def _within(self, path: str, seconds: float) -> Head | None:
        head = self._known.get(path)
        if head is None or not seconds or self._clock() - head.since > seconds:
            return None
        return head

"""A cache of HEAD answers; equal questions at once are asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from ..base import Object

MAX_ENTRIES = 65536  # objects known; one takes about 1 KB


@dataclass(frozen=True, slots=True)
class Head:
    """What the store has said of a name.

    Attributes:
        object: What is there; ``None`` for nothing.
        native: The store's own tag and time, which a listing tells, too.
        version: What else the store wants to hear when the object is to be replaced.
        since: When it was asked, in seconds of the clock.
    """

    object: Object | None
    native: tuple[str, float] = ("", 0.0)
    version: str | None = None
    since: float = 0.0


class Asking(NamedTuple):
    """A question that is under way, and since when."""

    task: asyncio.Task[Head]
    since: float


class HeadCache:
    """The names asked for last.

    Args:
        fresh: Seconds for which an answer counts as that of now.
        stale: Seconds for which it will do where there is no other.
        clock: Seconds.
    """

    def __init__(self, fresh: float, stale: float, clock: Callable[[], float]) -> None:
        self._fresh, self._stale, self._clock = fresh, stale, clock
        self._known: LRUCache[str, Head] = LRUCache(MAX_ENTRIES)
        self._asking: dict[str, Asking] = {}

    def fresh(self, path: str) -> Head | None:
        """What is known and counts as of now."""
        return self._within(path, self._fresh)

    def stale(self, path: str) -> Head | None:
        """What is known and will do while the store is away."""
        return self._within(path, self._stale)

    def known(self, path: str) -> Head | None:
        """What is known, of whenever."""
        return self._known.get(path)

    def keep(self, path: str, head: Head) -> None:
        """Take over an answer, unless a later one is known."""
        before = self._known.get(path)
        if before is not None and before.since > head.since:
            return
        self._known[path] = head

    def drop(self, path: str) -> None:
        """Forget it, and whatever is being asked: the object may be another one now."""
        self._asking.pop(path, None)
        self._known.pop(path, None)

    async def ask(self, path: str, work: Callable[[], Awaitable[Head]]) -> Head:
        """Ask, or wait for the same question that is being asked."""
        asking = self._asking.get(path)
        if asking is None:
            asking = Asking(asyncio.ensure_future(self._ask(path, work)), self._clock())
            self._asking[path] = asking
            asking.task.add_done_callback(lambda done: self._asked(path, done))
        return await asyncio.shield(asking.task)

    def waited(self, path: str) -> float:
        """Seconds since the question that is under way was asked; 0 where none is."""
        asking = self._asking.get(path)
        return self._clock() - asking.since if asking else 0.0

    async def _ask(self, path: str, work: Callable[[], Awaitable[Head]]) -> Head:
        head = await work()
        if self._is_asked(path, asyncio.current_task()):  # nobody has written meanwhile
            self.keep(path, head)
        return head

    def _is_asked(self, path: str, task: asyncio.Task[Head] | None) -> bool:
        asking = self._asking.get(path)
        return asking is not None and asking.task is task

    def _asked(self, path: str, task: asyncio.Task[Head]) -> None:
        if self._is_asked(path, task):
            del self._asking[path]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have

    def _within(self, path: str, seconds: float) -> Head | None:
        head = self._known.get(path)
        if head is None or not seconds or self._clock() - head.since > seconds:
            return None
        return head

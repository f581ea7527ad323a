"""Memory before disk before a shared bucket before work: where an answer comes from and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, closing
from functools import partial
from typing import Any

from .disk import Disk
from .flight import Flights
from .kept import Kept, Place
from .memory import Memory
from .shared import Shared

# where an answer came from
MEMORY, DISK, SHARED, MISS, JOINED = "memory", "disk", "shared", "miss", "joined"
HITS = (MEMORY, DISK, SHARED)  # all are a "hit" to X-Vipsgate-Cache


class Cache:
    """All tiers, and the work that is under way.

    Args:
        memory: The first.
        disk: The second; ``None`` for none.
        shared: The third; ``None`` for none. Others may be slow to answer, so it is asked for what
            would be made otherwise, and told beside the answer.

    Attributes:
        memory: Likewise.
    """

    def __init__(self, memory: Memory, disk: Disk | None, shared: Shared | None = None) -> None:
        self.memory, self._disk, self._shared = memory, disk, shared
        self._flights = Flights()
        self._storing: set[asyncio.Task[None]] = set()

    def peek(self, place: Place, most: int) -> tuple[Kept, str] | None:
        """What is kept there and has been seen before, at once; its type is not told.

        Args:
            place: Its name.
            most: Bytes up to which a body is read from the disk into memory.

        Returns:
            The answer, for the caller to close, and its tier.
        """
        if (kept := self.memory.get(place)) is not None:
            return kept, MEMORY
        if self._disk and (kept := self._disk.peek(place, most)) is not None:
            return kept, DISK
        return None

    async def fetch(self, place: Place, make: Callable[[], Awaitable[Kept]]) -> tuple[Kept, str]:
        """What is kept there, or else is made now.

        Args:
            place: Its name.
            make: Makes it; what it raises is kept nowhere.

        Returns:
            The answer, for the caller to close, and where it came from.
        """
        if (kept := self.memory.get(place)) is not None:
            return kept, MEMORY
        if self._disk and (kept := await self._disk.get(place)):
            self.memory.put(place, kept)
            return kept, DISK
        found: list[str] = []
        work = partial(self._made, place, make, found)
        kept, joined = await self._flights.join(place, work)
        return kept, JOINED if joined else (found or [MISS])[0]

    async def purge(self, bucket: str, key: str) -> None:
        """Forget all that is made of an object."""
        self.memory.purge(bucket, key)
        if self._disk:
            await self._disk.purge(bucket, key)
        if self._shared:
            await self._shared.purge(bucket, key)

    async def close(self) -> None:
        """Wait until what has been made is stored."""
        if self._storing:
            await asyncio.wait(self._storing)
        if self._disk:
            await self._disk.close()

    async def _made(
        self, place: Place, make: Callable[[], Awaitable[Kept]], found: list[str]
    ) -> Kept:
        """Make it, unless another process has; ``found`` gets a word for that."""
        async with AsyncExitStack() as alone:
            if self._disk:
                others = await alone.enter_async_context(self._disk.alone(place))
                if others and (kept := await self._disk.get(place)):
                    found.append(JOINED)
                    self.memory.put(place, kept)
                    return kept
            others_made = await self._shared.get(place) if self._shared else None
            if others_made:
                found.append(SHARED)
            kept = others_made or await make()
            self.memory.put(place, kept)
            if self._disk:
                self._later(self._stored(self._disk, place, kept.again(), alone.pop_all()))
            if self._shared and not others_made:
                self._later(self._told(self._shared, place, kept.again()))
            return kept

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _told(self, shared: Shared, place: Place, kept: Kept) -> None:
        """Beside the answer; nobody waits for it."""
        with closing(kept):
            await shared.put(place, kept)

    async def _stored(self, disk: Disk, place: Place, kept: Kept, alone: AsyncExitStack) -> None:
        """Beside the answer; others who want the same wait until it can be found."""
        async with alone:
            with closing(kept):
                await disk.put(place, kept)

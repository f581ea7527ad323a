"""Memory before disk before work: where an answer comes from, and where it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from functools import partial

from .disk import Disk
from .flight import Flights
from .kept import Kept, Place
from .memory import Memory

MEMORY, DISK, MISS, JOINED = "memory", "disk", "miss", "joined"  # where an answer came from
HITS = (MEMORY, DISK)  # both are a "hit" to X-Vipsgate-Cache


class Cache:
    """Both tiers, and the work that is under way.

    Args:
        memory: The first.
        disk: The second; ``None`` for none.

    Attributes:
        memory: Likewise.
    """

    def __init__(self, memory: Memory, disk: Disk | None) -> None:
        self.memory, self._disk = memory, disk
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
        waited: list[bool] = []
        work = partial(self._made, place, make, waited)
        kept, joined = await self._flights.join(place, work)
        return kept, JOINED if joined or waited else MISS

    async def purge(self, bucket: str, key: str) -> None:
        """Forget all that is made of an object."""
        self.memory.purge(bucket, key)
        if self._disk:
            await self._disk.purge(bucket, key)

    async def close(self) -> None:
        """Wait until what has been made is stored."""
        if self._storing:
            await asyncio.wait(self._storing)
        if self._disk:
            await self._disk.close()

    async def _made(
        self, place: Place, make: Callable[[], Awaitable[Kept]], waited: list[bool]
    ) -> Kept:
        """Make it, unless another process has; ``waited`` gets an entry then."""
        async with AsyncExitStack() as alone:
            if self._disk:
                others = await alone.enter_async_context(self._disk.alone(place))
                if others and (kept := await self._disk.get(place)):
                    waited.append(True)
                    self.memory.put(place, kept)
                    return kept
            kept = await make()
            self.memory.put(place, kept)
            if self._disk:
                storing = self._stored(self._disk, place, kept.again(), alone.pop_all())
                task = asyncio.create_task(storing)
                self._storing.add(task)
                task.add_done_callback(self._storing.discard)
            return kept

    async def _stored(self, disk: Disk, place: Place, kept: Kept, alone: AsyncExitStack) -> None:
        """Beside the answer; others who want the same wait until it can be found."""
        async with alone:
            with closing(kept):
                await disk.put(place, kept)

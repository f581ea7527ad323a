"""The tiers of the cache, nearest first: memory, disk, a shared bucket.

Equal work within one process is joined by the caller (:mod:`vipsgate.store.singleflight`); equal
work of processes that share a folder is joined here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from typing import Any

from aiofiles.os import wrap

from ..errors import InsufficientStorage, OssError, ServiceUnavailable
from .disk import Disk
from .entry import CacheKey, Entry
from .masters import Masters
from .memory import Memory
from .purges import Numbers, Purges, Rule
from .remote import RemoteCache
from .shortage import NO_ROOM

# where an answer came from
MEMORY, DISK, SHARED, MISS, JOINED = "memory", "disk", "shared", "miss", "joined"
HITS = (MEMORY, DISK, SHARED)  # a "hit" in X-Vipsgate-Cache
POLL_INTERVAL, SHARED_POLL_INTERVAL = 1.0, 5.0  # seconds between two reads of purges
log = logging.getLogger(__name__)


class Cache:
    """All tiers.

    Args:
        memory: The first tier.
        disk: The second tier, or ``None``.
        shared: The third tier, or ``None``. It may be slow, so it is read only when a picture would
            have to be made, and written after the answer.
        masters: Masters of large sources; ``None`` if none are kept.

    Attributes:
        memory: See above.
        masters: See above.
        purges: The rules of purges.
    """

    def __init__(
        self,
        memory: Memory,
        disk: Disk | None,
        shared: RemoteCache | None = None,
        masters: Masters | None = None,
    ) -> None:
        self.memory, self._disk, self._shared = memory, disk, shared
        self.masters = masters
        self.purges = Purges()
        self._failing = False  # whether purges cannot be exchanged for now
        self._storing: set[asyncio.Task[None]] = set()

    def get_nowait(self, cache_key: CacheKey, most: int) -> tuple[Entry, str] | None:
        """Return an entry that was used before, without waiting and perhaps without its type.

        Args:
            cache_key: Its name.
            most: Largest body that is read from the disk into memory, in bytes.

        Returns:
            The entry, for the caller to close, and its tier.
        """
        if (entry := self.memory.get(cache_key)) is not None:
            return entry, MEMORY
        if self._disk and (entry := self._disk.get_nowait(cache_key, most)) is not None:
            return entry, DISK
        return None

    async def get(self, cache_key: CacheKey) -> tuple[Entry, str] | None:
        """Return the entry, for the caller to close, and its tier.

        ``None`` if neither memory nor disk has it; the shared bucket is not read.
        """
        if (entry := self.memory.get(cache_key)) is not None:
            return entry, MEMORY
        if self._disk and (entry := await self._disk.get(cache_key)):
            self.memory.put(cache_key, entry)
            return entry, DISK
        return None

    async def obtain(
        self, cache_key: CacheKey, make: Callable[[], Awaitable[Entry]]
    ) -> tuple[Entry, str]:
        """Make an entry, unless another process makes it, and return it with its tier.

        Args:
            cache_key: The name of an entry that was not found.
            make: Makes the entry; its errors are not cached.
        """
        disk = self._disk
        if disk is None:
            return await self._make(cache_key, make)
        others, storing = await disk.begin(cache_key), False
        try:
            if others and (entry := await disk.get(cache_key)):
                self.memory.put(cache_key, entry)
                return entry, JOINED
            entry, tier = await self._make(cache_key, make)
            disk.put_made(cache_key, entry)
            storing = True
            return entry, tier
        finally:
            if not storing:
                disk.end(cache_key)

    @property
    def has_shared(self) -> bool:
        """Whether there is a shared bucket."""
        return self._shared is not None

    async def purge(self, bucket: str, key: str) -> None:
        """Remove all entries of an object."""
        await self.remove(bucket, key)
        if self._shared:
            await self._shared.purge(bucket, key)

    async def remove(self, bucket: str, key: str) -> None:
        """Remove all entries of an object from memory and disk."""
        self.forget(bucket, key)
        if self.masters:
            await self.masters.purge(bucket, key)
        if self._disk:
            await self._disk.purge(bucket, key)

    def forget(self, bucket: str, key: str) -> None:
        """Remove all entries of an object from memory, and close its files.

        The disk is left alone, as another process has removed them there.
        """
        self.memory.purge(bucket, key)
        if self._disk:
            self._disk.release(bucket, key)

    async def sweep(self, bucket: str, key: str, before: float) -> None:
        """Remove files of an object from the disk that were last used before a time."""
        if self.masters:
            await self.masters.purge(bucket, key)
        if self._disk:
            await self._disk.purge(bucket, key, before)

    async def renew(self, rule: Rule) -> None:
        """Purge all that a rule covers: here at once, on other instances within seconds.

        Raises:
            InsufficientStorage: The folder has no room to tell other instances, although all that
                was in it was removed.
            ServiceUnavailable: The folder cannot be written.
            OssError: The shared bucket is unavailable.
        """
        self.learn({rule: self.purges.number(rule)})
        if rule.kind == "key":
            await self.purge(rule.bucket, rule.text)
        self._failing = True  # until it is known elsewhere; a failure is for the caller to tell
        await self._exchange(far=True)
        self._failing = False

    async def look(self, *, far: bool) -> None:
        """Exchange purges with other instances, if possible.

        Args:
            far: Whether to use the shared bucket, too, and not only the folder.
        """
        try:
            await self._exchange(far=far)
            if far or not self._shared:
                self._failing = False
        except OssError as error:
            if not self._failing:
                log.error("purges are not exchanged for now: %s", error)
            self._failing = True

    async def _exchange(self, *, far: bool) -> None:
        """Exchange purges with other instances.

        Raises:
            OssError: See :meth:`renew`.
        """
        failure: OssError | None = None
        if far and self._shared:
            try:
                self.learn(await self._shared.exchange(self.purges.numbers))
            except OssError as error:
                failure = error
        if self._disk:
            await self._record(self._disk)
        if failure:
            raise failure

    async def _record(self, disk: Disk) -> None:
        """Exchange purges with other instances that share the folder.

        Raises:
            InsufficientStorage: The folder has no room, although all entries were removed.
            ServiceUnavailable: The folder cannot be written.
        """
        while True:
            try:
                numbers, new = await wrap(disk.ledger.exchange)(self.purges.numbers)
                break
            except OSError as error:
                text = f"The cache's folder cannot take a purge: {error.strerror}."
                if error.errno not in NO_ROOM:
                    raise ServiceUnavailable(text) from None
                if not await disk.make_room():
                    raise InsufficientStorage(text) from None
        self.learn(numbers)
        for rule in new:
            if rule.kind == "key":
                await disk.purge(rule.bucket, rule.text)
                if self.masters:
                    await self.masters.purge(rule.bucket, rule.text)

    async def follow(self) -> None:
        """Exchange purges at intervals, until cancelled."""
        waited = 0.0
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            waited += POLL_INTERVAL
            far = bool(self._shared) and waited >= SHARED_POLL_INTERVAL
            try:
                again = self._failing and not self._shared
                if far or again or (self._disk and self._disk.ledger.changed()):
                    await self.look(far=far)
            except Exception:  # a bug must not end the exchange
                log.exception("purges of other processes cannot be read")
            waited = 0.0 if far else waited

    def learn(self, numbers: Numbers) -> None:
        """Add purges, and remove what they cover from memory."""
        for rule in self.purges.merge(numbers):
            if rule.kind == "key":
                self.forget(rule.bucket, rule.text)

    async def close(self) -> None:
        """Wait until all pending entries are stored."""
        if self._storing:
            await asyncio.wait(self._storing)
        if self.masters:
            await self.masters.close()
        if self._disk:
            await self._disk.close()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _share(self, shared: RemoteCache, cache_key: CacheKey, entry: Entry) -> None:
        """Store a copy of the entry in the shared bucket, in the background."""
        with closing(entry):
            await shared.put(cache_key, entry)

    async def _make(
        self, cache_key: CacheKey, make: Callable[[], Awaitable[Entry]]
    ) -> tuple[Entry, str]:
        """Return the entry from the shared bucket, or make it."""
        shared = await self._shared.get(cache_key) if self._shared else None
        entry = shared or await make()
        self.memory.put(cache_key, entry)
        if self._shared and not shared:
            self._later(self._share(self._shared, cache_key, entry.dup()))
        return entry, SHARED if shared else MISS

"""A store in a root of which some or all buckets are on file systems that may hang.

The facts of an object are cached for a moment, and used for longer if its file system does not
respond, as with an object store (:mod:`vipsgate.store.remote.head_cache`), so that cached pictures
are still served. A file is read like a remote object: it is sent in pieces as they are read, or
copied into a memory file, which is rendered while it grows. So neither the front nor a renderer has
a descriptor of the file itself: otherwise sendfile(2) or a decoder's read could hang in the kernel,
and a renderer in an uninterruptible read (of an NFS mount that does not respond, or a failing disk)
is not even ended by kill -9.

The alternative was a switch in :class:`~vipsgate.store.local.store.LocalStore` between the loop and
a thread: each of its methods would have to check it, and so would every user of its descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from ...buckets import INTERNAL
from ...errors import GatewayTimeout, NoSuchKey, OssError, ServiceUnavailable
from ..arrival import Arrival, Arriving, leave
from ..base import Object, Opened, Page, Properties, Store
from ..local.disk import Disk, absent, known
from ..local.paths import BucketFolder
from ..local.root import away
from ..remote import draft as spool
from ..remote.head_cache import Head, HeadCache
from ..writes import Writes
from . import file
from .buckets import Buckets
from .draft import ThreadedDraft
from .threads import Threads

REFRESH_TIMEOUT = 1.0  # seconds to wait for a file system before cached facts are used

T = TypeVar("T")


class ThreadedStore:
    """See :class:`vipsgate.store.base.Store`.

    Args:
        disk: The operations on the disk.
        seconds: Seconds that a call may take.
        fresh: Seconds for which the facts of an object count as current.
        stale: Seconds for which they may be used if the file system does not respond.
        quick: The store for buckets that do not block; ``None`` if all count as blocking.
        clock: Returns a monotonic time, in seconds.
        writes: Announces names that are written.

    Attributes:
        direct: The store of each bucket that does not block, which is better used directly.
    """

    def __init__(
        self,
        disk: Disk,
        seconds: float,
        *,
        fresh: float = 0,
        stale: float = 0,
        quick: Store | None = None,
        clock: Callable[[], float] = time.monotonic,
        writes: Writes | None = None,
    ) -> None:
        self._disk, self._quick, self._clock = disk, quick, clock
        self._buckets = Buckets(disk, seconds, quick)
        self._heads = HeadCache(fresh, stale, clock)
        self._writes = writes or Writes()
        self._writes.forget = self._heads.drop
        self.direct = self._buckets.direct

    # -- buckets ---------------------------------------------------------------------------------

    @property
    def stuck(self) -> int:
        """Number of threads in a call whose deadline has passed."""
        return self._buckets.stuck()

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.base.Store`; for a root that may hang, as last seen."""
        if self._quick:
            return self._disk.root.fault()
        if self._buckets.root.stuck:
            return f"the store is away: {self._disk.root.path}: its file system does not answer"
        return self._disk.root.reason

    def stale_ok(self, bucket: str) -> bool:
        """Return ``False``: :meth:`stat` itself returns stale facts while the store is away."""
        return False

    def has(self, bucket: str) -> bool:
        """Return whether there is a bucket of this name, or was at the latest look.

        Raises:
            ServiceUnavailable: It is not known, and the store is away.
        """
        if self._buckets.has(bucket):
            return True
        if self.away:
            raise away()
        return False

    async def look(self) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await self._buckets.look()

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`; a bucket that hangs is included."""
        await self._buckets.look(anew=True)
        names = [name for name in self._buckets.names() if name != INTERNAL]
        return [(name, self._buckets.modified(name)) for name in names]

    async def create(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await self._run(bucket, partial(self._disk.create, bucket))
        self._buckets.add(bucket)

    async def remove(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await self._run(bucket, partial(self._disk.remove, bucket))
        self._buckets.drop(bucket)

    async def sweep(self) -> None:
        """See :class:`vipsgate.store.base.Store`; a bucket that hangs does not delay others."""
        sweeps = (
            self._run(name, partial(self._disk.sweep_bucket, name))
            for name in self._buckets.names()
        )
        await asyncio.gather(*map(_tried, sweeps))

    # -- objects ---------------------------------------------------------------------------------

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`; stale if the file system hangs."""
        info = (await self._see(bucket, key)).object
        if info is None:
            raise absent(key)
        return info

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`; from facts that are still fresh."""
        head = self._heads.fresh(f"{bucket}/{key}")
        return head and (head.object or ())

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> None:
        """Return ``None``, as a file here cannot be read without waiting."""

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`; a copy in memory."""
        opened = await file.opened(self._threads(bucket), self._disk, bucket, key)
        descriptor = spool.begin(opened.object.size)
        return await _copied(opened, descriptor, Arrival(opened.object, descriptor))

    def ranged(self, bucket: str) -> ThreadedStore:
        """See :class:`vipsgate.store.base.Store`."""
        return self

    async def begin(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.RangeReader`; a copy in memory that grows."""
        opened = await file.opened(self._threads(bucket), self._disk, bucket, key)
        descriptor = spool.begin(opened.object.size)
        arrival = Arrival(opened.object, descriptor)
        fetch = asyncio.ensure_future(_copied(opened, descriptor, arrival))
        try:
            await asyncio.sleep(0)  # a task that is cancelled before it begins closes nothing
            return await fetch if fetch.done() else Arriving.of(arrival, fetch)
        except BaseException:
            leave(fetch)
            raise

    async def read(self, bucket: str, key: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """See :class:`vipsgate.store.base.RangeReader`."""
        opened = await file.opened(self._threads(bucket), self._disk, bucket, key, span, info)
        return opened.pieces(span)

    def draft(self, bucket: str) -> ThreadedDraft:
        """See :class:`vipsgate.store.base.Store`."""
        return ThreadedDraft(
            BucketFolder(self._disk.root, bucket),
            partial(self._disk.look, bucket),
            known,
            self._threads(bucket),
            partial(self._forget, bucket),
        )

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        try:
            return await self._run(bucket, partial(self._disk.describe, bucket, key, properties))
        finally:
            await self._forget(bucket, key)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        try:
            await self._run(bucket, partial(self._disk.delete, bucket, key, expected))
        finally:
            await self._forget(bucket, key)

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """See :class:`vipsgate.store.base.Store`."""
        work = partial(self._disk.list, bucket, prefix, delimiter, after, limit)
        return await self._run(bucket, work)

    # -- internals -------------------------------------------------------------------------------

    def _threads(self, bucket: str) -> Threads:
        return self._buckets.threads(bucket)

    async def _run(self, bucket: str, work: Callable[[], T]) -> T:
        return await self._threads(bucket).run(work)

    async def _forget(self, bucket: str, key: str) -> None:
        """Drop the facts of an object that may have been replaced, in all processes."""
        self._heads.drop(f"{bucket}/{key}")
        await self._writes.announce(f"{bucket}/{key}")

    async def _see(self, bucket: str, key: str) -> Head:
        """Return the facts of an object: fresh, read now, or stale if the file system hangs.

        For a known object the caller waits at most :data:`REFRESH_TIMEOUT`; the read goes on in the
        background.
        """
        path = f"{bucket}/{key}"
        if head := self._heads.fresh(path):
            return head
        before = self._heads.stale(path)
        known = before if before and before.object else None  # a missing one may exist by now
        wait = REFRESH_TIMEOUT - self._heads.waited(path) if known else None
        try:
            async with asyncio.timeout(wait):
                return await self._heads.fetch(path, partial(self._look, bucket, key))
        except (TimeoutError, GatewayTimeout, ServiceUnavailable):
            if known is None:
                raise
            return known

    async def _look(self, bucket: str, key: str) -> Head:
        since = self._clock()
        try:
            return Head(await self._run(bucket, partial(self._disk.stat, bucket, key)), since=since)
        except NoSuchKey:
            return Head(None, since=since)


async def _copied(opened: file.File, descriptor: int, arrival: Arrival) -> Opened:
    """Copy a file to a memory file, advancing ``arrival`` for those who read it meanwhile."""
    try:
        async with contextlib.aclosing(opened.pieces(range(opened.object.size))) as pieces:
            async for piece in pieces:
                await spool.write(descriptor, piece)
                arrival.advance(len(piece))
    except BaseException:
        arrival.failed = True
        os.close(descriptor)
        raise
    return Opened(opened.object, descriptor)


async def _tried(work: Awaitable[None]) -> None:
    with contextlib.suppress(OssError):  # a failure must not stop the others
        await work

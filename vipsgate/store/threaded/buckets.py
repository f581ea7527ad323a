"""The buckets of a root, which of them may block, and the threads for those that may.

A bucket is inspected once, in a thread: it may block if its file system, or one mounted below it,
may. It is inspected again when something has been mounted or unmounted, or when the entries of the
root have changed. A bucket whose inspection takes too long counts as blocking until it ends. If the
root itself is on a disk of this machine, a folder made by hand is a bucket at once, so an unknown
name is inspected when it is requested: the event loop waits for that a fraction of a millisecond.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from concurrent.futures import Future, wait

from ...buckets import BUCKET, INTERNAL
from ..base import Store
from ..local.disk import Disk
from . import filesystems
from .filesystems import Folder
from .threads import MAX_THREADS, Threads

LOOK_SECONDS = 1.0  # for the inspection of all buckets together
PATIENCE_SECONDS = 0.2  # for which the loop waits for the inspection of an unknown name


class Buckets:
    """The buckets of a root.

    Args:
        disk: The operations on the root.
        seconds: Seconds that a call may take.
        quick: The store for buckets that do not block; ``None`` if all count as blocking.

    Attributes:
        direct: The store of each bucket that does not block.
        root: The threads of the root's file system.
    """

    def __init__(self, disk: Disk, seconds: float, quick: Store | None) -> None:
        self.direct: dict[str, Store] = {}
        self.root = Threads("root", seconds)
        self._disk, self._seconds, self._quick = disk, seconds, quick
        self._folders: dict[str, Folder] = {}  # as last inspected
        self._silent: set[str] = set()  # whose inspection failed or has not ended
        self._own: dict[str, Threads] = {}  # of buckets on file systems of their own
        self._looks: dict[str, Future[None]] = {}
        self._lookers = Threads("look", seconds)
        self._signs: tuple[bytes, int] | None = None  # of the latest look

    def threads(self, bucket: str) -> Threads:
        """Return the threads of a bucket's file system."""
        return self._own.get(bucket, self.root)

    def names(self) -> list[str]:
        """Return the names of all buckets, including the internal one, in order."""
        return sorted({INTERNAL, *self._folders, *self._silent})

    def modified(self, name: str) -> float:
        """Return the mtime of a bucket's folder, in seconds since the epoch; 0 if unknown."""
        folder = self._folders.get(name)
        return folder.modified if folder else 0.0

    def stuck(self) -> int:
        """Return the number of threads in a call whose deadline has passed."""
        return self.root.stuck + sum(own.stuck for own in tuple(self._own.values()))

    def has(self, name: str) -> bool:
        """Return whether there is a bucket of this name, or was at the latest look."""
        if self._is_known(name):
            return True
        if self._quick is None or not BUCKET.fullmatch(name):
            return False
        if sum(not look.done() for look in self._looks.values()) >= MAX_THREADS:
            return False  # all threads are busy, so the loop would wait in vain, each time
        wait([self._look_at(name)], PATIENCE_SECONDS)
        self._settle((name,))
        return self._is_known(name)

    def add(self, name: str) -> None:
        """Add a bucket that has just been created."""
        if self._quick is None:
            self._silent.add(name)

    def drop(self, name: str) -> None:
        """Drop a bucket that has just been removed."""
        self._take(name, None)

    async def look(self, *, anew: bool = False) -> None:
        """Find out which buckets there are, if mounts or the root may have changed.

        Args:
            anew: Whether to do so in any case.

        Raises:
            OssError: The root is unavailable, or hangs.
        """
        signs = await self.root.run(self._signs_now)
        if signs != self._signs or anew:
            names = {INTERNAL, *await self.root.run(self._disk.names)}
            for name in (self._folders.keys() | self._silent) - names:
                self._take(name, None)
        else:
            names = set(self._silent)
        if names:
            looks = [asyncio.wrap_future(self._look_at(name)) for name in names]
            await asyncio.wait(looks, timeout=LOOK_SECONDS)
        self._settle(names)
        self._signs = signs

    def _is_known(self, name: str) -> bool:
        return name in self._folders or name in self._silent or name == INTERNAL

    def _signs_now(self) -> tuple[bytes, int]:
        """Return a value that changes with any mount, and with the entries of the root."""
        self._disk.root.check()
        return filesystems.mounts(), os.stat(self._disk.root.path).st_mtime_ns

    def _look_at(self, name: str) -> Future[None]:
        """Begin to inspect a bucket, unless that has begun."""
        look = self._looks.get(name)
        if look is None or look.done():
            self._looks[name] = look = self._lookers.submit(self._inspect, name)
        return look

    def _settle(self, names: Iterable[str]) -> None:
        """Mark those buckets as silent whose inspection has not ended."""
        for name in names:
            look = self._looks.get(name)
            if look is None:  # another caller has waited for the same inspection
                continue
            if look.done():
                del self._looks[name]
            else:
                self._be_silent(name)

    def _inspect(self, name: str) -> None:
        """Inspect a bucket, in a thread, and apply the result."""
        try:
            self._take(name, filesystems.inspect(self._disk.root.path, name))
        except OSError:  # its file system fails
            self._be_silent(name)

    def _be_silent(self, name: str) -> None:
        self._own.setdefault(name, Threads(name, self._seconds))
        self._silent.add(name)
        self.direct.pop(name, None)

    def _take(self, name: str, folder: Folder | None) -> None:
        """Apply the result of an inspection; ``None`` if there is no such bucket."""
        if folder is None:
            self._folders.pop(name, None)
            if own := self._own.pop(name, None):
                own.close()
        else:
            self._folders[name] = folder
            if folder.own:
                self._own.setdefault(name, Threads(name, self._seconds))
        if folder and self._quick and not folder.blocking:
            self.direct[name] = self._quick
        else:
            self.direct.pop(name, None)
        self._silent.discard(name)

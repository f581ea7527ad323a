"""Which buckets a root has, which of them may hang, and the threads of those that may.

A bucket is looked at once, in a thread: does its file system, or one mounted below it, let its
reader wait? It is looked at again when something has been mounted or unmounted, or the root has
other entries. A bucket that does not say what it is in time is taken for one that hangs until it
does. Where the root itself is on a disk of this machine, a name that has not been looked at yet is
looked at when it is asked for, as a folder made by hand is a bucket at once: that takes a fraction
of a millisecond, and the loop waits for it.
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

LOOK_SECONDS = 1.0  # for all buckets together to say what they are
PATIENCE_SECONDS = 0.2  # that the loop waits for a name that is not known yet, once


class Buckets:
    """The buckets of a root.

    Args:
        disk: What is done in the root.
        seconds: That a call may take.
        quick: The store for buckets whose files do not block; ``None`` where all count as blocking.

    Attributes:
        direct: The buckets whose files do not block, with their store.
        root: The threads of the root's file system.
    """

    def __init__(self, disk: Disk, seconds: float, quick: Store | None) -> None:
        self.direct: dict[str, Store] = {}
        self.root = Threads("root", seconds)
        self._disk, self._seconds, self._quick = disk, seconds, quick
        self._folders: dict[str, Folder] = {}  # as they were seen last
        self._silent: set[str] = set()  # that have not said what they are
        self._own: dict[str, Threads] = {}  # of buckets on file systems of their own
        self._looks: dict[str, Future[None]] = {}
        self._lookers = Threads("look", seconds)
        self._signs: tuple[bytes, int] | None = None  # of the last look

    def threads(self, bucket: str) -> Threads:
        """The threads of a bucket's file system."""
        return self._own.get(bucket, self.root)

    def names(self) -> list[str]:
        """Of all that are there, our own among them, in order."""
        return sorted({INTERNAL, *self._folders, *self._silent})

    def modified(self, name: str) -> float:
        """When a bucket was made, in seconds since the epoch; 0 where that is not known."""
        folder = self._folders.get(name)
        return folder.modified if folder else 0.0

    def stuck(self) -> int:
        """How many threads are in a call whose time is over."""
        return self.root.stuck + sum(own.stuck for own in tuple(self._own.values()))

    def has(self, name: str) -> bool:
        """Is there such a bucket, or was there at the last look?"""
        if self._is_known(name):
            return True
        if self._quick is None or not BUCKET.fullmatch(name):
            return False
        if sum(not look.done() for look in self._looks.values()) >= MAX_THREADS:
            return False  # nobody could look, and the loop is not to wait again and again
        wait([self._look_at(name)], PATIENCE_SECONDS)
        self._settle((name,))
        return self._is_known(name)

    def add(self, name: str) -> None:
        """One has just been made."""
        if self._quick is None:
            self._silent.add(name)

    def drop(self, name: str) -> None:
        """One has just been taken away."""
        self._take(name, None)

    async def look(self, *, anew: bool = False) -> None:
        """See which there are, where that can have changed.

        Args:
            anew: Also where it cannot.

        Raises:
            OssError: The root is away, or hangs.
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
        """What is another one as soon as something is mounted, or made in the root."""
        self._disk.root.check()
        return filesystems.mounts(), os.stat(self._disk.root.path).st_mtime_ns

    def _look_at(self, name: str) -> Future[None]:
        """Begin to look at a bucket, unless that is under way."""
        look = self._looks.get(name)
        if look is None or look.done():
            self._looks[name] = look = self._lookers.submit(self._inspect, name)
        return look

    def _settle(self, names: Iterable[str]) -> None:
        """Buckets that are still being looked at have not said what they are."""
        for name in names:
            look = self._looks.get(name)
            if look is None:  # somebody else has waited for the same look
                continue
            if look.done():
                del self._looks[name]
            else:
                self._be_silent(name)

    def _inspect(self, name: str) -> None:
        """In a thread: see what a bucket is, and go by that from now on."""
        try:
            self._take(name, filesystems.inspect(self._disk.root.path, name))
        except OSError:  # its file system fails now
            self._be_silent(name)

    def _be_silent(self, name: str) -> None:
        self._own.setdefault(name, Threads(name, self._seconds))
        self._silent.add(name)
        self.direct.pop(name, None)

    def _take(self, name: str, folder: Folder | None) -> None:
        """Go by what a bucket is; ``None`` for none."""
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

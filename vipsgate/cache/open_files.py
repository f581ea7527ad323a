"""Keeps the most recently read small files open.

Reading an open file takes one system call, instead of four to open, stat, read and close it, which
is a fifth of the cost of a hit. The content of a file never changes: its name covers everything
that its bytes depend on, and files are replaced, never written to. So an open file has the right
bytes even if another process has removed it. Once a second it is checked that the file still has
its name; if not, it is closed, which frees its space on the disk.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from . import budget as budgets
from .entry import CacheKey

LOOK_INTERVAL = 1.0  # seconds between two checks that a file still has its name


class OpenFile(NamedTuple):
    """An open file.

    Attributes:
        path: Its path.
        descriptor: Its descriptor.
        size: Size of the body, at its beginning, in bytes.
        facts: Its device and inode.
        due: When it is next checked that it has its name, in seconds of the clock.
    """

    path: str
    descriptor: int
    size: int
    facts: tuple[int, int]
    due: float


class OpenFiles:
    """Open files by cache key.

    Args:
        most: The most files to keep open; 0 for none.
        clock: Returns a monotonic time, in seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._files: OrderedDict[CacheKey, OpenFile] = OrderedDict()
        weakref.finalize(self, _close_all, self._files)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, cache_key: CacheKey) -> bytes | None:
        """Return a body, or ``None`` if its file is not open or was removed."""
        file = self._files.get(cache_key)
        if file is None:
            return None
        try:
            now = self._clock()
            if now < file.due or self._is_there(cache_key, file, now):
                data = os.pread(file.descriptor, file.size, 0)
                if len(data) == file.size:
                    self._files.move_to_end(cache_key)
                    return data
        except OSError:
            pass
        self._drop(cache_key)
        return None

    def keep(
        self, cache_key: CacheKey, path: str, descriptor: int, size: int, facts: os.stat_result
    ) -> None:
        """Keep a file open; if there are too many, close the one that was not read for longest.

        Args:
            cache_key: The name of its entry, which has no open file yet.
            path: Its path.
            descriptor: Its descriptor, which is closed here, now or later.
            size: Size of the body, at its beginning, in bytes.
            facts: Its current facts.
        """
        due, which = self._clock() + LOOK_INTERVAL, (facts.st_dev, facts.st_ino)
        self._files[cache_key] = OpenFile(path, descriptor, size, which, due)
        if len(self._files) > self._most:
            self._drop(next(iter(self._files)))

    def forget(self, bucket: str, key: str) -> None:
        """Close all open files of an object."""
        for cache_key in [each for each in self._files if each[:2] == (bucket, key)]:
            self._drop(cache_key)

    def close(self) -> None:
        """Close all files."""
        _close_all(self._files)

    def _is_there(self, cache_key: CacheKey, file: OpenFile, now: float) -> bool:
        """Return whether a file still has its name, and mark it as used, for scans.

        Raises:
            OSError: There is no file of that name, or the file system fails.
        """
        facts = os.stat(file.path)
        if (facts.st_dev, facts.st_ino) != file.facts:
            return False
        budgets.touch(file.descriptor, facts)
        self._files[cache_key] = file._replace(due=now + LOOK_INTERVAL)
        return True

    def _drop(self, cache_key: CacheKey) -> None:
        os.close(self._files.pop(cache_key).descriptor)


def _close_all(files: OrderedDict[CacheKey, OpenFile]) -> None:
    while files:
        os.close(files.popitem()[1].descriptor)

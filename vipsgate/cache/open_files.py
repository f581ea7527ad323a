"""Small files that are asked for again, kept open: those read last.

To read a file that is open takes one call of the system, where to open, look at, read and close it
takes four, and with them a fifth of what a hit costs. What the files are about never changes, for
their names cover all that their bytes depend on, and they are replaced and never written to. So one
that is open has the right bytes even when another process has removed it. It is looked for under
its name only now and then, so that it is missed as soon as that, and its bytes on the disk are
free.
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

LOOK_INTERVAL = 1.0  # seconds between two looks whether a file is still there


class OpenFile(NamedTuple):
    """A file that is open.

    Attributes:
        path: Its name.
        descriptor: Its descriptor.
        size: Bytes of the body that it begins with.
        facts: Its device and its inode.
        due: When it is looked for under its name, in seconds of the clock.
    """

    path: str
    descriptor: int
    size: int
    facts: tuple[int, int]
    due: float


class OpenFiles:
    """Open files by cache key.

    Args:
        most: How many there may be; 0 for none.
        clock: Seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._files: OrderedDict[CacheKey, OpenFile] = OrderedDict()
        weakref.finalize(self, _close_all, self._files)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, cache_key: CacheKey) -> bytes | None:
        """Return a body; ``None`` where its file is not open, or not there any more."""
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
        """Keep a file open, if that may be; its descriptor is closed here, now or later.

        Args:
            cache_key: What is in it; its file is not open yet.
            path: Its name.
            descriptor: Its descriptor.
            size: Bytes of the body that it begins with.
            facts: Its facts of this moment.
        """
        due, which = self._clock() + LOOK_INTERVAL, (facts.st_dev, facts.st_ino)
        self._files[cache_key] = OpenFile(path, descriptor, size, which, due)
        if len(self._files) > self._most:
            self._drop(next(iter(self._files)))

    def forget(self, bucket: str, key: str) -> None:
        """Close all files of an object."""
        for cache_key in [each for each in self._files if each[:2] == (bucket, key)]:
            self._drop(cache_key)

    def close(self) -> None:
        """Close all of them."""
        _close_all(self._files)

    def _is_there(self, cache_key: CacheKey, file: OpenFile, now: float) -> bool:
        """Is it still there under its name? Scans are told that it is used.

        Raises:
            OSError: It is not, or nobody can tell.
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

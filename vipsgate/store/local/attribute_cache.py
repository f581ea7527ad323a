"""A cache of what is known of files, valid as long as ``fstat`` says the same of them.

Reading a file's extended attribute and making a tag of its times takes a third of a lookup. Neither
changes while the facts of ``fstat`` are the same, the time of the inode among them. But clocks are
coarse: a file that changes twice within one tick has the same facts in between. So a result is kept
only where the facts had been the same for longer than any tick, by the clock of this process, as
that of the file system may be another one. What could not be read is read again.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from ..base import Object
from .xattr import CLOSED

SECONDS = 3.0  # FAT has the coarsest times, of two seconds
MAX_FILES = 8192  # that are known; one takes about 0.6 KB

Read = Callable[[int, os.stat_result], Object]


class AttributeCache:
    """What is known of files, by their facts; may be used by several threads.

    Args:
        read: Reads what there is to know of an open file with these facts.
        clock: Seconds.
        most: Files that are remembered.
    """

    def __init__(
        self, read: Read, clock: Callable[[], float] = time.monotonic, most: int = MAX_FILES
    ) -> None:
        self._read, self._clock, self._most = read, clock, most
        # what is known of a file with these facts, or since when it has them
        self._files: OrderedDict[tuple[int, ...], Object | float] = OrderedDict()

    def known(self, descriptor: int, facts: os.stat_result) -> Object:
        """Return what is known of an open file with these facts, read now or before."""
        times = facts.st_mtime_ns, facts.st_ctime_ns
        name = (facts.st_dev, facts.st_ino, facts.st_size, *times)
        before = self._files.get(name)
        if isinstance(before, Object):
            return before
        result = self._read(descriptor, facts)
        if before is None:
            self._files[name] = self._clock()
            if len(self._files) > self._most:
                self._files.popitem(last=False)
        elif self._clock() - before > SECONDS and result.properties is not CLOSED:
            self._files[name] = result = replace(result, mark=name)
        return result

"""A cache of the facts of files, valid as long as the result of ``fstat`` stays the same.

Reading a file's extended attribute and making a tag of its times takes a third of a lookup. Neither
changes while the result of ``fstat``, which includes the ctime, stays the same. But clocks are
coarse: a file that changes twice within one tick may have the same times after both changes. So an
entry is only stored if the times have been the same for longer than any tick, by the clock of this
process, as the file system's clock may differ. What could not be read is not stored.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from ... import filetimes
from ..base import Object
from .xattr import CLOSED

SECONDS = 3.0  # longer than a tick; FAT has the coarsest times, of two seconds
MAX_FILES = 8192  # that are remembered; one takes about 0.6 KB

Read = Callable[[int, os.stat_result], Object]


class AttributeCache:
    """The objects of files, by the result of ``fstat``; may be used by several threads.

    Args:
        read: Reads the object of an open file, given its descriptor and its ``fstat`` result.
        clock: Returns the time in seconds.
        most: Number of files that are remembered.
    """

    def __init__(
        self, read: Read, clock: Callable[[], float] = time.monotonic, most: int = MAX_FILES
    ) -> None:
        self._read, self._clock, self._most = read, clock, most
        # the object of a file, or since when its ``fstat`` result has been the same
        self._files: OrderedDict[tuple[int, ...], Object | float] = OrderedDict()

    def known(self, descriptor: int, facts: os.stat_result) -> Object:
        """Return the object of an open file with this ``fstat`` result, read now or before."""
        name = (facts.st_dev, facts.st_ino, facts.st_size, *filetimes.of(facts))
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

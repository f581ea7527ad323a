"""The scoreboard: shared memory in which every front publishes numbers about itself.

Each number has one writer and eight bytes, aligned to eight, so it is read without a lock. There is
a lock for decisions that only one process at a time may make: a record lock on the memory file,
which the kernel releases when a process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from enum import IntEnum, auto

CLAIM_SLOTS = 4096  # of a front, see .claims; many more than the pictures that it makes at a time
CELL = 8  # bytes
LATE_SECONDS = 3.0  # without a heartbeat, due each second, after which a front does not respond
MICRO = 1_000_000


class Column(IntEnum):
    """The numbers of a front; times in microseconds."""

    ALIVE = 0  # 1 while it serves
    SENT = auto()  # connections that were passed to it; written by the parent
    RECEIVED = auto()  # those of them that it has received
    CONNECTIONS = auto()  # open connections
    BEAT = auto()  # time of its latest heartbeat, by the monotonic clock, which all processes share
    RENDERERS = auto()  # renderers that work at a time
    FREE = auto()  # jobs that its renderers could begin now
    WAITING = auto()  # jobs that wait
    HEAVY = auto()  # heavy jobs that wait
    ANIMATED = auto()  # animations that wait
    WORK = auto()  # time that its renderers need for the quick jobs that wait
    HEAVY_WORK = auto()  # time of one core for waiting heavy jobs, and half of the running ones
    ANIMATED_WORK = auto()  # likewise for animations
    HELD = auto()  # bytes of memory for which heavy jobs and animations have a permit
    LACKING = auto()  # deadline of the job that lacks only such a permit; 0 for none
    ANIMATIONS = auto()  # animations that run
    FIRST_ANIMATION = auto()  # deadline of the first animation that waits; 0 for none


class Scoreboard:
    """The numbers of all fronts, a row each.

    Args:
        fronts: Number of fronts.

    Attributes:
        fronts: Number of fronts.
        claims: The slots of :mod:`.claims`, by front.
        totals: Descriptor of a memory file in which the leader stores totals for its successor.
    """

    def __init__(self, fronts: int) -> None:
        self.fronts = fronts
        cells = fronts * len(Column)
        size = (cells + fronts * CLAIM_SLOTS) * CELL
        self._file = os.memfd_create("vipsgate-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(self._file, size)
        self.totals = os.memfd_create("vipsgate-totals", os.MFD_CLOEXEC)
        whole = memoryview(mmap.mmap(self._file, size)).cast("q")
        self._cells = whole[:cells]
        begins = range(cells, len(whole), CLAIM_SLOTS)
        self.claims = [whole[begin : begin + CLAIM_SLOTS] for begin in begins]

    def get(self, front: int, column: Column) -> int:
        """Return a number of a front."""
        return self._cells[front * len(Column) + column]

    def set(self, front: int, column: Column, value: int) -> None:
        """Write a number of a front."""
        self._cells[front * len(Column) + column] = value

    def add(self, front: int, column: Column, value: int) -> None:
        """Add to a number of a front; two writers at once may lose one of the changes."""
        self._cells[front * len(Column) + column] += value

    def column(self, column: Column) -> list[int]:
        """Return a number of all fronts, in their order."""
        return self._cells[column :: len(Column)].tolist()

    def others(self, front: int, column: Column) -> int:
        """Return the sum of a number over all other fronts."""
        return sum(self.column(column)) - self.get(front, column)

    def clear(self, front: int) -> None:
        """Set all numbers of a front that has ended to 0."""
        for column in Column:
            self.set(front, column, 0)

    def responds(self, front: int) -> bool:
        """Return whether a front serves, and its latest heartbeat is not late."""
        late = time.monotonic() - LATE_SECONDS
        return bool(self.get(front, Column.ALIVE)) and self.get(front, Column.BEAT) > late * MICRO

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Return a context that holds the lock, which is meant for microseconds."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

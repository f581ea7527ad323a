"""The scoreboard: shared memory in which every front publishes numbers about itself.

Every number has one writer and is eight bytes at an address that divides by eight, so reading takes
no lock. What only one process at a time may decide takes the lock: a record lock of the file behind
the memory, which the kernel releases when a process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from enum import IntEnum, auto

CLAIM_SLOTS = 4096  # of a front, see .claims; many more than it has pictures under way
CELL = 8  # bytes
LATE_SECONDS = 3.0  # without a heartbeat, of one a second; then the front does not respond
MICRO = 1_000_000


class Column(IntEnum):
    """The numbers of a front; times in microseconds."""

    ALIVE = 0  # 1 from when it serves until it ends
    SENT = auto()  # connections that were passed to it; written by the parent
    RECEIVED = auto()  # those of them that it has received
    CONNECTIONS = auto()  # that are open
    BEAT = auto()  # its latest heartbeat, by the monotonic clock, which all processes share
    RENDERERS = auto()  # that work at a time
    FREE = auto()  # jobs that its renderers could begin now
    WAITING = auto()  # jobs that wait
    HEAVY = auto()  # those of them that are heavy pictures
    ANIMATED = auto()  # those of them that are animations
    WORK = auto()  # time that its renderers need for the quick ones that wait
    HEAVY_WORK = auto()  # time of one core for heavy pictures that wait and half of those at work
    ANIMATED_WORK = auto()  # likewise for animations
    HELD = auto()  # bytes of memory for which jobs that are no quick ones have a permit
    LACKING = auto()  # deadline of its job that waits for such a permit and nothing else
    ANIMATIONS = auto()  # that are under work
    FIRST_ANIMATION = auto()  # deadline of the first one that waits


class Scoreboard:
    """The numbers of all fronts, a row each.

    Args:
        fronts: How many there are.

    Attributes:
        fronts: Likewise.
        claims: The slots of :mod:`.claims`, by front.
        totals: Descriptor of a file in memory in which the leader keeps what its successor needs.
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
        """Does a front serve, and was there a heartbeat lately?"""
        late = time.monotonic() - LATE_SECONDS
        return bool(self.get(front, Column.ALIVE)) and self.get(front, Column.BEAT) > late * MICRO

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock, for a few microseconds; no other process has it meanwhile."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

"""Numbers that the fronts tell of themselves, in memory that all of them map.

Every number has one writer and is eight bytes at an address that divides by eight, so reading takes
no lock. What has to be decided by one at a time, takes the lock: a record lock of the file behind
the memory, which the kernel takes away from a process that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from enum import IntEnum, auto

CLAIMS = 4096  # places of a front for what it makes; many more than it has pictures under way
CELL = 8  # bytes
LATE_SECONDS = (
    3.0  # without a sign of life, after which nobody waits for a front; it gives one a second
)
MICRO = 1_000_000


class Column(IntEnum):
    """What is told of a front; times in microseconds."""

    ALIVE = 0  # 1 from when it serves to its end
    SENT = auto()  # connections that were handed to it; written by the parent
    RECEIVED = auto()  # those of them that it has got
    CONNECTIONS = auto()  # that are open
    BEAT = auto()  # when its loop has turned last, by the clock that all processes share
    RENDERERS = auto()  # that work at a time
    FREE = auto()  # jobs that its renderers could begin now
    WAITING = auto()  # jobs that wait
    HEAVY = auto()  # those of them that are no quick ones
    WORK = auto()  # time that its renderers need for the quick ones that wait
    HEAVY_WORK = auto()  # time of one core for those that are no quick ones, waiting or under work
    HELD = auto()  # bytes of memory for which heavy jobs have a permit


class Table:
    """The numbers of all fronts.

    Args:
        fronts: How many there are.
    """

    def __init__(self, fronts: int) -> None:
        self.fronts = fronts
        cells = fronts * len(Column)
        size = (cells + fronts * CLAIMS) * CELL
        self._file = os.memfd_create("vipsgate-fronts", os.MFD_CLOEXEC)
        os.ftruncate(self._file, size)
        whole = memoryview(mmap.mmap(self._file, size)).cast("q")
        self._cells = whole[:cells]
        begins = range(cells, len(whole), CLAIMS)
        self.claims = [whole[begin : begin + CLAIMS] for begin in begins]  # of .claims, by front

    def get(self, front: int, column: Column) -> int:
        """A number of a front."""
        return self._cells[front * len(Column) + column]

    def set(self, front: int, column: Column, value: int) -> None:
        """Tell a number of a front."""
        self._cells[front * len(Column) + column] = value

    def add(self, front: int, column: Column, value: int) -> None:
        """Tell that a number of a front is another one by ``value``."""
        self._cells[front * len(Column) + column] += value

    def column(self, column: Column) -> list[int]:
        """A number of all fronts."""
        return self._cells[column :: len(Column)].tolist()

    def others(self, front: int, column: Column) -> int:
        """The sum of a number of all other fronts."""
        return sum(self.column(column)) - self.get(front, column)

    def clear(self, front: int) -> None:
        """Forget what was told of a front that has ended."""
        for column in Column:
            self.set(front, column, 0)

    def responds(self, front: int) -> bool:
        """Does a front serve, and has its loop turned lately?"""
        late = time.monotonic() - LATE_SECONDS
        return bool(self.get(front, Column.ALIVE)) and self.get(front, Column.BEAT) > late * MICRO

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one of all processes; for a few microseconds."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

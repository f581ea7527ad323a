"""Inserts bytes into a file that has just been written, without reading it into memory."""

from __future__ import annotations

import os

PIECE = 1 << 20  # bytes that are moved at a time


def insert(descriptor: int, at: int, data: bytes) -> None:
    """Insert bytes at a position; those from there on are moved."""
    end = os.fstat(descriptor).st_size
    while end > at:  # the last first
        begin = max(at, end - PIECE)
        os.pwrite(descriptor, os.pread(descriptor, end - begin, begin), begin + len(data))
        end = begin
    os.pwrite(descriptor, data, at)

"""The file of a cache entry: its body, its metadata in JSON, and a checksum of both.

The body comes first, so it can be sent from the file. Nothing is flushed to the disk: a file that a
crash has truncated is detected by its checksum.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable

import orjson

from .entry import Entry

TAIL = struct.Struct("<II8s")  # checksum, length of the JSON, and a magic number
MARK = b"vipsgat2"
TAIL_BYTES = 1024  # read at once; the JSON has about 100 bytes, and 300 with all notes
CHUNK = 1 << 20  # bytes copied at a time


def tail(entry: Entry) -> bytes:
    """Return what follows the body in the file of an entry."""
    about = {"mime": entry.mime, "missing": entry.missing, "size": entry.size}
    text = orjson.dumps({**about, "notes": entry.notes})
    return text + TAIL.pack(_checksum(entry, text), len(text), MARK)


def write(descriptor: int, entry: Entry, end: bytes) -> None:
    """Write a body and the bytes that follow it, in as few calls as possible.

    Each call releases the GIL, and then waits for the busy event loop to get it again.

    Raises:
        OSError: Not all of it can be written.
    """
    if entry.data is not None:
        end = entry.data + end
    else:
        for start in range(0, entry.size, CHUNK):
            _write(descriptor, os.pread(entry.descriptor, min(CHUNK, entry.size - start), start))
    _write(descriptor, end)


def read(descriptor: int, size: int) -> tuple[Entry, Callable[[], bool]]:
    """Return the entry in a file, and a function that tells whether its checksum is right.

    Args:
        descriptor: The file; it becomes the descriptor of the entry.
        size: Size of the file, in bytes.

    Raises:
        OSError: It cannot be read.
        ValueError: It is truncated, or not the file of an entry.
    """
    end = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    try:
        checksum, length, mark = TAIL.unpack(end[-TAIL.size :])
        text = end[-TAIL.size - length : -TAIL.size]
        about = orjson.loads(text)
        entry = Entry(
            about["mime"],
            about["missing"],
            about["size"],
            descriptor=descriptor,
            notes=tuple(about["notes"]),
        )
        whole = mark == MARK and entry.size + length + TAIL.size == size
    except (TypeError, KeyError, struct.error):
        whole = False
    if not whole:
        raise ValueError("not the file of an entry")
    return entry, lambda: _checksum(entry, text) == checksum


def _write(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, "the disk is full")


def _checksum(entry: Entry, text: bytes) -> int:
    """Return the checksum of a body and of the JSON that follows it."""
    if entry.data is not None:
        return zlib.crc32(text, zlib.crc32(entry.data))
    crc = 0
    for start in range(0, entry.size, CHUNK):
        crc = zlib.crc32(os.pread(entry.descriptor, min(CHUNK, entry.size - start), start), crc)
    return zlib.crc32(text, crc)

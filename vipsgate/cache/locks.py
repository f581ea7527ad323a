"""Locks of cache entries that several processes make, so that each is made once.

The process that makes an entry locks one byte of a file that all processes share, at an offset
derived from the entry's name; with a file for each lock, this would take six system calls instead
of two. The kernel releases the locks of a process that ends.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import weakref

from .entry import CacheKey

PLACE_DIGITS = 15  # hexadecimal digits of a variant that give the offset: 60 bits of its 63
LOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, 0 (fcntl(2))
POLL = 0.02  # seconds between two attempts to lock what another process makes


class Locks:
    """The locks that this process holds, in a file.

    Args:
        path: The file, created if missing.
        mode: Its mode then.

    Raises:
        OSError: The file cannot be created or opened.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, mode)
        weakref.finalize(self, os.close, self._file)
        self._held: set[int] = set()  # offsets

    async def acquire(self, cache_key: CacheKey) -> bool:
        """Wait until no other process makes this entry, and lock it until :meth:`release`.

        Returns:
            Whether it has waited for another process, which may have stored the entry.
        """
        place, waited = _place(cache_key), False
        while place in self._held or not self._lock(place, fcntl.F_WRLCK):
            waited = True
            await asyncio.sleep(POLL)
        self._held.add(place)
        return waited

    def release(self, cache_key: CacheKey) -> None:
        """Release a lock; this may be called in another thread."""
        place = _place(cache_key)
        self._lock(place, fcntl.F_UNLCK)
        self._held.discard(place)  # last, or the call above might release a lock taken since

    def _lock(self, place: int, kind: int) -> bool:
        """Lock or unlock an offset; return ``False`` while another process holds it."""
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, LOCK.pack(kind, os.SEEK_SET, place, 1, 0))
        except OSError as error:  # without locks, pictures may be made twice
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True


def _place(cache_key: CacheKey) -> int:
    """Return the offset of an entry's lock."""
    return int(cache_key.variant[:PLACE_DIGITS], 16)

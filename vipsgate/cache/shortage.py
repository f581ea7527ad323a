"""Want of room on a disk that is full before a cache has the bytes that it may have.

A cache notes what had no room, and then removes its least recently used files (:mod:`.budget`). It
does so once in some seconds only, because it may be others who take what becomes free.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import time

INTERVAL = 5.0  # least seconds between two removals
WARNING_INTERVAL = 60.0  # seconds between two warnings
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))  # errors of a disk without room
KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE (fallocate(2))
log = logging.getLogger(__name__)


class Shortage:
    """What has had no room since files were last removed.

    Args:
        setting: The setting of the cache's budget, for the log.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        # bytes of the smallest file, 0 for none; when files may be removed again, and when a
        # warning was logged, in seconds of the clock
        self._lacking, self._patient_until, self._warned = 0, 0.0, -WARNING_INTERVAL

    def note(self, error: OSError, size: int) -> bool:
        """Note an error of a write; return whether that was want of room.

        Args:
            error: The error.
            size: Bytes of the file that was to be written.
        """
        if error.errno not in NO_ROOM:
            return False
        self._lacking = min(self._lacking, size) if self._lacking else size
        now = time.monotonic()
        if now >= self._warned + WARNING_INTERVAL:
            self._warned = now
            log.warning(
                "the cache's disk is full, with less than %s in the cache (%s): "
                "what was not used for longest is removed",
                self._setting,
                error.strerror,
            )
        return True

    def due(self) -> int:
        """Return the bytes of the file for which to remove others now; 0 for none."""
        return self._lacking if time.monotonic() >= self._patient_until else 0

    def met(self) -> None:
        """Note that files were removed; what had no room meanwhile may have it now."""
        self._lacking = 0
        self._patient_until = time.monotonic() + INTERVAL


def reserve(descriptor: int, size: int) -> None:
    """Reserve room for a file that will be written, where its file system can do that.

    Its size stays as it is.

    Args:
        descriptor: The file.
        size: Its bytes in the end.

    Raises:
        OSError: There is no room.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    at, length = ctypes.c_int64(0), ctypes.c_int64(size)
    if size and libc.fallocate(descriptor, KEEP_SIZE, at, length):
        code = ctypes.get_errno()
        if code in NO_ROOM:
            raise OSError(code, os.strerror(code))

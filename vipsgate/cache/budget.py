"""A budget of bytes for files that several processes may share: what is removed, and when.

A scan lists all files; it is due whenever this process has written a certain part of the budget.
The least recently used files are removed first. A file's modification time is the time of its last
use, because file systems are often mounted without access times.

Where the disk has no room before the budget is used up, because it is smaller or others fill it, a
scan is due as soon as a file cannot be written.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

SCAN_SHARE = 16  # a scan is due after 1/16 of the budget; other processes may write as much
FREE_SHARE = 8  # a scan that removes files leaves 1/8 of the budget free
RECENT = 60.0  # seconds within which a file counts as just used

File = tuple[float, int, str]  # time of its last use, size in bytes, path


def scan_interval(budget: int) -> int:
    """Return the number of bytes to write between two scans."""
    return budget // SCAN_SHARE


def excess(files: Iterable[File], budget: int, lacking: int = 0) -> list[str]:
    """Return the paths of the files to remove, the least recently used first.

    Where the disk had no room, they have an eighth of all bytes, or more where a larger file could
    not be written. There are none if that file is larger than all others together, as it would not
    fit then, either.

    Args:
        files: All files.
        budget: The bytes that they may have together.
        lacking: Bytes of the file for which the disk had no room; 0 if it has had room.
    """
    oldest = sorted(files)
    total = sum(size for _, size, _ in oldest)
    if total > budget:
        return _oldest(oldest, total - budget + budget // FREE_SHARE)
    if 0 < lacking <= total:
        return _oldest(oldest, max(total // FREE_SHARE, lacking))
    return []


def _oldest(files: Iterable[File], least: int) -> list[str]:
    """Return the paths of the first files that have so many bytes together."""
    paths = []
    for _, size, path in files:
        if least <= 0:
            break
        paths.append(path)
        least -= size
    return paths


def touch(file: str | int, facts: os.stat_result) -> None:
    """Set the time of a file's last use to now, unless that was done within :data:`RECENT`.

    Raises:
        OSError: The file belongs to another user.
    """
    if abs(facts.st_mtime - time.time()) > RECENT:
        os.utime(file)


def last_use(path: str, facts: os.stat_result, now: float) -> float:
    """Return the time of a file's last use, or of its last change where it is a temporary one.

    A time in the future, from before the clock was set back, is set to now. Such a file would stay
    until that time has come, whoever looks; from now on it is as old as any other.

    Args:
        path: Its path.
        facts: Its facts.
        now: Seconds since the epoch.
    """
    if facts.st_mtime <= now + RECENT:
        return facts.st_mtime
    with contextlib.suppress(OSError):  # it belongs to another user
        os.utime(path, (now, now))
    return now

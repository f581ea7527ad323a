"""A budget of bytes for files that several processes may share: what is removed, and when.

A scan lists all files; it is due whenever this process has written a certain part of the budget.
The least recently used files are removed first. A file's modification time is the time of its last
use, because file systems are often mounted without access times.
"""

from __future__ import annotations

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


def excess(files: Iterable[File], budget: int) -> list[str]:
    """Return the paths of the files to remove, the least recently used first.

    Args:
        files: All files.
        budget: The bytes that they may have together.
    """
    oldest = sorted(files)
    total = sum(size for _, size, _ in oldest)
    if total <= budget:
        return []
    paths = []
    for _, size, path in oldest:
        if total <= budget - budget // FREE_SHARE:
            break
        paths.append(path)
        total -= size
    return paths


def touch(file: str | int, facts: os.stat_result) -> None:
    """Set the time of a file's last use to now, unless that was done within :data:`RECENT`.

    Raises:
        OSError: The file belongs to another user.
    """
    if facts.st_mtime < time.time() - RECENT:
        os.utime(file)

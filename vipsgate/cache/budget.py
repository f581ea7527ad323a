"""Files within a budget of bytes, which several processes may share: what is removed, and when.

A scan looks at all files; one is due after each part of the budget that this process has written.
What was not used for longest is removed first; a file's modification time is when it was last
used, since access times are often not kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

SCAN_SHARE = 16  # a scan is due after such a part of the budget; others may have written as much
FREE_SHARE = 8  # a scan that removes files leaves such a part of the budget free
RECENT = 60.0  # seconds within which a file counts as just used

File = tuple[float, int, str]  # when it was last used, its bytes, its path


def scan_interval(budget: int) -> int:
    """Return the bytes that are written between two scans."""
    return budget // SCAN_SHARE


def excess(files: Iterable[File], budget: int) -> list[str]:
    """Return the paths of the files that have to go, those used longest ago first.

    Args:
        files: All that there are.
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
    """Tell scans that a file, by its path or descriptor, is used, if that was not told lately.

    Raises:
        OSError: The file is another user's.
    """
    if facts.st_mtime < time.time() - RECENT:
        os.utime(file)

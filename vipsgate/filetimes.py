"""Tells by its times and its size whether an open file was written to.

Called after a read, :func:`changed` tells whether the bytes that were read are those of the file as
it was opened: the kernel sets the time of a write before it copies any byte.
"""

from __future__ import annotations

import os

FileTimes = tuple[int, int]  # st_mtime_ns and st_ctime_ns, in nanoseconds since the epoch


def of(facts: os.stat_result) -> FileTimes:
    """Return the times of a file."""
    return facts.st_mtime_ns, facts.st_ctime_ns


def changed(descriptor: int, size: int, times: FileTimes | None) -> bool:
    """Return whether a file was written to since it was opened.

    The ctime changes even if the same number of bytes is written and the mtime is set back. A file
    that was removed or replaced has another ctime, too, but has not changed.

    Args:
        descriptor: Its descriptor.
        size: Its size when it was opened, in bytes.
        times: Its times then; ``None`` for a file that is never written to.
    """
    if times is None:
        return False
    facts = os.fstat(descriptor)
    if (facts.st_mtime_ns, facts.st_size) != (times[0], size):
        return True
    return facts.st_ctime_ns != times[1] and facts.st_nlink > 0

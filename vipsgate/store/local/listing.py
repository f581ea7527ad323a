"""Lists the keys of a folder in the order of their bytes, in memory that does not grow with it.

A folder is sorted by its name with a ``/`` at its end, so that ``a.b`` comes before ``a/b``. It may
also be an object itself, with the ``/`` and without (:mod:`.folders`). Only the next few entries of
each folder are held; when they are used up, it is read again. Symlinks to folders are not followed,
as there may be cycles. For a folder that will be a common prefix any object in it will do, so it is
read unsorted, up to the first one.
"""

from __future__ import annotations

import errno
import heapq
import os
from collections.abc import Iterator

from ...buckets import INTERNAL
from . import folders

FILE, PERHAPS, FOLDER = range(3)  # kinds of entries; perhaps: a folder that may be an object, too
END = b"\xff"  # sorts after every byte of UTF-8
OURS = INTERNAL.encode()
HOLD = 1000  # entries of a folder held at a time, or more for a larger page
# errors that mean that no object in a folder can be seen
HIDDEN = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM)
)


class Walk:
    """One way through a bucket.

    Args:
        prefix: What the keys begin with.
        after: Only keys after this one are listed.
        limit: Number of entries of a folder that are held at a time, at least.
        folded: Whether folders after the prefix will be common prefixes.

    Attributes:
        after: May be set during the walk, to skip keys.
    """

    def __init__(self, prefix: bytes, after: bytes, limit: int, *, folded: bool) -> None:
        self._prefix, self.after = prefix, after
        self._hold, self._folded = max(limit, HOLD), folded

    def keys(self, folder: bytes, base: bytes) -> Iterator[bytes]:
        """Yield the names of the files below ``folder``, with ``base`` prepended.

        Raises:
            OSError: A folder cannot be read now.
        """
        folded = self._folded and len(base) > len(self._prefix)
        if base and self._wanted(base, False) and os.path.exists(_ours(folder, folders.FOLDER)):
            yield base
            if folded and not self._wanted(base, True):
                return
        for name, kind in (self._entries if folded else self._ordered)(folder, base, b""):
            key, is_folder = base + name, kind == FOLDER
            if not self._wanted(key, is_folder):  # ``after`` has moved on
                continue
            if is_folder:
                yield from self.keys(folder + b"/" + name[:-1], key)
            elif kind == FILE or os.path.exists(_ours(folder + b"/" + name, folders.OBJECT)):
                yield key
            if folded and not self._wanted(base, True):
                return

    def _ordered(self, folder: bytes, base: bytes, last: bytes) -> Iterator[tuple[bytes, int]]:
        while True:
            entries = heapq.nsmallest(self._hold, self._entries(folder, base, last))
            yield from entries
            if len(entries) < self._hold:
                return
            last = entries[-1][0]

    def _entries(self, folder: bytes, base: bytes, last: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield names after ``last`` and their kinds; a folder may be an object as well."""
        try:
            listing = os.scandir(folder)
        except OSError as error:
            if error.errno in HIDDEN:
                return
            raise
        with listing:
            for entry in listing:
                if entry.name == OURS:
                    continue
                is_folder, name = entry.is_dir(follow_symlinks=False), entry.name
                if name > last and self._wanted(base + name, False):
                    yield name, PERHAPS if is_folder else FILE
                name += b"/"
                if is_folder and name > last and self._wanted(base + name, True):
                    yield name, FOLDER

    def _wanted(self, key: bytes, is_folder: bool) -> bool:
        if not is_folder:
            return key > self.after and key.startswith(self._prefix)
        if not (key.startswith(self._prefix) or self._prefix.startswith(key)):
            return False
        if self.after.startswith(key):
            return not self.after.startswith(END, len(key))
        return key > self.after


def _ours(folder: bytes, name: str) -> bytes:
    return b"%b/%b/%b" % (folder, OURS, name.encode())


def common(key: str, prefix: str, delimiter: str) -> str:
    """Return the common prefix that a key is folded to; empty if there is none."""
    at = key.find(delimiter, len(prefix)) if delimiter and key.startswith(prefix) else -1
    return key[: at + len(delimiter)] if at >= 0 else ""

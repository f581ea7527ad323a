"""Buckets as folders on a local disk: ``ROOT/<bucket>/<key>``.

Whether a key stays inside its bucket is asked once, of the opened descriptor: the kernel says which
file it really is, through all symlinks, and nothing can be swapped after that. Opening and looking
at a file happen in the loop: a hop to a thread costs 0.02 to 0.1 ms of CPU (bench/handover.py), the
calls themselves 0.003.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from ..errors import AccessDenied, NoSuchKey, OssError, ServiceUnavailable
from .base import Object, Opened

# a pipe or a device must not make the open wait, nor become a terminal
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
LOOK = os.O_PATH | os.O_CLOEXEC  # the file's facts, not its bytes
INTERNAL = ".vipsgate"
DELETED = " (deleted)"  # what the kernel writes behind the name of a file that is gone


class LocalStore:
    """Objects are files; a bucket is a folder, which may itself be a symlink to elsewhere."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)

    def has(self, bucket: str) -> bool:
        """Is there such a folder?"""
        return os.path.isdir(f"{self._root}/{bucket}")

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        opened = self._open(bucket, key, LOOK)
        opened.close()
        return opened.object

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`."""
        return self._open(bucket, key, READ)

    def _open(self, bucket: str, key: str, flags: int) -> Opened:
        folder = f"{self._root}/{bucket}"
        try:
            descriptor = os.open(f"{folder}/{key}", flags)
        except OSError as error:
            raise _refusal(error, key) from None
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or not _inside(descriptor, folder):
                raise _absent(key)
        except BaseException:
            os.close(descriptor)
            raise
        return Opened(_object(facts), descriptor)


def _inside(descriptor: int, folder: str) -> bool:
    """Is the opened file below the bucket's real folder, and not one of our own documents?"""
    real = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(DELETED)
    below = _below(real, folder) or _below(real, os.path.realpath(folder))
    return bool(below) and INTERNAL not in below.split("/")


def _below(real: str, folder: str) -> str:
    """The part of a resolved path below a folder; empty if it is not there.

    A folder that is itself a symlink is in no resolved path, so it need not be resolved first.
    """
    return real[len(folder) + 1 :] if real.startswith(f"{folder}/") else ""


def _object(facts: os.stat_result) -> Object:
    """The tag changes with the file (inode), its length, and its times in nanoseconds.

    The time of the inode is among them: whoever writes the same number of bytes and sets the time
    of the file back cannot set that one.
    """
    times = f"{facts.st_mtime_ns:x}-{facts.st_ctime_ns:x}"
    marks = f"{facts.st_ino:x}-{facts.st_size:x}-{times}"
    etag = hashlib.md5(marks.encode(), usedforsecurity=False).hexdigest().upper()
    return Object(facts.st_size, f'"{etag}"', facts.st_mtime)


# what the disk says when no object can have this name
ABSENT = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL)
)


def _refusal(error: OSError, key: str) -> OssError:
    if error.errno in ABSENT:
        return _absent(key)
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied("The server itself has no right to read this object's file.")
    reason = os.strerror(error.errno or 0)
    return ServiceUnavailable(f"The store cannot be read now: {reason}.")


def _absent(key: str) -> NoSuchKey:
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})

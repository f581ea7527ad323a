"""Finds out which folders are on file systems whose readers may have to wait for a server.

statfs(2) returns the type of a folder's file system. The call itself may block, so it is made in a
thread. A file system that is not in the table counts as a local one.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

# f_type of statfs(2); from linux/magic.h, unless another source is named
BLOCKING = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x00C36400: "CephFS",
    0x65735546: "FUSE",  # sshfs, s3fs, gcsfuse, GlusterFS, JuiceFS, virtiofs
    0x01021997: "9P",
    0x5346414F: "AFS",
    0x6B414653: "kAFS",
    0x73757245: "Coda",
    0x564C: "NCP",
    0x7461636F: "OCFS2",
    0x0187: "autofs",  # mounts another file system on access
    0x786F4256: "VirtualBox shared folder",
    0x01161970: "GFS2",  # linux/gfs2_ondisk.h
    0x0BD00BD0: "Lustre",  # lustre_user.h, LL_SUPER_MAGIC
    # coreutils, src/stat.c, as remote ones
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",  # fhgfs
    0xAAD7AAEA: "PanFS",
    0xBACBACBC: "VMware shared folder",
    0x7C7C6673: "Parallels shared folder",
    0xBEEFDEAD: "StorNext",
    0x61636673: "ACFS",
    0xA501FCF5: "VxFS",
    0x013111A8: "IBRIX",
}
MOUNTS = "/proc/self/mountinfo"  # proc_pid_mountinfo(5); the fifth field is the mount point
ESCAPED = re.compile(r"\\([0-7]{3})")
BUFFER_BYTES = 256  # of struct statfs, which has 120


@dataclass(frozen=True, slots=True)
class Folder:
    """The facts of a bucket's folder.

    Attributes:
        blocking: Whether its file system, or one mounted below it, may block readers.
        own: Whether its file system is another one than the root's.
        modified: Its mtime, in seconds since the epoch.
    """

    blocking: bool
    own: bool
    modified: float


def inspect(root: str, name: str) -> Folder | None:
    """Return the facts of a folder in the root, or ``None`` if there is none.

    Raises:
        OSError: The folder cannot be accessed.
    """
    path = f"{root}/{name}"
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):  # a link to a bucket elsewhere, which is unavailable
            raise
        return None
    if not stat.S_ISDIR(facts.st_mode):
        return None
    top = os.path.realpath(path)
    blocking = any(is_blocking(point) for point in (top, *_below(top)))
    return Folder(blocking, facts.st_dev != os.stat(root).st_dev, facts.st_mtime)


def is_blocking(path: str) -> bool:
    """Return whether the file system of a folder may block readers.

    Raises:
        OSError: Its type cannot be read.
    """
    return bool(blocking(path))


def blocking(path: str) -> str:
    """Return the name of a folder's file system if it may block readers, else an empty string.

    Raises:
        OSError: Its type cannot be read.
    """
    return BLOCKING.get(kind(path), "")


def kind(path: str) -> int:
    """Return the magic number of a folder's file system.

    Raises:
        OSError: It cannot be read.
    """
    buffer = ctypes.create_string_buffer(BUFFER_BYTES)
    if _LIBC.statfs(os.fsencode(path), buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF  # its first field


def mounts() -> bytes:
    """Return the kernel's table of mounts, which changes with any mount or unmount."""
    with open(MOUNTS, "rb") as file:
        return file.read()


def _below(top: str) -> Iterator[str]:
    """Yield the mount points below a folder."""
    for line in os.fsdecode(mounts()).splitlines():
        point = ESCAPED.sub(lambda code: chr(int(code[1], 8)), line.split(" ")[4])
        if point.startswith(f"{top.rstrip('/')}/"):
            yield point


_LIBC = ctypes.CDLL(None, use_errno=True)  # releases the GIL during calls

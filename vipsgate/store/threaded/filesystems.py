"""Which file systems let their readers wait for a server.

The kernel says what a folder lies on (statfs(2)). Its answer may itself be long in coming, so it is
waited for in a thread. A file system that is not in the table counts as one of this machine.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

# f_type of statfs(2). Without a word on it: linux/magic.h
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
    0x0187: "autofs",  # what is mounted there when somebody looks
    0x786F4256: "VirtualBox shared folder",
    0x01161970: "GFS2",  # linux/gfs2_ondisk.h
    0x0BD00BD0: "Lustre",  # lustre_user.h, LL_SUPER_MAGIC
    # coreutils, src/stat.c, where it calls them remote
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
    """What a bucket's folder is.

    Attributes:
        blocking: Whether it, or something mounted below it, may let its reader wait.
        own: Whether its file system is another one than the root's.
        modified: Seconds since the epoch.
    """

    blocking: bool
    own: bool
    modified: float


def inspect(root: str, name: str) -> Folder | None:
    """What the folder of this name in the root is; ``None`` for none.

    Raises:
        OSError: It cannot be had.
    """
    path = f"{root}/{name}"
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):  # the place of a bucket that is elsewhere is away
            raise
        return None
    if not stat.S_ISDIR(facts.st_mode):
        return None
    top = os.path.realpath(path)
    blocking = any(is_blocking(point) for point in (top, *_below(top)))
    return Folder(blocking, facts.st_dev != os.stat(root).st_dev, facts.st_mtime)


def is_blocking(path: str) -> bool:
    """Does the file system of a folder let its reader wait?

    Raises:
        OSError: It cannot be told.
    """
    return bool(blocking(path))


def blocking(path: str) -> str:
    """The name of a folder's file system that lets its reader wait; empty for any other one.

    Raises:
        OSError: It cannot be told.
    """
    return BLOCKING.get(kind(path), "")


def kind(path: str) -> int:
    """The magic number of a folder's file system.

    Raises:
        OSError: It cannot be told.
    """
    buffer = ctypes.create_string_buffer(BUFFER_BYTES)
    if _LIBC.statfs(os.fsencode(path), buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF  # its first field


def mounts() -> bytes:
    """Something that is another one as soon as something is mounted or unmounted."""
    with open(MOUNTS, "rb") as file:
        return file.read()


def _below(top: str) -> Iterator[str]:
    """The mount points below a folder."""
    for line in os.fsdecode(mounts()).splitlines():
        point = ESCAPED.sub(lambda code: chr(int(code[1], 8)), line.split(" ")[4])
        if point.startswith(f"{top.rstrip('/')}/"):
            yield point


_LIBC = ctypes.CDLL(None, use_errno=True)  # lets other threads run meanwhile

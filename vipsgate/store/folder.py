"""Folders on the way to a file, opened one by one, so that none leads out of its bucket."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from ..errors import (
    AccessDenied,
    InsufficientStorage,
    InvalidObjectName,
    OssError,
    ServiceUnavailable,
    shown,
)

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
MODE = 0o755
# what the disk says when it cannot have a file of this name
IMPOSSIBLE = frozenset(
    (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP)
)
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@contextlib.contextmanager
def parent(bucket: str, key: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """The folder that a key's file is in, as a descriptor, and the file's name in it.

    Args:
        bucket: The bucket's folder.
        key: The object's name.
        make: Make the folders that are not there.

    Raises:
        FileNotFoundError: One is not there.
        InvalidObjectName: One leads out of the bucket.
        OSError: One cannot be had.
    """
    *folders, name = key.split("/")
    descriptor = os.open(bucket, OPEN)
    try:
        inside = os.readlink(f"/proc/self/fd/{descriptor}") + "/"
        for folder in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, MODE, dir_fd=descriptor)
            following = os.open(folder, OPEN, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
            if not f"{os.readlink(f'/proc/self/fd/{descriptor}')}/".startswith(inside):
                raise impossible(key)
        yield descriptor, name
    finally:
        os.close(descriptor)


def prune(bucket: str, key: str) -> None:
    """Take away the folders on the way to a key that have become empty."""
    folder = os.path.dirname(key)
    with contextlib.suppress(OSError):  # one is not empty, or another was faster
        while folder:
            with parent(bucket, folder, make=False) as (above, name):
                os.rmdir(name, dir_fd=above)
            folder = os.path.dirname(folder)


def impossible(key: str) -> InvalidObjectName:
    """The error for a name that this disk can have no file of."""
    return InvalidObjectName(
        "The specified object is not valid. The store is a disk, where a name is a path: no part "
        "of it may have more than 255 bytes, and none may be an object and a folder of others; "
        f"it was {shown(key)!r}."
    )


def refusal(error: OSError, key: str) -> OssError:
    """What the disk says of a write, in the client's terms."""
    if error.errno in IMPOSSIBLE:
        return impossible(key)
    if error.errno in FULL:
        return InsufficientStorage("The store has no room left for this object.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied("The server itself has no right to write in the store.")
    reason = os.strerror(error.errno or 0)
    return ServiceUnavailable(f"The store cannot be written now: {reason}.")

"""Objects whose name is also that of a folder: ``dir`` beside ``dir/a``, and ``dir/`` itself.

On a disk a name is a file or a folder; in OSS ``dir``, ``dir/`` and ``dir/a`` are three objects. An
object that cannot be a file of its own name is a file in an internal folder inside the folder,
which no key can name and no listing shows::

    BUCKET/dir/a                   dir/a
    BUCKET/dir/.vipsgate/object    dir
    BUCKET/dir/.vipsgate/folder    dir/

It moves with the folder when a user copies or moves that, it is an ordinary file with descriptor,
attribute and rename like all others, and it keeps its folder from being empty, so ``dir/`` outlives
the objects below it. ``dir`` is an ordinary file as long as nothing is below it. When an object
below it is added, a folder that already holds the file takes its place atomically
(``RENAME_EXCHANGE``), so that a reader finds it at any time. If the file system does not support
that, the key is refused.

The alternative was an extended attribute of the folder with the bytes of the object, or with the
name of a file that has them. With ext4, attributes are limited to 4 KB, too little for the bytes; a
name and its file cannot be changed atomically; and tools that copy folders may drop attributes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import stat

from ...buckets import INTERNAL

OBJECT, FOLDER = "object", "folder"
MODE = 0o755
RENAME_EXCHANGE = 2  # renameat2(2)
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def place(path: str) -> str:
    """Return the path of a key's file, unless that is a folder, given ``BUCKET/key``."""
    return f"{path}{INTERNAL}/{FOLDER}" if path.endswith("/") else path


def inside(path: str) -> str:
    """Return the path of the file of an object whose own path is a folder."""
    return f"{path}/{INTERNAL}/{OBJECT}"


def key(path: str) -> str | None:
    """Return the key of a file, given its path in the bucket; ``None`` if it is no object."""
    if INTERNAL not in path:
        return path
    names, end = path.split("/"), ""
    if len(names) > 2 and names[-2] == INTERNAL and names[-1] in (OBJECT, FOLDER):
        names, end = names[:-2], "/" if names[-1] == FOLDER else ""
    return None if INTERNAL in names else "/".join(names) + end


def unfold(above: int, name: str, drafts: int) -> None:
    """Replace a file by a folder that contains the file as the object of that name.

    The caller holds the bucket's lock. A process that dies halfway leaves a second name of the file
    in ``drafts``, in a folder or without one, which the next start removes.

    Args:
        above: Descriptor of the folder of the file.
        name: The file's name there.
        drafts: Descriptor of a folder on the same file system.

    Raises:
        NotADirectoryError: It is no regular file, or the file system cannot exchange names.
        OSError: Something cannot be written.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    token = secrets.token_hex(16)
    try:
        os.mkdir(token, MODE, dir_fd=drafts)
        os.mkdir(f"{token}/{INTERNAL}", MODE, dir_fd=drafts)
        inner = f"{token}/{INTERNAL}/{OBJECT}"
        os.link(name, inner, src_dir_fd=above, dst_dir_fd=drafts, follow_symlinks=False)
        for folder in (f"{token}/{INTERNAL}", token):
            _sync(folder, drafts)
        _exchange(drafts, token, above, name)
    except BaseException:
        discard(drafts, token)
        raise
    os.unlink(token, dir_fd=drafts)  # the file's first name


def discard(drafts: int, token: str) -> None:
    """Remove a folder that was about to take a file's place."""
    with contextlib.suppress(OSError):
        os.unlink(f"{token}/{INTERNAL}/{OBJECT}", dir_fd=drafts)
    for name in (f"{token}/{INTERNAL}", token):
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=drafts)


def _sync(name: str, above: int) -> None:
    descriptor = os.open(name, OPEN, dir_fd=above)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _exchange(one: int, name: str, other: int, other_name: str) -> None:
    """Exchange the names of two files, atomically.

    Raises:
        NotADirectoryError: The file system, or the C library, does not support that.
        OSError: The names cannot be exchanged for another reason.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    if call(one, name.encode(), other, os.fsencode(other_name), RENAME_EXCHANGE):
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            number = errno.ENOTDIR
        raise OSError(number, os.strerror(number))

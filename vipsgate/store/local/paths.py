"""Folders on the path of a file, opened one by one, so that none leads out of its bucket.

Names in a bucket are created and removed under the bucket's lock: so nothing changes between the
check of what is there and the step, and no folder is removed while a file is put into it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...buckets import INTERNAL
from ...errors import (
    AccessDenied,
    GatewayTimeout,
    InsufficientStorage,
    InvalidObjectName,
    NoSuchBucket,
    OssError,
    ServiceUnavailable,
    shown,
)
from . import folders
from .root import RETRY_SECONDS, Root, away

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
OWN = OPEN | os.O_NOFOLLOW  # an internal folder is never a symlink
LOCK = "lock"
LOCKING = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
MODE, FILE_MODE = 0o755, 0o644
LOCK_TIMEOUT = 10.0  # seconds to wait for a lock, which is held for less than a millisecond
GONE = " (deleted)"  # what the kernel appends to the name of a file that was removed
# errors that mean that there can be no file of this name
IMPOSSIBLE = frozenset(
    (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP)
)
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
# errors of a file system whose server does not answer
LATE = frozenset((errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH))


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """The folder of a bucket.

    Attributes:
        root: The store's root.
        name: The bucket's name.
    """

    root: Root
    name: str

    @property
    def path(self) -> str:
        """Its path."""
        return f"{self.root.path}/{self.name}"

    def check(self) -> None:
        """Check that whatever was not found is missing, and not merely away.

        Raises:
            ServiceUnavailable: The root is away, or the bucket is a symlink whose target is away.
        """
        self.root.check()
        if os.path.islink(self.path) and not os.path.exists(self.path):
            raise away("The bucket is kept elsewhere, and that place is away.")


@dataclass(frozen=True, slots=True)
class Way:
    """The opened folders on the path of a key's file.

    Attributes:
        folders: Descriptors, that of the bucket first.
        names: The names of all folders but the bucket's, and of the file.
        fresh: Number of folders, from the end, that were created for this key.
    """

    folders: Sequence[int]
    names: Sequence[str]
    fresh: int

    def sync(self) -> None:
        """Make the names of the file and of the folders created for it durable."""
        for descriptor in self.folders[-1 - self.fresh :]:
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno != errno.EINVAL:  # some file systems cannot sync folders
                    raise

    def prune(self) -> None:
        """Remove the folders that have become empty."""
        with contextlib.suppress(OSError):  # one is not empty
            for above, name in zip(self.folders[-2::-1], self.names[-2::-1], strict=True):
                os.rmdir(name, dir_fd=above)


@contextlib.contextmanager
def way(bucket: BucketFolder, key: str, drafts: int | None = None) -> Iterator[Way]:
    """Open the folders on the path of a key's file; if that is a folder, use :func:`inside`.

    Args:
        bucket: The bucket's folder.
        key: The object's name.
        drafts: Descriptor of the bucket's folder of drafts, to create missing folders; ``None`` to
            create none.

    Raises:
        NoSuchBucket: The bucket's folder is missing.
        FileNotFoundError: Another folder is missing.
        InvalidObjectName: A folder leads out of the bucket.
        OSError: A folder cannot be opened or created.
    """
    names = key.removesuffix("/").split("/")
    if not {"", ".", "..", INTERNAL}.isdisjoint(names) or "\0" in key:
        raise impossible(key)
    with contextlib.ExitStack() as held:
        opens = [opened(bucket, make=drafts is not None)]
        held.callback(os.close, opens[0])
        top, fresh = real(opens[0]), 0
        for name in names if key.endswith("/") else names[:-1]:
            try:
                following = os.open(name, OPEN, dir_fd=opens[-1])
            except (FileNotFoundError, NotADirectoryError) as error:
                if drafts is None:
                    raise
                if isinstance(error, NotADirectoryError):
                    folders.unfold(opens[-1], name, drafts)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, MODE, dir_fd=opens[-1])
                following, fresh = os.open(name, OPEN, dir_fd=opens[-1]), fresh + 1
            held.callback(os.close, following)
            opens.append(following)
            # checked twice, as the root may be moved between reading ``top`` and the folder
            if not (within(real(following), top) or within(real(following), real(opens[0]))):
                raise impossible(key)
        result = Way(opens, names, fresh)
        if key.endswith("/"):
            result = held.enter_context(_ours(result, folders.FOLDER, make=drafts is not None))
        yield result


@contextlib.contextmanager
def inside(way: Way, *, make: bool) -> Iterator[Way]:
    """Open the folders on the path of an object whose own name is that of a folder.

    Args:
        way: The path to the folder, as if it were the file.
        make: Whether to create the internal folder in it, if it is missing.

    Raises:
        FileNotFoundError: The internal folder is missing.
        OSError: It cannot be opened, or the name is not that of a folder.
    """
    folder = os.open(way.names[-1], OWN, dir_fd=way.folders[-1])
    try:
        with _ours(Way([*way.folders, folder], way.names, 0), folders.OBJECT, make=make) as result:
            yield result
    finally:
        os.close(folder)


@contextlib.contextmanager
def _ours(way: Way, name: str, *, make: bool) -> Iterator[Way]:
    """Extend the path to a file in the internal folder of its last folder (:mod:`.folders`)."""
    above, fresh = way.folders[-1], way.fresh
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(INTERNAL, MODE, dir_fd=above)
            fresh += 1
    descriptor = os.open(INTERNAL, OWN, dir_fd=above)
    try:
        yield Way([*way.folders, descriptor], [*way.names, INTERNAL, name], fresh)
    finally:
        os.close(descriptor)


def opened(bucket: BucketFolder, *, make: bool) -> int:
    """Open a bucket's folder, in the root that the store had at its start; return a descriptor.

    Args:
        bucket: The bucket's folder.
        make: Whether to create the internal bucket's folder, which a store that is only read lacks.

    Raises:
        NoSuchBucket: There is no such bucket.
        ServiceUnavailable: The root is away, or the bucket is a symlink whose target is away.
    """
    with bucket.root.opened() as root:
        if make and bucket.name == INTERNAL:
            with contextlib.suppress(FileExistsError):
                os.mkdir(INTERNAL, MODE, dir_fd=root)
        try:
            return os.open(bucket.name, OPEN, dir_fd=root)
        except (FileNotFoundError, NotADirectoryError):
            bucket.check()
            raise NoSuchBucket(
                "The specified bucket does not exist.", extra={"BucketName": bucket.name}
            ) from None


@contextlib.contextmanager
def own(bucket: BucketFolder, *names: str, make: bool = True) -> Iterator[int]:
    """Open the internal folder in a bucket, or one below it; ``make`` creates missing ones.

    Raises:
        FileNotFoundError: It is missing and is not to be created, or the bucket was just removed.
    """
    with contextlib.ExitStack() as held:
        descriptor = opened(bucket, make=make)
        held.callback(os.close, descriptor)
        for name in (INTERNAL, *names):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, MODE, dir_fd=descriptor)
            descriptor = os.open(name, OWN, dir_fd=descriptor)
            held.callback(os.close, descriptor)
        yield descriptor


@contextlib.contextmanager
def locked(bucket: BucketFolder) -> Iterator[None]:
    """Hold the bucket's lock, which excludes all processes that create or remove names in it.

    Raises:
        ServiceUnavailable: The lock cannot be acquired within :data:`LOCK_TIMEOUT`.
    """
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        with own(bucket) as ours:
            descriptor = os.open(LOCK, LOCKING, FILE_MODE, dir_fd=ours)
        try:
            _lock(descriptor, until)
            if not os.fstat(descriptor).st_nlink:  # it was removed together with the bucket
                continue
            yield
            return
        finally:
            os.close(descriptor)


def _lock(descriptor: int, until: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise ServiceUnavailable("The bucket is locked by another process.") from None
            time.sleep(0.001)


def clear(above: int, name: str) -> None:
    """Remove a folder that contains nothing but empty folders.

    Raises:
        OSError: It contains a file (ENOTEMPTY), or is no folder.
    """
    descriptor = os.open(name, OWN, dir_fd=above)
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
                clear(descriptor, entry.name)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=above)


def real(descriptor: int) -> str:
    """Return the real path of an opened file."""
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(GONE)


def within(path: str, top: str) -> bool:
    """Return whether a real path is below a folder, and not in an internal one.

    If ``top`` is a symlink, no real path is below it, so it need not be resolved before.
    """
    return path.startswith(f"{top}/") and INTERNAL not in path[len(top) :].split("/")


def impossible(key: str) -> InvalidObjectName:
    """Return the error for a name that no file on this disk can have."""
    return InvalidObjectName(
        "The specified object is not valid. The store is a disk, where a name is a path: no part "
        "of it may have more than 255 bytes, none may be empty or .vipsgate, and where its file "
        "system cannot exchange two names, none may be an object and a folder of others; "
        f"it was {shown(key)!r}."
    )


def refusal(error: OSError, key: str) -> OssError:
    """Return the error for a client, given the disk's error of a write."""
    if error.errno in IMPOSSIBLE:
        return impossible(key)
    if error.errno in FULL:
        return InsufficientStorage("The store has no room left for this object.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied("The server itself has no right to write in the store.")
    return unavailable(error, "written")


def unavailable(error: OSError, what: str) -> OssError:
    """Return the error for a client when the disk fails.

    Args:
        error: The disk's error.
        what: What the store cannot be: ``read`` or ``written``.
    """
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if error.errno in LATE:
        return GatewayTimeout("The store's file system does not answer in time.", headers=headers)
    reason = os.strerror(error.errno or 0)
    return ServiceUnavailable(f"The store cannot be {what} now: {reason}.", headers=headers)

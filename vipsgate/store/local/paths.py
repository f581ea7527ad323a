"""Folders on the way to a file, opened one by one, so that none leads out of its bucket.

Whatever gives or takes a name in a bucket does it alone, under the bucket's lock: nobody then comes
between the look at what is there and the step, and no folder goes while something is put into it.
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
OWN = OPEN | os.O_NOFOLLOW  # nobody else has made it, so it is no link
LOCK = "lock"
LOCKING = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
MODE, FILE_MODE = 0o755, 0o644
LOCK_TIMEOUT = 10.0  # seconds for a lock, which is held for less than a millisecond
GONE = " (deleted)"  # what the kernel writes behind the name of a file that is gone
# what the disk says when it cannot have a file of this name
IMPOSSIBLE = frozenset(
    (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP)
)
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
# what a file system says whose server does not answer
LATE = frozenset((errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH))


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """Where a bucket's folder is.

    Attributes:
        root: The store's.
        name: The bucket's.
    """

    root: Root
    name: str

    @property
    def path(self) -> str:
        """The folder's path."""
        return f"{self.root.path}/{self.name}"

    def check(self) -> None:
        """Tell what is away from what is not there.

        Raises:
            ServiceUnavailable: The root is away, or the bucket is elsewhere and that is away.
        """
        self.root.check()
        if os.path.islink(self.path) and not os.path.exists(self.path):
            raise away("The bucket is kept elsewhere, and that place is away.")


@dataclass(frozen=True, slots=True)
class Way:
    """The folders to a key's file, opened.

    Attributes:
        folders: Descriptors, the bucket's first.
        names: Of each but the first in the one before, and of the file in the last.
        fresh: How many of them, from the end, were made for this key.
    """

    folders: Sequence[int]
    names: Sequence[str]
    fresh: int

    def sync(self) -> None:
        """Make the file's name durable, and those of the folders made for it."""
        for descriptor in self.folders[-1 - self.fresh :]:
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno != errno.EINVAL:  # some file systems sync no folders
                    raise

    def prune(self) -> None:
        """Take away the folders that have become empty."""
        with contextlib.suppress(OSError):  # one is not
            for above, name in zip(self.folders[-2::-1], self.names[-2::-1], strict=True):
                os.rmdir(name, dir_fd=above)


@contextlib.contextmanager
def way(bucket: BucketFolder, key: str, drafts: int | None = None) -> Iterator[Way]:
    """Go to a key's file; where that is a folder, :func:`inside` goes on.

    Args:
        bucket: The bucket's folder.
        key: The object's name.
        drafts: The bucket's folder of drafts, to make the folders that are not there; ``None``
            to make none.

    Raises:
        NoSuchBucket: The bucket's is not there.
        FileNotFoundError: One is not there.
        InvalidObjectName: One leads out of the bucket.
        OSError: One cannot be had.
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
            # a root that is moved just now moves both, one look after the other
            if not (within(real(following), top) or within(real(following), real(opens[0]))):
                raise impossible(key)
        result = Way(opens, names, fresh)
        if key.endswith("/"):
            result = held.enter_context(_ours(result, folders.FOLDER, make=drafts is not None))
        yield result


@contextlib.contextmanager
def inside(way: Way, *, make: bool) -> Iterator[Way]:
    """Go on to the file of an object whose own name is that of a folder.

    Args:
        way: To the folder, as to a file.
        make: Make our own folder in it, if it is not there.

    Raises:
        FileNotFoundError: It is not there.
        OSError: It cannot be had, or the name is no folder's.
    """
    folder = os.open(way.names[-1], OWN, dir_fd=way.folders[-1])
    try:
        with _ours(Way([*way.folders, folder], way.names, 0), folders.OBJECT, make=make) as result:
            yield result
    finally:
        os.close(folder)


@contextlib.contextmanager
def _ours(way: Way, name: str, *, make: bool) -> Iterator[Way]:
    """Go on from a folder to a file in our own folder inside it; see :mod:`.folders`."""
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
    """The bucket's folder, in the root that the store had at its start and in no other.

    Args:
        bucket: Where it is.
        make: Make our own, if it is that and not there; a store that is only read has none.

    Raises:
        NoSuchBucket: There is none.
        ServiceUnavailable: The root is away, or the bucket is elsewhere and that is away.
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
    """Our own folder in a bucket, or one below it.

    Raises:
        FileNotFoundError: It is not there, and shall not be made, or the bucket has just gone.
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
    """Alone among all processes that change what names there are in this bucket.

    Raises:
        ServiceUnavailable: Somebody does not let it go.
    """
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        with own(bucket) as ours:
            descriptor = os.open(LOCK, LOCKING, FILE_MODE, dir_fd=ours)
        try:
            _lock(descriptor, until)
            if not os.fstat(descriptor).st_nlink:  # it went with a bucket that was taken away
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
    """Take away a folder that has nothing but empty folders in it.

    Raises:
        OSError: It has more (ENOTEMPTY), or is none.
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
    """Where the opened file really is."""
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(GONE)


def within(path: str, top: str) -> bool:
    """Is a resolved path below a folder, and not one of our own documents?

    A folder that is itself a symlink is in no resolved path, so it need not be resolved first.
    """
    return path.startswith(f"{top}/") and INTERNAL not in path[len(top) :].split("/")


def impossible(key: str) -> InvalidObjectName:
    """The error for a name that this disk can have no file of."""
    return InvalidObjectName(
        "The specified object is not valid. The store is a disk, where a name is a path: no part "
        "of it may have more than 255 bytes, none may be empty or .vipsgate, and where its file "
        "system cannot exchange two names, none may be an object and a folder of others; "
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
    return unavailable(error, "written")


def unavailable(error: OSError, what: str) -> OssError:
    """What the disk says when it fails, in the client's terms.

    Args:
        error: What it says.
        what: What cannot be done with the store: ``read``, ``written``.
    """
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if error.errno in LATE:
        return GatewayTimeout("The store's file system does not answer in time.", headers=headers)
    reason = os.strerror(error.errno or 0)
    return ServiceUnavailable(f"The store cannot be {what} now: {reason}.", headers=headers)

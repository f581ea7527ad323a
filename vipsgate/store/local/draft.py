"""Drafts on a local disk: files without a name until they are kept.

A file without a name (O_TMPFILE) disappears with its process. When it is kept, it is linked under a
temporary name in the folder of drafts, and renamed to its place. A process that dies in between
leaves that name behind, which the next start removes. Each draft is locked by its process, so that
drafts in use are not removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

import fastcrc

from ...errors import OssError, PreconditionFailed, ServiceUnavailable
from ..base import Object, Properties
from . import abandoned, folders, paths, xattr

DRAFTS = "drafts"  # in each bucket, as buckets may be on different file systems
NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
NAMED = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
UNKNOWN = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL))  # without O_TMPFILE
CHUNK = 1 << 20  # bytes copied at a time
THREAD_BYTES = 1 << 15  # below this, a hop to a thread costs more than it saves the loop
TRIES = 10  # attempts to put a file into a folder that others may remove

P = ParamSpec("P")
T = TypeVar("T")


async def apart(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Run work in a thread, and wait for its end even if cancelled.

    A thread cannot be stopped, and might go on to use the number of a descriptor that was closed
    and reused for another file. Exceptions after a cancellation are dropped. aiofiles does not wait
    like that, which is why drafts do not use it; besides, this writes and hashes in one hop.
    """
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, lambda: work(*args, **options))
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return future.result()
    if not future.cancelled():
        future.exception()  # retrieved, or the loop would log it
    raise cancelled


class Bytes:
    """The part that all drafts share: appends bytes to a file, and computes their checksums.

    Attributes:
        descriptor: The descriptor of the file; -1 while there is none.
        thread_bytes: Bytes from which on a piece is written in a thread.
    """

    thread_bytes = THREAD_BYTES

    def __init__(self) -> None:
        self.descriptor = -1
        self._md5, self._crc, self._size = hashlib.md5(usedforsecurity=False), 0, 0

    @property
    def size(self) -> int:
        """See :class:`vipsgate.store.base.Draft`."""
        return self._size

    @property
    def md5(self) -> bytes:
        """See :class:`vipsgate.store.base.Draft`."""
        return self._md5.digest()

    @property
    def crc(self) -> int:
        """See :class:`vipsgate.store.base.Draft`."""
        return self._crc

    async def write(self, data: bytes) -> None:
        """See :class:`vipsgate.store.base.Draft`."""
        if len(data) < self.thread_bytes:
            self._write(data)
        else:
            await self._apart(self._write, data)

    async def copy(self, descriptor: int, start: int, size: int) -> None:
        """See :class:`vipsgate.store.base.Draft`."""
        end = start + size
        while start < end:
            start += await self._apart(self._copy, descriptor, start, min(CHUNK, end - start))

    async def _apart(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Run a step in a thread."""
        return await apart(work, *args, **options)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            raise paths.refusal(error, "") from None
        self._md5.update(data)
        self._crc = fastcrc.crc64.xz(data, self._crc)
        self._size += len(data)

    def _copy(self, descriptor: int, start: int, size: int) -> int:
        try:
            data = os.pread(descriptor, size, start)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ServiceUnavailable(f"The object cannot be read now: {reason}.") from None
        if not data:
            raise ServiceUnavailable("The object has become shorter while it was copied.")
        self._write(data)
        return len(data)


class LocalDraft(Bytes):
    """See :class:`vipsgate.store.base.Draft`.

    Args:
        bucket: The bucket's folder.
        look: Returns the object of a key, or ``None``.
        known: Returns the object of an opened file.
    """

    def __init__(
        self,
        bucket: paths.BucketFolder,
        look: Callable[[str], Object | None],
        known: Callable[[int], Object],
    ) -> None:
        super().__init__()
        self._bucket, self._look, self._known = bucket, look, known
        self._name = ""  # in the folder of drafts, if it has one

    async def __aenter__(self) -> LocalDraft:
        try:
            await self._apart(self._begin)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._apart(self._end)  # in a thread, as freeing a large file takes a while

    async def keep(
        self, key: str, properties: Properties, *, etag: str = "", expected: str | None = None
    ) -> Object:
        """See :class:`vipsgate.store.base.Draft`."""
        etag = etag or f'"{self.md5.hex().upper()}"'
        return await self._apart(self._keep, key, properties, etag, expected)

    def _begin(self) -> None:
        try:
            with paths.own(self._bucket, DRAFTS) as drafts:
                try:
                    self.descriptor = os.open(".", NAMELESS, paths.FILE_MODE, dir_fd=drafts)
                except OSError as error:
                    if error.errno not in UNKNOWN:
                        raise
                    self._name = secrets.token_hex(16)
                    self.descriptor = os.open(self._name, NAMED, paths.FILE_MODE, dir_fd=drafts)
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._name and not os.fstat(self.descriptor).st_nlink:
                    raise ServiceUnavailable("The draft was deleted while it was being created.")
        except OSError as error:
            raise paths.refusal(error, "") from None

    def _end(self) -> None:
        if self._name:
            # if it cannot be removed now, the next start does that
            with (
                contextlib.suppress(OSError, OssError),
                paths.own(self._bucket, DRAFTS) as drafts,
            ):
                os.unlink(self._name, dir_fd=drafts)
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self._name, self.descriptor = "", -1

    def _keep(self, key: str, properties: Properties, etag: str, expected: str | None) -> Object:
        try:
            xattr.write(self.descriptor, properties, etag, self._crc)
            if os.fstat(self.descriptor).st_size != self._size:
                raise ServiceUnavailable("Not all of the object has been written.")
            os.fsync(self.descriptor)
            with contextlib.ExitStack() as held:
                with paths.locked(self._bucket):
                    if expected is not None:
                        check(self._look(key), expected)
                    way = self._place(key, held)
                way.sync()
            return self._known(self.descriptor)
        except OSError as error:
            raise paths.refusal(error, key) from None

    def _place(self, key: str, held: contextlib.ExitStack) -> paths.Way:
        """Give the file its name; the folders on its path stay open until ``held`` is closed."""
        drafts = held.enter_context(paths.own(self._bucket, DRAFTS))
        for left in reversed(range(TRIES)):
            try:
                way = held.enter_context(paths.way(self._bucket, key, drafts))
                self._link(drafts)  # after the last step that fails if the root is away
                return self._rename(drafts, way, held)
            except FileNotFoundError:  # a folder has just been removed
                if not left:  # or is a dangling symlink
                    break
        raise paths.impossible(key)

    def _link(self, drafts: int) -> None:
        if not self._name:
            name = secrets.token_hex(16)
            # only with a descriptor of the folder does Python follow the link to the file
            os.link(f"/proc/self/fd/{self.descriptor}", name, dst_dir_fd=drafts)
            self._name = name

    def _rename(self, drafts: int, way: paths.Way, held: contextlib.ExitStack) -> paths.Way:
        """Move the file to its place; return the folders on its path."""
        try:
            self._move(drafts, way)
        except IsADirectoryError:
            try:  # a process may have died before it put anything into the folder
                paths.clear(way.folders[-1], way.names[-1])
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                way = held.enter_context(paths.inside(way, make=True))
            self._move(drafts, way)
        self._name = ""
        return way

    def _move(self, drafts: int, way: paths.Way) -> None:
        abandoned.check()
        os.rename(self._name, way.names[-1], src_dir_fd=drafts, dst_dir_fd=way.folders[-1])


def check(present: Object | None, expected: str) -> None:
    """Check that the present object has the expected tag; if empty, that there is none.

    Raises:
        PreconditionFailed: It has another tag.
    """
    if (present.etag if present else "") != expected:
        raise PreconditionFailed("The object has been replaced in the meantime.")


def sweep(bucket: paths.BucketFolder) -> None:
    """Remove the drafts in a bucket's folder that no process holds any more."""
    with contextlib.suppress(FileNotFoundError), paths.own(bucket, DRAFTS, make=False) as drafts:
        for name in os.listdir(drafts):
            with contextlib.suppress(OSError):  # it is locked, or has just been kept
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                descriptor = os.open(name, flags, dir_fd=drafts)
                try:
                    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                        with paths.locked(bucket):  # no other process uses it
                            folders.discard(drafts, name)
                        continue
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=drafts)
                finally:
                    os.close(descriptor)

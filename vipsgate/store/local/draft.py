"""Drafts on a local disk: files without a name until they are kept.

A file without a name (O_TMPFILE) is gone with its process. When it is kept it is linked beside its
place under a name of our own and renamed onto it; a process that dies in between leaves that name
behind, which the next start sweeps away. Whoever has a draft holds a lock on it, so that the drafts
of the living are not swept.
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

DRAFTS = "drafts"  # in the bucket's own folder, which may be on another file system
NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
NAMED = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
UNKNOWN = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL))  # to file systems without it
CHUNK = 1 << 20  # bytes copied at a time
THREAD_BYTES = 1 << 15  # below, a hop to a thread costs more than it spares the loop
TRIES = 10  # to put a file into a folder that a stranger takes away

P = ParamSpec("P")
T = TypeVar("T")


async def apart(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Work in a thread; whoever is cancelled still waits for its end.

    A thread cannot be stopped, and it would go on with the number of a descriptor that is closed
    and then another file's. What it raises behind a cancellation nobody is there to be told. That
    is what aiofiles cannot promise, and why drafts are not written with it: besides, a piece is
    written and hashed in one hop.
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
        future.exception()  # or the loop's log has it, as one that nobody has asked for
    raise cancelled


class Bytes:
    """What every draft counts while bytes are appended to a file of its own.

    Attributes:
        descriptor: Of the file; -1 while there is none.
        thread_bytes: From how many on they are written in a thread.
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
        """Do a step in a thread."""
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
        look: Key -> what is known of the object; ``None`` where there is none.
        known: Descriptor of a file -> what is known of it.
    """

    def __init__(
        self,
        bucket: paths.BucketFolder,
        look: Callable[[str], Object | None],
        known: Callable[[int], Object],
    ) -> None:
        super().__init__()
        self._bucket, self._look, self._known = bucket, look, known
        self._name = ""  # of ours, in the folder of drafts

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
        await self._apart(self._end)  # a large file is not gone in a moment

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
                    raise ServiceUnavailable("The draft was swept away while it was begun.")
        except OSError as error:
            raise paths.refusal(error, "") from None

    def _end(self) -> None:
        if self._name:
            # where it cannot be taken away now, the next start sweeps it
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
        """Give the file its name; the folders on the way stay open as long as ``held``."""
        drafts = held.enter_context(paths.own(self._bucket, DRAFTS))
        for left in reversed(range(TRIES)):
            try:
                way = held.enter_context(paths.way(self._bucket, key, drafts))
                self._link(drafts)  # behind the last step that a root which is away could stop
                return self._rename(drafts, way, held)
            except FileNotFoundError:  # a folder has just been taken away
                if not left:  # it leads nowhere
                    break
        raise paths.impossible(key)

    def _link(self, drafts: int) -> None:
        if not self._name:
            name = secrets.token_hex(16)
            # with a descriptor of the folder, and only then, Python follows the link to the file
            os.link(f"/proc/self/fd/{self.descriptor}", name, dst_dir_fd=drafts)
            self._name = name

    def _rename(self, drafts: int, way: paths.Way, held: contextlib.ExitStack) -> paths.Way:
        """Give it its place; the way that it has gone."""
        try:
            self._move(drafts, way)
        except IsADirectoryError:
            try:  # somebody died before he put anything into it
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
    """Is the present object the expected one? Empty: there must be none.

    Raises:
        PreconditionFailed: It is not.
    """
    if (present.etag if present else "") != expected:
        raise PreconditionFailed("The object is another one by now.")


def sweep(bucket: paths.BucketFolder) -> None:
    """Take away the drafts in a bucket's folder that nobody holds any more."""
    with contextlib.suppress(FileNotFoundError), paths.own(bucket, DRAFTS, make=False) as drafts:
        for name in os.listdir(drafts):
            with contextlib.suppress(OSError):  # it is held, or has just been kept
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                descriptor = os.open(name, flags, dir_fd=drafts)
                try:
                    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                        with paths.locked(bucket):  # nobody is at it
                            folders.discard(drafts, name)
                        continue
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=drafts)
                finally:
                    os.close(descriptor)

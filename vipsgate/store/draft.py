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
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import fastcrc

from ..errors import PreconditionFailed, ServiceUnavailable
from . import attribute, folder
from .base import INTERNAL, Object, Properties

DRAFTS = f"{INTERNAL}/drafts"  # in the bucket's own folder, which may be another file system's
LOCK = f"{INTERNAL}/lock"
MODE = 0o644
NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
NAMED = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
UNKNOWN = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL))  # to file systems without it
CHUNK = 1 << 20  # bytes copied at a time
THREAD_BYTES = 1 << 15  # below, a hop to a thread costs more than it spares the loop
TRIES = 10  # to put a file into a folder that others take away for being empty


class LocalDraft:
    """See :class:`vipsgate.store.base.Draft`.

    Args:
        bucket: The bucket's folder.
        look: Key -> what is known of the object; ``None`` where there is none.
        known: Descriptor of a file -> what is known of it.
    """

    def __init__(
        self,
        bucket: str,
        look: Callable[[str], Object | None],
        known: Callable[[int], Object],
    ) -> None:
        self._bucket, self._look, self._known = bucket, look, known
        self._md5, self._crc, self._size = hashlib.md5(usedforsecurity=False), 0, 0
        self._descriptor = -1
        self._name = ""  # on file systems where a file cannot be without one

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

    async def __aenter__(self) -> LocalDraft:
        await asyncio.to_thread(self._begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._name:
            with contextlib.suppress(OSError):
                os.unlink(self._name)
        os.close(self._descriptor)

    async def write(self, data: bytes) -> None:
        """See :class:`vipsgate.store.base.Draft`."""
        if len(data) < THREAD_BYTES:
            self._write(data)
        else:
            await asyncio.to_thread(self._write, data)

    async def copy(self, descriptor: int, start: int, size: int) -> None:
        """See :class:`vipsgate.store.base.Draft`."""
        end = start + size
        while start < end:
            data = await asyncio.to_thread(os.pread, descriptor, min(CHUNK, end - start), start)
            if not data:
                raise ServiceUnavailable("The object has become shorter while it was copied.")
            await self.write(data)
            start += len(data)

    async def keep(
        self, key: str, properties: Properties, *, etag: str = "", expected: str | None = None
    ) -> Object:
        """See :class:`vipsgate.store.base.Draft`."""
        etag = etag or f'"{self.md5.hex().upper()}"'
        return await asyncio.to_thread(self._keep, key, properties, etag, expected)

    def _begin(self) -> None:
        place = f"{self._bucket}/{DRAFTS}"
        try:
            os.makedirs(place, exist_ok=True)
            try:
                self._descriptor = os.open(place, NAMELESS, MODE)
            except OSError as error:
                if error.errno not in UNKNOWN:
                    raise
                self._name = f"{place}/{secrets.token_hex(16)}"
                self._descriptor = os.open(self._name, NAMED, MODE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise folder.refusal(error, "") from None

    def _write(self, data: bytes) -> None:
        self._md5.update(data)
        self._crc = fastcrc.crc64.xz(data, self._crc)
        self._size += len(data)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise folder.refusal(error, "") from None

    def _keep(self, key: str, properties: Properties, etag: str, expected: str | None) -> Object:
        try:
            attribute.write(self._descriptor, properties, etag, self._crc)
            os.fsync(self._descriptor)
            if expected is None:
                self._place(key)
            else:
                with locked(self._bucket):
                    check(self._look(key), expected)
                    self._place(key)
        except OSError as error:
            raise folder.refusal(error, key) from None
        return self._known(self._descriptor)

    def _place(self, key: str) -> None:
        name = self._name or self._link()
        self._name = ""
        try:
            self._rename(name, key)
        except BaseException:
            os.unlink(name)
            raise

    def _link(self) -> str:
        """Give the nameless file a name of ours."""
        name = secrets.token_hex(16)
        drafts = os.open(f"{self._bucket}/{DRAFTS}", folder.OPEN)
        try:
            # with a descriptor of the folder, and only then, Python follows the link to the file
            os.link(f"/proc/self/fd/{self._descriptor}", name, dst_dir_fd=drafts)
        finally:
            os.close(drafts)
        return f"{self._bucket}/{DRAFTS}/{name}"

    def _rename(self, name: str, key: str) -> None:
        for left in reversed(range(TRIES)):
            try:
                with folder.parent(self._bucket, key, make=True) as (above, last):
                    os.rename(name, last, dst_dir_fd=above)
                    os.fsync(above)
                    return
            except FileNotFoundError:  # the folder has just been taken away for being empty
                if not left:  # it leads nowhere
                    raise folder.impossible(key) from None


@contextlib.contextmanager
def locked(bucket: str) -> Iterator[None]:
    """Alone among all processes that look before they write, for one bucket."""
    os.makedirs(f"{bucket}/{INTERNAL}", exist_ok=True)
    descriptor = os.open(f"{bucket}/{LOCK}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check(found: Object | None, expected: str) -> None:
    """Is the present object the expected one? Empty: there must be none.

    Raises:
        PreconditionFailed: It is not.
    """
    if (found.etag if found else "") != expected:
        raise PreconditionFailed("The object is another one by now.")


def sweep(bucket: str) -> None:
    """Take away the drafts in a bucket's folder that nobody holds any more."""
    for path in Path(bucket, DRAFTS).glob("*"):
        with contextlib.suppress(OSError):  # it is held, or has just been kept
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(descriptor)

"""Files without a name, which hold objects that are sent to or fetched from an object store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import BinaryIO

from ..base import Object, Properties
from ..local import paths
from ..local.draft import THREAD_BYTES, Bytes, apart

MEMORY = 64 << 20  # bytes of an object that are held in memory; more go to the disk

Keep = Callable[["CloudDraft", str, Properties, str, str | None], Awaitable[Object]]


def begin(size: int) -> int:
    """Return the descriptor of a new file for ``size`` bytes.

    Raises:
        InsufficientStorage: The disk is full.
    """
    if size <= MEMORY:
        return os.memfd_create("object", os.MFD_CLOEXEC)
    return _nameless()


async def write(descriptor: int, data: bytes) -> None:
    """Append bytes to such a file.

    Raises:
        InsufficientStorage: The disk is full.
    """
    if len(data) < THREAD_BYTES:
        _write(descriptor, data)
    else:
        await apart(_write, descriptor, data)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        raise paths.refusal(error, "") from None


def _nameless() -> int:
    try:
        with tempfile.TemporaryFile(prefix="vipsgate-") as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise paths.refusal(error, "") from None


class CloudDraft(Bytes):
    """See :class:`vipsgate.store.base.Draft`: a local file, until it is sent to the store.

    Args:
        check: Raises an error if there can be no such object.
        put: Stores the object, given the draft, key, properties, tag and expected tag.
    """

    def __init__(self, check: Callable[[], None], put: Keep) -> None:
        super().__init__()
        self._check, self._put = check, put

    @property
    def tag(self) -> str:
        """The MD5 of the bytes, as a tag."""
        return f'"{self.md5.hex().upper()}"'

    async def __aenter__(self) -> CloudDraft:
        self._check()
        self.descriptor = _nameless()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await apart(os.close, self.descriptor)
        self.descriptor = -1

    async def keep(
        self, key: str, properties: Properties, *, etag: str = "", expected: str | None = None
    ) -> Object:
        """See :class:`vipsgate.store.base.Draft`."""
        return await self._put(self, key, properties, etag, expected)

    async def all(self) -> bytes:
        """Return its bytes."""
        return await apart(os.pread, self.descriptor, self.size, 0)

    def file(self) -> BinaryIO:
        """Return its bytes as a file, from the beginning, for the caller to close."""
        file = os.fdopen(os.dup(self.descriptor), "rb")
        file.seek(0)
        return file

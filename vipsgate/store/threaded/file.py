"""An open file of a file system that may hang, accessed only in threads."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from functools import partial

from ...errors import PreconditionFailed, ServiceUnavailable
from ..base import Object
from ..local.disk import Disk
from .threads import Threads

PIECE = 1 << 20  # bytes that are read at a time
WHOLE = range(1 << 62)  # the whole of a file of any size


class File:
    """An open file, with the piece of it that was read when it was opened.

    Args:
        threads: The threads of the file system.
        object: The object that the file has.
        descriptor: The file's descriptor.
        start: Offset of the piece.
        piece: The bytes that were read.

    Attributes:
        object: The object that the file has.
    """

    def __init__(
        self, threads: Threads, object: Object, descriptor: int, start: int, piece: bytes
    ) -> None:
        self.object = object
        self._threads, self._descriptor = threads, descriptor
        self._start, self._piece = start, piece

    async def pieces(self, span: range) -> AsyncGenerator[bytes, None]:
        """Yield a part of the file, in pieces, and then close the file.

        Args:
            span: The bytes to read, from ``start`` on.

        Raises:
            GatewayTimeout: The file system hangs.
            ServiceUnavailable: The file has been truncated, or cannot be read.
        """
        try:
            at, piece = self._start, self._piece[: len(span)]
            while at < span.stop:
                if not piece:
                    size = min(PIECE, span.stop - at)
                    piece = await self._threads.run(partial(os.pread, self._descriptor, size, at))
                if not piece:
                    raise ServiceUnavailable("The object has become shorter while it was read.")
                yield piece
                at, piece = at + len(piece), b""
        finally:
            self.close()

    def close(self) -> None:
        """Close the file in the background, because that may hang, too."""
        if self._descriptor >= 0:
            self._threads.submit(os.close, self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:  # the generator of ``pieces`` may never have been started
        self.close()


async def opened(
    threads: Threads,
    disk: Disk,
    bucket: str,
    key: str,
    span: range = WHOLE,
    info: Object | None = None,
) -> File:
    """Open an object's file and read its first piece, in one call of a thread.

    Args:
        threads: The threads of the file system.
        disk: The disk of the store.
        bucket: The name of the bucket.
        key: The object's key.
        span: The part of it that will be read.
        info: The object that is expected; ``None`` for any.

    Raises:
        PreconditionFailed: The object is another one than ``info``.
        OssError: It cannot be opened or read.
    """
    return await threads.run(partial(_open, threads, disk, bucket, key, span, info))


def _open(
    threads: Threads, disk: Disk, bucket: str, key: str, span: range, info: Object | None
) -> File:
    """Do the work of :func:`opened`, in a thread."""
    result = disk.open(bucket, key)
    try:
        if info is not None and result.object != info:
            raise PreconditionFailed("The object has been replaced in the meantime.")
        piece = os.pread(result.descriptor, min(PIECE, len(span)), span.start)
    except BaseException:
        result.close()
        raise
    return File(threads, result.object, result.descriptor, span.start, piece)

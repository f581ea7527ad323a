"""An opened file of a file system that may hang, which only threads touch."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from functools import partial

from ...errors import PreconditionFailed, ServiceUnavailable
from ..base import Object
from ..local.disk import Disk
from .threads import Threads

PIECE = 1 << 20  # bytes that are read at a time
WHOLE = range(1 << 62)  # of a file of whatever size


class File:
    """A file, with the piece of it that was read when it was opened.

    Args:
        threads: Those of the file system.
        object: What is known of it.
        descriptor: Of the file.
        start: Where the piece begins.
        piece: Bytes.

    Attributes:
        object: Likewise.
    """

    def __init__(
        self, threads: Threads, object: Object, descriptor: int, start: int, piece: bytes
    ) -> None:
        self.object = object
        self._threads, self._descriptor = threads, descriptor
        self._start, self._piece = start, piece

    async def pieces(self, span: range) -> AsyncGenerator[bytes, None]:
        """A part of the file, as it comes; the file is closed behind it.

        Args:
            span: Which bytes; begins where the file has been read.

        Raises:
            GatewayTimeout: The file system hangs.
            ServiceUnavailable: The file is shorter by now, or cannot be read.
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
        """Close it, some time: that may hang, too."""
        if self._descriptor >= 0:
            self._threads.submit(os.close, self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:  # whoever has it may never begin to read
        self.close()


async def opened(
    threads: Threads,
    disk: Disk,
    bucket: str,
    key: str,
    span: range = WHOLE,
    info: Object | None = None,
) -> File:
    """An object's file, with its first piece, in one go.

    Args:
        threads: Those of the file system.
        disk: The store's.
        bucket: Where it is.
        key: Its name.
        span: Which part of it will be read.
        info: What is known of it; ``None`` for whatever there is.

    Raises:
        PreconditionFailed: It is another one than ``info``.
        OssError: It cannot be had.
    """
    return await threads.run(partial(_open, threads, disk, bucket, key, span, info))


def _open(
    threads: Threads, disk: Disk, bucket: str, key: str, span: range, info: Object | None
) -> File:
    """The same, in a thread."""
    result = disk.open(bucket, key)
    try:
        if info is not None and result.object != info:
            raise PreconditionFailed("The object is another one by now.")
        piece = os.pread(result.descriptor, min(PIECE, len(span)), span.start)
    except BaseException:
        result.close()
        raise
    return File(threads, result.object, result.descriptor, span.start, piece)

"""An open file of a file system that may hang, accessed only in threads."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial

from ...errors import PreconditionFailed
from ..base import Object, Opened
from ..local.disk import Disk
from .threads import Threads

PIECE = 1 << 20  # bytes that are read at a time
WHOLE = range(1 << 62)  # the whole of a file of any size


@dataclass(frozen=True, slots=True)
class NetworkFile(Opened):
    """An object whose file may be written to on other machines, too.

    Attributes:
        inode: The file's ``st_ino``.
    """

    inode: int = field(kw_only=True)

    def changed(self) -> bool:
        """Return whether the file was written to, as far as its file system tells.

        A file that was replaced while it is open has not changed, but may have another ctime (on
        NFS, where it gets another name), or the facts of the new one (on FUSE, by that name).
        """
        facts = os.fstat(self.descriptor)
        if facts.st_ino != self.inode or self.times is None:
            return False
        return (facts.st_mtime_ns, facts.st_size) != (self.times[0], self.object.size)


class File:
    """An open file, with the piece of it that was read when it was opened.

    Args:
        threads: The threads of the file system.
        opened: The file.
        start: Offset of the piece.
        piece: The bytes that were read.

    Attributes:
        object: The object that the file has.
    """

    def __init__(self, threads: Threads, opened: Opened, start: int, piece: bytes) -> None:
        self.object = opened.object
        self._threads, self._opened = threads, opened
        self._start, self._piece, self._closed = start, piece, False

    async def pieces(self, span: range) -> AsyncGenerator[bytes, None]:
        """Yield a part of the file, in pieces, and then close the file.

        Args:
            span: The bytes to read, from ``start`` on.

        Raises:
            GatewayTimeout: The file system hangs.
            ServiceUnavailable: The file cannot be read.
            SourceChanged: It was written to meanwhile; what had not been read then is not yielded.
        """
        try:
            at, piece = self._start, self._piece[: len(span)]
            while at < span.stop:
                if not piece:
                    part = range(at, min(at + PIECE, span.stop))
                    piece = await self._threads.run(partial(self._opened.read, part))
                yield piece
                at, piece = at + len(piece), b""
        finally:
            self.close()

    def close(self) -> None:
        """Close the file in the background, because that may hang, too."""
        if not self._closed:
            self._threads.submit(self._opened.close)
            self._closed = True

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
        SourceChanged: It was written to while its first piece was read.
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
        inode = os.fstat(result.descriptor).st_ino
        result = NetworkFile(result.object, result.descriptor, times=result.times, inode=inode)
        stop = min(span.start + PIECE, span.stop, result.object.size)
        piece = result.read(range(span.start, stop))
    except BaseException:
        result.close()
        raise
    return File(threads, result, span.start, piece)

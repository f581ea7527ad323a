"""Files that are read on demand, and the parts of them that libvips is given.

Reading a header takes some KB of a file, and a part of a picture takes a part of it. So parsers
slice a :class:`File` as they would slice bytes, and return :class:`Parts` for libvips: bytes from
memory, and spans of the file that have not been read.

libvips reads these by callbacks that read from the descriptor (:meth:`Parts.source`) and take 5
microseconds each, or gets all of them in memory, read at once and copied once. With a TIFF of 18 MB
a callback reads a strip: all of it takes 13 ms, instead of 23 ms at once, and a crop at its top
2 ms instead of 12. libjpeg reads 4 KB at a time: a JPEG of 10 MB takes 128 ms instead of 120, also
through a pipe that a thread fills, so this is done only if its upper part is enough.

The alternative, libvips' own source on the descriptor, maps files (truncating one meanwhile would
kill the process), shares the file position with other processes, and cannot leave anything out.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import filetimes
from ...errors import OssError, ServiceUnavailable, SourceChanged
from ...filetimes import FileTimes

if TYPE_CHECKING:
    from pyvips import Image, SourceCustom

CHANGED = "The source was written to while it was read."
LEAST = 256 << 10  # bytes of the smallest file read on demand; a smaller one is read in 0.05 ms
HEAD = 64 << 10  # bytes that are read first; few headers are longer
LOOK = 32  # the least bytes to read after that
MOST = 4 << 20  # the most bytes of an outline, besides the first ones of the file
GRAIN = 16 << 10  # least bytes for each callback, for it to cost less than reading all at once

Span = tuple[int, int]  # of a file: the first byte, and the one after the last
Piece = bytes | Span


class File:
    """A file that can be sliced like bytes.

    Args:
        descriptor: Its descriptor, which is not closed here.
        size: Its size in bytes.

    Attributes:
        failure: The error of a callback of libvips; ``None`` without one.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.failure: OssError | None = None
        self._descriptor, self._size = descriptor, size
        self._head = b""
        self._at, self._near = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        begin, end, _ = part.indices(self._size)
        if begin >= end:
            return b""
        if end <= HEAD:
            return self.head()[begin:end]
        if not self._at <= begin <= end <= self._at + len(self._near):
            self._near = self.read(begin, max(end - begin, LOOK))
            self._at = begin
        return self._near[begin - self._at : end - self._at]

    def head(self, least: int = 0) -> bytes:
        """Return the first :data:`HEAD` or ``least`` bytes, or all of a shorter file."""
        wanted = min(max(least, HEAD), self._size)
        if len(self._head) < wanted:
            self._head = self.read(0, wanted)
        return self._head

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from the offset ``at`` on, fewer only at the end.

        Raises:
            ServiceUnavailable: They cannot be read, or the file has been truncated.
        """
        size = min(size, self._size - at)
        try:
            data = os.pread(self._descriptor, size, at)
            while len(data) < size and (
                more := os.pread(self._descriptor, size - len(data), at + len(data))
            ):
                data += more
        except OSError as error:
            raise _unreadable(error) from None
        if len(data) < size:
            raise _shorter()
        return data

    def changed(self, times: FileTimes | None) -> bool:
        """Return whether it was written to; see :func:`vipsgate.filetimes.changed`."""
        return filetimes.changed(self._descriptor, self._size, times)

    def unchanged(self, times: FileTimes | None) -> AbstractContextManager[None]:
        """Return a context in which the file is read, and after which it must not have changed.

        Args:
            times: Its times when it was opened; ``None`` for a file that is never written to.

        Raises:
            SourceChanged: It was written to meanwhile, so that no result or error is valid.
            ServiceUnavailable: libvips has failed to read a part of it.
        """
        return _Unchanged(self, times)

    def whole(self) -> bytes:
        """Return the whole file."""
        return self.read(0, self._size)

    def fill(self, at: int, buffer: memoryview) -> None:
        """Fill a buffer from the offset ``at`` on.

        Raises:
            ServiceUnavailable: The bytes cannot be read, or the file has been truncated.
        """
        while buffer:
            try:
                count = os.preadv(self._descriptor, [buffer], at)
            except OSError as error:
                raise _unreadable(error) from None
            if not count:
                raise _shorter()
            buffer, at = buffer[count:], at + count


class _Unchanged(AbstractContextManager[None]):
    """See :meth:`File.unchanged`; a class for the reason of :class:`..render.Decoding`."""

    def __init__(self, file: File, times: tuple[int, int] | None) -> None:
        self._file, self._times = file, times

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if error is not None and not isinstance(error, OssError):
            return
        if self._file.changed(self._times):
            raise SourceChanged(CHANGED) from None
        if error is not None and self._file.failure:
            raise self._file.failure from None


def _unreadable(error: OSError) -> ServiceUnavailable:
    reason = os.strerror(error.errno or 0)
    return ServiceUnavailable(f"The object cannot be read now: {reason}.")


def _shorter() -> ServiceUnavailable:
    return ServiceUnavailable("The object has become shorter while it was read.")


Bytes = bytes | bytearray
Memory = Bytes | mmap.mmap
Data = bytes | File  # a file, in memory or read on demand


def _as_it_is(data: Bytes) -> Bytes:
    return data


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a file that libvips may see, in order, as one file that is read on demand.

    Attributes:
        file: The file.
        pieces: Bytes, or spans of the file.
        grain: Bytes that libvips reads at a time; 0 if it needs all of them at once.
        finish: Called with all bytes in memory; returns them, perhaps with more at the end, or
            raises an error.
    """

    file: File
    pieces: tuple[Piece, ...]
    grain: int = 0
    finish: Callable[[Bytes], Bytes] = _as_it_is

    def __len__(self) -> int:
        return sum(map(_length, self.pieces))

    def whole(self) -> Bytes:
        """Return all parts in memory.

        Raises:
            OssError: They cannot be read, or ``finish`` refuses them.
        """
        if len(self.pieces) == 1 and isinstance(self.pieces[0], tuple):
            begin, end = self.pieces[0]
            return self.finish(self.file.read(begin, end - begin))
        memory, at = bytearray(len(self)), 0
        with memoryview(memory) as view:
            for piece in self.pieces:
                length = _length(piece)
                if isinstance(piece, tuple):
                    self.file.fill(piece[0], view[at : at + length])
                else:
                    view[at : at + length] = piece
                at += length
        return self.finish(memory)

    def pays(self, share: float) -> bool:
        """Return whether reading by callbacks is less work if libvips needs this share, 0-1."""
        return self.grain >= GRAIN * share

    def source(self) -> SourceCustom:
        """Return a libvips source that reads on demand.

        If something cannot be read, the source ends there, and ``file.failure`` is set.
        """
        import pyvips

        reader = _Reader(self)
        source = pyvips.SourceCustom()
        source.on_read(reader.read)
        source.on_seek(reader.seek)
        return source


class _Reader:
    """Reads pieces as one file, from a position."""

    def __init__(self, parts: Parts) -> None:
        self._file, self._at = parts.file, 0
        self._rows: list[tuple[int, int, Piece]] = []  # begin and end of each, and the piece
        end = 0
        for piece in parts.pieces:
            begin, end = end, end + _length(piece)
            self._rows.append((begin, end, piece))
        self._size, self._row = end, 0

    def read(self, size: int) -> bytes | None:
        """Return up to ``size`` bytes; ``None`` at the end.

        A callback of libvips must not raise, so ``None`` is also returned on errors.
        """
        at = self._at
        if at >= self._size:
            return None
        rows, row = self._rows, self._row
        if not rows[row][0] <= at < rows[row][1]:
            row = self._row = next(n for n, (_, end, _) in enumerate(rows) if at < end)
        begin, end, piece = rows[row]
        size = min(size, end - at)
        try:
            if isinstance(piece, tuple):
                data = self._file.read(piece[0] + at - begin, size)
            else:
                data = piece[at - begin : at - begin + size]
        except OssError as error:
            self._file.failure = error
            return None
        self._at = at + len(data)
        return data

    def seek(self, offset: int, whence: int) -> int:
        """Set the position and return it, as ``io.IOBase.seek`` does."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at


def _length(piece: Piece) -> int:
    return piece[1] - piece[0] if isinstance(piece, tuple) else len(piece)


def _clipped(piece: Piece, size: int) -> Piece:
    return (min(piece[0], size), min(piece[1], size)) if isinstance(piece, tuple) else piece


def joined(data: Data, pieces: Iterable[Piece], grain: int = 0) -> bytes | Parts:
    """Return pieces of a file, joined: as bytes if the file is in memory, else as parts.

    Args:
        data: The file.
        pieces: Bytes, or spans of the file; a span is cut off at the end of the file.
        grain: See :class:`Parts`.
    """
    if isinstance(data, File):
        pieces = (_clipped(piece, len(data)) for piece in pieces)
        return Parts(data, tuple(piece for piece in pieces if _length(piece)), grain)
    file = memoryview(data)
    return b"".join(
        file[piece[0] : piece[1]] if isinstance(piece, tuple) else piece for piece in pieces
    )


def whole(data: Bytes | Parts) -> bytes:
    """Return all bytes of a file, read if they are not in memory."""
    return bytes(data.whole() if isinstance(data, Parts) else data)


def loaded(loader: str, data: Memory | Parts, **options: Any) -> Image:
    """Return an image that libvips loads from memory without copying it, or from a file on demand.

    Args:
        loader: The name of the loader from memory, such as ``jpegload_buffer``.
        data: The file.
        options: The loader's options.
    """
    import pyvips

    source = data.source() if isinstance(data, Parts) else pyvips.Source.new_from_memory(data)
    name = f"{loader.removesuffix('_buffer')}_source"
    image: Image = getattr(pyvips.Image, name)(source, **options)
    image._references.append(source)  # as pyvips' own new_from_source does: libvips keeps neither
    return image


class Outline:
    """A sparse copy of a file in memory: the parts that are not added are 0, and take no memory.

    A decoder that skips pixels by their lengths reads the same header from it as from the file.

    Args:
        file: The file, whose first bytes are copied at once.

    Attributes:
        memory: The copy, as long as the file.
        large: Whether more than :data:`MOST` bytes were added; then the whole file is to be read.
    """

    def __init__(self, file: File) -> None:
        self._file, self._room = file, MOST
        self.memory = mmap.mmap(-1, len(file))
        head = file.head()
        self.memory[: len(head)] = head
        self._have = len(head)

    @property
    def large(self) -> bool:
        return self._room < 0

    def add(self, begin: int, end: int) -> None:
        """Copy a part of the file, up to the end of the file, unless it is too large.

        Args:
            begin: Offset of the first byte.
            end: Offset after the last byte.

        Raises:
            ServiceUnavailable: The part cannot be read.
        """
        begin, end = max(begin, self._have), min(end, len(self._file))
        if begin < end:
            self._room -= end - begin
            if not self.large:
                self.memory[begin:end] = self._file[begin:end]

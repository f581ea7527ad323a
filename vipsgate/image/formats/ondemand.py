"""Files that are read on demand, and the parts of them that libvips is given.

A header needs some KB of a file, and a part of a picture needs a part of it. So parsers slice a
:class:`File` as they would slice bytes, and return :class:`Parts` for libvips: bytes of ours, and
spans of the file that have not been read.

libvips reads these by calls of Python that read from the descriptor (:meth:`Parts.source`), which
take 5 microseconds each, or is given all of them in memory, read at once and copied once. With a
TIFF of 18 MB a call brings a strip: 13 ms for all of it, where all at once takes 23, and 2 ms in
place of 12 for a crop at its top. libjpeg calls for every 4 KB: a JPEG of 10 MB takes 128 ms in
place of 120, also through a pipe that a thread fills; it is read so where its upper part will do.
The other design, libvips' own source on the descriptor, maps files (one that is cut meanwhile would
kill the process), shares its place in them with other processes, and cannot leave anything out.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import OssError, ServiceUnavailable, SourceChanged

if TYPE_CHECKING:
    from pyvips import Image, SourceCustom

CHANGED = "The source was written to while it was read."
LEAST = 256 << 10  # bytes of a file that is worth it; less is read in 0.05 ms
HEAD = 64 << 10  # bytes that are read first: a header is seldom longer
LOOK = 32  # bytes that are read where fewer are looked at
MOST = 4 << 20  # bytes behind its beginning that an outline has
GRAIN = 16 << 10  # bytes that a call should bring, so that it costs less than to read all at once

Span = tuple[int, int]  # of a file: the first byte, and the one behind the last
Piece = bytes | Span


class File:
    """A file on a descriptor that looks like its bytes, as far as slices of them go.

    Args:
        descriptor: Of the file, which stays its owner's.
        size: Bytes that it has.

    Attributes:
        failure: Why something that libvips has asked for could not be read.
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
        """The first :data:`HEAD` bytes, or so many if that is more, or all of a shorter file."""
        wanted = min(max(least, HEAD), self._size)
        if len(self._head) < wanted:
            self._head = self.read(0, wanted)
        return self._head

    def read(self, at: int, size: int) -> bytes:
        """Bytes from a place on, fewer at the end only.

        Raises:
            ServiceUnavailable: They cannot be read, or are not there any more.
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

    def changed(self, times: tuple[int, int] | None) -> bool:
        """Has it been written to since?

        One that has lost its last name is what it was: another one has taken its place.

        Args:
            times: When it was last written, and when what is known of it last changed, in
                nanoseconds since the epoch; ``None`` where nobody writes to it.
        """
        if times is None:
            return False
        facts = os.fstat(self._descriptor)
        if (facts.st_mtime_ns, facts.st_size) != (times[0], self._size):
            return True
        return facts.st_ctime_ns != times[1] and facts.st_nlink > 0

    @contextmanager
    def unchanged(self, times: tuple[int, int] | None) -> Iterator[None]:
        """Within it something is made of the file.

        Args:
            times: See :meth:`changed`.

        Raises:
            SourceChanged: It was written to meanwhile, so that nothing of it counts.
            ServiceUnavailable: Something that libvips has asked for could not be read.
        """
        try:
            yield
        except OssError as error:
            if self.changed(times):
                raise SourceChanged(CHANGED) from None
            raise self.failure or error from None
        if self.changed(times):
            raise SourceChanged(CHANGED)

    def whole(self) -> bytes:
        """All of it, in one piece."""
        return self.read(0, self._size)

    def fill(self, at: int, buffer: memoryview) -> None:
        """Read into a buffer as many bytes as it has.

        Raises:
            ServiceUnavailable: They cannot be read, or are not there any more.
        """
        while buffer:
            try:
                count = os.preadv(self._descriptor, [buffer], at)
            except OSError as error:
                raise _unreadable(error) from None
            if not count:
                raise _shorter()
            buffer, at = buffer[count:], at + count


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
    """What libvips may see of a file that is read on demand: pieces, one behind the other.

    Attributes:
        file: The file.
        pieces: Of ours, or of the file.
        grain: Bytes that libvips asks for at a time; 0 where it must have all at once.
        finish: Has a last look at all of it in memory; may raise, or put something behind.
    """

    file: File
    pieces: tuple[Piece, ...]
    grain: int = 0
    finish: Callable[[Bytes], Bytes] = _as_it_is

    def __len__(self) -> int:
        return sum(map(_length, self.pieces))

    def whole(self) -> Bytes:
        """All of it in memory.

        Raises:
            OssError: It cannot be read, or is refused.
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
        """Is it less work for libvips to ask for each part, if that share of it is wanted?"""
        return self.grain >= GRAIN * share

    def source(self) -> SourceCustom:
        """A source of libvips' that reads what it is asked for.

        What cannot be read is missing, and the ``failure`` of the file says why.
        """
        import pyvips

        reader = _Reader(self)
        source = pyvips.SourceCustom()
        source.on_read(reader.read)
        source.on_seek(reader.seek)
        return source


class _Reader:
    """Reads pieces as if they were a file, from where it stands."""

    def __init__(self, parts: Parts) -> None:
        self._file, self._at = parts.file, 0
        self._rows: list[tuple[int, int, Piece]] = []  # where each begins and ends
        end = 0
        for piece in parts.pieces:
            begin, end = end, end + _length(piece)
            self._rows.append((begin, end, piece))
        self._size, self._row = end, 0

    def read(self, size: int) -> bytes | None:
        """Up to so many bytes; ``None`` at the end. Nothing may be raised through libvips."""
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
        """Go to a place, as ``io.IOBase.seek`` does."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at


def _length(piece: Piece) -> int:
    return piece[1] - piece[0] if isinstance(piece, tuple) else len(piece)


def _clipped(piece: Piece, size: int) -> Piece:
    return (min(piece[0], size), min(piece[1], size)) if isinstance(piece, tuple) else piece


def joined(data: Data, pieces: Iterable[Piece], grain: int = 0) -> bytes | Parts:
    """Pieces of a file one behind the other, in memory where the file is.

    Args:
        data: The file.
        pieces: Of which the last of the file may begin and end behind its end.
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
    """All of it in memory."""
    return bytes(data.whole() if isinstance(data, Parts) else data)


def loaded(loader: str, data: Memory | Parts, **options: Any) -> Image:
    """An image that libvips loads from memory without a copy of it, or from a file on demand.

    Args:
        loader: That of memory, ``jpegload_buffer``.
        data: The file.
        options: The loader's.
    """
    import pyvips

    source = data.source() if isinstance(data, Parts) else pyvips.Source.new_from_memory(data)
    name = f"{loader.removesuffix('_buffer')}_source"
    image: Image = getattr(pyvips.Image, name)(source, **options)
    image._references.append(source)  # as pyvips' own new_from_source does: libvips keeps neither
    return image


class Outline:
    """A file in memory with parts of it only: the rest is 0, and takes none.

    A decoder that finds its way through a file by lengths sees in it what the file says of itself.

    Args:
        file: The file, of which the beginning is there at once.

    Attributes:
        memory: As long as the file.
        large: Whether so much of the file is wanted that all of it may as well be read.
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
        """Put a part of the file there, as far as the file goes and there is room.

        Raises:
            ServiceUnavailable: It cannot be read.
        """
        begin, end = max(begin, self._have), min(end, len(self._file))
        if begin < end:
            self._room -= end - begin
            if not self.large:
                self.memory[begin:end] = self._file[begin:end]

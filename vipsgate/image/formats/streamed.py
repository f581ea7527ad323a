"""Files that are decoded while they are arriving.

:data:`FORMATS` has the formats whose loaders read from top to bottom and never go back. The header
is read from the beginning, and of the rest, what libvips may see is passed on as it arrives. Only
at the end is it known whether the whole file would have been read in the same way: a PNG may have
EXIF after its pixels, and a JPEG without an end marker gets one. If not, the picture is discarded
(:class:`UncertainError`) and made of the whole file. The alternative, to compare the bytes with
those of the whole, took a fifth of the time of decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ...errors import OssError
from ..frame import Header
from . import codecs, header_size, jpeg, png
from .probe import stored

FIRST = 64 << 10  # bytes that are looked at first
ENOUGH = 64 << 10  # bytes of a span that is passed on at once
MOST = 4 << 20  # bytes of a beginning; where it is longer, the whole is waited for

Span = tuple[int, int]  # of a file: the first byte, and the one behind the last
Look = Callable[[int, int], bytes]  # so many bytes from a place on, as soon as they are there


class UncertainError(Exception):
    """The whole of a file is to be read differently than its beginning was."""


@dataclass(frozen=True, slots=True)
class Front:
    """The beginning of a file.

    Attributes:
        header: What the file says of itself.
        washed: What libvips sees of the beginning.
        end: Where the beginning ends.
        size: Bytes of the whole.
        rest: See :class:`Format`.
    """

    header: Header
    washed: bytes
    end: int
    size: int
    rest: Callable[[Front, Look], Iterator[Span]]


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is read from its beginning on.

    Attributes:
        needed: Bytes that the beginning has, of a file that begins so; see
            :func:`.header_size.needed`.
        front: Header, what libvips sees of so many bytes, and where that ends.
        rest: The parts behind it that libvips sees, in their order; raises UncertainError where
            :func:`.probe.probe` would have shown it others, or said another header.
    """

    needed: Callable[[bytes], int]
    front: Callable[[bytes], tuple[Header, bytes, int]]
    rest: Callable[[Front, Look], Iterator[Span]]


class Feed(Protocol):
    """What libvips is given of a file.

    Attributes:
        descriptor: Of a pipe that it comes from.
        certain: At the end, whether all of it has gone there, as of the whole.
    """

    descriptor: int
    certain: bool


class Arriving(Protocol):
    """A file whose bytes are still arriving.

    Attributes:
        size: Size of the whole file in bytes.
    """

    size: int

    def head(self, least: int) -> bytes:
        """Return the first ``least`` bytes, or all of a shorter file, once they have arrived."""

    def feed(self, front: Front) -> AbstractContextManager[Feed]:
        """Pass the file to libvips as it arrives; when the context ends, all of it has arrived."""


def streams(head: bytes) -> bool:
    """Return whether a file that begins so may be decoded while it is arriving."""
    return any(codecs.MAGIC[name].match(head) for name in FORMATS)


def front(file: Arriving) -> Front | None:
    """Return the beginning of a file as soon as it has arrived, or ``None`` to wait for all of it.

    Errors are left to the reader of the whole file.
    """
    least = FIRST
    while True:
        head = file.head(least)
        row = next((FORMATS[name] for name in FORMATS if codecs.MAGIC[name].match(head)), None)
        needed = row.needed(head) if row else header_size.ALL
        if row is None or needed > min(MOST, file.size):
            return None
        if needed <= len(head):
            break
        least = max(needed, 2 * least)  # there may be thousands of small chunks
    try:
        header, washed, end = row.front(head[:needed])
    except OssError:
        return None
    return Front(stored(header, file.size), washed, end, file.size, row.rest)


def _jpeg_rest(front: Front, look: Look) -> Iterator[Span]:
    """All of it: libjpeg passes over what it does not know."""
    yield front.end, front.size
    if look(front.size - len(jpeg.END), len(jpeg.END)) != jpeg.END:
        raise UncertainError
    if front.header.interlaced:
        scans = 0
        for at in range(front.end, front.size, ENOUGH):  # with one byte of the next piece
            scans += look(at, min(ENOUGH + 1, front.size - at)).count(jpeg.SCAN)
        if scans > jpeg.MAX_SCANS:
            raise UncertainError


def _png_rest(front: Front, look: Look) -> Iterator[Span]:
    """The pixels, and the end."""
    begin = at = front.end
    name = b""
    for _ in range(png.MAX_CHUNKS // 2):  # with those in front no more than it may have
        if at + png.CHUNK > front.size or name == png.END:
            break
        head = look(at, 8)
        name, end = head[4:], at + png.CHUNK + int.from_bytes(head[:4], "big")
        if name in png.TELLING:
            raise UncertainError
        if name not in png.PIXELS:
            if at > begin:
                yield begin, at
            begin = end
        elif end - begin >= ENOUGH:  # not each chunk by itself: many have 8 KB
            yield begin, min(end, front.size)
            begin = end
        at = end
    else:
        raise UncertainError
    if at > begin:
        yield begin, min(at, front.size)


FORMATS = {
    "jpg": Format(header_size.needed, jpeg.front, _jpeg_rest),
    "png": Format(png.before_pixels, png.front, _png_rest),
}

"""Decodes files while they are arriving.

:data:`FORMATS` has the formats whose loaders read from top to bottom and never go back. The header
is read from the beginning of the file. Of the rest, the parts that libvips may see are passed on as
they arrive. Only at the end is it known whether the whole file would have been read in the same
way: a PNG may have EXIF after its pixels, and a JPEG without an end marker gets one. If it would
not, the picture is discarded (:class:`UncertainError`) and made from the whole file. The
alternative, to compare the bytes with those of the whole, took a fifth of the time of decoding.
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

FIRST = 64 << 10  # bytes in which the end of the beginning is looked for first
ENOUGH = 64 << 10  # bytes of a span that is passed on at once
MOST = 4 << 20  # most bytes of a beginning; if it is longer, the whole file is awaited

Span = tuple[int, int]  # a part of a file: its first byte, and the one after its last
# returns so many bytes from an offset on, as soon as they have arrived; the offset is first
Look = Callable[[int, int], bytes]


class UncertainError(Exception):
    """The whole file has to be read differently than its beginning was."""


@dataclass(frozen=True, slots=True)
class Front:
    """The beginning of a file.

    Attributes:
        header: The properties of the picture.
        washed: The bytes that libvips sees of the beginning.
        end: Offset at which the beginning ends.
        size: Size of the whole file in bytes.
        rest: As in :class:`Format`.
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
        needed: Returns the size of the beginning, from some first bytes of a file; see
            :func:`.header_size.needed`.
        front: Returns the header, the bytes that libvips sees of a beginning, and its size.
        rest: Yields the parts after the beginning that libvips sees, in their order. Raises
            UncertainError if :func:`.probe.probe` would pass on other bytes, or return another
            header.
    """

    needed: Callable[[bytes], int]
    front: Callable[[bytes], tuple[Header, bytes, int]]
    rest: Callable[[Front, Look], Iterator[Span]]


class Feed(Protocol):
    """The bytes of a file that are passed to libvips.

    Attributes:
        descriptor: The end of a pipe that libvips reads.
        certain: At the end, whether all bytes were passed, and are those of the whole file.
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
    """Yield all of it, because libjpeg ignores what it does not know."""
    yield front.end, front.size
    if look(front.size - len(jpeg.END), len(jpeg.END)) != jpeg.END:
        raise UncertainError
    if front.header.interlaced:
        scans = 0
        for at in range(front.end, front.size, ENOUGH):  # pieces overlap by one byte
            scans += look(at, min(ENOUGH + 1, front.size - at)).count(jpeg.SCAN)
        if scans > jpeg.MAX_SCANS:
            raise UncertainError


def _png_rest(front: Front, look: Look) -> Iterator[Span]:
    """Yield the pixels and the end."""
    begin = at = front.end
    name = b""
    for _ in range(png.MAX_CHUNKS // 2):  # as many as before_pixels() may pass over
        if at + png.CHUNK > front.size or name == png.END:
            break
        head = look(at, 8)
        name, end = head[4:], at + png.CHUNK + int.from_bytes(head[:4], "big")
        if name in png.HEADER_CHUNKS:
            raise UncertainError
        if name not in png.PIXELS:
            if at > begin:
                yield begin, at
            begin = end
        elif end - begin >= ENOUGH:  # several chunks in one span, as many have 8 KB only
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

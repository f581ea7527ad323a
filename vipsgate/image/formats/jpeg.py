"""A JPEG's segments, read before libvips sees them.

The walk finds what the plan needs (size, scans, sampling, orientation, quality), and leaves out
the segments that no pixel depends on: libvips would parse EXIF for half a millisecond, and a file
may carry thousands of them. Kept are tables, frames and scans, Adobe's colour mark and the ICC
profile (ITU-T T.81, B.1).

Markers are found as by libjpeg (jdmarker.c, next_marker): bytes between two segments that belong to
none are skipped, and a file may end after its last scan without an end marker. For libvips, such
bytes are removed and the marker is added; between scans, libjpeg skips bytes itself.

Whether the bits of a scan are complete can only be told by its decoder (:mod:`.warnings`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from ...errors import BadRequest, ImageDamage, ImageTooLarge
from ..frame import SRGB, Header
from . import exif, icc
from .ondemand import Bytes, File, Parts

DHT, EOI, SOS, DQT, DRI = 0xC4, 0xD9, 0xDA, 0xDB, 0xDD
END, SCAN = b"\xff\xd9", b"\xff\xda"
READ = 4 << 10  # bytes of a file that libvips reads at a time
SOFS = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive: what libjpeg decodes
OTHER_SOFS = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
APP0, APP1, APP2, APP14, APP15, COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
EXIF = b"Exif\0\0"
ICC = b"ICC_PROFILE\0"
JFIF, JFIF_BYTES = b"JFIF\0", 14  # in front of an APP0, and what it has at least
POINT = 72 / 25.4  # pixels per millimetre of a file that does not say it
UNITS = {1: 25.4, 2: 10.0}  # of a density in an APP0 -> millimetres
MAX_SCANS = 100  # each is a pass over the whole picture; an encoder writes about ten
# also those that may not stand in a file: libjpeg stops at them. Restart marks and TEM, which have
# no length, begin no segment, and libjpeg goes on behind them
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
FILL = re.compile(rb"\xff{2,}")  # any number may stand before a marker (ITU-T T.81, B.1.1.2)
# those of segments: tables, restart interval, number of lines, scan, APP0 to APP15, comment
SEGMENTS = SOFS | OTHER_SOFS | {DHT, 0xCC, DQT, 0xDC, DRI, SOS, *range(0xE0, 0xF0), COM}
MAX_SEGMENTS = 4096  # before the first scan; a camera writes a dozen, an ICC profile at most 255
MAX_STRAY = 65536  # bytes before the first scan that belong to no segment; libjpeg skips any number


@dataclass(frozen=True, slots=True)
class _Front:
    """What stands before the first scan.

    Attributes:
        header: What the file says of itself.
        pieces: What libvips sees of it.
        rest: From where on it sees all.
        scan: Where the first scan begins.
        frame: The frame header's body.
        progressive: Whether a scan has only a part of the coefficients.
    """

    header: Header
    pieces: list[bytes | memoryview]
    rest: int
    scan: int
    frame: bytes
    progressive: bool


def read(data: bytes) -> tuple[Header, bytes]:
    """The header, and the file without what no pixel depends on.

    Raises:
        ImageDamage: The segments do not lead to a scan.
        ImageTooLarge: More scans than it may have.
        BadRequest: A JPEG process that nobody decodes (lossless, arithmetic, hierarchical).
    """
    begun = _front(data)
    _check_scans(data, begun.scan, begun)
    pieces = [*begun.pieces, memoryview(data)[begun.rest :]]
    if _lacks_end_only(data, begun.scan, begun):
        pieces.append(END)
    return begun.header, b"".join(pieces) if len(pieces) > 2 else data


def begin(file: File, needed: int) -> tuple[Header, Parts]:
    """As :func:`read`, of a file of which the beginning is looked at; the rest when it is all read.

    Args:
        file: The file.
        needed: Bytes up to the first scan; see :func:`.header_size.needed`.

    Raises:
        ImageDamage: The segments do not lead to a scan.
        BadRequest: See :func:`read`.
    """
    data = file.head(needed)[:needed]
    begun = _front(data)
    washed = b"".join((*begun.pieces, memoryview(data)[begun.rest : begun.scan]))
    ends = file[len(file) - len(END) :] == END
    finish = partial(_finished, begun, len(washed))
    pieces = washed, (begun.scan, len(file))
    return begun.header, Parts(file, pieces, READ * ends, finish)


def _finished(begun: _Front, scan: int, data: Bytes) -> Bytes:
    """All of a file whose first scan begins there, with what its end lacks.

    Raises:
        ImageTooLarge: More scans than it may have.
    """
    _check_scans(data, scan, begun)
    return data + END if _lacks_end_only(data, scan, begun) else data


def _check_scans(data: Bytes, at: int, begun: _Front) -> None:
    if not begun.header.interlaced:
        return
    scans = data.count(SCAN, at)
    if scans > MAX_SCANS and (scans := _count_scans(data, at, scans)) > MAX_SCANS:
        raise ImageTooLarge(f"The JPEG has {scans} scans; it may have {MAX_SCANS}.")


def _count_scans(data: Bytes, at: int, most: int) -> int:
    """Return the number of scans that libjpeg reads, which stops at the end marker.

    Behind it may be anything: a phone's video, or a second picture.

    Args:
        data: The file.
        at: The offset of the first scan.
        most: The number to return if there are too many segments to look at.
    """
    scans = 0
    for _ in range(MAX_SEGMENTS):
        match = MARKER.search(data, at)
        marker = data[match.end() - 1] if match else EOI
        if match is None or marker not in SEGMENTS:
            return scans
        scans += marker == SOS
        at = match.end() + max(2, int.from_bytes(data[match.end() : match.end() + 2], "big"))
    return most


def front(data: bytes) -> tuple[Header, bytes, int]:
    """As :func:`read`, of the bytes up to the first scan, and where that begins.

    Raises:
        ImageDamage: The segments do not lead to a scan.
        BadRequest: See :func:`read`.
    """
    begun = _front(data)
    pieces = [*begun.pieces, memoryview(data)[begun.rest : begun.scan]]
    return begun.header, b"".join(pieces), begun.scan


def _front(data: bytes) -> _Front:
    pieces: list[bytes | memoryview] = [data[:2]]
    table = b""
    block = profile = b""
    frame: bytes | None = None
    progressive = profiled = False
    at = start = 2
    stray = MAX_STRAY
    for _ in range(MAX_SEGMENTS):
        if not MARKER.match(data, at):
            marker = following(data, at, stray)
            stray -= marker - filled(data, at)
            if stray < 0:
                raise _damaged(f"has over {MAX_STRAY} bytes between its segments")
            pieces.append(data[start:at])
            at = start = marker
        if at + 2 > len(data):
            raise _damaged("ends before its first scan")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == EOI:
            raise _damaged("ends before its first scan")
        if marker not in SEGMENTS:
            raise _damaged(f"has the marker FF{marker:02X} in its header")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise _damaged(f"has a segment FF{marker:02X} of {length} bytes at byte {at}")
        body = data[at + 4 : end]
        if marker == SOS:
            if frame is None:
                raise _damaged("has a scan before its frame header")
            # where the first scan has all components of a baseline file, no other one is read;
            # else libjpeg holds all coefficients
            whole = progressive or body[:1] != frame[5:6]
            header = _header(frame, whole, table, block, profile, plain=not profiled)
            return _Front(header, pieces, start, at, frame, progressive)
        if marker in OTHER_SOFS:
            raise BadRequest(f"The JPEG is of a kind that is not supported (SOF{marker - 0xC0}).")
        if marker in SOFS:
            if frame is not None:
                raise _damaged("has two frame headers")
            if len(body) < 6 or len(body) < 6 + 3 * body[5]:
                raise _damaged("has a frame header that is cut off")
            frame, progressive = body, marker == 0xC2
        elif marker == DQT:
            table = table or luminance(body)
        elif marker == APP1 and body.startswith(EXIF) and not block:
            block = body[len(EXIF) :]
        elif marker == APP2 and body.startswith(ICC):
            profiled = True
            if body.startswith(ICC + b"\1"):  # of perhaps several parts; the first has the name
                profile = body[len(ICC) + 2 :]
        if _droppable(marker, body):
            pieces.append(data[start:at])
            start = end
        at = end
    raise _damaged(f"has over {MAX_SEGMENTS} segments before its first scan")


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment in front of the first scan, of a file that has been read."""
    for marker, begin, end in _bodies(data):
        yield marker, data[begin:end]


def _bodies(data: Bytes) -> Iterator[tuple[int, int, int]]:
    """The same, but where each body begins and ends."""
    at, stray = 2, MAX_STRAY
    for _ in range(MAX_SEGMENTS):
        if not MARKER.match(data, at):
            at = following(data, at, stray)
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SOS or length < 2:
            return
        yield marker, at + 4, at + 2 + length
        at += 2 + length


def density(data: Bytes) -> tuple[float, float]:
    """Return the pixels per millimetre across and down of a file, as libvips reads them."""
    bodies = [
        data[begin + 7 : begin + 12]
        for marker, begin, end in _bodies(data)
        if marker == APP0 and end - begin >= JFIF_BYTES and data[begin : begin + 5] == JFIF
    ]
    if not bodies:
        return POINT, POINT
    unit, across, down = struct.unpack(">BHH", bodies[-1])
    if 1 in (across, down):
        return POINT, POINT
    if unit == 0:  # only the ratio of a pixel's sides
        return POINT, POINT * across / down if down else POINT
    scale = UNITS.get(unit)
    return (across / scale, down / scale) if scale else (POINT, POINT)


def profile(data: Bytes) -> bytes | None:
    """Return the ICC profile of a file, or ``None`` if it is in several parts."""
    parts = [
        data[begin:end]
        for marker, begin, end in _bodies(data)
        if marker == APP2 and data[begin : begin + len(ICC)] == ICC
    ]
    if not parts:
        return b""
    head, whole = len(ICC) + 2, len(parts) == 1 and parts[0][len(ICC) :][:2] == b"\1\1"
    return bytes(parts[0][head:]) if whole and len(parts[0]) > head else None


def with_sides(data: bytes, width: int, height: int) -> bytes:
    """The file with other sides, by which its last blocks are shown further than before.

    A picture is coded in whole blocks of 8 by 8 pixels, so the file has some behind its border too,
    where encoders repeat the last ones. libvips leaves out those of a shrunk picture that show some
    of that, and to copy the ones beside them costs more and is not as like.

    At least half of such a pixel is the source's, as sides are rounded: where an encoder has left
    something else behind the border, black say, the last pixels are darker by half at most.

    Args:
        data: A file that has been read.
        width: Of the picture, no further than its last blocks reach.
        height: Likewise.

    Returns:
        The file as it is where its scans might then have other blocks than before: where colours
        are sampled at two thirds, or three quarters (ITU-T T.81, A.2.2).
    """
    for marker, begin, end in _bodies(data):
        if marker in SOFS:
            factors = data[begin + 7 : end : 3]
            if any(3 in (part >> 4, part & 15) for part in factors):
                return data
            sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
            return b"".join((data[: begin + 1], sides, memoryview(data)[begin + 5 :]))
    return data


def filled(data: Bytes, at: int) -> int:
    """Where the fill bytes that begin at a place end, the last 0xFF not counted."""
    fill = FILL.match(data, at)
    return fill.end() - 1 if fill else at


def following(data: Bytes, at: int, stray: int) -> int:
    """Where the next marker is.

    Args:
        data: The file, or its beginning.
        at: The end of a segment.
        stray: How many bytes may stand in between, fill bytes not counted. Where there are more,
            the place is one further than that; where the data ends sooner, it is their end.
    """
    at = filled(data, at)
    match = MARKER.search(data, at, at + stray + 2)
    return match.start() if match else min(at + stray + 1, len(data))


def _lacks_end_only(data: Bytes, at: int, begun: _Front) -> bool:
    """Return whether only the end marker is missing, and no scan.

    Whether a scan is complete can only be told by decoding it.

    Args:
        data: The file.
        at: The offset of the first scan.
        begun: The parsed segments before it.
    """
    if data.endswith(END):
        return False
    frame, progressive = begun.frame, begun.progressive
    # for each component, how many bits of its coefficients are still to come
    missing = {part: [1] * 64 for part in frame[6 : 6 + 3 * frame[5] : 3]}
    for _ in range(MAX_SEGMENTS):
        match = MARKER.search(data, at)
        if not match:
            return not any(any(bits) for bits in missing.values())
        at = match.start()
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if marker == EOI or length < 2 or end > len(data):
            return False
        body = data[at + 4 : end]
        if marker == SOS and len(body) >= 6:
            first, last, low = body[-3], min(body[-2], 63), body[-1] & 15
            for part in body[1:-3:2]:
                if not progressive:
                    missing[part] = []
                elif part in missing and first <= last:
                    missing[part][first : last + 1] = [low] * (last + 1 - first)
        at = end
    return False


def _droppable(marker: int, body: bytes) -> bool:
    """No pixel depends on it. APP0 stays: its absence changes the guess at the colours."""
    if marker == APP2:
        return not body.startswith(ICC)
    return (APP1 <= marker <= APP15 and marker != APP14) or marker == COM


def _header(
    frame: bytes, whole: bool, table: bytes, block: bytes, profile: bytes, *, plain: bool
) -> Header:
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    bands = frame[5]
    if not (width and height and bands):
        raise _damaged(f"has {width}x{height} pixels of {bands} components")
    factors = [(part >> 4) * (part & 15) for part in frame[7 : 6 + 3 * bands : 3]]
    return Header(
        format="jpg",
        width=width,
        height=height,
        orientation=exif.orientation(block),
        bands=bands,
        depth=frame[0],
        interlaced=whole,
        samples=sum(factors) / max([1, *factors]),
        quality=quality(table),
        gamut=icc.gamut(profile) if bands == 3 else SRGB,
        tagged=bands == 3 and icc.is_other(profile),
        plain=plain and frame[0] == 8 and bands in (1, 3),
        unsupported="" if bands in (1, 3, 4) else f"{bands} components",
        exif=block,
    )


def _damaged(what: str) -> ImageDamage:
    return ImageDamage(f"The image file may be damaged. The JPEG {what}.")


# -- quality -------------------------------------------------------------------------------------

# ITU-T T.81, Annex K.1: the luminance table that the IJG's quality 50 writes, in zigzag order
LUMINANCE = (
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
    26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
    56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
    95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
)  # fmt: skip


def luminance(tables: bytes) -> bytes:
    """Table 0 of a DQT segment's body, 64 steps of one byte or two; empty where it has none."""
    at = 0
    while at < len(tables):
        size = 128 if tables[at] >> 4 else 64
        if tables[at] & 15 == 0 and at + size < len(tables):
            return tables[at + 1 : at + 1 + size]
        at += 1 + size
    return b""


@lru_cache(maxsize=256)
def quality(table: bytes) -> int:
    """The IJG quality, 1-100, whose luminance table is nearest; 0 without a table."""
    if not table:
        return 0
    size = len(table) // 64
    steps = [int.from_bytes(table[at : at + size]) for at in range(0, len(table), size)]
    return min(range(1, 101), key=lambda q: (_distance(steps, q), -q))


def _distance(steps: list[int], q: int) -> int:
    return sum(abs(a - b) for a, b in zip(steps, _ijg(q), strict=True))


@lru_cache(maxsize=100)
def _ijg(q: int) -> tuple[int, ...]:
    """libjpeg's luminance table for a quality (jcparam.c: jpeg_quality_scaling)."""
    scale = 5000 // q if q < 50 else 200 - 2 * q
    return tuple(min(255, max(1, (value * scale + 50) // 100)) for value in LUMINANCE)

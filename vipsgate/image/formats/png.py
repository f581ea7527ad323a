"""Reads the chunks of a PNG, and removes most ancillary ones before libvips reads the file.

libpng decodes ancillary chunks while it reads the header: 4 MB of zTXt take 17 seconds there, where
neither a size check nor a deadline of libvips applies. The critical chunks, transparency and the
ICC profile are kept (PNG specification, 3rd edition, 5.3).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

from ...errors import ImageDamage
from ..frame import SRGB, Header
from . import cicp, exif, icc
from .insertion import insert
from .ondemand import Data, Parts, joined, whole

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP"))
BANDS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # colour type -> channels; a palette's entries are RGB
CGBI = b"CgBI"  # a chunk before IHDR in Xcode's variant of PNG: no zlib header, blue first
PACKET = b"XML:com.adobe.xmp\0"  # the keyword of an iTXt with XMP
MAX_CHUNKS = 100_000  # encoders write IDATs of 8 KB and more: 2,500 in 20 MB
ANIMATION = 8  # bytes of an acTL chunk, which comes before the first IDAT: frames, plays (11.3.6.1)
NAME_BYTES = 1 << 16  # first bytes of a profile, which contain its name
CHUNK = 12  # bytes of a chunk in addition to its body: length, name, CRC
PIXELS = frozenset((b"IDAT", b"IEND"))
HEADER_CHUNKS = KEPT - PIXELS | {b"eXIf", b"cICP"}  # what :func:`read` uses at any position
END = b"IEND"
READ = 8 << 10  # bytes of a file that libvips reads at a time
MAX_PROFILE = 1 << 20  # bytes of an iCCP chunk; real ones, which are compressed, are below 100 KB


def read(data: Data) -> tuple[Header, bytes | Parts]:
    """Return the header, and the file without the chunks that no pixel depends on.

    Raises:
        ImageDamage: The file does not begin with IHDR, or has more than :data:`MAX_CHUNKS` chunks.
    """
    front = 8 + 12 + 4 if data[12:16] == CGBI else 8
    shape, seen = data[front + 8 : front + 21], set[bytes]()
    block = profile = codes = b""
    animated = False
    if data[front : front + 8] != b"\0\0\0\rIHDR" or len(shape) < 13:
        raise ImageDamage("The image file may be damaged. The PNG does not begin with its header.")
    spans: list[tuple[int, int]] = []
    at, start, named = 8, 0, (0, 0)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            break  # a truncated file; libvips reports it if pixels are missing
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if name == b"eXIf" and not block:
            block = data[at + 8 : end - 4]
        elif name == b"iCCP" and name not in seen:
            profile, named = data[at + 8 : end - 4], (at, end)
        elif name == b"cICP" and not codes:
            codes = data[at + 8 : end - 4]
        elif name == b"acTL" and b"IDAT" not in seen and length == ANIMATION:
            animated = int.from_bytes(data[at + 8 : at + 12], "big") > 1
        if _droppable(name, length) or (name in seen and name != b"IDAT"):
            spans.append((start, at))
            start = end
        seen.add(name)
        at = end
        if name == b"IEND":
            break
    else:
        raise ImageDamage(f"The image file may be damaged. The PNG has over {MAX_CHUNKS} chunks.")
    spans.append((start, at))
    header = _header(shape, b"tRNS" in seen, block, _beginning(profile), animated)
    if len(codes) == 4:
        header = _coded(header, codes)
        spans = [
            part
            for begin, end in spans
            for part in ((begin, min(end, named[0])), (max(begin, named[1]), end))
            if part[0] < part[1]
        ]
    if CGBI in seen:
        header = replace(header, unsupported="CgBI, which is Apple's own")
    if len(spans) == 1:  # bytes after IEND are kept
        return header, data if isinstance(data, bytes) else joined(data, ((0, len(data)),), READ)
    return header, joined(data, spans, READ)


def before_pixels(data: bytes) -> int:
    """Return where the first IDAT begins, or how many bytes have to be read first to find it.

    The latter is more than ``len(data)``.
    """
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS // 2):
        if at + 8 > len(data) or data[at + 4 : at + 8] in PIXELS:
            break
        at += CHUNK + int.from_bytes(data[at : at + 4], "big")
    return at if data[at + 4 : at + 8] in PIXELS else max(at, len(data)) + 8


def front(data: bytes) -> tuple[Header, bytes, int]:
    """Return the results of :func:`read` for the bytes before the first pixels, and their number.

    Raises:
        ImageDamage: As for :func:`read`.
    """
    header, washed = read(data)
    return header, whole(washed), len(data)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the body of each chunk of a file that :func:`read` has accepted."""
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def write_packet(descriptor: int, xmp: bytes) -> None:
    """Insert an XMP packet after the header of a file just written (XMP, Part 3, 1.1.5)."""
    body = b"iTXt" + PACKET + bytes(4) + xmp  # not compressed, no language, no translated keyword
    chunk = (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    insert(descriptor, len(SIGNATURE) + 12 + 13, chunk)


def _coded(header: Header, codes: bytes) -> Header:
    """Return the header with a cICP chunk's colours, which take precedence over a profile's.

    See PNG specification, 3rd edition, 11.3.2.6.
    """
    gamut, converted = cicp.meaning(codes[0], codes[1])
    return replace(
        header,
        gamut=gamut if header.bands > 2 else SRGB,
        tagged=False,
        codes=converted,
        hdr=cicp.is_hdr(converted),
        limited=codes[3] == 0,
    )


def _droppable(name: bytes, length: int) -> bool:
    return name not in KEPT or (name == b"iCCP" and length > MAX_PROFILE)


def _header(shape: bytes, transparent: bool, block: bytes, profile: bytes, more: bool) -> Header:
    width, height = int.from_bytes(shape[0:4], "big"), int.from_bytes(shape[4:8], "big")
    depth, colour, compression, filtering, interlace = shape[8:13]
    if not (width and height) or colour not in BANDS or depth not in (1, 2, 4, 8, 16):
        raise ImageDamage(
            f"The image file may be damaged. The PNG is {width}x{height} pixels "
            f"of colour type {colour} with {depth} bits."
        )
    if compression or filtering or interlace > 1:  # no other methods are defined (11.2.1)
        raise ImageDamage(
            f"The image file may be damaged. The PNG has compression method {compression}, "
            f"filter method {filtering} and interlace method {interlace}."
        )
    bands = BANDS[colour] + (transparent and colour not in (4, 6))
    return Header(
        format="png",
        width=width,
        height=height,
        orientation=exif.orientation(block),
        bands=bands,
        depth=max(8, depth),
        alpha=transparent or colour in (4, 6),
        interlaced=interlace == 1,
        more=more,
        gamut=icc.gamut(profile) if BANDS[colour] > 2 else SRGB,
        tagged=BANDS[colour] > 2 and icc.is_other(profile),
        exif=block,
    )


def _beginning(chunk: bytes) -> bytes:
    """Return the beginning of the profile in an iCCP chunk, which follows name, NUL and method."""
    try:
        return zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], NAME_BYTES)
    except zlib.error:
        return b""

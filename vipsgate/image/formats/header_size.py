"""The size of a file's header: the number of bytes that ``image/info`` needs; pure arithmetic.

Of a remote file, only these bytes are fetched. :data:`FORMATS` has the formats whose structure
allows that. It does not for PNG, whose EXIF may follow the pixels, for GIF, whose frames must be
counted, and for TIFF and HEIC, whose parts may be anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import jpeg

RIFF = 30  # bytes in front of a VP8X file's chunks
ANIMATED, HAS_EXIF = 0x02, 0x08  # flags of VP8X (WebP container specification)
BITMAP = 14 + 124  # bytes of a BMP's two headers, the second in its longest version


def needed(data: bytes) -> int:
    """Return the number of bytes from the beginning that are needed; all of them if unknown.

    Args:
        data: The beginning. If the result is more than its length, as many or more are needed.
    """
    for magic, measure in FORMATS:
        if magic.match(data):
            return measure(data)
    return ALL


def _jpeg(data: bytes) -> int:
    """Return the size up to the first scan; there may be stray bytes between segments."""
    at, stray = 2, jpeg.MAX_STRAY
    while True:
        marker = jpeg.following(data, at, stray)
        stray -= marker - jpeg.filled(data, at)
        if stray < 0:
            return marker
        at = marker
        if at + 4 > len(data):
            return at + 4
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] not in jpeg.SEGMENTS or data[at + 1] == jpeg.SOS or end < at + 4:
            return end
        at = end


def _webp(data: bytes) -> int:
    """Return the size up to the picture; all for an animation, or if there is EXIF."""
    if len(data) < RIFF:
        return RIFF
    if data[12:16] != b"VP8X":
        return RIFF  # nothing but the picture
    if data[20] & (ANIMATED | HAS_EXIF):
        return ALL
    at = RIFF
    while at + 8 <= len(data):
        if data[at : at + 4] in (b"VP8 ", b"VP8L"):
            return at + RIFF
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1 & ~1)
    return at + 8


def _bmp(data: bytes) -> int:
    """Return the size up to the pixels."""
    return max(BITMAP, int.from_bytes(data[10:14], "little")) if len(data) >= 14 else BITMAP


ALL = 1 << 62  # bytes
FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], int]], ...] = (
    (re.compile(rb"\xff\xd8"), _jpeg),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp),
    (re.compile(rb"BM"), _bmp),
)

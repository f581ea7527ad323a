"""A TIFF's first directory, read before libvips sees it: does the file hold the pixels it promises?

libtiff only warns of strips behind the end of the file, and the picture comes out black. Stopping
at each of its errors would refuse files with no more than an odd tag (TIFF 6.0, sections 2 and 8).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ...errors import ImageDamage

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}  # BigTIFF, with its other layout, is left to libtiff
PIXELS = {273: 279, 324: 325}  # offsets -> byte counts, of strips and of tiles
WIDTH, LENGTH, HIGH = 256, 257, 278  # of the picture; rows of a strip
TILE_WIDTH, TILE_LENGTH = 322, 323
PHOTOMETRIC, SAMPLES, PLANAR = 262, 277, 284
YCBCR, APART = 6, 2  # a PhotometricInterpretation, a PlanarConfiguration
LINEWISE = 128  # rows of a strip above which libvips reads line by line, where it can
TYPES = {3: "H", 4: "I"}  # SHORT, LONG
MAX_STRIPS = 1 << 20  # strips or tiles


def rows(data: bytes) -> int:
    """Refuse a file that is cut off; else say how many rows' bytes are decoded at a time.

    libvips holds two rows of tiles, or a strip; of a picture in planes also one of a plane.

    Raises:
        ImageDamage: A strip or tile ends behind the end of the file.
    """
    order = ORDERS.get(data[:4], "")
    if not order:
        return 1
    try:
        directory = _directory(data, order)
        for offsets, counts in PIXELS.items():
            if offsets in directory and counts in directory:
                starts = _values(data, order, directory[offsets])
                sizes = _values(data, order, directory[counts])
                end = max(map(sum, zip(starts, sizes, strict=False)), default=0)
                if end > len(data):
                    raise ImageDamage(
                        "The image file may be damaged. Its pixels would end at byte "
                        f"{end}, the file has {len(data)}."
                    )
        return _held(lambda tag, default: _first(data, order, directory.get(tag), default))
    except struct.error:
        raise ImageDamage("The image file may be damaged. Its directory is cut off.") from None


def _directory(data: bytes, order: str) -> dict[int, tuple[int, int, int]]:
    """Tag -> type, number of values, where they are."""
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    found = {}
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, at)
        found[tag] = (kind, count, at + 8)
    return found


def _held(tag: Callable[[int, int], int]) -> int:
    """Rows of the picture that take as much as what is decoded of it at a time.

    Args:
        tag: A tag's value, or the other one where it has none.
    """
    width, length = tag(WIDTH, 1), tag(LENGTH, 1)
    if wide := tag(TILE_WIDTH, 0):  # tiles reach over the border
        across, high = -(-width // wide) * wide, tag(TILE_LENGTH, 1)
        return -(-across * min(2 * high, -(-length // high) * high) // width)
    high, apart = min(tag(HIGH, length), length), tag(PLANAR, 1) == APART
    if high > LINEWISE and not apart and tag(PHOTOMETRIC, 0) != YCBCR:
        return 1
    return high + high // tag(SAMPLES, 1) * apart


def _first(data: bytes, order: str, entry: tuple[int, int, int] | None, default: int) -> int:
    """A tag's first value, at least 1, or the other one where it has none."""
    values = _values(data, order, entry) if entry else ()
    return max(1, values[0]) if values else default


def _values(data: bytes, order: str, entry: tuple[int, int, int]) -> tuple[int, ...]:
    kind, count, at = entry
    letter = TYPES.get(kind)
    if letter is None or count > MAX_STRIPS:
        return ()
    if struct.calcsize(letter) * count > 4:  # else they stand in the entry itself
        (at,) = struct.unpack_from(order + "I", data, at)
    return struct.unpack_from(f"{order}{count}{letter}", data, at)

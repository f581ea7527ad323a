"""GIFs whose first frame is smaller than the screen, which is transparent around it.

libvips gives an image alpha only if a frame has a transparent colour; else, unpainted areas become
black. So such a file gets a further frame with a transparent colour at its end, which is never
shown (GIF89a, 18 to 27).
"""

from __future__ import annotations

import os
import struct

from ...errors import ImageDamage
from .insertion import insert

SCREEN, DESCRIPTOR = 13, 10  # bytes of header and screen, and in front of an image's colours
EXTENSION, IMAGE, TRAILER, CONTROL = 0x21, 0x2C, 0x3B, 0xF9
MAX_BLOCKS = 200_000  # of a file; in its longest ones that are 51 MB
# a control extension with a transparent colour, and one pixel in the codes 4, 0 and 5
UNSEEN = bytes.fromhex("21f9040100000000 2c0000000001000100 00 0202440100")
# XMP: an application extension whose text others read as lengths of blocks; each leads to some byte
# after it, and finally to the 0 that ends the extension (XMP Specification, Part 3, 1.1.2)
PACKET = b"\x21\xff\x0bXMP DataXMP"
BEHIND = bytes((1, *range(255, -1, -1), 0))


def packet(data: bytes) -> bytes:
    """Return the XMP of a file; empty if there is none."""
    _, mark, rest = data.partition(PACKET)
    end = rest.find(BEHIND) if mark else -1
    return rest[:end] if end >= 0 else b""


def write_packet(descriptor: int, xmp: bytes) -> None:
    """Insert a packet, in UTF-8, after the colour table of a file that has just been written."""
    start = SCREEN + _colours(os.pread(descriptor, SCREEN, 0), 10)
    insert(descriptor, start, PACKET + xmp + BEHIND)


def with_surroundings(data: bytes) -> tuple[bytes, int]:
    """Return the file for libvips, and the number of frames at its end that are not to be shown.

    Raises:
        ImageDamage: The file has too many blocks.
    """
    at, first, blocks = SCREEN + _colours(data, 10), True, 0
    while at + DESCRIPTOR <= len(data) and data[at] in (EXTENSION, IMAGE):
        if data[at] == EXTENSION:
            if data[at + 1] == CONTROL and data[at + 3] & 1:
                return data, 0
            at += 2
        else:
            if first and _covers(data, at):
                return data, 0
            first = False
            at += DESCRIPTOR + _colours(data, at + DESCRIPTOR - 1) + 1
        while at < len(data) and data[at]:
            at += data[at] + 1
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise ImageDamage(
                    f"The image file may be damaged. The GIF has over {MAX_BLOCKS} blocks."
                )
        at += 1
    cut = at > len(data) or (at < len(data) and data[at] in (EXTENSION, IMAGE))
    if first or cut:
        return data, 0  # libvips reports what is missing
    return data[:at] + UNSEEN + bytes((TRAILER,)), 1


def _covers(data: bytes, at: int) -> bool:
    """Return whether this image is as large as the screen."""
    width, height = struct.unpack_from("<HH", data, 6)
    left, top, wide, high = struct.unpack_from("<4H", data, at + 1)
    return not (left or top) and wide >= width and high >= height


def _colours(data: bytes, at: int) -> int:
    """Return the bytes of the colour table whose flags are at a position."""
    flags = data[at] if at < len(data) else 0
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0

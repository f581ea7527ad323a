"""BMP with transparency, which Pillow cannot write: a version 4 header with a mask for alpha.

The layout is that of BITMAPV4HEADER (Windows GDI): rows from the bottom up, blue first.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

FILE, INFO = 14, 108  # bytes of the two headers
BITFIELDS = 3  # the pixels' layout is given by masks
MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)  # red, green, blue, alpha
SRGB = 0x73524742  # "sRGB"
RESOLUTION = 2835  # pixels for a metre, 72 for an inch


def write(image: Image, descriptor: int) -> None:
    """Write 8-bit RGBA as a 32-bit BMP."""
    flipped = image.flipver()
    pixels = flipped[2].bandjoin([flipped[1], flipped[0], flipped[3]]).write_to_memory()
    begin = FILE + INFO
    head = struct.pack("<2sIHHI", b"BM", begin + len(pixels), 0, 0, begin)
    size = (INFO, image.width, image.height)
    head += struct.pack(
        "<IiiHHIIiiII", *size, 1, 32, BITFIELDS, len(pixels), *[RESOLUTION] * 2, 0, 0
    )
    head += struct.pack("<4II36x3I", *MASKS, SRGB, 0, 0, 0)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(head)
        file.write(pixels)

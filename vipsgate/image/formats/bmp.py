"""BMP in and out through Pillow: libvips' wheel has none.

Transparency, which Pillow cannot write, is written here: a version 4 header with a mask for alpha.
The layout is that of BITMAPV4HEADER (Windows GDI): rows from the bottom up, blue first.
"""

from __future__ import annotations

import io
import os
import struct
from typing import TYPE_CHECKING

from ..frame import Frame, Header

if TYPE_CHECKING:
    from pyvips import Image

ROWS = 256  # that are taken at a time from what Pillow has decoded
FILE, INFO = 14, 108  # bytes of the two headers
BITFIELDS = 3  # the pixels' layout is given by masks
MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)  # red, green, blue, alpha
SRGB = 0x73524742  # "sRGB"
RESOLUTION = 2835  # pixels for a metre, 72 for an inch


def header(data: bytes) -> Header:
    """What the file says of itself.

    Raises:
        Exception: Of any class, where Pillow cannot read it.
    """
    from PIL import BmpImagePlugin

    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    bands = len(image.getbands()) if image.mode != "P" else 3
    return Header("bmp", *image.size, bands=bands, samples=bands, alpha=image.mode == "RGBA")


def load(data: bytes, header: Header) -> Image:
    """Its pixels: 8 bits of grey or sRGB, with alpha if it has one.

    Raises:
        Exception: Of any class, where Pillow cannot read it.
    """
    import pyvips
    from PIL import BmpImagePlugin

    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    mode = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
    result = image if image.mode == mode else image.convert(mode)
    bands, (width, height) = len(result.getbands()), result.size
    pixels = bytearray(width * height * bands)  # ``tobytes`` of all would take twice as much
    for top in range(0, height, ROWS):
        part = result.crop((0, top, width, min(top + ROWS, height))).tobytes()
        at = top * width * bands
        pixels[at : at + len(part)] = part
    return pyvips.Image.new_from_memory(pixels, width, height, bands, "uchar").copy(
        interpretation="b-w" if bands < 3 else "srgb"
    )


def write(image: Image, descriptor: int, frame: Frame) -> None:
    """Write 8-bit grey or sRGB; with alpha as 32 bits."""
    if image.hasalpha():
        return _write_alpha(image.colourspace("srgb"), descriptor)
    from PIL import Image as Pillow

    mode = "L" if image.bands == 1 else "RGB"
    size = (image.width, image.height)
    result = Pillow.frombuffer(mode, size, image.write_to_memory(), "raw", mode, 0, 1)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        result.save(file, "BMP")


def _write_alpha(image: Image, descriptor: int) -> None:
    flipped = image.copy_memory().flipver()  # from the bottom up, which no source can be read
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

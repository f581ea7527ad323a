"""Reads and writes BMP by Pillow, as libvips' wheel has no BMP.

Pixels whose channels are given by masks are read here, with any masks. Transparency, which Pillow
cannot write, is written here, with a version 4 header and a mask for alpha. The layout is that of
BITMAPV4HEADER (Windows GDI): rows from the bottom up, blue first.
"""

from __future__ import annotations

import io
import os
import struct
from typing import TYPE_CHECKING

from ...errors import ImageDamage
from ..frame import Frame, Header
from . import warnings

if TYPE_CHECKING:
    from pyvips import Image

ROWS = 256  # that are taken at a time from what Pillow has decoded
FILE, INFO = 14, 108  # bytes of the two headers
RLE8, RLE4 = 1, 2  # compressions; runs of pixels
BITFIELDS, ALPHA_BITFIELDS = 3, 6  # the pixels' layout is given by masks
MASKED = (BITFIELDS, ALPHA_BITFIELDS)
MAX_BITS = 16  # of a channel
END, SKIP, MOST_ROWS = 1, 2, 255  # codes behind a 0 in runs; most rows that are skipped at a time
SMALLEST, OS2 = 40, 64  # bytes of the second header, of the first with a compression; of OS/2's own
DEPTHS = {  # compression -> bits of a pixel
    0: (1, 4, 8, 16, 24, 32),
    RLE8: (8,),
    RLE4: (4,),
    BITFIELDS: (16, 32),
    ALPHA_BITFIELDS: (16, 32),
}
COMPRESSIONS = {RLE8: "RLE8", RLE4: "RLE4", 3: "Huffman", 4: "JPEG", 5: "PNG", 11: "CMYK"}
COMPRESSIONS |= {12: "CMYK in RLE8", 13: "CMYK in RLE4"}
MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)  # red, green, blue, alpha
SRGB = 0x73524742  # "sRGB"
RESOLUTION = 2835  # pixels for a metre, 72 for an inch


def header(data: bytes) -> Header:
    """Read the header of a file.

    Raises:
        ImageDamage: It has no size.
        Exception: Of any class, where Pillow cannot read it.
    """
    if len(data) >= FILE + SMALLEST and struct.unpack_from("<I", data, FILE)[0] >= SMALLEST:
        width, height, _, bits, kind = struct.unpack_from("<iiHHI", data, FILE + 4)
        if unsupported := _unsupported(data, bits, kind):
            if width < 1 or not height:
                raise _damaged(f"It has {width}x{height} pixels.")
            return Header("bmp", width, abs(height), unsupported=unsupported)
        if kind in MASKED:
            return _masked_header(data, width, abs(height))
    from PIL import BmpImagePlugin

    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    bands = len(image.getbands()) if image.mode != "P" else 3
    return Header("bmp", *image.size, bands=bands, samples=bands, alpha=image.mode == "RGBA")


def _unsupported(data: bytes, bits: int, kind: int) -> str:
    """Return why files of this kind cannot be read; empty if they can."""
    (size,) = struct.unpack_from("<I", data, FILE)
    if kind not in DEPTHS or (size == OS2 and kind in MASKED):
        return f"compression {COMPRESSIONS.get(kind, kind)}"
    if bits not in DEPTHS[kind]:
        return f"{bits} bits"
    if kind in MASKED:
        masks = _masks(data)
        if not all(masks[:3]):
            return "a colour without a mask"
        for mask in filter(None, masks):
            deep = (mask >> _shift(mask)) + 1
            if deep & (deep - 1) or deep > 1 << MAX_BITS or mask >> bits:
                return f"the mask {mask:08X}"
    return ""


def _masked_header(data: bytes, width: int, height: int) -> Header:
    if width < 1 or not height:
        raise _damaged(f"It has {width}x{height} pixels.")
    alpha = _masks(data)[3] != 0
    return Header("bmp", width, height, bands=3 + alpha, samples=3 + alpha, alpha=alpha)


def _masks(data: bytes) -> tuple[int, ...]:
    """Return the masks of red, green, blue and alpha; 0 for none (Windows GDI, BITMAPV4HEADER)."""
    size, kind = struct.unpack_from("<I", data, FILE)[0], struct.unpack_from("<I", data, 30)[0]
    count = 4 if size >= 56 or kind == ALPHA_BITFIELDS else 3
    if len(data) < FILE + SMALLEST + 4 * count:
        raise _damaged("Its header is cut off.")
    return (*struct.unpack_from(f"<{count}I", data, FILE + SMALLEST), 0)[:4]


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _load_masked(data: bytes, header: Header) -> Image:
    """Load pixels by masks, and scale each channel to 0-255."""
    import pyvips

    (begin,), (rows,) = struct.unpack_from("<I", data, 10), struct.unpack_from("<i", data, 22)
    (bits,) = struct.unpack_from("<H", data, 28)
    stride = -(-header.width * bits // 32) * 4  # bytes of a row, in whole groups of four
    if (end := begin + stride * header.height) > len(data):
        raise _damaged(f"Its pixels would end at byte {end}, the file has {len(data)}.")
    pixels = memoryview(data)[begin : begin + stride * header.height]
    kind = "uint" if bits == 32 else "ushort"
    image = pyvips.Image.new_from_memory(pixels, stride * 8 // bits, header.height, 1, kind)
    image = image.crop(0, 0, header.width, header.height)
    image = image.flipver() if rows > 0 else image  # from the bottom up
    channels = []
    for mask in filter(None, _masks(data)):
        most = mask >> _shift(mask)
        channels.append(((image >> _shift(mask)) & most).linear(255 / most, 0).rint().cast("uchar"))
    return channels[0].bandjoin(channels[1:]).copy(interpretation="srgb")


def _filled(data: bytes, header: Header, kind: int) -> bytes:
    """Return a file of runs in which the end of the bitmap follows its last pixel.

    Pixels that no run has are of the first colour of the palette, as Pillow has those that are
    skipped. It refuses a file whose end of the bitmap comes before the last row.
    """
    (at,) = struct.unpack_from("<I", data, 10)
    while at + 2 <= len(data):
        count, value = data[at], data[at + 1]
        if count == 0 and value == END:
            skips = bytes((0, SKIP, 0, MOST_ROWS)) * (header.height // MOST_ROWS + 1)
            return data[:at] + skips + data[at:]
        at += 2
        if count == 0 and value == SKIP:
            at += 2
        elif count == 0 and value > SKIP:  # so many pixels, in whole groups of two bytes
            size = value if kind == RLE8 else -(-value // 2)
            at += size + size % 2
    return data


def _damaged(what: str) -> ImageDamage:
    return ImageDamage(f"The image file may be damaged. {what}")


def load(data: bytes, header: Header) -> Image:
    """Load the pixels: 8-bit grey or sRGB, with alpha if it has any.

    Raises:
        ImageDamage: There are fewer than its header says.
        Exception: Of any class, where Pillow cannot read it.
    """
    import pyvips
    from PIL import BmpImagePlugin

    size, kind = (struct.unpack_from("<I", data, at)[0] for at in (FILE, 30))
    if size >= SMALLEST and kind in MASKED:
        return _load_masked(data, header)
    if size >= SMALLEST and kind in (RLE8, RLE4):
        data = _filled(data, header, kind)
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
    """Write 8-bit grey or sRGB; with alpha, as 32 bits a pixel."""
    if image.hasalpha():
        return _write_alpha(image.colourspace("srgb"), descriptor)
    from PIL import Image as Pillow

    mode = "L" if image.bands == 1 else "RGB"
    size = (image.width, image.height)
    pixels = image.write_to_memory()
    warnings.check()
    result = Pillow.frombuffer(mode, size, pixels, "raw", mode, 0, 1)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        result.save(file, "BMP")


def _write_alpha(image: Image, descriptor: int) -> None:
    held = image.copy_memory()
    warnings.check()
    flipped = held.flipver()  # from the bottom up, which no source can be read
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

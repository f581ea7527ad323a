"""Pictures of every kind that is read, from a line of words: ``webp lossless noise 4000x3000``.

Rule: the words are a format and what is particular of it (a row of :data:`KINDS`), what is seen (a
row of :data:`CONTENTS`), and the size, with the frames of an animation as a third number. A process
of its own makes them: what that takes is nobody else's.

    python bench/kinds.py FILE WORD...
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 1
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's, by bands
FRAMES_MOVE = 7  # pixels from frame to frame


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be written.

    Attributes:
        content: A key of :data:`CONTENTS`.
        width: Pixels.
        height: Pixels of one frame.
        frames: 1 but for an animation.
    """

    content: str
    width: int
    height: int
    frames: int = 1

    def image(self, bands: int = 3) -> Any:
        """In memory, 8 bits; all frames, one below the other."""
        import pyvips

        still = CONTENTS[self.content](self, bands)
        still = still.copy(interpretation="b-w" if bands < 3 else "srgb")
        if self.frames == 1:
            return still.copy_memory()
        shown = [still.wrap(x=FRAMES_MOVE * number, y=0) for number in range(self.frames)]
        film = pyvips.Image.arrayjoin(shown, across=1).copy_memory().copy()
        film.set_type(pyvips.GValue.gint_type, "page-height", self.height)
        film.set_type(pyvips.GValue.array_int_type, "delay", [80] * self.frames)  # ms
        return film

    def pillow(self, bands: int = 3) -> Any:
        """The same, as Pillow has it."""
        from PIL import Image

        size = self.width, self.height * self.frames
        return Image.frombytes(MODES[bands], size, self.image(bands).write_to_memory())


# --- what is seen


def _flat(picture: Picture, bands: int) -> Any:
    import pyvips

    black = pyvips.Image.black(picture.width, picture.height, bands=bands)
    return (black + [200, 60, 40, 128][:bands]).cast("uchar")


def _photo(picture: Picture, bands: int) -> Any:
    """A synthetic landscape; its red is also the grey and the opacity."""
    import pyvips

    from vipsgate.image.synthetic import painter
    from vipsgate.image.synthetic.scene import Scene

    file = os.memfd_create("photo")
    scene = Scene("photo", picture.width, picture.height, 1, SEED, "tiff")
    painter.paint(scene, file, lambda image: None)
    painted = pyvips.Image.tiffload_buffer(os.pread(file, os.fstat(file).st_size, 0))
    os.close(file)
    return painted[0] if bands == 1 else painted.bandjoin(painted[0]) if bands == 4 else painted


def _noise(picture: Picture, bands: int) -> Any:
    import numpy as np
    import pyvips

    shape = picture.height, picture.width, bands
    return pyvips.Image.new_from_array(np.random.default_rng(SEED).integers(0, 256, shape, "u1"))


def _drawing(picture: Picture, bands: int) -> Any:
    """Few colours, sharp edges, repeated: what a palette and a dictionary are made for."""
    import pyvips

    here = pyvips.Image.xyz(picture.width, picture.height)
    rings = ((here[0] * here[0] + here[1] * here[1]) ** 0.5 / 37).cast("uchar") & 3
    boxes = ((here[0] / 24).cast("int") + (here[1] / 24).cast("int")).cast("uchar") & 3
    part = (rings * 64).cast("uchar")
    planes = [part, (boxes * 80).cast("uchar"), (part ^ (boxes * 80).cast("uchar")), part]
    return planes[0].bandjoin(planes[1:bands]) if bands > 1 else part


CONTENTS: dict[str, Callable[[Picture, int], Any]] = {
    "flat": _flat,
    "photo": _photo,
    "noise": _noise,
    "drawing": _drawing,
}


# --- how it is written


def _vips(options: str, bands: int = 3, change: Callable[[Any], Any] = lambda image: image) -> Any:
    """By libvips' saver, whose suffix with options this is."""

    def write(picture: Picture) -> bytes:
        made: bytes = change(picture.image(bands)).write_to_buffer(options)
        return made

    return write


def _deep(image: Any) -> Any:
    made = image.cast("ushort") * 257
    return made.cast("ushort").copy(interpretation="rgb16" if image.bands > 2 else "grey16")


def _pillow(name: str, bands: int = 3, mode: str = "", **options: Any) -> Any:
    def write(picture: Picture) -> bytes:
        image, file = picture.pillow(bands), io.BytesIO()
        if mode == "P":
            image = image.quantize(64)
        elif mode:
            image = image.convert(mode)
        image.save(file, name, **options)
        return file.getvalue()

    return write


def _apart(picture: Picture) -> bytes:
    """A baseline JPEG with a scan for each component: three grey ones, put into one."""
    scans = []
    for band in range(3):
        grey = picture.image(3)[band].copy(interpretation="b-w")
        scans.append(grey.write_to_buffer(".jpg[Q=90,keep=none]"))
    first = scans[0]
    at = first.index(b"\xff\xc0")
    frame = first[at + 4 : at + 9] + b"\3" + b"".join(bytes((n, 0x11, 0)) for n in (1, 2, 3))
    head = first[:at] + b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame
    head += first[at + 2 + int.from_bytes(first[at + 2 : at + 4], "big") : first.index(b"\xff\xda")]
    body = b""
    for number, scan in enumerate(scans, 1):
        begin = scan.index(b"\xff\xda")
        length = 2 + int.from_bytes(scan[begin + 2 : begin + 4], "big")
        body += b"\xff\xda\0\x08\1" + bytes((number, 0, 0, 63, 0)) + scan[begin + length : -2]
    return head + body + b"\xff\xd9"


def _tiff(
    *,
    bands: int = 3,
    rows: int = 0,
    deflate: bool = False,
    planar: bool = False,
    photometric: int = 2,
    floats: bool = False,
) -> Any:
    """A TIFF whose directory stands in front (TIFF 6.0, section 2).

    Args:
        bands: Channels.
        rows: Of a strip; 0 for all of them.
        deflate: Compressed.
        planar: A plane for each channel.
        photometric: How its numbers are meant; 5 is CMYK, 6 YCbCr.
        floats: In 32 bits.
    """

    def write(picture: Picture) -> bytes:
        image, size = picture.image(bands), 1
        if floats:
            image, size = (image / 255).cast("float"), 4
        high = rows or picture.height
        parts = [image[band] for band in range(bands)] if planar else [image]
        strips = []
        for part in parts:
            data = part.write_to_memory()
            step = picture.width * part.bands * size * high
            strips += [data[at : at + step] for at in range(0, len(data), step)]
        strips = [zlib.compress(strip, 1) for strip in strips] if deflate else strips
        counts = [len(strip) for strip in strips]
        tags = {
            256: ("I", [picture.width]),
            257: ("I", [picture.height]),
            258: ("H", [8 * size] * bands),
            259: ("H", [8 if deflate else 1]),
            262: ("H", [photometric]),
            273: ("I", [sum(counts[:number]) for number in range(len(counts))]),
            277: ("H", [bands]),
            278: ("I", [high]),
            279: ("I", counts),
            284: ("H", [2 if planar else 1]),
            339: ("H", [3 if floats else 1] * bands),
        }
        if bands == 4 and photometric == 2:
            tags[338] = ("H", [2])
        elif photometric == 6:
            tags[530] = ("H", [1, 1])
        return _directory(tags) + b"".join(strips)

    return write


def _directory(tags: dict[int, tuple[str, list[int]]]) -> bytes:
    """Header, directory and values; offsets (273) count from behind them."""
    kinds = {"H": 3, "I": 4}
    at = 8 + 2 + 12 * len(tags) + 4
    packed = {}
    for tag, (letter, values) in tags.items():
        packed[tag] = struct.pack(f"<{len(values)}{letter}", *values)
    end = at + sum(len(data) for data in packed.values() if len(data) > 4)
    letter, values = tags[273]
    packed[273] = struct.pack(f"<{len(values)}{letter}", *(end + value for value in values))
    entries = values_ = b""
    for tag, (letter, values) in sorted(tags.items()):
        data = packed[tag]
        entries += struct.pack("<HHI", tag, kinds[letter], len(values))
        if len(data) > 4:
            entries += struct.pack("<I", at + len(values_))
            values_ += data
        else:
            entries += data.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + values_


def _bmp(picture: Picture) -> bytes:
    """Of 256 greys, in runs (BI_RLE8)."""
    grey, rows = picture.image(1).write_to_memory(), []
    for row in range(picture.height - 1, -1, -1):
        line, out, at = grey[row * picture.width : (row + 1) * picture.width], bytearray(), 0
        while at < len(line):
            run = 1
            while at + run < len(line) and run < 255 and line[at + run] == line[at]:
                run += 1
            out += bytes((run, line[at]))
            at += run
        rows.append(bytes(out) + b"\0\0")
    pixels = b"".join(rows) + b"\0\1"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    begin = 14 + 40 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, picture.width, picture.height, 1, 8, 1, len(pixels),
                       2835, 2835, 256, 0)  # fmt: skip
    return b"BM" + struct.pack("<IHHI", begin + len(pixels), 0, 0, begin) + head + palette + pixels


def _masks(picture: Picture) -> bytes:
    """Of 32 bits, each channel by a mask that is not its own byte (BI_BITFIELDS)."""
    pixels = picture.image(4).flipver().write_to_memory()
    head = struct.pack("<IiiHHIIiiII", 56, picture.width, picture.height, 1, 32, 3, len(pixels),
                       2835, 2835, 0, 0)  # fmt: skip
    head += struct.pack("<4I", 0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)
    return b"BM" + struct.pack("<IHHI", 70 + len(pixels), 0, 0, 70) + head + pixels


def _pq(write: Callable[[Picture], bytes]) -> Any:
    """What that writes as Rec.2020 with PQ, by its code points (ITU-T H.273)."""

    def coded(picture: Picture) -> bytes:
        data: bytes = write(picture)
        if data.startswith(b"\x89PNG"):
            body = b"cICP" + bytes((9, 16, 0, 1))
            chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
            return data[:33] + chunk + data[33:]
        at = data.index(b"colrnclx") + 8
        return data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :]

    return coded


def _ours(name: str, bands: int = 3) -> Any:
    """By the codec of ours."""

    def write(picture: Picture) -> bytes:
        from vipsgate.image.formats.codecs import CODECS
        from vipsgate.image.frame import Frame, Header

        header = Header(name, picture.width, picture.height, bands=bands, alpha=bands == 4)
        descriptor = os.memfd_create("made")
        CODECS[name].save(picture.image(bands), descriptor, Frame.of(header))
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    return write


def _heic(bands: int = 3, *, deep: bool = False, **options: Any) -> Any:
    def write(picture: Picture) -> bytes:
        import pillow_heif

        image, file = picture.image(bands), io.BytesIO()
        mode, size = MODES[bands] + ";16" * deep, (picture.width, picture.height)
        data = (_deep(image) if deep else image).write_to_memory()
        preset = {"preset": "ultrafast"}
        pillow_heif.encode(
            mode, size, data, file, **{"quality": 80, "enc_params": preset, **options}
        )
        return file.getvalue()

    return write


LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0, "full_range_flag": 1}
AV1 = "compression=av1,effort=0,keep=none"
KINDS: dict[str, Callable[[Picture], bytes]] = {
    "jpg": _vips(".jpg[Q=85,keep=none]"),
    "jpg 444": _vips(".jpg[Q=95,keep=none]"),
    "jpg grey": _vips(".jpg[Q=85,keep=none]", 1),
    "jpg restart": _vips(".jpg[Q=85,keep=none,restart_interval=4]"),
    "jpg cmyk": _pillow("JPEG", 3, "CMYK", quality=85),
    "jpg apart": _apart,
    "jpg progressive": _vips(".jpg[Q=85,keep=none,interlace]"),
    "jpg progressive 444": _vips(".jpg[Q=100,keep=none,interlace]"),
    "jpg progressive grey": _vips(".jpg[Q=85,keep=none,interlace]", 1),
    "jpg progressive cmyk": _pillow("JPEG", 3, "CMYK", quality=95, progressive=True, subsampling=0),
    "png": _vips(".png[compression=1,keep=none]"),
    "png alpha": _vips(".png[compression=1,keep=none]", 4),
    "png grey": _vips(".png[compression=1,keep=none]", 1),
    "png pq": _pq(_vips(".png[compression=1,keep=none]")),
    "png pq alpha 16bit": _pq(_vips(".png[compression=1,keep=none]", 4, _deep)),
    "png palette": _pillow("PNG", 3, "P", compress_level=1),
    "png 16bit": _vips(".png[compression=1,keep=none]", 3, _deep),
    "png interlaced": _vips(".png[compression=1,keep=none,interlace]"),
    "png interlaced alpha": _vips(".png[compression=1,keep=none,interlace]", 4),
    "png interlaced grey": _vips(".png[compression=1,keep=none,interlace]", 1),
    "png interlaced 16bit": _vips(".png[compression=1,keep=none,interlace]", 3, _deep),
    "webp": _vips(".webp[Q=80,effort=0,keep=none]"),
    "webp alpha": _vips(".webp[Q=80,effort=0,keep=none]", 4),
    "webp lossless": _vips(".webp[lossless,Q=0,effort=0,keep=none]"),
    "webp lossless alpha": _vips(".webp[lossless,Q=0,effort=0,keep=none]", 4),
    "gif": _vips(".gif[effort=1,keep=none]"),
    "gif alpha": _vips(".gif[effort=1,keep=none]", 4),
    "gif interlaced": _vips(".gif[effort=1,keep=none,interlace]"),
    "tiff": _vips(".tif[compression=none,keep=none]"),
    "tiff alpha": _vips(".tif[compression=none,keep=none]", 4),
    "tiff grey": _vips(".tif[compression=none,keep=none]", 1),
    "tiff lzw": _vips(".tif[compression=lzw,predictor=horizontal,keep=none]"),
    "tiff deflate": _vips(".tif[compression=deflate,level=1,keep=none]"),
    "tiff jpeg": _vips(".tif[compression=jpeg,Q=85,keep=none]"),
    "tiff tiles": _vips(".tif[compression=lzw,tile,tile_width=256,tile_height=256,keep=none]"),
    "tiff tiles large": _vips(
        ".tif[compression=deflate,level=1,tile,tile_width=4096,tile_height=4096,keep=none]"
    ),
    "tiff tiles jpeg": _vips(
        ".tif[compression=jpeg,tile,tile_width=256,tile_height=256,keep=none]"
    ),
    "tiff pyramid": _vips(".tif[compression=lzw,tile,pyramid,keep=none]"),
    "tiff 16bit": _vips(".tif[compression=none,keep=none]", 3, _deep),
    "tiff float": _tiff(rows=16, floats=True),
    "tiff one strip": _tiff(deflate=True),
    "tiff one strip float": _tiff(deflate=True, floats=True),
    "tiff planar": _tiff(rows=16, planar=True),
    "tiff planar one strip": _tiff(planar=True, deflate=True),
    "tiff cmyk": _tiff(bands=4, rows=16, photometric=5),
    "tiff ycbcr": _tiff(rows=16, photometric=6),
    "tiff ycbcr one strip": _tiff(photometric=6),
    "tiff lab 8bit": _tiff(rows=16, photometric=8),
    "tiff lab 8bit one strip": _tiff(photometric=8),
    "tiff lab": _vips(
        ".tif[compression=none,keep=none]", 3, lambda image: image.colourspace("lab")
    ),
    "bmp": _ours("bmp"),
    "bmp alpha": _ours("bmp", 4),
    "bmp masks": _masks,
    "bmp grey": _ours("bmp", 1),
    "bmp palette": _pillow("BMP", 3, "P"),
    "bmp 1bit": _pillow("BMP", 1, "1"),
    "bmp runs": _bmp,
    "avif": _vips(f".avif[{AV1},bitdepth=8,Q=60]"),
    "avif grey": _vips(f".avif[{AV1},bitdepth=8,Q=60]", 1),
    "avif 444": _vips(f".avif[{AV1},bitdepth=8,Q=90]"),
    "avif pq": _pq(_pillow("AVIF", quality=60, speed=9)),
    "avif pq alpha": _pq(_pillow("AVIF", 4, quality=60, speed=9)),
    "avif grey limited": _pillow(
        "AVIF", 1, quality=60, speed=9, range="limited", subsampling="4:0:0"
    ),
    "avif lossless": _vips(f".avif[{AV1},bitdepth=8,lossless]"),
    "avif 10bit": _vips(f".avif[{AV1},bitdepth=10,Q=90]", 3, _deep),
    "avif 12bit": _vips(f".avif[{AV1},bitdepth=12,Q=90]", 3, _deep),
    "avif alpha": _vips(f".avif[{AV1},bitdepth=8,Q=60]", 4),
    "avif 10bit alpha": _vips(f".avif[{AV1},bitdepth=10,Q=90]", 4, _deep),
    "heic": _heic(chroma=420),
    "heic grey": _heic(1),
    "heic 444": _heic(chroma=444),
    "heic 422": _heic(chroma=422),
    "heic 10bit": _heic(deep=True, chroma=420),
    "heic 10bit 444": _heic(deep=True, chroma=444),
    "heic alpha": _heic(4, chroma=420),
    "heic alpha 444": _heic(4, chroma=444),
    "heic 10bit alpha": _heic(4, deep=True, chroma=444),
    "heic grid": _heic(chroma=420, tile_size=512),
    "heic lossless": _heic(**LOSSLESS),
}


def read(words: str) -> tuple[str, Picture]:
    """The kind, and what is to be written."""
    *kind, content, size = words.split()
    return " ".join(kind), Picture(content, *map(int, size.split("x")))


if __name__ == "__main__":
    kind, wanted = read(" ".join(sys.argv[2:]))
    Path(sys.argv[1]).write_bytes(KINDS[kind](wanted))

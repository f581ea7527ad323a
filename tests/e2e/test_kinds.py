"""Kinds of pictures that came out wrong without a word, over HTTP: right now, or refused by name.

What each kind is compared with stands in tests/image/formats and tests/e2e/pixels.
"""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

SIDE = 48
ACROSS, DOWN = np.meshgrid(np.linspace(0, 255, SIDE), np.linspace(0, 255, SIDE))
COLOURS = np.stack([ACROSS, DOWN, 255 - ACROSS], 2).astype(np.uint8)


def tiff(image, compression="raw"):
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    return file.getvalue()


def relabelled(data, tag, value):
    """The TIFF with another value of a SHORT."""
    file = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    assert tag in file.tag_v2
    at = data.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return data[:at] + struct.pack("<H", value) + data[at + 2 :]


def bitmap():
    """A BMP of 4 bits each, alpha above red above green above blue."""
    head = struct.pack("<IiiHHIIiiII", 56, SIDE, -SIDE, 1, 16, 3, 0, 0, 0, 0, 0)
    head += struct.pack("<4I", 0x0F00, 0x00F0, 0x000F, 0xF000)
    four = (COLOURS // 17).astype("<u2")
    pixels = 0xF000 | four[..., 0] << 8 | four[..., 1] << 4 | four[..., 2]
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 70) + head + pixels.astype("<u2").tobytes()


def small_first_frame():
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (0, 255, 0)).save(file, "GIF")
    data = bytearray(file.getvalue())
    data[6:10] = struct.pack("<HH", 40, 40)
    return bytes(data)


def tall():
    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    shape = struct.pack(">IIBBBBB", 10, 30_001, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(11 * 30_001))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", shape), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )


PICTURE = Image.fromarray(COLOURS)
RIGHT = {  # file -> what it is, and how far a level may be away
    "ycbcr.tif": (lambda: tiff(PICTURE.convert("YCbCr")), 3),
    "bitmap.bmp": (bitmap, 17),
}
REFUSED = {
    "lzma.tif": (lambda: relabelled(tiff(PICTURE), 259, 34925), "compression LZMA"),
    "old.tif": (lambda: relabelled(tiff(PICTURE), 259, 6), "old-style JPEG"),
    "lerc.tif": (lambda: relabelled(tiff(PICTURE), 259, 34887), "compression LERC"),
}


@pytest.fixture(scope="module")
def kinds(root):
    made = {**RIGHT, **REFUSED, "frame.gif": (small_first_frame, 0), "tall.png": (tall, 0)}
    for name, (make, _) in made.items():
        (root / "examplebucket" / name).write_bytes(make())
    yield
    for name in made:
        (root / "examplebucket" / name).unlink()


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("key", RIGHT)
def test_is_the_picture(site, key):
    answer = site.get(key, "image/format,png")
    assert answer.status == 200
    result = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB")).astype(int)
    assert np.abs(result - COLOURS).max() <= RIGHT[key][1]


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("key", REFUSED)
def test_is_refused_by_name(site, key):
    answer = site.get(key, "image/format,png")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert REFUSED[key][1] in answer.body.decode()
    assert site.get(key, "image/info").status == 200


@pytest.mark.usefixtures("kinds")
def test_a_small_first_frame_is_transparent_around(site):
    image = Image.open(io.BytesIO(site.get("frame.gif", "image/format,png").body)).convert("RGBA")
    assert image.size == (40, 40)
    assert image.getpixel((30, 30))[3] == 0
    assert image.getpixel((2, 2)) == (0, 255, 0, 255)
    flat = Image.open(io.BytesIO(site.get("frame.gif", "image/format,jpg").body))
    assert min(flat.getpixel((30, 30))) > 250


@pytest.mark.usefixtures("kinds")
def test_info_of_what_is_too_large_to_process(site):
    info = json.loads(site.get("tall.png", "image/info").body)
    assert (info["ImageWidth"]["value"], info["ImageHeight"]["value"]) == ("10", "30001")
    answer = site.get("tall.png", "image/resize,w_5")
    assert (answer.status, answer.code) == (400, "ImageTooLarge")

"""The formats: what the bytes say they are, and that the table is whole."""

import os
from dataclasses import replace

import pytest
import pyvips
from PIL import Image

from vipsgate.errors import BadRequest
from vipsgate.image.formats import codecs
from vipsgate.image.frame import Frame, Header

SNIFFS = {
    b"\xff\xd8\xff\xe0": "jpg",
    b"\x89PNG\r\n\x1a\n....": "png",
    b"RIFF\x10\0\0\0WEBPVP8L": "webp",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0\x08\0\0\0": "tiff",
    b"MM\0*\0\0\0\x08": "tiff",
    b"II+\0": "tiff",
    b"BM\0\0": "bmp",
    b"\0\0\0\x20ftypavif\0\0\0\0": "avif",
    b"\0\0\0\x20ftypavis\0\0\0\0": "avif",
    b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif": "avif",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "heic",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "heic",
    b"\0\0\0\x1cftypmsf1\0\0\0\0msf1heix....": "heic",
    **{
        b"\0\0\0\x14ftyp%b\0\0\0\0" % brand: "heic"
        for brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
    },
}
REFUSES = (
    *(
        b"",
        b"\xff\xd8",
        b"\x89PNG",
        b"GIF88a",
        b"RIFF\0\0\0\0WAVE",
        b"JUNK\0\0\0\0WEBP",
        b"\0\0\0\x14ftypmif1\0\0\0\0mif1",
        b"hello, world",
        bytes(64),
    ),
    *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"%!PS-Adobe", b"II\x2a"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"gimp xcf", b"P6 1 1 255 ", b"\xf1\xe3"),
    *(b" \xff\xd8\xff", b"#?RADIANCE", b"SIMPLE  =  T", b"\x01\0\0\0\x58\0\0\0"),
)


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x14ftypmp42\0\0\0\0isom", b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3"]
)
def test_a_video_is_told_what_to_ask_for(data):
    with pytest.raises(BadRequest, match=r"file, not a picture; video/snapshot makes"):
        codecs.sniff(data)


@pytest.mark.parametrize("data", SNIFFS, ids=repr)
def test_sniffs(data):
    assert codecs.sniff(data) == SNIFFS[data]


def ftyp(*brands, size=None):
    size = 8 + 4 * (1 + len(brands)) if size is None else size
    return size.to_bytes(4) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])


BITMAP = b"BM" + bytes(12) + b"%c\0\0\0"
SHOWN = [
    *(data for data in SNIFFS if SNIFFS[data] != "bmp"),
    *(BITMAP % size for size in (12, 16, 40, 52, 56, 64, 108, 124)),
    *(ftyp(brand) for brand in (b"mif1", b"msf1", b"avci", b"miaf", b"avif", b"heic")),
    *(ftyp(b"mif1", *[b"none"] * count, b"avif") for count in (1, 31, 200)),
    ftyp(b"isom", b"heic", size=0),
    ftyp(b"isom", b"heic", size=1),
]
HIDDEN = [
    *(data for data in REFUSES if b"mif1" not in data),
    *(b"BM", b"BMW is a make of cars, and this is text", b"BM\0\0", BITMAP % 11, BITMAP % 125),
    *(ftyp(b"isom", b"iso2", b"avc1", b"mp41"), ftyp(b"qt  "), b"\0\0\0\x14ftyp", b"GIF8"),
    b"%PDF-1.7 heic",
]


@pytest.mark.parametrize("data", SHOWN, ids=repr)
def test_shows_a_picture(data):
    assert codecs.is_picture(data)
    assert codecs.is_picture((data + bytes(codecs.HEAD_BYTES))[: codecs.HEAD_BYTES])


@pytest.mark.parametrize("data", HIDDEN, ids=repr)
def test_shows_none(data):
    assert not codecs.is_picture(data)


@pytest.mark.parametrize("data", REFUSES, ids=repr)
def test_refuses(data):
    with pytest.raises(
        BadRequest, match="expected one of jpg, png, webp, gif, tiff, bmp, avif, heic"
    ):
        codecs.sniff(data)


@pytest.mark.parametrize("name", codecs.CODECS)
def test_own_files_are_recognised(name, picture, run):
    assert codecs.sniff(picture(f"{name} 9x9")) == name
    assert codecs.is_picture(picture(f"{name} 9x9")[: codecs.HEAD_BYTES])
    if name != "gif":
        assert codecs.sniff(run(picture("png 9x9"), f"format,{name}")) == name


def test_the_table_is_whole():
    assert set(codecs.MAGIC) == set(codecs.CODECS)
    assert all(
        codec.mime == f"image/{name}" for name, codec in codecs.CODECS.items() if name != "jpg"
    )
    assert codecs.CODECS["jpg"].mime == "image/jpeg"


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [1, 50, 85, 89, 90, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (17, 9), (100, 67)])
def test_a_jpeg_made_at_once_is_the_one_that_libvips_makes(mode, size, quality, progressive):
    """The same tables and coefficients, so the same pixels; a JFIF header is all that is more."""
    picture = Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 90).convert(mode)
    header = Header("jpg", *size, bands=len(mode))
    frame = replace(Frame.of(header), quality=quality, progressive=progressive)
    made = codecs.CODECS["jpg"].at_once(picture.tobytes(), frame)
    image = pyvips.Image.new_from_memory(picture.tobytes(), *size, len(mode), "uchar")
    image = image.copy(interpretation="srgb" if mode == "RGB" else "b-w")
    descriptor = os.memfd_create("result")
    codecs.CODECS["jpg"].save(image, descriptor, frame)
    theirs = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    assert made[:2] + made[20:] == theirs
    assert made[2:20].startswith(b"\xff\xe0\0\x10JFIF\0")


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("quality", [1, 80, 100])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (17, 9), (300, 201)])
def test_a_webp_made_at_once_is_the_one_that_libvips_makes(mode, size, quality, lossless):
    picture = Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 90).convert(mode)
    if mode.endswith("A"):
        picture.putalpha(Image.linear_gradient("L").resize(size))
    bands = len(mode)
    header = Header("webp", *size, bands=bands, alpha=mode.endswith("A"))
    frame = replace(Frame.of(header), quality=quality, lossless=lossless)
    image = pyvips.Image.new_from_memory(picture.tobytes(), *size, bands, "uchar")
    image = image.copy(interpretation="srgb" if bands > 2 else "b-w")
    descriptor = os.memfd_create("result")
    codecs.CODECS["webp"].save(image, descriptor, frame)
    theirs = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    assert codecs.CODECS["webp"].at_once(picture.tobytes(), frame) == theirs

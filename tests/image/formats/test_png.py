"""The walk over a PNG's chunks: what it finds, what it leaves out, what it costs strangers."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, PngImagePlugin

from vipsgate.errors import BadRequest, ImageDamage, OssError
from vipsgate.image.formats import png, probe

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXIF6 = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def chunk(name, body=b""):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def ihdr(width=4, height=3, depth=8, colour=2, interlace=0, methods=(0, 0)):
    rest = (depth, colour, *methods, interlace)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *rest))


IDAT = chunk(b"IDAT", zlib.compress((b"\0" + bytes(range(12))) * 3))
IEND = chunk(b"IEND")
TRNS = chunk(b"tRNS", bytes(6))


def file(*chunks, head=ihdr()):
    return SIGNATURE + head + b"".join(chunks) + IDAT + IEND


FINDS = {
    # what -> file, fields of its header
    "plain": (file(), {"width": 4, "height": 3, "bands": 3, "depth": 8, "alpha": False}),
    "grey": (file(head=ihdr(colour=0)), {"bands": 1, "alpha": False}),
    "1 bit": (file(head=ihdr(colour=0, depth=1)), {"bands": 1, "depth": 8}),
    "16 bits": (file(head=ihdr(depth=16)), {"bands": 3, "depth": 16}),
    "palette": (file(head=ihdr(colour=3)), {"bands": 3, "alpha": False}),
    "grey and alpha": (file(head=ihdr(colour=4)), {"bands": 2, "alpha": True}),
    "colour and alpha": (file(head=ihdr(colour=6)), {"bands": 4, "alpha": True}),
    "transparent colour": (file(TRNS), {"bands": 4, "alpha": True}),
    "transparent grey": (file(TRNS, head=ihdr(colour=0)), {"bands": 2, "alpha": True}),
    "transparent palette": (file(TRNS, head=ihdr(colour=3)), {"bands": 4, "alpha": True}),
    "interlaced": (file(head=ihdr(interlace=1)), {"interlaced": True}),
    "not interlaced": (file(), {"interlaced": False, "orientation": 1, "quality": 0}),
    "turned": (file(chunk(b"eXIf", EXIF6)), {"orientation": 6, "exif": EXIF6}),
    "turned behind": (file()[:-12] + chunk(b"eXIf", EXIF6) + IEND, {"orientation": 6}),
    "EXIF behind the end": (file() + chunk(b"eXIf", EXIF6), {"orientation": 1}),
    "garbage behind": (file() + b"\0" * 99, {"width": 4}),
    "no end": (file()[:-12], {"width": 4}),
    "largest side": (file(head=ihdr(0xFFFFFFFF, 1)), {"width": 0xFFFFFFFF}),
}
REFUSES = {
    "nothing": SIGNATURE,
    "cut header": file()[:28],
    "another chunk first": SIGNATURE + chunk(b"tEXt", b"a\0b") + file()[8:],
    "long header": SIGNATURE + chunk(b"IHDR", bytes(14)) + IDAT + IEND,
    "0 wide": file(head=ihdr(0, 3)),
    "0 high": file(head=ihdr(4, 0)),
    "depth 3": file(head=ihdr(depth=3)),
    "colour 5": file(head=ihdr(colour=5)),
    "another compression": file(head=ihdr(methods=(1, 0))),
    "another filter": file(head=ihdr(methods=(0, 1))),
    "another interlace": file(head=ihdr(interlace=2)),
    "100001 chunks": file(chunk(b"tEXt") * 100_001),
}


@pytest.mark.parametrize("what", FINDS)
def test_finds(what):
    data, fields = FINDS[what]
    header, _ = png.read(data)
    assert header.format == "png"
    assert {name: getattr(header, name) for name in fields} == fields


@pytest.mark.parametrize("what", REFUSES)
def test_refuses(what):
    with pytest.raises(ImageDamage):
        png.read(REFUSES[what])


def test_what_is_kept_and_what_is_left_out():
    kept = [chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x")), chunk(b"PLTE", bytes(6)), TRNS]
    dropped = [
        chunk(name, b"k\0v")
        for name in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"pHYs", b"acTL", b"zzzz")
    ]
    _, washed = png.read(file(*dropped[:4], kept[0], *dropped[4:], *kept[1:]) + b"tail")
    assert washed == file(*kept)
    assert png.read(washed)[1] is washed  # nothing left out: not a copy
    huge = chunk(b"iCCP", bytes((1 << 20) + 1))
    assert png.read(file(huge))[1] == file()


def test_washing_changes_no_pixel(photo):
    info = PngImagePlugin.PngInfo()
    for i in range(9):
        info.add_text(f"key{i}", "text" * 99, zip=i % 2 == 1)
        info.add_itxt(f"ikey{i}", "text" * 99, zip=i % 2 == 1)
    saved = io.BytesIO()
    profile = pyvips.Image.profile_load("p3")
    Image.fromarray(photo(67, 45)).save(
        saved, "PNG", pnginfo=info, exif=EXIF6, icc_profile=profile, dpi=(72, 72)
    )
    header, washed = png.read(saved.getvalue())
    assert len(washed) < len(saved.getvalue()) - 3000
    assert header.orientation == 6
    one, other = (pyvips.Image.pngload_buffer(data) for data in (saved.getvalue(), washed))
    assert np.array_equal(one.numpy(), other.numpy())
    assert other.get("icc-profile-data") == profile
    assert not [name for name in other.get_fields() if name.startswith("png-comment")]


# --- what strangers may cost


def zeros(megabytes):
    """So many MiB of zeros as zlib packs them, a thousandth: one block, repeated."""
    packer = zlib.compressobj(9)
    head, block = (
        packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH) for data in (b"", bytes(1 << 20))
    )
    check = (megabytes << 20) % 65521 << 16 | 1  # Adler-32 of zeros, RFC 1950
    return head + block * megabytes + b"\3\0" + struct.pack(">I", check)


BOMB = zeros(48)  # 48 KB
COSTS = {
    # what -> chunks between header and pixels
    "4 MB of zTXt": chunk(b"zTXt", b"k\0\0" + BOMB) * (4_400_000 // len(BOMB)),
    "4 MB of compressed iTXt": chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB) * (4_400_000 // len(BOMB)),
    "90000 tEXt": chunk(b"tEXt", b"k\0v") * 90_000,
    "a profile of 1 GB": chunk(b"iCCP", b"p\0\0" + zeros(1000)),
    "20 profiles": chunk(b"iCCP", b"p\0\0" + BOMB) * 20,
    "4096 of transparency": chunk(b"tRNS", bytes(6)) * 4096,
}


@pytest.mark.parametrize("what", COSTS)
def test_costs_little(what, run):
    data = file(COSTS[what])
    start = time.process_time()
    try:
        run(data, "resize,w_2")
    except OssError:
        assert "zTXt" not in what
    assert time.process_time() - start < 3


def test_cut_at_every_byte(run, encoded, photo):
    data = encoded(photo(9, 7), "PNG", pnginfo=None)
    refused = []
    for end in range(len(data)):
        try:
            run(data[:end], "resize,w_5")
        except OssError as error:
            refused.append(error.code)
    assert set(refused) <= {"ImageDamage", "BadRequest"}
    assert len(refused) > 33


def test_transparent_palette_keeps_its_holes(run, pixels):
    image = Image.new("P", (40, 20), 1)
    image.putpalette([255, 0, 0, 0, 200, 0])
    image.paste(0, (0, 0, 20, 20))
    saved = io.BytesIO()
    image.save(saved, "PNG", transparency=0)
    got = pixels(run(saved.getvalue(), "resize,w_20"), "RGBA")
    assert got[5, 2, 3] == 0
    assert tuple(got[5, 17]) == (0, 200, 0, 255)


@pytest.mark.parametrize("grey", ["", " grey"])
def test_interlaced_is_the_same_picture(grey, picture, run, pixels):
    data = picture("png 41x27" + grey)
    woven = pyvips.Image.new_from_buffer(data, "").pngsave_buffer(interlace=True)
    assert png.read(woven)[0].interlaced
    assert np.array_equal(pixels(run(woven, "crop,x_3,y_5")), pixels(run(data, "crop,x_3,y_5")))


def test_an_animated_png_is_known(encoded, photo, run):
    frames = [Image.fromarray(photo(20, 10, 3, seed)) for seed in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert probe.probe(file.getvalue()).header.more
    run(file.getvalue(), "resize,w_10/format,webp")
    assert not probe.probe(encoded(photo(20, 10), "PNG")).header.more


def test_apples_png_is_refused_by_name(answered, run):
    data = SIGNATURE + chunk(b"CgBI", bytes.fromhex("50002006")) + file()[8:]
    assert answered(data, "info")["ImageWidth"]["value"] == "4"
    with pytest.raises(BadRequest, match="CgBI"):
        run(data, "format,jpg")

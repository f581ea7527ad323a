"""GIFs whose first frame is smaller than the screen: transparent around it, in every frame."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import ImageDamage, OssError
from vipsgate.image.formats import gif, probe

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)
PALETTE = [RED, GREEN, BLUE, GREY]
SIZE = 40


def lzw(codes, bits):
    """Codes of one width, packed from the lowest bit, in blocks."""
    text = "".join(f"{code:0{bits}b}"[::-1] for code in codes)
    data = bytes(int(text[at : at + 8].ljust(8, "0")[::-1], 2) for at in range(0, len(text), 8))
    blocks = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"


def image(left, top, wide, high, colour, *, bits=2, local=(), disposal=1, clear=None):
    """A frame of one colour, by its number."""
    control = struct.pack(
        "<BBBBHBB", 0x21, 0xF9, 4, disposal << 2 | (clear is not None), 4, clear or 0, 0
    )
    flags = 0x81 if local else 0
    place = struct.pack("<BHHHHB", 0x2C, left, top, wide, high, flags)
    start, codes = 1 << bits, []
    for at in range(wide * high):
        codes += [start] * (at % 2 == 0) + [colour]  # before the codes get longer
    colours = b"".join(map(bytes, local))
    return control + place + colours + bytes((bits,)) + lzw([*codes, start + 1], bits + 1)


def file(*images, bits=2, end=b";", palette=True):
    flags = 0x80 | bits - 1 if palette else 0
    entries = [*PALETTE, *[(0, 0, 0)] * ((1 << bits) - 4)] if palette else []
    head = b"GIF89a" + struct.pack("<HHBBB", SIZE, SIZE, flags, 0, 0)
    return head + b"".join(map(bytes, entries)) + b"".join(images) + end


def frames(data):
    found = Image.open(io.BytesIO(data))
    for number in range(found.n_frames):
        found.seek(number)
        yield np.asarray(found.convert("RGBA")).astype(int)


def painted(*rectangles):
    want = np.zeros((SIZE, SIZE, 4), int)
    for left, top, wide, high, colour in rectangles:
        want[top : top + high, left : left + wide] = (*colour, 255)
    return want


SMALL = image(10, 10, 20, 20, 1)
STILLS = {
    "four colours": file(SMALL),
    "256 colours": file(image(10, 10, 20, 20, 1, bits=8), bits=8),
    "the last of 256": file(image(10, 10, 20, 20, 1, bits=8), bits=8),
    "colours of its own": file(image(10, 10, 20, 20, 1, local=PALETTE), palette=False),
    "no trailer": file(SMALL, end=b""),
    "more behind": file(SMALL, end=b";and more"),
    "a comment": file(b"\x21\xfe\x05hello\0", SMALL),
    "a transparent colour of its own": file(image(10, 10, 20, 20, 1, clear=3)),
}


@pytest.mark.parametrize("what", STILLS)
def test_stills(what, run, pixels):
    data = STILLS[what]
    header = probe.probe(data).header
    assert (header.pages, header.alpha) == (1, True)
    want = painted((10, 10, 20, 20, GREEN))
    assert np.array_equal(pixels(run(data, "format,png"), "RGBA"), want)
    on_white = pixels(run(data, "format,bmp"), "RGBA")
    assert on_white[20, 20].tolist() == [0, 255, 0, 255]
    made = pixels(run(data, "quality,Q_100/format,jpg"))
    assert made[2, 2].min() >= 250


@pytest.mark.parametrize("to", ["gif", "webp"])
@pytest.mark.parametrize("disposal", [1, 2, 3])
def test_animations(to, disposal, run):
    """Of a frame that is taken away, nothing stays (2: cleared, 3: as it was before)."""
    data = file(
        image(10, 10, 20, 20, 1, disposal=1),
        image(0, 0, 8, 8, 0, disposal=disposal),
        image(30, 30, 8, 8, 2),
    )
    header = probe.probe(data).header
    assert (header.pages, header.alpha) == (3, True)
    first, second, third = (10, 10, 20, 20, GREEN), (0, 0, 8, 8, RED), (30, 30, 8, 8, BLUE)
    shown = [painted(first), painted(first, second)]
    shown.append(painted(first, second, third) if disposal == 1 else painted(first, third))
    got = list(frames(run(data, f"quality,lossless/format,{to}")))
    assert len(got) == 3
    for number, (one, want) in enumerate(zip(got, shown, strict=True)):
        if (number, disposal) == (2, 2):  # libvips clears to the background's colour
            one, want = one[10:], want[10:]
        assert np.array_equal(one[..., 3], want[..., 3])
        assert np.abs(one - want)[want[..., 3] > 0].max() <= 8


WHOLE = image(0, 0, SIZE, SIZE, 1)


@pytest.mark.parametrize("data", [file(WHOLE), file(WHOLE, SMALL), file(SMALL)[:-30], b"GIF89a"])
def test_others_are_left_alone(data):
    assert gif.with_surroundings(data) == (data, 0)


def test_a_cut_one_is_refused(run):
    with pytest.raises(ImageDamage):
        run(file(SMALL)[:-30], "format,png")


def test_blocks_without_end():
    data = file(SMALL, b"\x21\xfe" + b"\x01x" * 200_001 + b"\0")
    with pytest.raises(ImageDamage, match="over 200000 blocks"):
        gif.with_surroundings(data)


def test_any_bytes():
    whole = file(image(3, 3, 4, 4, 1), image(1, 1, 4, 4, 2))
    for at in range(6, len(whole)):
        for value in (0, 0x21, 0x2C, 0x3B, 0xFF):
            data = whole[:at] + bytes((value,)) + whole[at + 1 :]
            try:
                probe.probe(data)
            except OssError:
                continue
        gif.with_surroundings(whole[:at])

"""AVIF and HEIC: what is done to the colours is done to alpha, and info turns nothing twice."""

import contextlib
import io
import struct
from functools import cache

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.boxes import box, child, full, ispe, table
from support.examples import times

from vipsgate.errors import ImageDamage, OssError
from vipsgate.image.formats import isobmff, probe

WIDTH, HEIGHT = 128, 64  # x265 codes no lower ones as they are
ALPHA = np.zeros((HEIGHT, WIDTH), np.uint8)
ALPHA[8:48, 8:56] = 255
ALPHA[32:56, 72:120] = 120
COLOURS = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
COLOURS[..., 0] = np.where(ALPHA > 0, 220, 40)
AVIF, HEIC = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0"


def irot(quarters):
    return box(b"irot", bytes((quarters,)))  # to the left


def imir(axis):
    return box(b"imir", bytes((axis,)))  # 1: left and right change places


def clap(width, height, x=0, y=0):
    """Cropped to the middle, and so many pixels from it."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, x, 1, y, 1))


def coded(values, kind):
    """The stream of a picture and its configuration."""
    file = io.BytesIO()
    grey = values.ndim == 2
    if kind == b"avif":
        subsampling = "4:0:0" if grey else "4:4:4"
        Image.fromarray(values).save(file, "AVIF", quality=100, subsampling=subsampling)
        config = b"av1C"
    else:
        mode, size = "L" if grey else "RGB", values.shape[1::-1]
        preset = {"preset": "ultrafast"}
        options = {"quality": 100, "chroma": 444, "enc_params": preset}
        pillow_heif.encode(mode, size, values.tobytes(), file, **options)
        config = b"hvcC"
    data = file.getvalue()
    return child(data, b"mdat")[8:], child(data, config)


@cache
def streams(kind):
    return coded(COLOURS, kind), coded(ALPHA, kind)


def file(kind, turns, of_alpha):
    """A picture with alpha, and the properties by which each of both is cropped and turned."""
    (colours, config), (alpha, other) = streams(kind)
    name = b"av01" if kind == b"avif" else b"hvc1"
    items = {1: (name, b"", [(0, len(colours))]), 2: (name, b"", [(len(colours), len(alpha))])}
    said = full(b"auxC", 0, 0, AVIF if kind == b"avif" else HEIC)
    properties = [config, other, ispe(WIDTH, HEIGHT), said, *turns, *of_alpha]
    first, second = 5, 5 + len(turns)
    owned = {
        1: [0x81, 3, *(0x80 | first + n for n in range(len(turns)))],
        2: [0x82, 3, 4, *(0x80 | second + n for n in range(len(of_alpha)))],
    }
    media = colours + alpha
    return table(items, [(b"auxl", 2, [1])], properties, owned, media, kind)


TURNED = {
    # what is said of the colours -> alpha, as numpy turns it
    "irot 1": ([irot(1)], np.rot90(ALPHA)),
    "irot 2": ([irot(2)], np.rot90(ALPHA, 2)),
    "irot 3": ([irot(3)], np.rot90(ALPHA, 3)),
    "imir 0": ([imir(0)], ALPHA[::-1]),
    "imir 1": ([imir(1)], ALPHA[:, ::-1]),
    "irot 1, imir 1": ([irot(1), imir(1)], np.rot90(ALPHA)[:, ::-1]),
    "clap": ([clap(64, 32)], ALPHA[16:48, 32:96]),
    "clap, moved": ([clap(64, 32, 16, 8)], ALPHA[24:56, 48:112]),
    "clap, irot 3": ([clap(64, 32), irot(3)], np.rot90(ALPHA[16:48, 32:96], 3)),
    "all": ([clap(80, 40), irot(1), imir(0)], np.rot90(ALPHA[12:52, 24:104])[::-1]),
}


@pytest.mark.parametrize("kind", [b"avif", b"heic"], ids=bytes.decode)
@pytest.mark.parametrize("what", TURNED)
def test_alpha_follows_the_colours(what, kind, run, pixels):
    turns, want = TURNED[what]
    for of_alpha in (turns, []):  # as it should be said, and as older writers left it out
        data = file(kind, turns, of_alpha)
        header = probe.probe(data).header
        assert (header.width, header.height) == want.shape[::-1]
        got = pixels(run(data, "format,png"), "RGBA")
        assert np.abs(got[..., 3] - want.astype(int)).max() <= 4
        assert np.abs(got[..., 0] - np.where(want > 0, 220, 40)).max() <= 12
    assert isobmff.with_alpha_turned(file(kind, turns, turns)) is not None


def test_what_is_right_is_left_alone(picture):
    for data in (file(b"avif", [irot(1)], [irot(1)]), file(b"avif", [], []), picture("avif 9x8")):
        assert isobmff.with_alpha_turned(data) is data


def test_a_box_up_to_the_end_does_not_swallow_the_new_one(run, pixels):
    data = bytearray(file(b"avif", [irot(1)], []))
    at = data.index(b"mdat") - 4
    data[at : at + 4] = bytes(4)
    got = pixels(run(bytes(data), "format,png"), "RGBA")
    assert np.abs(got[..., 3] - np.rot90(ALPHA).astype(int)).max() <= 4


@pytest.mark.parametrize("kind", [b"avif", b"heic"], ids=bytes.decode)
def test_mutated(kind, run):
    data = file(kind, [clap(64, 32), irot(1)], [])
    end = data.index(b"mdat")

    @settings(max_examples=times(150), database=None)
    @given(
        st.lists(st.tuples(st.integers(8, end), st.integers(0, 255)), min_size=1, max_size=4),
        st.integers(end, len(data)),
    )
    def mutate(changes, cut):
        made = bytearray(data)
        for at, value in changes:
            made[at] = value
        for some in (bytes(made), bytes(made[:cut])):
            with contextlib.suppress(OssError):
                run(some, "resize,w_5,h_5,m_pad/format,png")

    mutate()


def test_more_properties_than_can_be_said():
    data = file(b"avif", [irot(1)], [])
    own, turned = bytes((4, 0x82, 3, 4)), bytes((255, *([3] * 254), 4))
    at = data.index(struct.pack(">HB", 2, 3) + own[1:])
    large = data[: at + 2] + turned + data[at + 6 :]
    for name in (b"meta", b"iprp", b"ipma"):
        place = large.index(name) - 4
        size = int.from_bytes(large[place : place + 4]) + 252
        large = large[:place] + size.to_bytes(4) + large[place + 4 :]
    with pytest.raises(ImageDamage, match="over 255 properties"):
        isobmff.with_alpha_turned(large)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["AVIF", "HEIF"])
def test_info_turns_nothing_twice(name, orientation, photo, answered):
    block, saved = Image.Exif(), io.BytesIO()
    block.update({0x0112: orientation, 0x010F: "A camera"})
    Image.fromarray(photo(40, 20)).save(saved, name, quality=90, exif=block.tobytes())
    told = answered(saved.getvalue(), "info")
    size = ("20", "40") if orientation > 4 else ("40", "20")
    assert (told["ImageWidth"]["value"], told["ImageHeight"]["value"]) == size
    assert told.get("Orientation", {"value": "1"})["value"] == "1"  # libvips leaves it out
    assert told["Make"]["value"] == "A camera"


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("wide", ["full", "limited"])
def test_grey(wide, alpha, photo, run, pixels):
    grey = photo(40, 27, 1)[..., 0]
    image, saved = Image.fromarray(grey), io.BytesIO()
    if alpha:
        image = Image.merge("LA", [image, Image.fromarray(255 - grey)])
    image.save(saved, "AVIF", quality=100, subsampling="4:0:0", range=wide)
    assert probe.probe(saved.getvalue()).header.limited == (wide == "limited")
    got = pixels(run(saved.getvalue(), "format,png"), "RGBA")
    assert np.abs(got[..., :3] - grey[..., None].astype(int)).max() <= 2
    if alpha:
        assert np.abs(got[..., 3] - (255 - grey.astype(int))).max() <= 2


def test_grey_of_heic(run, pixels):
    levels = np.repeat(np.array([[16, 126, 235]], np.uint8), 16, 0).repeat(16, 1)
    saved = io.BytesIO()
    pillow_heif.encode("L", (48, 16), levels.tobytes(), saved, quality=100, full_range_flag=0)
    got = pixels(run(saved.getvalue(), "format,png"), "L")[8, 8::16]
    assert np.abs(got - [0, 128, 255]).max() <= 3

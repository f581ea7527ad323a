"""``circle``: what it reads, what it refuses, the size of the square, the edge of the disc."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "circle,r_1": "circle,r_1",
    "circle,r_4096,type_1": "circle,r_4096",
    "circle,type_0,r_9": "circle,r_9,type_0",
}
REFUSES = {
    "circle": (MissingArgument, "", "circle needs r: an integer from 1 to 4096"),
    "circle,100": (MissingArgument, "", "circle needs r"),
    "circle,r_0": (InvalidArgument, "", "The value: 0 of parameter: r is invalid."),
    "circle,r_4097": (InvalidArgument, "", "from 1 to 4096"),
    "circle,r_-1": (InvalidArgument, "", "parameter: r"),
    "circle,r_": (InvalidArgument, "", "parameter: r"),
    "circle,r_1.5": (InvalidArgument, "", "an integer"),
    "circle,r_1,r_1": (InvalidArgument, "", "given twice"),
    "circle,r_1,type_2": (InvalidArgument, "", "The value: 2 of parameter: type is invalid."),
}

EXAMPLE = "jpg 400x267"
PLANS = {
    # (text, source) -> result
    ("circle,r_100", EXAMPLE): "200x200 opaque jpg",
    ("circle,r_100/format,png", EXAMPLE): "200x200 alpha png",
    ("circle,r_100", "png 400x267"): "200x200 alpha",
    ("circle,r_1", "png 400x267"): "2x2 alpha",
    # half the shorter side is the most there is
    ("circle,r_133", "png 400x267"): "266x266 alpha",
    ("circle,r_134", "png 400x267"): "267x267 alpha",
    ("circle,r_4096", "png 400x267"): "267x267 alpha",
    ("circle,r_4096", "png 267x400"): "267x267 alpha",
    ("circle,r_9", "png 1x1"): "1x1 alpha",
    ("circle,r_9", "png 1x50"): "1x1 alpha",
    # the old API's, as large as the picture
    ("circle,r_100,type_0", EXAMPLE): "400x267 opaque jpg",
    ("circle,r_4096,type_0", "png 400x267"): "400x267 alpha",
    ("circle,r_4,type_0", "gif 20x10x3"): "20x10x3 alpha",
    ("resize,w_100/circle,r_20", EXAMPLE): "40x40",
    ("circle,r_20/resize,w_20", "webp 100x80"): "20x20 alpha",
    ("circle,r_20/circle,r_10", "png 100x80 grey"): "20x20 alpha",
    ("circle,r_4", "gif 20x10x3"): "8x8x3 alpha",
    ("circle,r_4", "webp 20x10x3"): "8x8x3 alpha",
}
FORMATS = ("webp", "gif", "tiff", "bmp")


def disc(side, fine=32):
    """How much of each pixel of a square is in its disc, counted in ``fine`` by ``fine`` points."""
    at = (np.arange(side * fine) + 0.5) / fine - side / 2
    inside = np.hypot(at[:, None], at) <= side / 2
    return inside.reshape(side, fine, side, fine).mean((1, 3))


@pytest.mark.parametrize("mode", ["", " grey", " palette", " alpha", " grey alpha"])
@pytest.mark.parametrize("radius", [1, 2, 3, 10, 33, 40])
def test_the_disc(radius, mode, picture, run, pixels):
    """Of each pixel as much is left as the disc covers, of what was there; colours stay."""
    data = picture("png 91x80" + mode)
    got, whole = pixels(run(data, f"circle,r_{radius}"), "RGBA"), pixels(data, "RGBA")
    side = 2 * radius
    left, top = (91 - side) // 2, (80 - side) // 2
    there = whole[top : top + side, left : left + side]
    assert np.array_equal(got[..., :3], there[..., :3])
    off = got[..., 3] / 255 - disc(side) * there[..., 3] / 255
    assert np.abs(off).max() <= 0.02
    assert abs(off.mean()) <= 0.005  # the smallest has four pixels


@pytest.mark.parametrize("mode", ["", " grey", " alpha"])
def test_the_disc_in_the_whole_picture(mode, picture, run, pixels):
    data = picture("png 91x300" + mode)
    got, disc = (pixels(run(data, f"circle,r_33{more}"), "RGBA") for more in (",type_0", ""))
    assert got.shape == (300, 91, 4)
    assert np.array_equal(got[117:183, 12:78], disc)
    got[117:183, 12:78, 3] = 0
    assert not got[..., 3].any()


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 50, 51])
def test_at_most_the_shorter_side(side, picture, run, pixels):
    alpha = pixels(run(picture(f"png {side}x{side}"), "circle,r_4096"))[..., 3]
    assert np.abs(alpha / 255 - disc(side)).max() <= 0.02
    assert np.array_equal(alpha, alpha.T)
    assert np.array_equal(alpha, alpha[::-1, ::-1])


def test_white_where_a_format_has_no_transparency(encoded, run, pixels):
    red = encoded(np.full((90, 120, 3), (200, 30, 40)), "PNG")
    got = pixels(run(red, "circle,r_40/format,jpg"))
    assert got.shape == (80, 80, 3)
    assert min(got[y, x].min() for y in (0, -1) for x in (0, -1)) >= 250
    assert np.abs(got[40, 40] - (200, 30, 40)).max() <= 3
    assert np.abs(got[1, 40] - (200, 30, 40)).max() <= 30  # beside the edge, through JPEG
    grey = pixels(run(encoded(np.full((90, 120), 50), "PNG"), "circle,r_40/format,jpg"))
    assert grey[0, 0] >= 250
    assert abs(grey[40, 40] - 50) <= 2


def test_streams_the_source(planned, picture, photo, run, pixels):
    assert not planned("png 300x1500", "circle,r_100").explain()["steps"][-1]["whole"]
    got = pixels(run(picture("png 300x1500"), "circle,r_150"))
    assert np.array_equal(got[..., :3], photo(300, 1500)[600:900])


def test_takes_every_pixel(planned):
    assert planned("jpg 1000x750", "circle,r_300/resize,w_50").shrink == 1


def test_every_page_has_a_disc(picture, run):
    made = Image.open(io.BytesIO(run(picture("webp 41x30x3"), "circle,r_15/quality,lossless")))
    for page in range(3):
        made.seek(page)
        alpha = np.asarray(made.convert("RGBA"))[..., 3]
        assert np.abs(alpha / 255 - disc(30)).max() <= 0.02


@settings(deadline=None, max_examples=times(60))
@given(
    st.builds(
        "{} {}x{}{}".format,
        st.sampled_from(["png", "webp", "tiff"]),
        *(st.integers(1, 60), st.integers(1, 60)),
        st.sampled_from(["", " alpha"]),
    ),
    st.integers(1, 40),
)
def test_any_picture(picture, planned, run, pixels, source, radius):
    data = picture(source)
    made = planned(data, f"circle,r_{radius}").result
    assert made.width == made.height == min(2 * radius, *map(int, source.split()[1].split("x")))
    assert pixels(run(data, f"circle,r_{radius}")).shape == (made.height, made.width, 4)

"""``rounded-corners``: what it reads, what it refuses, the size that stays, the corners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "rounded-corners,r_1": "rounded-corners,r_1",
    "rounded-corners,r_4096": "rounded-corners,r_4096",
}
REFUSES = {
    "rounded-corners": (MissingArgument, "", "rounded-corners needs r: an integer from 1 to 4096"),
    "rounded-corners,30": (MissingArgument, "", "needs r"),
    "rounded-corners,r_0": (InvalidArgument, "", "The value: 0 of parameter: r is invalid."),
    "rounded-corners,r_4097": (InvalidArgument, "", "from 1 to 4096"),
    "rounded-corners,r_a": (InvalidArgument, "", "parameter: r"),
    "rounded-corners,r_1,r_2": (InvalidArgument, "", "given twice"),
}

EXAMPLE = "jpg 400x267"
PLANS = {
    # (text, source) -> result
    ("rounded-corners,r_30", EXAMPLE): "400x267 opaque jpg",
    ("crop,w_100,h_100/rounded-corners,r_10/format,png", EXAMPLE): "100x100 alpha png",
    ("rounded-corners,r_30", "png 400x267"): "400x267 alpha",
    ("rounded-corners,r_4096", "png 400x267"): "400x267 alpha",
    ("rounded-corners,r_4096", "png 3x2"): "3x2 alpha",
    ("rounded-corners,r_3", "png 1x1"): "1x1 opaque",  # nothing is there to be cut
    ("rounded-corners,r_3", "png 1x40"): "1x40 opaque",
    ("rounded-corners,r_3", "gif 20x10x3"): "20x10x3 alpha",
    ("rounded-corners,r_3", "webp 20x10x3"): "20x10x3 alpha",
}
FORMATS = ("webp", "gif", "tiff", "bmp")


def shape(width, height, radius, fine=32):
    """How much of each pixel is left, counted in ``fine`` by ``fine`` points."""

    def beyond(side):
        """How far each point is from the part without corners."""
        at = (np.arange(side * fine) + 0.5) / fine
        return np.maximum(0, np.maximum(radius - at, at - (side - radius)))

    inside = np.hypot(beyond(height)[:, None], beyond(width)) <= radius
    return inside.reshape(height, fine, width, fine).mean((1, 3))


@pytest.mark.parametrize("mode", ["", " grey", " palette", " alpha", " grey alpha"])
@pytest.mark.parametrize(("asked", "radius"), [(1, 1), (2, 2), (9, 9), (20, 20), (4096, 26)])
def test_the_corners(asked, radius, mode, picture, run, pixels):
    data = picture("png 70x53" + mode)
    got, whole = pixels(run(data, f"rounded-corners,r_{asked}"), "RGBA"), pixels(data, "RGBA")
    assert np.array_equal(got[..., :3], whole[..., :3])
    off = (got[..., 3] - shape(70, 53, radius) * whole[..., 3]) / 255
    assert np.abs(off).max() <= 0.02
    assert abs(off.mean()) <= 0.005


@pytest.mark.parametrize("size", ["60x60", "60x45", "61x44"])
def test_one_upon_the_other(size, picture, run, pixels):
    """A picture that is rounded twice is as transparent as both say."""
    data, text = picture("png " + size), "rounded-corners,r_16"
    once, twice = (pixels(run(data, one))[..., 3] for one in (text, text + "/" + text))
    assert np.abs(twice - once * once / 255).max() <= 0.5 + 1e-9


def test_example(picture, run, pixels):
    got = pixels(run(picture(EXAMPLE), "rounded-corners,r_30"))
    assert got.shape == (267, 400, 3)
    assert min(got[y, x].min() for y in (0, -1) for x in (0, -1)) >= 250  # white, through JPEG
    assert got[0, 200].max() < 250
    cut = pixels(run(picture(EXAMPLE), "crop,w_100,h_100/rounded-corners,r_10/format,png"))
    assert cut[0, 0, 3] == 0
    assert (cut[50, :, 3] == 255).all()


def test_streams_the_source(planned, picture, run, pixels):
    assert not planned("jpg 300x3000", "rounded-corners,r_9").explain()["steps"][-1]["whole"]
    data = picture("png 300x3000")
    assert np.array_equal(pixels(run(data, "rounded-corners,r_150"))[..., :3], pixels(data))


def test_takes_every_pixel(planned):
    assert planned("jpg 1000x750", "rounded-corners,r_9/resize,w_50").shrink == 1


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
    data, text = picture(source), f"rounded-corners,r_{radius}"
    made = planned(data, text).result
    got = pixels(run(data, text))
    assert got.shape == (made.height, made.width, 3 + made.alpha)
    if min(made.width, made.height) > 1:
        assert got[[0, 0, -1, -1], [0, -1, 0, -1], 3].max() < 210  # pi/4 of 255 and less are left

"""``sharpen``: what it reads, what it refuses, and its pixels held against plain arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {"sharpen,100": "sharpen,100", "sharpen,50": "sharpen,50", "sharpen,0399": "sharpen,399"}
REFUSES = {
    "sharpen": (MissingArgument, "", "sharpen needs a value: an integer from 50 to 399"),
    "sharpen,": (InvalidArgument, "", "parameter: sharpen is invalid."),
    "sharpen,49": (InvalidArgument, "", "The value: 49"),
    "sharpen,400": (InvalidArgument, "", "from 50 to 399"),
    "sharpen,-100": (InvalidArgument, "", "The value: -100"),
    "sharpen,s_100": (InvalidArgument, "", "The value: s_100"),
    "sharpen,100,2": (InvalidArgument, "0040-00000203", "one value, not 2"),
}
PLANS = {
    ("sharpen,100", "jpg 400x267"): "400x267 opaque jpg",
    ("sharpen,399", "png 3x2 alpha"): "3x2 alpha",
    ("sharpen,399", "png 1x1 grey"): "1x1 opaque",
    ("sharpen,100", "gif 20x10x3"): "20x10x3",
    ("sharpen,100", "webp 20x10x3"): "20x10x3",
}
FORMATS = ("webp", "gif", "tiff", "bmp")


def smoothed(values):
    """By the Gaussian of one pixel, cut off at two; the border stands for what is beyond it."""
    weights = np.exp(-(np.arange(-2, 3.0) ** 2) / 2)
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    height, width = values.shape[:2]
    padding = [(2, 2), (2, 2), (0, 0)][: values.ndim]
    padded = np.pad(np.asarray(values, float), padding, "edge")
    return sum(
        kernel[y, x] * padded[y : y + height, x : x + width] for y in range(5) for x in range(5)
    )


def sharper(values, percent):
    return np.clip(values + percent / 100 * (values - smoothed(values)), 0, 255)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("percent", [50, 100, 250, 399])
def test_is_an_unsharp_mask(percent, grey, photo, encoded, run, pixels):
    values = photo(161, 122).copy()
    values[40:80, 50:90] = np.random.default_rng(5).integers(0, 256, (40, 40, 3))
    values[20:30, 100:120] = 255
    values = values[..., 0] if grey else values
    got = pixels(run(encoded(values, "PNG"), f"sharpen,{percent}"))
    assert np.abs(got - sharper(values, percent)).max() <= 0.51
    assert np.abs(got - values).max() > 50  # and it does something


@pytest.mark.parametrize("mode", [" alpha", " grey alpha"])
def test_opacity_stays(mode, picture, run, pixels):
    data = picture("png 60x50" + mode)
    got, whole = pixels(run(data, "sharpen,300")), pixels(data)
    assert np.array_equal(got[..., -1], whole[..., -1])
    # where all around is opaque it is as without alpha
    opaque = (smoothed(whole[..., -1]) == 255) & (whole[..., -1] == 255)
    assert opaque.sum() > 100
    assert np.abs(got - sharper(whole, 300))[opaque].max() <= 1


def test_transparent_colours_do_not_bleed(encoded, run, pixels):
    values = np.full((40, 60, 4), (0, 255, 0, 0))
    values[:, :30] = 200, 40, 90, 255
    values[:, 25:30, 3] = 128
    got = pixels(run(encoded(values, "PNG"), "sharpen,399"))
    assert np.array_equal(got[..., 3], values[..., 3])
    # flat but for its opacity; 8 bits of a colour weighed by a half, four times
    assert np.abs(got[:, :30, :3] - (200, 40, 90)).max() <= 4


@pytest.mark.parametrize("source", ["png 90x3000", "png 3000x90", "png 90x3000 alpha"])
def test_streams_the_source(source, planned, picture, run, pixels):
    assert not planned(source, "sharpen,100").explain()["steps"][-1]["whole"]
    data = picture(source)
    got, whole = pixels(run(data, "sharpen,100")), pixels(data)
    if "alpha" not in source:
        assert np.abs(got - sharper(whole, 100)).max() <= 0.51
    run(data, "resize,w_80/sharpen,100/sharpen,60/crop,w_50,g_se/format,jpg")


def test_takes_every_pixel(planned):
    assert planned("jpg 1000x750", "sharpen,100/resize,w_50").shrink == 1
    assert planned("jpg 1000x750", "resize,w_50/sharpen,100").shrink == 8


@settings(deadline=None, max_examples=times(60))
@given(
    st.builds(
        "{} {}x{}{}".format,
        st.sampled_from(["png", "webp", "tiff"]),
        *(st.integers(1, 60), st.integers(1, 60)),
        st.sampled_from(["", " alpha"]),
    ),
    st.integers(50, 399),
)
def test_any_picture(picture, run, source, percent):
    run(picture(source), f"sharpen,{percent}")

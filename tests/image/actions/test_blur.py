"""``blur``: what it reads, what it refuses, and its pixels held against plain arithmetic."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "blur,r_3,s_2": "blur,r_3,s_2",
    "blur,s_50,r_50": "blur,r_50,s_50",
    "blur,r_1,s_1,x_1": "blur,r_1,s_1",
}
REFUSES = {
    "blur": (MissingArgument, "", "blur needs r: an integer from 1 to 50"),
    "blur,3": (MissingArgument, "", "blur needs r"),
    "blur,r_3": (MissingArgument, "", "blur needs s: an integer from 1 to 50"),
    "blur,s_3": (MissingArgument, "", "blur needs r"),
    "blur,r_51,s_2": (InvalidArgument, "", "The value: 51 of parameter: r is invalid."),
    "blur,r_2,s_51": (InvalidArgument, "", "parameter: s"),
    "blur,r_0,s_2": (InvalidArgument, "", "from 1 to 50"),
    "blur,r_2,s_0": (InvalidArgument, "", "from 1 to 50"),
    "blur,r_,s_2": (InvalidArgument, "", "parameter: r"),
    "blur,r_1.5,s_2": (InvalidArgument, "", "an integer"),
    "blur,r_1,s_1,r_1": (InvalidArgument, "", "given twice"),
}
PLANS = {
    ("blur,r_3,s_2", "jpg 400x267"): "400x267 opaque jpg",
    ("blur,r_50,s_50", "png 3x2 alpha"): "3x2 alpha",
    ("blur,r_50,s_50", "png 1x1"): "1x1 opaque",
    ("blur,r_3,s_2", "gif 20x10x3"): "20x10x3",
    ("blur,r_50,s_50", "webp 20x10x3"): "20x10x3",
}
FORMATS = ("webp", "gif", "tiff", "bmp")


# --- pixels


def gauss(sigma, radius):
    weights = np.exp(-(np.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def smoothed(values, sigma, radius):
    """In floats; the pixels at the border stand for those beyond it."""
    values = np.asarray(values, float)
    for axis in (0, 1):
        padding = [(0, 0)] * values.ndim
        padding[axis] = (radius, radius)
        padded = np.pad(values, padding, mode="edge")
        side = values.shape[axis]
        values = sum(
            weight * np.take(padded, range(at, at + side), axis)
            for at, weight in enumerate(gauss(sigma, radius))
        )
    return values


def hard():
    """What a blur shows best: noise of two levels beside edges, lines and dots; 180x120."""
    values = np.zeros((120, 180, 3))
    values[:, :60] = 255 * np.random.default_rng(5).integers(0, 2, (120, 60, 3))
    values[40:80, 80:130] = 255, 200, 90
    values[::7, 140:] = 255
    values[90::9, 70:130:11] = 255
    return values


KERNELS = (
    *("r_1,s_1", "r_1,s_50", "r_3,s_2", "r_6,s_2", "r_10,s_5", "r_20,s_50", "r_50,s_1"),
    *("r_50,s_5", "r_21,s_7", "r_21,s_50", "r_30,s_10", "r_50,s_16", "r_50,s_50"),
)


@pytest.mark.parametrize("kernel", KERNELS)
def test_is_the_gaussian_cut_off(kernel, photo, encoded, run, pixels):
    radius, sigma = (int(part[2:]) for part in kernel.split(","))
    for values in (hard(), photo(181, 122)):
        got = pixels(run(encoded(values, "PNG"), f"blur,{kernel}"))
        assert np.abs(got - smoothed(values, sigma, radius).round()).max() <= 1


@pytest.mark.parametrize("kernel", ["r_3,s_1", "r_9,s_3", "r_15,s_5", "r_30,s_10", "r_48,s_16"])
def test_from_three_sigma_on_it_is_the_gaussian(kernel, photo, encoded, run, pixels):
    values = photo(181, 122)
    sigma = int(kernel.rpartition("_")[2])
    got = pixels(run(encoded(values, "PNG"), f"blur,{kernel}"))
    assert np.abs(got - smoothed(values, sigma, 6 * sigma)).max() <= 1


@pytest.mark.parametrize("mode", ["", " grey", " alpha", " grey alpha"])
@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("kernel", ["r_3,s_2", "r_50,s_50", "r_40,s_13"])
def test_a_flat_picture_stays(kernel, level, mode, encoded, run, pixels):
    bands = (1 if "grey" in mode else 3) + ("alpha" in mode)
    values = np.full((40, 60, bands), level)
    if "alpha" in mode:
        values[..., -1] = 255
    values = values.squeeze()
    assert np.array_equal(pixels(run(encoded(values, "PNG"), f"blur,{kernel}")), values)


@pytest.mark.parametrize("kernel", ["r_6,s_3", "r_50,s_20"])
def test_transparent_colours_do_not_bleed(kernel, encoded, run, pixels):
    values = np.full((60, 80, 4), (0, 255, 0, 0))
    values[:, :40] = 200, 40, 90, 255
    got = pixels(run(encoded(values, "PNG"), f"blur,{kernel}"))
    sigma = int(kernel.rpartition("_")[2])
    radius = int(kernel.partition(",")[0][2:])
    assert np.abs(got[..., 3] - smoothed(values[..., 3], sigma, radius)).max() <= 1
    seen = got[got[..., 3] >= 64]
    assert (seen[:, 3] < 255).any()
    assert np.abs(seen[:, :3] - (200, 40, 90)).max() <= 4  # 8 bits of a colour weighed by 1/4


def test_every_page_by_itself(run):
    """Nothing of a page comes into the next one."""
    black, white = (Image.new("RGB", (40, 30), colour) for colour in ("black", "white"))
    file = io.BytesIO()
    black.save(file, "WEBP", save_all=True, append_images=[white, black], lossless=True)
    made = Image.open(io.BytesIO(run(file.getvalue(), "blur,r_50,s_50/quality,lossless")))
    for page, level in enumerate((0, 255, 0)):
        made.seek(page)
        assert (np.asarray(made.convert("RGB")) == level).all()


# --- how it runs


@pytest.mark.parametrize("kernel", ["r_3,s_2", "r_50,s_5", "r_50,s_50"])
@pytest.mark.parametrize("source", ["png 30x1500", "png 1500x30", "jpg 30x1500", "webp 30x1500"])
def test_streams_the_source(source, kernel, planned, picture, run, pixels):
    text = f"blur,{kernel}"
    assert not planned(source, text).explain()["steps"][-1]["whole"]
    data = picture(source)
    radius, sigma = (int(part[2:]) for part in kernel.split(","))
    got = pixels(run(data, text + "/format,png"), "RGB")
    want = smoothed(pixels(data, "RGB"), sigma, radius)
    # libvips' JPEG decoder may be another one than Pillow's
    assert np.abs(got - want.round()).max() <= (2 if source.startswith("jpg") else 1)


def test_takes_every_pixel(planned):
    assert planned("jpg 1000x750", "blur,r_3,s_2/resize,w_50").shrink == 1


def test_after_others(picture, run):
    run(picture("jpg 100x3000"), "resize,w_90/blur,r_50,s_50/blur,r_9,s_3/crop,y_900,h_300")
    run(picture("png 300x300 alpha"), "rotate,30/blur,r_20,s_5/rounded-corners,r_90/blur,r_2,s_1")


@settings(deadline=None, max_examples=times(60))
@given(
    st.builds(
        "{} {}x{}{}".format,
        st.sampled_from(["png", "webp", "tiff"]),
        *(st.integers(1, 60), st.integers(1, 60)),
        st.sampled_from(["", " alpha"]),
    ),
    st.integers(1, 50),
    st.integers(1, 50),
)
def test_any_picture(picture, run, source, radius, sigma):
    run(picture(source), f"blur,r_{radius},s_{sigma}")

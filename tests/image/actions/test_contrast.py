"""``contrast``: what it reads, what it refuses, each level of a picture."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "contrast,-50": "contrast,-50",
    "contrast,-100": "contrast,-100",
    "contrast,100": "contrast,100",
    "contrast,00": "contrast,0",
}
REFUSES = {
    "contrast": (MissingArgument, "", "contrast needs a value: an integer from -100 to 100"),
    "contrast,": (InvalidArgument, "", "parameter: contrast is invalid."),
    "contrast,101": (InvalidArgument, "", "from -100 to 100"),
    "contrast,-101": (InvalidArgument, "", "The value: -101"),
    "contrast,a": (InvalidArgument, "", "The value: a"),
    "contrast,1,2": (InvalidArgument, "0040-00000203", "one value, not 2"),
}


def spread(levels, percent):
    """By the slope of ImageMagick, about the middle."""
    slope = np.tan(np.pi / 4 * (percent / 100 + 1))
    return np.clip(127.5 + slope * (levels - 127.5), 0, 255)


@pytest.mark.parametrize("percent", [-100, -99, -50, -10, -1, 1, 10, 50, 99, 100])
def test_spreads_each_level(percent, encoded, run, pixels):
    levels = np.arange(256).reshape(16, 16)
    got = pixels(run(encoded(levels, "PNG"), f"contrast,{percent}"))
    assert np.abs(got - spread(levels, percent)).max() <= 0.5 + 1e-6
    assert (np.diff(got.ravel()) >= 0).all()


LEVELS = {
    # percent -> what becomes of 0, 100, 127, 128, 200, 255
    -100: [128, 128, 128, 128, 128, 128],
    -50: [75, 116, 127, 128, 158, 180],
    50: [0, 61, 126, 129, 255, 255],
    100: [0, 0, 0, 255, 255, 255],
}


@pytest.mark.parametrize("percent", LEVELS)
def test_levels(percent, encoded, run, pixels):
    levels = np.array([[0, 100, 127, 128, 200, 255]])
    assert pixels(run(encoded(levels, "PNG"), f"contrast,{percent}")).tolist() == [LEVELS[percent]]


@pytest.mark.parametrize("mode", ["", " grey", " alpha", " grey alpha", " palette"])
@pytest.mark.parametrize("percent", [-40, 40])
def test_opacity_stays(percent, mode, picture, run, pixels):
    data = picture("png 40x30" + mode)
    got, whole = pixels(run(data, f"contrast,{percent}"), "RGBA"), pixels(data, "RGBA")
    assert np.abs(got[..., :3] - spread(whole[..., :3], percent)).max() <= 1
    assert np.array_equal(got[..., 3], whole[..., 3])


@pytest.mark.parametrize("source", ["jpg 40x30", "png 40x30 alpha", "gif 20x10x3"])
def test_0_leaves_all_as_it_is(source, picture, run):
    assert run(picture(source), "contrast,0") == run(picture(source), "crop")


def test_works_at_any_size(planned, table):
    made = planned("jpg 1000x750", "contrast,20/resize,w_100")
    assert made.shrink == 4
    assert not any(step["whole"] for step in made.explain()["steps"])
    table.renders("jpg 1000x750", "contrast,20/resize,w_100", "100x75")


def test_every_page(picture, run):
    """Each as it is by itself."""
    pages = []
    source = picture("webp 20x10x3")
    for data in (source, run(source, "contrast,50/quality,lossless")):
        image = Image.open(io.BytesIO(data))
        for page in range(3):
            image.seek(page)
            pages.append(np.asarray(image.convert("RGB")).astype(int))
    for before, after in zip(pages[:3], pages[3:], strict=True):
        assert np.abs(after - spread(before, 50)).max() <= 1


@settings(deadline=None, max_examples=times(40))
@given(
    st.builds(
        "{} {}x{}{}".format,
        st.sampled_from(["png", "webp", "tiff"]),
        *(st.integers(1, 60), st.integers(1, 60)),
        st.sampled_from(["", " alpha"]),
    ),
    st.integers(-100, 100),
)
def test_any_picture(picture, run, source, percent):
    run(picture(source), f"contrast,{percent}")

"""``bright``: what it reads, what it refuses, each level of a picture."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "bright,50": "bright,50",
    "bright,-100": "bright,-100",
    "bright,100": "bright,100",
    "bright,0": "bright,0",
    "bright,-0": "bright,0",
    "bright,007": "bright,7",
}
REFUSES = {
    "bright": (MissingArgument, "", "bright needs a value: an integer from -100 to 100"),
    "bright,": (InvalidArgument, "", "The value:  of parameter: bright is invalid."),
    "bright,101": (InvalidArgument, "", "from -100 to 100"),
    "bright,-101": (InvalidArgument, "", "The value: -101"),
    "bright,+5": (InvalidArgument, "", "The value: +5"),
    "bright,1.5": (InvalidArgument, "", "an integer"),
    "bright,v_5": (InvalidArgument, "", "The value: v_5"),
    "bright,1,2": (InvalidArgument, "0040-00000203", "one value, not 2"),
}


@pytest.mark.parametrize("percent", [-100, -50, -10, -1, 1, 10, 33, 50, 99, 100])
def test_adds_to_each_level(percent, encoded, run, pixels):
    levels = np.arange(256).reshape(16, 16)
    got = pixels(run(encoded(levels, "PNG"), f"bright,{percent}"))
    assert np.array_equal(got, np.floor(np.clip(levels + 2.55 * percent, 0, 255) + 0.5 + 1e-9))


def test_the_ends(encoded, run, pixels):
    levels = encoded(np.arange(256).reshape(16, 16), "PNG")
    assert pixels(run(levels, "bright,100")).min() == 255
    assert pixels(run(levels, "bright,-100")).max() == 0


@pytest.mark.parametrize("mode", ["", " grey", " alpha", " grey alpha", " palette"])
@pytest.mark.parametrize("percent", [-40, 40])
def test_opacity_stays(percent, mode, picture, run, pixels):
    data = picture("png 40x30" + mode)
    got, whole = pixels(run(data, f"bright,{percent}"), "RGBA"), pixels(data, "RGBA")
    want = np.clip(whole[..., :3] + 2.55 * percent, 0, 255)
    assert np.abs(got[..., :3] - want).max() <= 1
    assert np.array_equal(got[..., 3], whole[..., 3])


def test_a_photograph_becomes_brighter(picture, run, pixels):
    data = picture("jpg 400x267")
    before, darker, brighter = (
        pixels(run(data, f"bright,{percent}")).mean() for percent in (0, -50, 50)
    )
    assert darker < before - 60
    assert brighter > before + 60


@pytest.mark.parametrize("source", ["jpg 40x30", "png 40x30 alpha", "gif 20x10x3"])
def test_0_leaves_all_as_it_is(source, picture, run):
    assert run(picture(source), "bright,0") == run(picture(source), "crop")


def test_works_at_any_size(planned, table):
    made = planned("jpg 1000x750", "bright,20/resize,w_100")
    assert made.shrink == 4
    assert not any(step["whole"] for step in made.explain()["steps"])
    table.renders("jpg 1000x750", "bright,20/resize,w_100", "100x75")


def test_every_page(picture, run):
    """Each as it is by itself."""
    pages = []
    source = picture("webp 20x10x3")
    for data in (source, run(source, "bright,50/quality,lossless")):
        image = Image.open(io.BytesIO(data))
        for page in range(3):
            image.seek(page)
            pages.append(np.asarray(image.convert("RGB")).astype(int))
    for before, after in zip(pages[:3], pages[3:], strict=True):
        assert np.abs(after - np.clip(before + 127.5, 0, 255)).max() <= 1


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
    run(picture(source), f"bright,{percent}")

"""Where a reduced picture lies: where all of its source puts it, however few pixels are read.

A loader that shrinks has whole pixels, of which the last ones may reach over the border or fall
short of it. The source is waves, long enough for any reduction, so that by how much one result is
moved against another can be told to a hundredth of a pixel: from the differences, by the slopes.
"""

import io
from functools import cache

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.image import optimize
from vipsgate.image.config import Rendering

WAVE = 110  # pixels of the source, across and down; some are twice as long
NEAR = optimize.LEAST_SHIFT + 0.015  # pixels of the result; the weights of a shift are in 64ths
BORDER = 3  # pixels of the result, under whose kernel there is more than the source


@pytest.fixture(scope="module", autouse=True)
def large():
    """All sources are shifted as large ones are, which would take long to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize, "LARGE", 0)
        yield


@cache
def waves(width, height, form="JPEG", alpha=False):
    x, y = np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5
    across, down = (np.sin(2 * np.pi * at / WAVE) for at in (x, y))
    both = np.sin(np.pi * (x + 0.7 * y) / WAVE)
    levels = np.round(128 + 40 * across + 40 * down + 40 * both)
    image = Image.fromarray(np.repeat(levels.astype(np.uint8)[..., None], 3, 2))
    if alpha:
        image.putalpha(200)
    saved = io.BytesIO()
    image.save(saved, form, quality=97)
    return saved.getvalue()


def moved(got, want):
    """By how many pixels one picture lies to the right of another one, and below it."""
    got, want = (part[..., :3].mean(-1) for part in (got, want))
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    slopes = [-slope[inside].ravel() for slope in np.gradient((got + want) / 2)][::-1]
    differences = (got - want)[inside].ravel()
    return np.linalg.lstsq(np.stack(slopes, 1), differences)[0]


def test_a_move_is_measured():
    at = np.arange(80) * 6.0
    picture = 128 + 50 * np.sin(at / 17)[None, :] + 50 * np.sin(at / 19)[:, None]
    other = 128 + 50 * np.sin((at - 1.2) / 17)[None, :] + 50 * np.sin((at + 0.6) / 19)[:, None]
    right, down = moved(other[..., None], picture[..., None])
    assert abs(right - 0.2) < 0.005
    assert abs(down + 0.1) < 0.005


ROWS = [
    # a half of a pixel that the loader leaves: at a half, a quarter and an eighth
    ("resize,w_100", (401, 301)),
    ("resize,w_100", (399, 303)),
    ("resize,w_50", (402, 306)),
    ("resize,w_25", (404, 316)),
    ("resize,m_fixed,w_70,h_50", (403, 205)),
    # what is done before and after it
    ("crop,x_33,y_21,w_301,h_205/resize,w_75", (403, 301)),
    ("resize,w_100/crop,x_10,y_5,w_60,h_50", (401, 301)),
    ("resize,m_fill,w_80,h_80", (401, 301)),
    ("resize,m_pad,w_80,h_80", (401, 301)),
    ("rotate,90/resize,w_75", (401, 301)),
    ("resize,w_100/rotate,270", (401, 301)),
    ("resize,w_100/bright,20/watermark,text_YQ,size_20", (401, 301)),
]


@pytest.mark.parametrize(("text", "size"), ROWS, ids=str)
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_it_lies_where_all_pixels_put_it(form, text, size, transformed, pixels):
    check(waves(*size, form), text, transformed, pixels)


def test_a_shift_keeps_the_alpha(transformed, pixels):
    """A WebP that is cut between the pixels that its loader leaves."""
    data = waves(401, 301, "WEBP", alpha=True)
    assert check(data, "crop,x_33,y_21,w_301,h_205/resize,w_75", transformed, pixels)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_that_is_made_from_a_master(form, transformed, pixels):
    """One that the loader shrinks, and one that is scaled."""
    data, text = waves(2405, 1803, form), "resize,w_201/format,png"
    results = [
        transformed(data, text, rendering=rendering)
        for rendering in (Rendering(masters=True), Rendering(shrink="exact"))
    ]
    assert [result.plan.master for result in results] == [True, False]
    off = np.abs(moved(*(pixels(result.data, "RGBA") for result in results))).max()
    assert off <= NEAR


@settings(deadline=None, max_examples=times(60))
@given(data=st.data())
def test_any_sides_and_any_reduction(data, transformed, pixels):
    size = data.draw(st.integers(200, 420)), data.draw(st.integers(200, 420))
    text = ""
    left = size
    if data.draw(st.booleans()):
        left = tuple(data.draw(st.integers(150, side)) for side in size)
        x, y = (data.draw(st.integers(0, side - one)) for side, one in zip(size, left, strict=True))
        text = f"crop,x_{x},y_{y},w_{left[0]},h_{left[1]}/"
    width, height = (max(24, round(side / data.draw(st.floats(2, 9)))) for side in left)
    text += data.draw(
        st.sampled_from(
            [f"resize,w_{width}", f"resize,h_{height}", f"resize,m_fixed,w_{width},h_{height}"]
        )
    )
    text += data.draw(st.sampled_from(["", "/rotate,90", "/rotate,180"]))
    event("shifted" if check(waves(*size), text, transformed, pixels) else "not shifted")


def check(data, text, transformed, pixels):
    """Compare all ways to reduce with the exact one; return whether any is shifted."""
    shifts = 0
    text += "/format,png"
    exact = transformed(data, text, rendering=Rendering(shrink="exact"))
    want = pixels(exact.data, "RGBA")
    for shrink in ("balanced", "fast"):
        result = transformed(data, text, rendering=Rendering(shrink=shrink))
        got = pixels(result.data, "RGBA")
        assert got.shape == want.shape
        assert np.array_equal(got[..., 3], want[..., 3])
        off = np.abs(moved(got, want)).max()
        assert off <= NEAR, (shrink, off, result.plan.explain()["steps"])
        shifts += any(str(step).startswith("shift") for step in result.plan.steps)
    return shifts > 0

"""``indexcrop``: what it reads, what it refuses, which strip it keeps, bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "indexcrop,x_100": "indexcrop,x_100",
    "indexcrop,x_100,i_0": "indexcrop,x_100",
    "indexcrop,i_2,y_007": "indexcrop,y_7,i_2",
    "indexcrop,x_1000000,y_1000000,i_1000000": "indexcrop,x_1000000,y_1000000,i_1000000",
    "indexcrop,x_1,z_5": "indexcrop,x_1",
}
REFUSES = {
    "indexcrop": (MissingArgument, "", "indexcrop needs one of x, y"),
    "indexcrop,i_1": (MissingArgument, "", "indexcrop needs one of x, y"),
    "indexcrop,100": (MissingArgument, "", "indexcrop needs one of x, y"),
    "indexcrop,x_0": (InvalidArgument, "", "The value: 0 of parameter: x is invalid."),
    "indexcrop,y_0": (InvalidArgument, "", "parameter: y"),
    "indexcrop,y_-1": (InvalidArgument, "", "parameter: y"),
    "indexcrop,x_1000001": (InvalidArgument, "", "from 1 to 1000000"),
    "indexcrop,x_": (InvalidArgument, "", "parameter: x"),
    "indexcrop,x_1,i_-1": (InvalidArgument, "", "parameter: i"),
    "indexcrop,x_1,i_a": (InvalidArgument, "", "from 0 to 1000000"),
    "indexcrop,x_1,x_1": (InvalidArgument, "", "given twice"),
}

EXAMPLE = "jpg 400x267"
KEEPS = {
    # text, of 400x267 -> left, top, right, bottom
    "indexcrop,x_100,i_0": (0, 0, 100, 267),
    "indexcrop,x_100": (0, 0, 100, 267),
    "indexcrop,x_100,i_3": (300, 0, 400, 267),
    "indexcrop,x_100,i_4": (0, 0, 400, 267),  # none is there
    "indexcrop,x_100,i_100": (0, 0, 400, 267),
    "indexcrop,y_100,i_10": (0, 0, 400, 267),
    "indexcrop,y_100,i_1": (0, 100, 400, 200),
    "indexcrop,y_100,i_2": (0, 200, 400, 267),  # what is left over
    "indexcrop,y_267,i_0": (0, 0, 400, 267),
    "indexcrop,y_267,i_1": (0, 0, 400, 267),
    "indexcrop,x_150,i_1": (150, 0, 300, 267),
    "indexcrop,x_150,i_2": (300, 0, 400, 267),
    "indexcrop,x_399,i_1": (399, 0, 400, 267),
    "indexcrop,x_1,i_399": (399, 0, 400, 267),
    "indexcrop,x_500": (0, 0, 400, 267),
    "indexcrop,x_1000000,i_1000000": (0, 0, 400, 267),
    # y wins
    "indexcrop,x_100,y_50,i_2": (0, 100, 400, 150),
    "indexcrop,x_10,y_200,i_3": (0, 0, 400, 267),
    # in turn
    "indexcrop,x_150,i_1/indexcrop,y_200,i_1": (150, 200, 300, 267),
}
PLANS = {
    (text, EXAMPLE): f"{right - left}x{bottom - top} opaque"
    for text, (left, top, right, bottom) in KEEPS.items()
}
FORMATS = ("webp", "gif", "bmp")


@pytest.mark.parametrize("format", ["png", "tiff"])
@pytest.mark.parametrize("text", KEEPS)
def test_keeps_these_pixels(text, format, picture, photo, run, pixels):
    left, top, right, bottom = KEEPS[text]
    got = pixels(run(picture(f"{format} 400x267"), text + "/format,png"))
    assert np.array_equal(got, photo(400, 267)[top:bottom, left:right])


@settings(deadline=None, max_examples=times(60))
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from("xy"), st.integers(1, 70))
def test_all_strips_are_the_picture(picture, run, pixels, width, height, key, size):
    whole = pixels(picture(f"png {width}x{height}"))
    axis, side = (1, width) if key == "x" else (0, height)
    text = f"indexcrop,{key}_{size},i_"
    count = -(-side // size)
    strips = [pixels(run(picture(f"png {width}x{height}"), f"{text}{i}")) for i in range(count)]
    assert np.array_equal(np.concatenate(strips, axis), whole)
    assert np.array_equal(pixels(run(picture(f"png {width}x{height}"), f"{text}{count}")), whole)


def test_every_page_is_cut(table):
    table.renders("gif 20x10x3", "indexcrop,x_8,i_2", "4x10x3")
    table.renders("webp 20x10x3", "indexcrop,y_4,i_1", "20x4x3")


def test_a_part_of_a_large_picture_is_no_large_result(planned):
    made = planned("jpg 20000x10000", "indexcrop,y_9000")
    assert made.result.area == 180_000_000
    assert not any(step["whole"] for step in made.explain()["steps"])

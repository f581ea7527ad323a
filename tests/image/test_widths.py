"""Widths for an ``<img srcset>``: bounds that always hold, and how well bytes are predicted."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import times

import vipsgate
from vipsgate.image import widths
from vipsgate.image.widths import Curve

# bytes of the samples, ends -> the widths
CHOSEN = {
    # a photograph: steps of 24 KB first, then of a third
    (((320, 20_130), (1280, 225_598)), 320, 2560): (
        (320, 490, 629, 795, 1004, 1269, 1603, 2026, 2560)
    ),
    # a drawing that takes next to nothing: only so that no screen decodes four times its pixels
    (((320, 800), (960, 4_000)), 320, 1920): (320, 583, 1057, 1920),
    (((320, 800), (480, 900)), 320, 640): (320, 640),
    # no more than some pixels apart, or the same: one
    (((320, 20_000), (400, 30_000)), 320, 400): (400,),
    (((333, 10_000),), 333, 333): (333,),
    (((1, 300),), 1, 1): (1,),
    # a larger picture with fewer bytes says that bytes do not matter there
    (((320, 50_000), (640, 20_000)), 320, 1280): (320, 640, 1280),
}


@pytest.mark.parametrize(("given", "chosen"), CHOSEN.items(), ids=str)
def test_widths_are_chosen(given, chosen):
    measured, smallest, largest = given
    got = widths.choose(Curve.of(measured), smallest, largest)
    assert len(got) == len(chosen)
    assert got == pytest.approx(chosen, rel=0.005)


# pixels of the source, of the layout, density -> smallest and largest
ENDS = {
    (6000, 1280, 2): (320, 2560),
    (1000, 1280, 2): (320, 1000),  # never above the source
    (6000, 200, 2): (200, 400),  # an icon is not sent larger than it is shown
    (6000, 640, 1.5): (320, 960),
    (100, 1280, 2): (100, 100),
    (1, 1, 1): (1, 1),
}


@pytest.mark.parametrize("given", ENDS, ids=str)
def test_the_ends_are_what_can_be_shown(given):
    assert widths.ends(*given) == ENDS[given]


def test_two_cheap_pictures_are_measured_or_one():
    assert widths.samples(320, 2560) == (320, 1280)
    assert widths.samples(320, 500) == (320,)
    assert widths.samples(7, 7) == (7,)


MEASURED = st.lists(st.tuples(st.integers(1, 16384), st.integers(0, 50_000_000)), max_size=4)


@settings(max_examples=times(100))
@given(MEASURED, st.integers(1, 30_000), st.integers(1, 16384), st.floats(1, 4), st.integers(2, 30))
def test_whatever_was_measured_the_bounds_hold(measured, source, layout, density, most):
    curve = Curve.of(measured)
    smallest, largest = widths.ends(source, layout, density)
    got = widths.choose(curve, smallest, largest, most)
    assert got[0] >= 1
    assert got[-1] == largest <= source
    assert len(got) <= most
    assert all(low < high for low, high in pairwise(got))
    fits = 2 ** (most - 1) >= largest / smallest
    for low, high in pairwise(got):
        assert not fits or high - 1 <= 2.03 * low  # a pixel of rounding, and a point of the way
        assert high + 1 >= 1.12 * (low - 1)


@settings(max_examples=times(100))
@given(MEASURED)
@example([(149, 0), (150, 3)])
@example([(138, 0), (139, 3)])
def test_a_curve_goes_through_what_rises_and_never_falls(measured):
    curve = Curve.of(measured)
    for width, size in curve.points:
        assert curve.at(width) == pytest.approx(size)
    sizes = [curve.at(1.5**step) for step in range(24)]
    assert all(high >= low * (1 - 1e-9) > 0 for low, high in pairwise(sizes))


@settings(max_examples=times(100))
@given(st.floats(1.0, 2.2), st.integers(200, 400_000))
def test_each_width_saves_the_same_or_a_third(exponent, size):
    """Of a picture whose bytes are a power of its width, whatever the power and the size."""
    curve = Curve.of([(320, size), (1280, round(size * 4**exponent))])
    got = widths.choose(curve, 320, 2560, most=30)
    worth = [
        (curve.at(high) - curve.at(low)) / max(widths.STEP, curve.at(high) / 3)
        for low, high in pairwise(got)
    ]
    narrow = math.log(2) * 0.98
    for step, (low, high) in zip(worth, pairwise(got), strict=True):
        assert 0.4 <= step <= 1.4 or math.log(high / low) > narrow / 2, (got, worth)


@pytest.mark.parametrize("kind", ["jpg", "webp", "avif"])
def test_bytes_are_predicted(kind, picture):
    """From two samples; what was measured with photographs is in the module's docstring."""
    data = picture("jpg 1000x667 q90")
    smallest, largest = widths.ends(1000, 1280, 2)

    def size(width):
        text = f"image/resize,w_{width}/format,{kind}"
        return len(vipsgate.transform(data, text).data)

    curve = Curve.of((width, size(width)) for width in widths.samples(smallest, largest))
    for width in (400, 640):
        assert curve.at(width) == pytest.approx(size(width), rel=0.4)

"""Where a part lies around a focus: inside of the picture, and as near as may be."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vipsgate.image import gravity
from vipsgate.image.gravity import MAX_AREAS, MIDDLE, WHOLE

SIZE = st.tuples(st.integers(1, 30_000), st.integers(1, 30_000))
PLACE = st.integers(0, WHOLE)


@st.composite
def areas(draw):
    left, right = sorted((draw(PLACE), draw(PLACE)))
    top, bottom = sorted((draw(PLACE), draw(PLACE)))
    return left, top, right, bottom


FOCUS = st.lists(areas(), min_size=1, max_size=MAX_AREAS).map(tuple)


@given(FOCUS, SIZE, SIZE)
def test_the_part_is_inside_of_the_picture(focus, size, wanted):
    part = tuple(map(min, wanted, size))
    for begin, length, side in zip(gravity.corner(focus, size, part), part, size, strict=True):
        assert 0 <= begin <= side - length


@given(areas(), SIZE, SIZE)
def test_the_first_area_is_in_a_part_that_can_hold_it(area, size, wanted):
    part = tuple(map(min, wanted, size))
    begins = gravity.corner((area,), size, part)
    for axis in (0, 1):
        low, high = (area[axis + 2 * end] * size[axis] / WHOLE for end in (0, 1))
        assume(high - low <= part[axis])
        assert begins[axis] - 1 < low + 1e-6  # half a pixel is rounded
        assert high < begins[axis] + part[axis] + 1 + 1e-6


@given(SIZE, SIZE)
def test_the_middle_is_the_middle(size, wanted):
    part = tuple(map(min, wanted, size))
    halves = tuple((side - one) // 2 for side, one in zip(size, part, strict=True))
    assert gravity.corner(MIDDLE, size, part) == halves


# areas of a picture of 1000x100, a part of 300x100 -> where it begins
TOGETHER = {
    ((1000, 0, 1000, 0),): 0,
    ((5000, 0, 5000, 0),): 350,
    ((9900, 0, 9900, 0),): 700,
    ((4000, 0, 5000, 0), (5500, 0, 6500, 0)): 375,  # both fit
    ((4000, 0, 5000, 0), (7500, 0, 8500, 0)): 300,  # the other would not
    ((4000, 0, 5000, 0), (7500, 0, 8500, 0), (2500, 0, 3000, 0)): 225,  # the third does
    ((1000, 0, 9000, 0),): 350,  # larger than the part
}


@pytest.mark.parametrize("focus", TOGETHER)
def test_as_many_as_fit_together(focus):
    assert gravity.corner(focus, (1000, 100), (300, 100)) == (TOGETHER[focus], 0)


@given(FOCUS)
def test_what_is_written_is_read(focus):
    assert gravity.load(gravity.dump(focus)) == focus


NO_FOCUS = ("", "x", "1", "{}", "[]", "[[]]", "[1,2,3,4]", "[[1,2,3]]", "[[1,2,3,4,5]]")
NO_FOCUS += ("[[2,2,1,3]]", "[[-1,2,3,4]]", "[[1,2,3,10001]]", "[[1,2,3.0,4]]", "[[true,2,3,4]]")
NO_FOCUS += (str([[1, 2, 3, 4]] * (MAX_AREAS + 1)), '["abcd"]', '"abcd"', "null", "\ud800")


@pytest.mark.parametrize("text", NO_FOCUS)
def test_what_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"not a|decode|Expecting|column"):
        gravity.load(text.encode("utf-8", "surrogatepass"))

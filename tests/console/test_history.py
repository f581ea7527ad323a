"""The last minutes in numbers, and how they are drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.console import chart
from vipsgate.console.history import KEPT, History, Sample
from vipsgate.observe.counters import BOUNDS

NONE = (0,) * (len(BOUNDS) + 1)


def spread(**counts):
    """How many answers took how long, by the number of the bound."""
    return tuple(counts.get(f"b{at}", 0) for at in range(len(NONE)))


def test_a_point_is_what_was_between_two_samples():
    history = History()
    history.add(Sample(10, 100, 1, 50, 25, spread(b2=100), 0, 0))
    (point,) = history.points(Sample(20, 300, 2, 90, 55, spread(b2=200, b8=97, b12=3), 4, 2))
    assert (point.requests, point.errors, point.ratio) == (20, 0.1, 75)
    assert point.median == BOUNDS[2] * 1000
    assert point.slow == BOUNDS[12] * 1000
    assert point.waiting == 4


def test_where_nothing_was_there_is_no_value():
    history = History()
    history.add(Sample(10, 5, 0, 0, 0, NONE, 0, 0))
    (point,) = history.points(Sample(10, 5, 0, 0, 0, NONE, 0, 0))
    assert (point.requests, point.ratio, point.median) == (0, None, None)


def test_no_more_is_kept_than_ten_minutes():
    history = History()
    for second in range(1000):
        history.add(Sample(second, second, 0, 0, 0, NONE, 0, 0))
    points = history.points(Sample(1000, 1000, 0, 0, 0, NONE, 0, 0))
    assert len(points) == KEPT
    assert {point.requests for point in points} == {1}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ([], ""),
        ([None, None], ""),
        ([0, 10], "M0.0 69.0h0.01L320.0 3.0"),
        ([10, None], "M0.0 3.0h0.01"),
    ],
)
def test_a_line(line, path):
    assert chart.draw("x", [*range(len(line))], line).lines == (path,)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=20), st.floats(0, 100))
def test_every_point_is_inside(line, top):
    drawn = chart.draw("x", [*range(len(line))], line, top=top)
    text = drawn.lines[0].replace("h0.01", "")
    for pair in text.replace("L", "M").split("M")[1:]:
        x, y = map(float, pair.split())
        assert 0 <= x <= chart.WIDTH
        assert 0 <= y <= chart.HEIGHT

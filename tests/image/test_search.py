"""The search for a quality, on values that need no picture."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.image.search import Choice, Range, crossing

ALL = Range(80, 1, 100, 0.03)


class Values:
    """A growing value of each quality, and which were asked for."""

    def __init__(self, value):
        self.value, self.asked = value, []

    def __call__(self, quality):
        assert quality not in self.asked, "no quality is tried twice"
        self.asked.append(quality)
        return self.value(quality)


# the slope and the bend of a growing value, and the quality at which it passes 0
CURVES = st.builds(
    lambda steep, bend, zero: lambda q: steep * ((q / 100) ** bend - (zero / 100) ** bend),
    st.floats(0.5, 9),
    st.floats(0.4, 3),
    st.floats(0.1, 120),
)
STEPS = st.lists(st.floats(0, 1), min_size=100, max_size=100).flatmap(
    lambda rises: st.floats(0, 101).map(
        lambda zero: lambda q: sum(rises[:q]) - sum(rises[: int(zero)]) - 0.001
    )
)


def wanted(value, within, *, above):
    """What a look at every quality finds."""
    fits = [
        q for q in range(within.low, within.high + 1) if (value(q) >= 0 if above else value(q) <= 0)
    ]
    return (min(fits) if above else max(fits)) if fits else None


@settings(deadline=None, max_examples=times(600))
@given(CURVES | STEPS, st.booleans(), st.integers(3, 6), st.integers(1, 100))
def test_the_answer_is_on_the_wanted_side(value, above, tries, first):
    values = Values(value)
    within = Range(first, 1, 100, 0.03)
    found = crossing(values, within, above=above, tolerance=0.02, tries=tries)
    best = wanted(value, within, above=above)
    assert (found is None) == (best is None)
    assert all(1 <= q <= 100 for q in values.asked)
    assert len(values.asked) <= tries + 8  # half of the way each time
    if found is not None:
        assert value(found) >= 0 if above else value(found) <= 0
        assert found in values.asked


@settings(deadline=None, max_examples=times(300))
@given(CURVES, st.booleans())
def test_with_tries_enough_it_is_the_best(value, above):
    found = crossing(Values(value), ALL, above=above, tolerance=0.0, tries=100)
    assert found == wanted(value, ALL, above=above)


@pytest.mark.parametrize("zero", [12, 40, 63, 79, 80, 81, 95])
@pytest.mark.parametrize("above", [True, False])
def test_a_few_tries_are_enough_for_what_grows_evenly(zero, above):
    values = Values(lambda q: 0.04 * (q - zero) + 0.001 * math.sin(q))
    found = crossing(values, ALL, above=above, tolerance=0.02, tries=4)
    assert abs(found - zero) <= 1
    assert len(values.asked) <= 4


def test_the_range_is_kept():
    narrow = Range(80, 75, 84, 0.6)
    for value, above, best in (
        (lambda q: q - 200, True, None),
        (lambda q: q - 200, False, 84),
        (lambda q: q + 1, True, 75),
        (lambda q: q + 1, False, None),
    ):
        values = Values(value)
        assert crossing(values, narrow, above=above, tolerance=0.1, tries=4) == best
        assert set(values.asked) <= set(range(75, 85))


def test_a_choice_is_told_in_words():
    assert str(Choice(76, 4)) == "Q 76, 4 encodings"

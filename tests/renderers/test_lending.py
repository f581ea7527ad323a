"""Who lends a job to whom, and what becomes of one that comes back."""

from types import SimpleNamespace

import pytest

from vipsgate.fronts.scoreboard import MICRO, Column, Scoreboard
from vipsgate.renderers.lending import Lending, choose


@pytest.mark.parametrize(
    ("front", "free", "other"),
    [
        (0, [0, 0], None),
        (0, [3, 0], None),  # its own are no others
        (0, [0, 1], 1),
        (1, [1, 0], 0),
        (0, [0, 1, 2], 2),
        (0, [0, 2, 2], 1),
        (2, [1, -1, 0], 0),
        (0, [0, -1], None),
    ],
)
def test_the_front_that_could_begin_the_most(front, free, other):
    assert choose(front, free) == other


@pytest.mark.parametrize(
    ("lacking", "late", "before"),
    [
        ([0, 0, 0], None, False),
        ([1, 0, 0], None, False),  # its own
        ([0, 5, 0], None, True),
        ([0, 0, 9], None, True),
        ([0, 10, 0], None, False),
        ([0, 11, 9], None, True),
        ([0, 5, 0], 1, False),  # that front does not respond
        ([0, 5, 6], 1, True),
    ],
)
def test_who_waits_longer_for_memory(lacking, late, before, monkeypatch):
    scoreboard = Scoreboard(3)
    for front, deadline in enumerate(lacking):
        scoreboard.set(front, Column.LACKING, deadline * MICRO)
    monkeypatch.setattr(scoreboard, "responds", lambda front: front != late)
    lending = Lending(SimpleNamespace(scoreboard=scoreboard, front=0))
    assert lending.before(10.0) is before


@pytest.mark.parametrize(
    ("at_work", "first", "late", "count"),
    [
        ([0, 0, 0], [0, 0, 0], None, 0),
        ([1, 0, 0], [1, 0, 0], None, 0),  # its own
        ([0, 2, 1], [0, 0, 0], None, 3),
        ([0, 0, 1], [0, 9, 0], None, 2),
        ([0, 0, 1], [0, 10, 0], None, 1),
        ([0, 1, 1], [0, 9, 9], 2, 3),  # what a front that does not respond has at work it still has
    ],
)
def test_animations_of_other_fronts(at_work, first, late, count, monkeypatch):
    scoreboard = Scoreboard(3)
    for front in range(3):
        scoreboard.set(front, Column.ANIMATIONS, at_work[front])
        scoreboard.set(front, Column.FIRST_ANIMATION, first[front] * MICRO)
    monkeypatch.setattr(scoreboard, "responds", lambda front: front != late)
    lending = Lending(SimpleNamespace(scoreboard=scoreboard, front=0))
    assert lending.animations(10.0) == count
    assert lending.animations(float("inf")) >= count


def test_equal_deadlines_do_not_wait_for_each_other():
    scoreboard = Scoreboard(2)
    deadline = 10.0000009
    for front in range(2):
        scoreboard.set(front, Column.BEAT, int(1e18))
        scoreboard.set(front, Column.ALIVE, 1)
        scoreboard.set(front, Column.FIRST_ANIMATION, int(deadline * MICRO))
    for front in range(2):
        assert not Lending(SimpleNamespace(scoreboard=scoreboard, front=front)).animations(deadline)

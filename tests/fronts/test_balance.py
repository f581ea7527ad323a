"""Which front gets the next connections."""

import time

import pytest

from vipsgate.fronts.balance import loads, spread
from vipsgate.fronts.scoreboard import LATE_SECONDS, MICRO, Column, Scoreboard


@pytest.mark.parametrize(
    ("count", "before", "gets"),
    [
        (0, {0: 0}, {}),
        (3, {}, {}),
        (1, {0: 5, 1: 4}, {1: 1}),
        (8, {0: 0, 1: 0}, {0: 4, 1: 4}),
        (8, {0: 0, 1: 0, 2: 0}, {0: 3, 1: 3, 2: 2}),
        (4, {0: 10, 1: 0}, {1: 4}),
        (10, {0: 6, 1: 0}, {0: 2, 1: 8}),
        (64, dict.fromkeys(range(8), 3), dict.fromkeys(range(8), 8)),
    ],
)
def test_those_with_the_fewest_first(count, before, gets):
    assert spread(count, before) == gets


def test_one_at_a_time_is_as_even_as_all_at_once():
    before = dict.fromkeys(range(5), 0)
    for _ in range(1000):
        for front, count in spread(1, before).items():
            before[front] += count
    assert set(before.values()) == {200}


def test_what_is_on_its_way_counts_and_who_has_ended_does_not():
    scoreboard = Scoreboard(3)
    for front, (alive, there, sent, received) in enumerate(
        [(1, 3, 10, 10), (0, 9, 9, 9), (1, 3, 10, 8)]
    ):
        scoreboard.set(front, Column.ALIVE, alive)
        scoreboard.set(front, Column.BEAT, int(time.monotonic() * MICRO))
        scoreboard.set(front, Column.CONNECTIONS, there)
        scoreboard.set(front, Column.SENT, sent)
        scoreboard.set(front, Column.RECEIVED, received)
    assert loads(scoreboard) == {0: 3, 2: 5}
    scoreboard.set(0, Column.BEAT, int((time.monotonic() - LATE_SECONDS) * MICRO))
    assert loads(scoreboard) == {2: 5}
    scoreboard.set(2, Column.BEAT, 0)
    assert loads(scoreboard) == {0: 3, 2: 5}  # better late than not at all

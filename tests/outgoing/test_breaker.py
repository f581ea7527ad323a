"""Whether a store that fails is asked again: each case is a story in a clock's seconds."""

import pytest

from vipsgate.outgoing.breaker import FIRST_PAUSE, MAX_FAILURES, MAX_PAUSE, Breaker

# what happens when: "ask -> seconds to wait", "ok", "fail", "left"; then whether it is open
STORIES = {
    "one that answers": (["0 ask 0", "0 ok", "1 ask 0", "1 ok"], False),
    "one that fails sometimes": (
        ["0 fail", "1 fail", "2 ok", "3 fail", "4 fail", "4 ask 0"],
        False,
    ),
    "three times in a row": (["0 fail", "0 fail", "0 fail", "0 ask 1", "0.75 ask 0.25"], True),
    "one trial at a time": (["0 fail", "0 fail", "0 fail", "1 ask 0", "1 ask 1", "9 ask 1"], True),
    "a trial that succeeds": (
        ["0 fail", "0 fail", "0 fail", "1 ask 0", "2 ok", "2 ask 0", "2 ask 0", "3 fail"],
        False,
    ),
    "a trial that fails": (
        [
            *("0 fail", "0 fail", "0 fail", "1 ask 0", "2 fail", "2 ask 2", "4 ask 0", "4 fail"),
            *("4 ask 4", "8 ask 0", "8 fail", "8 ask 8", "16 ask 0", "16 fail", "16 ask 15"),
        ],
        True,
    ),
    "a trial that nobody waited for": (
        ["0 fail", "0 fail", "0 fail", "1 ask 0", "2 left", "2 ask 0", "2 ok"],
        False,
    ),
    "others that had begun before": (
        ["0 fail", "0 fail", "0 fail", "0.5 fail", "0.5 fail", "0.5 ask 0.5", "1 ask 0"],
        True,
    ),
    "one that began before and is answered": (["0 fail", "0 fail", "0 fail", "0.5 ok"], False),
}


@pytest.mark.parametrize("story", STORIES)
def test_story(story):
    steps, is_open = STORIES[story]
    breaker = Breaker()
    for step in steps:
        when, what, *wait = step.split()
        now = float(when)
        if what == "ask":
            assert breaker.wait(now) == pytest.approx(float(wait[0])), step
        elif what == "ok":
            breaker.succeeded()
        elif what == "fail":
            breaker.failed(now, 0.0)
        else:
            breaker.left()
    assert breaker.open is is_open


def test_chance_shortens_a_pause_by_up_to_half():
    pauses = []
    for chance in (0.0, 0.5, 1.0):
        breaker = Breaker()
        for _ in range(MAX_FAILURES):
            breaker.failed(0.0, chance)
        pauses.append(breaker.wait(0.0))
        assert breaker.left_to_wait(0.0) == pauses[-1]
        assert breaker.left_to_wait(MAX_PAUSE) == 0
    assert pauses == [FIRST_PAUSE, 0.75 * FIRST_PAUSE, 0.5 * FIRST_PAUSE]

"""When connections are accepted on a port with a bound of connections, and how many."""

import pytest

from vipsgate.web.connection_limit import MAX_ACCEPTED, ConnectionLimit


@pytest.mark.parametrize(
    ("limit", "count", "acceptable"),
    [
        (0, 0, MAX_ACCEPTED),
        (0, 1 << 20, MAX_ACCEPTED),
        (4, 0, 4),
        (4, 3, 1),
        (4, 4, 0),
        (4, 6, 0),  # one that is being made may be counted twice
        (1000, 0, MAX_ACCEPTED),
        (1000, 990, 10),
    ],
)
def test_acceptable(limit, count, acceptable):
    assert ConnectionLimit(limit).acceptable(count) == acceptable


@pytest.mark.parametrize(
    ("limit", "count", "full", "still_full"),
    [
        (0, 1 << 20, False, False),
        (4, 3, False, False),
        (4, 4, True, True),
        (640, 639, False, True),
        (640, 631, False, True),
        (640, 630, False, False),  # a part, 10, is free again
    ],
)
def test_is_full(limit, count, full, still_full):
    assert ConnectionLimit(limit).is_full(count) == full
    assert ConnectionLimit(limit).is_full(count, paused=True) == still_full


@pytest.mark.parametrize(("limit", "part"), [(0, 0), (1, 1), (64, 1), (65, 2), (640, 10)])
def test_a_part_is_one_connection_at_least(limit, part):
    assert ConnectionLimit(limit).part == part

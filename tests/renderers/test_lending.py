"""Who lends a job to whom, and what becomes of one that comes back."""

import pytest

from vipsgate.renderers.lending import choose


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

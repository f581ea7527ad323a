"""The cosine transform of both kinds of placeholder, for a few low frequencies.

Rows are transformed first and then the columns of the result, in a tenth of the time of a direct
sum over all pixels. It is plain Python: a picture of 100 x 100 pixels takes some milliseconds, and
a renderer has no numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from operator import mul

Rows = Sequence[Sequence[float]]


def waves(number: int, length: int, shift: float) -> Rows:
    """Return the first cosines of a side, ``cos(pi * wave * (pixel + shift) / length)``."""
    return [
        [cos(pi * wave * (at + shift) / length) for at in range(length)] for wave in range(number)
    ]


def sums(channel: Rows, across: Rows, down: Rows) -> list[list[float]]:
    """Return the mean of a channel times each pair of cosines; a row for each of ``down``.

    Args:
        channel: Rows of pixels.
        across: Cosines with one value for each column.
        down: Cosines with one value for each row.
    """
    area = len(channel) * len(channel[0])
    columns = [[sum(map(mul, row, wave)) for row in channel] for wave in across]
    return [[sum(map(mul, column, wave)) / area for column in columns] for wave in down]

"""The cosine transform behind both kinds of placeholder: a few waves, weighed by a picture.

Each row is weighed first and then the column of what came out, which takes a tenth of the time of
weighing every pixel by every wave. Plain Python: a picture of 100 x 100 takes some milliseconds,
and a renderer has no numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from operator import mul

Rows = Sequence[Sequence[float]]


def waves(number: int, length: int, shift: float) -> Rows:
    """The first waves over a side, ``cos(pi * wave * (pixel + shift) / length)``."""
    return [
        [cos(pi * wave * (at + shift) / length) for at in range(length)] for wave in range(number)
    ]


def sums(channel: Rows, across: Rows, down: Rows) -> list[list[float]]:
    """The mean of a channel times each pair of waves; a row for each of ``down``.

    Args:
        channel: Rows of pixels.
        across: Waves as long as a row.
        down: Waves as long as there are rows.
    """
    area = len(channel) * len(channel[0])
    columns = [[sum(map(mul, row, wave)) for row in channel] for wave in across]
    return [[sum(map(mul, column, wave)) / area for column in columns] for wave in down]

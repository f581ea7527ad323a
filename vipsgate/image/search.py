"""The search for an encoder's quality that just meets a goal; pure.

It is a secant search: sizes and likenesses grow smoothly with quality, so three or four tries are
enough where a bisection takes seven. The alternative, a first try by a curve fitted to the
picture's activity, saves no tries, because the first try tells more than the activity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Choice(NamedTuple):
    """The quality that a file was written with, after a search.

    Attributes:
        quality: Of the encoder, 1-100.
        encodings: How many times the picture, or a sample of it, was encoded.
    """

    quality: int
    encodings: int

    def __str__(self) -> str:
        return f"Q {self.quality}, {self.encodings} encodings"


@dataclass(frozen=True, slots=True)
class Range:
    """The range of qualities to search.

    Attributes:
        first: The first try.
        low: The lowest quality.
        high: The highest quality.
        slope: Expected growth of the value per step of quality.
    """

    first: int
    low: int
    high: int
    slope: float


def crossing(
    value: Callable[[int], float],
    within: Range,
    *,
    above: bool,
    tolerance: float,
    tries: int,
) -> int | None:
    """Search for the quality at which a growing value crosses 0, on the wanted side.

    Each quality is tried once. More than ``tries`` are made only while none is on the wanted side;
    these bisect towards the extreme quality, which is tried last.

    Args:
        value: Returns the value of a quality, which grows with it.
        within: The range to search.
        above: Whether to find the lowest quality with a value of 0 or more; else the highest one
            with a value of 0 or less.
        tolerance: Distance from 0 at which a value on the wanted side is accepted.
        tries: How many qualities are tried.

    Returns:
        ``None`` if no quality is on the wanted side.
    """
    known: dict[int, float] = {}
    last = within.high if above else within.low
    quality = within.first
    while True:
        known[quality] = value(quality)
        fits = _fitting(known, above=above)
        best = (min(fits) if above else max(fits)) if fits else None
        if best is not None and (abs(known[best]) <= tolerance or len(known) >= tries):
            return best
        if best is None and last in known:
            return None
        low, high = _bracket(known, within, above=above)
        if low + 1 >= high:
            return best
        if len(known) < tries:
            quality = _next(known, low, high, within, above=above)
        else:
            quality = (low + high) // 2  # one of these is a miss, the other beyond the extreme


def _fitting(known: dict[int, float], *, above: bool) -> list[int]:
    return [q for q, value in known.items() if (value >= 0 if above else value <= 0)]


def _bracket(known: dict[int, float], within: Range, *, above: bool) -> tuple[int, int]:
    """Return the two qualities between which untried ones may be better, both exclusive."""
    fits = _fitting(known, above=above)
    misses = [q for q in known if q not in fits]
    if above:
        high = min(fits, default=within.high + 1)
        return max((q for q in misses if q < high), default=within.low - 1), high
    low = max(fits, default=within.low - 1)
    return low, min((q for q in misses if q > low), default=within.high + 1)


def _next(known: dict[int, float], low: int, high: int, within: Range, *, above: bool) -> int:
    """Return the next quality to try: the zero of the secant, within the bracket."""
    near = sorted(known, key=lambda q: abs(known[q]))[:2]
    if low in known and high in known:
        near = [low, high]
    slope = within.slope
    if len(near) == 2 and (rise := (known[near[1]] - known[near[0]]) / (near[1] - near[0])) > 0:
        slope = rise
    at = min(near, key=lambda q: abs(known[q]))
    wanted = at - known[at] / slope
    rounded = int(-(-wanted // 1)) if above else int(wanted // 1)
    return max(low + 1, min(high - 1, rounded))

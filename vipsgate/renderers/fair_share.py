"""Decides which kind of work goes next, so that each gets an equal share of seconds; pure.

This is start-time fair queueing (Goyal, Vin and Cheng, 1996): the next job is of the kind that has
been given the fewest seconds. A kind without waiting jobs saves up nothing for later.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")


class FairShare(Generic[K]):
    """The seconds that each kind has been given.

    Args:
        kinds: The kinds, in the order of their first turns.
    """

    def __init__(self, kinds: Sequence[K]) -> None:
        self._given = dict.fromkeys(kinds, 0.0)

    def order(self) -> list[K]:
        """Return the kinds, the one whose turn it is first."""
        return sorted(self._given, key=self._given.__getitem__)

    def lead(self, kind: K, other: K) -> float:
        """Return how many more seconds a kind has been given than another; below 0 for fewer."""
        return self._given[kind] - self._given[other]

    def begun(self, kind: K, seconds: float, waiting: Collection[K]) -> None:
        """Count a job that begins.

        Args:
            kind: Its kind.
            seconds: The seconds that it is expected to take.
            waiting: The kinds of which a job could have begun in its place, with ``kind`` itself.
        """
        start = self._given[kind]
        for other, given in self._given.items():
            if other not in waiting:
                self._given[other] = max(given, start)
        self._given[kind] = start + seconds

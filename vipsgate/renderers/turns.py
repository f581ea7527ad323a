"""Whose turn it is among kinds of work that share workers: each gets equal seconds; pure.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): the next is of the kind that has been given
less. A kind of which nothing waits has no claim to what it did not use meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")


class Turns(Generic[K]):
    """The seconds that each kind has been given.

    Args:
        kinds: The kinds; at first their turns come in this order.
    """

    def __init__(self, kinds: Sequence[K]) -> None:
        self._given = dict.fromkeys(kinds, 0.0)

    def order(self) -> list[K]:
        """The kinds, the one whose turn it is first."""
        return sorted(self._given, key=self._given.__getitem__)

    def lead(self, kind: K, other: K) -> float:
        """Seconds that a kind has been given more than another one; below 0 where less."""
        return self._given[kind] - self._given[other]

    def begun(self, kind: K, seconds: float, waiting: Collection[K]) -> None:
        """A job begins.

        Args:
            kind: Its kind.
            seconds: That it takes.
            waiting: The kinds of which a job could have begun in its place.
        """
        start = self._given[kind]
        for other, given in self._given.items():
            if other not in waiting:
                self._given[other] = max(given, start)
        self._given[kind] = start + seconds

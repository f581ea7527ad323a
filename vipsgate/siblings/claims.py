"""Who makes what at the moment, so that the same is not made twice: whoever makes it can be asked.

Each front writes its claims into places of its own, found by the hash of a name, and looks at the
same place of all others, before and after: of two that claim at the same moment the one with the
lower number has it. So nobody takes a lock, which costs two system calls for every picture. Where
two names of one front meet in a place, the second one is claimed by nobody: it is made twice, at
worst, and never mistaken for the first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .table import CLAIMS, Table

NUMBER_BITS = 63  # of a name's hash that stand in a place; 0 stands for none


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of claiming a name.

    Attributes:
        other: The front that has claimed it already; ``None`` where it is to be made here.
    """

    other: int | None
    _mine: memoryview
    _place: int
    _number: int

    def give(self) -> None:
        """It is made, or will not be."""
        if self.other is None and self._mine[self._place] == self._number:
            self._mine[self._place] = 0


class Claims:
    """The claims of one front, which makes nothing twice at the same time by itself.

    Args:
        table: Where those of all fronts are.
        front: Which one it is.
    """

    def __init__(self, table: Table, front: int) -> None:
        self._mine = table.claims[front]
        others = (other for other in range(table.fronts) if other != front)
        self._others = tuple((other, table.claims[other]) for other in others)
        self._front = front

    def take(self, name: str) -> Claim:
        """Claim a name, until :meth:`Claim.give`."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        number = int.from_bytes(digest) >> (64 - NUMBER_BITS) or 1
        place = number % CLAIMS
        other = self._holder(place, number)
        if other is None and not self._mine[place]:
            self._mine[place] = number
            rival = self._holder(place, number)
            if rival is not None and rival < self._front:
                self._mine[place], other = 0, rival
        return Claim(other, self._mine, place, number)

    def _holder(self, place: int, number: int) -> int | None:
        for other, claims in self._others:
            if claims[place] == number:
                return other
        return None


def release(table: Table, front: int) -> None:
    """Give back all claims of a front that has ended."""
    claims = table.claims[front]
    for place in range(CLAIMS):
        claims[place] = 0

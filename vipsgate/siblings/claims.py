"""Who makes what at the moment, so that the same is not made twice: whoever makes it can be asked.

A claim is a place in the shared table, found by the hash of a name. Where two names meet there, the
second one is claimed by nobody: it is made twice, at worst, and never mistaken for the first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .table import CLAIMS, Table

WHO = 0xFF  # the bits that say which front it is, one more than its number; the others are the name


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of claiming a name.

    Attributes:
        other: The front that has claimed it already; ``None`` where it is to be made here.
    """

    other: int | None
    _table: Table
    _place: int
    _value: int

    def give(self) -> None:
        """It is made, or will not be."""
        claims = self._table.claims
        if self.other is None and claims[self._place] == self._value:
            claims[self._place] = 0


class Claims:
    """The claims of one front, which makes nothing twice at the same time by itself.

    Args:
        table: Where those of all fronts are.
        front: Which one it is.
    """

    def __init__(self, table: Table, front: int) -> None:
        self._table, self._me = table, front + 1

    def take(self, name: str) -> Claim:
        """Claim a name, until :meth:`Claim.give`."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        number = int.from_bytes(digest) >> 9  # 55 bits
        place, value = number % CLAIMS, number << 8 | self._me
        claims = self._table.claims
        with self._table.lock():
            before = claims[place]
            if not before:
                claims[place] = value
        same = before >> 8 == number and before & WHO != self._me
        return Claim((before & WHO) - 1 if same else None, self._table, place, value)


def release(table: Table, front: int) -> None:
    """Give back all claims of a front that has ended."""
    with table.lock():
        for place, value in enumerate(table.claims):
            if value and (value & WHO) - 1 == front:
                table.claims[place] = 0

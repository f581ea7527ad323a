"""Single-flight across fronts: a front claims what it makes, and the others ask it for the result.

Each front writes its claims into slots of its own, at the hash of the name, and reads the same slot
of all others before and after. If two fronts claim a name at the same moment, the one with the
lower number has it. So no lock is needed, which would cost two system calls for every picture. If
two names of one front have the same slot, the second one is not claimed; at worst it is made twice,
and it is never mistaken for the first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .scoreboard import CLAIM_SLOTS, Scoreboard

NUMBER_BITS = 63  # bits of a name's hash in a slot; 0 is an empty slot


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of claiming a name.

    Attributes:
        owner: The front that has claimed the name before; ``None`` if this front is to make it.
    """

    owner: int | None
    _slots: memoryview
    _slot: int
    _number: int

    def release(self) -> None:
        """Release the claim, unless another front owns it."""
        if self.owner is None and self._slots[self._slot] == self._number:
            self._slots[self._slot] = 0


class Claims:
    """The claims of one front, which itself claims no name twice at the same time.

    Args:
        scoreboard: The scoreboard, with the slots of all fronts.
        front: The number of this front.
    """

    def __init__(self, scoreboard: Scoreboard, front: int) -> None:
        self._slots = scoreboard.claims[front]
        others = (other for other in range(scoreboard.fronts) if other != front)
        self._others = tuple((other, scoreboard.claims[other]) for other in others)
        self._front = front

    def acquire(self, name: str) -> Claim:
        """Claim a name until :meth:`Claim.release`, unless another front has claimed it."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        number = int.from_bytes(digest) >> (64 - NUMBER_BITS) or 1
        slot = number % CLAIM_SLOTS
        owner = self._owner(slot, number)
        if owner is None and not self._slots[slot]:
            self._slots[slot] = number
            rival = self._owner(slot, number)
            if rival is not None and rival < self._front:
                self._slots[slot], owner = 0, rival
        return Claim(owner, self._slots, slot, number)

    def _owner(self, slot: int, number: int) -> int | None:
        for other, slots in self._others:
            if slots[slot] == number:
                return other
        return None


def release_all(scoreboard: Scoreboard, front: int) -> None:
    """Release all claims of a front that has ended."""
    slots = scoreboard.claims[front]
    for slot in range(CLAIM_SLOTS):
        slots[slot] = 0

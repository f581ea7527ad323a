"""Limits how many new pictures begin in one iteration of the event loop.

Without a limit, a burst of a thousand requests would be parsed and begun one after the other, at
half a millisecond each, before the loop could handle anything else: a cache hit, a health check, a
renderer's result. So only a few begin in one iteration, in the order in which they came, and the
others wait. A waiting request is kept as bytes that are not yet parsed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

ONE = 1.0  # turn: the time to begin one picture
MAX_BEGUN = 8 * ONE  # turns in an iteration of the loop: 2 to 4 ms

Begin = Callable[[], float]  # returns the turns that it has used; 0 if the client has left


class Turns:
    """The turns that are left in this iteration of the loop, and the requests that wait for one.

    Args:
        most: Turns in one iteration.
    """

    def __init__(self, most: float = MAX_BEGUN) -> None:
        self._most = self._left = most
        self._waiting: deque[Begin] = deque()
        self._called = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a request that comes now has to wait for its turn."""
        return self._left <= 0 or bool(self._waiting)

    def take(self) -> bool:
        """Take a turn of this iteration if one is left and no request waits; return whether so."""
        if self.busy:
            return False
        self._left -= ONE
        self._call()
        return True

    def wait(self, begin: Begin) -> None:
        """Call ``begin`` when its turn has come."""
        self._waiting.append(begin)
        self._call()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._left, self._called = self._most, False
        while self._waiting and self._left > 0:
            self._left -= self._waiting.popleft()()
        if self._left < self._most:
            self._call()

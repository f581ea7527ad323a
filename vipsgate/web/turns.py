"""New pictures begin by turns, so that a burst of them keeps nobody else waiting.

A thousand clients that ask at once are a thousand requests which the loop would parse and begin one
after the other, at half a millisecond each, before it sees who comes next: a hit, a look at the
health, a renderer that is done. So only a few begin in one iteration of the loop, in the order in
which they came; whatever else is there to do is done in between. A request that waits is bytes that
nobody has parsed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

ONE = 1.0  # turn
MAX_BEGUN = 8 * ONE  # pictures in an iteration of the loop: 2 to 4 ms

Begin = Callable[[], float]  # return how much of a turn it has taken; nothing where it has left


class Turns:
    """Who begins in this iteration of the loop, and who waits for one of the next.

    Args:
        most: How many begin in one.
    """

    def __init__(self, most: float = MAX_BEGUN) -> None:
        self._most = self._left = most
        self._waiting: deque[Begin] = deque()
        self._called = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether who asks for a turn now has to wait for it."""
        return self._left <= 0 or bool(self._waiting)

    def take(self) -> bool:
        """Take a turn of this iteration, where there is one and nobody waits for it."""
        if self.busy:
            return False
        self._left -= ONE
        self._call()
        return True

    def wait(self, begin: Begin) -> None:
        """Have ``begin`` called when its turn comes."""
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

"""New pictures begin by turns, so that a burst of them keeps nobody else waiting.

A thousand clients that connect at once are a thousand requests which the loop would begin one after
the other, at half a millisecond each, before it sees who comes next: a hit, a look at the health, a
renderer that is done. So only a few pictures begin in one iteration of the loop, in the order in
which they came; whatever else is there to do is done in between.
"""

from __future__ import annotations

import asyncio
from collections import deque

MAX_BEGUN = 8  # pictures in an iteration of the loop: 2 to 4 ms


class Turns:
    """Who begins in this iteration of the loop, and who waits for one of the next.

    Args:
        most: How many begin in one.
    """

    def __init__(self, most: int = MAX_BEGUN) -> None:
        self._most = self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._called = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait for a turn; it comes at once where few others begin."""
        loop = asyncio.get_running_loop()
        if not self._called:
            self._called = True
            loop.call_soon(self._next, loop)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._most
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # else its client has left
                turn.set_result(None)
                self._left -= 1
        self._called = self._left < self._most
        if self._called:
            loop.call_soon(self._next, loop)

"""The lowest lane: pictures that wait for all others, such as the console's previews.

They wait before admission until no other job waits and a worker is free, and are jobs like all
others from there on. As a lane of the scheduler, this would need a case in each of its rules, and a
request that joins such a job would wait in the lowest lane, too; before admission there is nothing
to join.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class FullError(Exception):
    """Too many pictures wait in the lowest lane, or one has waited too long."""


class Lowest:
    """The lowest lane.

    Args:
        quiet: Returns whether no other job waits and a worker is free.
        permits: Number of pictures of this lane that may be rendered at a time.
        queue: Number of pictures that may wait.
        timeout: Seconds that a picture may wait.
    """

    def __init__(
        self, quiet: Callable[[], bool], *, permits: int, queue: int, timeout: float
    ) -> None:
        self._quiet, self._permits, self._queue, self._timeout = quiet, permits, queue, timeout
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._working = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a permit, which is held until the context ends.

        Raises:
            FullError: Too many wait, or the timeout has passed.
        """
        if len(self._waiting) >= self._queue:
            raise FullError
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.advance()
        try:
            async with asyncio.timeout(self._timeout):
                await turn
        except BaseException as error:
            self._give_up(turn)
            if isinstance(error, TimeoutError):
                raise FullError from None
            raise
        try:
            yield
        finally:
            self._working -= 1
            self.advance()

    def advance(self) -> None:
        """Let waiting pictures begin if they may; to be called whenever that may have changed."""
        while self._waiting and self._working < self._permits and self._quiet():
            turn = self._waiting.popleft()
            if not turn.done():
                self._working += 1
                turn.set_result(None)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """Give back a permit that is not awaited any more, which may just have been granted."""
        if turn.done() and not turn.cancelled():
            self._working -= 1
            self.advance()
        elif turn in self._waiting:
            self._waiting.remove(turn)

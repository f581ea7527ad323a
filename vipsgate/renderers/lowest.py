"""The lowest lane: pictures that may wait for all others, such as the console's previews.

They wait in front of admission, until nothing else waits and a worker is free, and are jobs like
all others from there on. A lane among the others would need a case in every rule of the scheduler,
and a request for the same picture that joins would wait in the lowest lane, too; in front of
admission no request can have joined yet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class FullError(Exception):
    """Too many wait in the lowest lane, or one has waited for too long."""


class Lowest:
    """The lowest lane.

    Args:
        quiet: Returns whether nothing else waits and a worker is free.
        permits: Pictures of this lane at a time.
        queue: That may wait.
        timeout: Seconds that one may wait.
    """

    def __init__(
        self, quiet: Callable[[], bool], *, permits: int, queue: int, timeout: float
    ) -> None:
        self._quiet, self._permits, self._queue, self._timeout = quiet, permits, queue, timeout
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._working = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the context.

        Raises:
            FullError: There is none.
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
        """Let the first ones begin, where permits and quiet allow; called when that may be so."""
        while self._waiting and self._working < self._permits and self._quiet():
            turn = self._waiting.popleft()
            if not turn.done():
                self._working += 1
                turn.set_result(None)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """Give a turn back that is not awaited any more; it may have come in the same moment."""
        if turn.done() and not turn.cancelled():
            self._working -= 1
            self.advance()
        elif turn in self._waiting:
            self._waiting.remove(turn)

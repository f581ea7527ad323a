"""Equal work that is wanted by several at once is done once.

The work runs in a task of its own, so that whoever asked first may leave; when the last one has
left, it is cancelled. It tells each who waits by a future of his own, in its last step:
``asyncio.shield`` would take one more iteration of the loop for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar


class Shareable(Protocol):
    """A result that several get, each of whom closes it."""

    def dup(self) -> Self:
        """The same for somebody else."""

    def close(self) -> None:
        """Give it back."""


R = TypeVar("R", bound=Shareable)


@dataclass(slots=True)
class _Flight(Generic[R]):
    task: asyncio.Task[R]
    futures: list[asyncio.Future[R]]  # of those who wait, or have left
    waiting: int = 0


class SingleFlight(Generic[R]):
    """Work under way, by what it is.

    Attributes:
        waiting: How many wait for it, all together.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[R]] = {}
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._flights

    def task(self, name: Hashable) -> asyncio.Task[R] | None:
        """The work of that name, where it is under way."""
        flight = self._flights.get(name)
        return flight.task if flight else None

    async def join(self, name: Hashable, work: Callable[[], Awaitable[R]]) -> tuple[R, bool]:
        """Have work done, or wait for the same that is being done.

        Args:
            name: Equal names are equal work.
            work: Does it; called by the first who wants it.

        Returns:
            The result, for the caller to close, and whether others had begun it.

        Raises:
            Exception: What the work raises, for all who wait.
        """
        flight = self._flights.get(name)
        joined = flight is not None
        if flight is None:
            futures: list[asyncio.Future[R]] = []
            flight = _Flight(asyncio.create_task(_run(work, futures)), futures)
            self._flights[name] = flight
        flight.waiting += 1
        self.waiting += 1
        try:
            return (await _result(flight)).dup(), joined
        finally:
            self.waiting -= 1
            flight.waiting -= 1
            if not flight.waiting:
                self._land(name, flight)

    def _land(self, name: Hashable, flight: _Flight[R]) -> None:
        """Nobody waits any more: nobody joins any more, and nothing is left open."""
        if self._flights.get(name) is flight:
            del self._flights[name]
        if not flight.task.done():
            flight.task.cancel()
        flight.task.add_done_callback(_close)


def _result(flight: _Flight[R]) -> asyncio.Future[R]:
    """What comes of it; whoever gives up this future stops nothing."""
    if flight.task.done():
        return flight.task
    future = flight.task.get_loop().create_future()
    flight.futures.append(future)
    return future


async def _run(work: Callable[[], Awaitable[R]], futures: list[asyncio.Future[R]]) -> R:
    try:
        result = await work()
    except BaseException as error:
        for future in _open(futures):
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
        raise
    for future in _open(futures):
        future.set_result(result)
    return result


def _open(futures: list[asyncio.Future[R]]) -> list[asyncio.Future[R]]:
    """Those of whoever has not left."""
    return [future for future in futures if not future.done()]


def _close(task: asyncio.Task[R]) -> None:
    if not task.cancelled() and not task.exception():
        task.result().close()

"""Does equal work that several callers want at the same time only once.

The work runs in a task of its own, so that the first caller may be cancelled; when no caller waits
any more, the task is cancelled. Each caller has a future, which the task resolves in its last step:
``asyncio.shield`` would take one more iteration of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar


class Shareable(Protocol):
    """A result of which each caller gets a copy, and closes it."""

    def dup(self) -> Self:
        """Return a copy for another caller."""

    def close(self) -> None:
        """Release its resources."""


R = TypeVar("R", bound=Shareable)


@dataclass(slots=True)
class _Flight(Generic[R]):
    task: asyncio.Task[R]
    futures: list[asyncio.Future[R]]  # of callers that wait, or were cancelled
    waiting: int = 0


class SingleFlight(Generic[R]):
    """The work under way, by name.

    Attributes:
        waiting: Number of callers that wait for any of it.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[R]] = {}
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._flights

    def task(self, name: Hashable) -> asyncio.Task[R] | None:
        """Return the task of that name, or ``None`` if it is not under way."""
        flight = self._flights.get(name)
        return flight.task if flight else None

    async def join(self, name: Hashable, work: Callable[[], Awaitable[R]]) -> tuple[R, bool]:
        """Do work, or wait for equal work that is under way.

        Args:
            name: Names the work; equal names mean equal work.
            work: Does it; only called if it is not under way.

        Returns:
            The result, for the caller to close, and whether it was under way already.

        Raises:
            Exception: Whatever the work raises, for all that wait.
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
        """Forget work that no caller waits for; cancel it, or close its result."""
        if self._flights.get(name) is flight:
            del self._flights[name]
        if not flight.task.done():
            flight.task.cancel()
        flight.task.add_done_callback(_close)


def _result(flight: _Flight[R]) -> asyncio.Future[R]:
    """Return a future of the result; cancelling the future does not cancel the work."""
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
    """Return the futures that are not cancelled."""
    return [future for future in futures if not future.done()]


def _close(task: asyncio.Task[R]) -> None:
    if not task.cancelled() and not task.exception():
        task.result().close()

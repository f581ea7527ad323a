"""Who may wait for a renderer: bounds of predicted wait, number and memory; pure.

A wait is predicted from what is ahead: the estimated cost of each job where a renderer has
estimated it, the mean of what was measured lately where not. Estimates are corrected by what jobs
with an estimate have really taken. The times are those of the wall, so what the machine does
besides is in them. No clock, no process, no event loop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

WINDOW = 4.0  # seconds of work that the means reach back
FIRST_GUESS = 0.01  # seconds of a job while none has been measured: a medium picture's
WAITING_BYTES = 24 << 10  # of the front's memory for a request that waits, and its connection
QUEUE_BYTES = 256 << 20  # that these may take together


class Reason(StrEnum):
    """Why a picture is not made for now."""

    WAIT = "wait"  # it would wait too long
    LENGTH = "length"  # too many wait
    MEMORY = "memory"  # those that wait take too much memory
    DEADLINE = "deadline"  # it was not ready in time


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a job may not wait.

    Attributes:
        reason: Which bound it would pass.
        wait: Seconds that it would wait, as predicted.
    """

    reason: Reason
    wait: float

    @property
    def headers(self) -> Mapping[str, str]:
        """``Retry-After``: the predicted wait in whole seconds, 1 or more."""
        return {"Retry-After": str(max(1, math.ceil(self.wait)))}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait.

    Attributes:
        seconds: That a job may have to wait, as predicted (``server.queue_seconds``).
        jobs: That may wait in all (``server.queue``).
        memory: Bytes that requests may take which wait (``server.queue_bytes``).
    """

    seconds: float
    jobs: int
    memory: int = QUEUE_BYTES

    def holds(self, requests: int) -> bool:
        """Is there memory for so many requests that wait?"""
        return requests * WAITING_BYTES <= self.memory

    def refusal(
        self, *, wait: float, jobs: int, room: int, left: float, takes: float, waited: float = 0.0
    ) -> Refusal | None:
        """Return why the next job may not wait; ``None`` where it may.

        Args:
            wait: Seconds that it would wait.
            jobs: That wait already.
            room: Jobs that may wait besides, because renderers are free for them.
            left: Seconds until its deadline.
            takes: Seconds that it will take itself.
            waited: Seconds that it has waited already to be asked about.
        """
        if jobs >= self.jobs + room:
            return Refusal(Reason.LENGTH, wait)
        # one that waits for nobody is tried, however long it is expected to take
        if wait > max(0.0, min(self.seconds, left - takes) - waited):
            return Refusal(Reason.WAIT, wait)
        return None


class OtherFronts(Protocol):
    """What other fronts of the machine have, which shares its bounds with them."""

    def waiting(self) -> int:
        """Jobs that wait there."""

    def held(self) -> int:
        """Bytes of memory for which jobs other than quick ones have a permit there."""

    def animations(self, deadline: float) -> int:
        """Animations that are under work there, and those that are to begin before another one.

        Args:
            deadline: Of that other one; one of a front that has an earlier one is to begin before.
        """

    def hold(self, memory: int, animations: int) -> None:
        """Have the others know what such jobs have here.

        Args:
            memory: Bytes for which they have a permit.
            animations: How many of them are animations under work.
        """

    def lock(self) -> AbstractContextManager[None]:
        """Decide about memory and animations while no other front does."""

    def before(self, deadline: float) -> bool:
        """Does a job with an earlier deadline wait there for that memory, and nothing else?"""

    def spread(self, work: float, renderers: int) -> float:
        """Seconds that the quick jobs of all fronts wait, were they spread evenly.

        Args:
            work: Seconds that those take which wait here.
            renderers: How many work here.
        """

    def lane(self, lane: str) -> tuple[int, float]:
        """Jobs of a lane that wait there, and seconds of one core for these and half of the others.

        Args:
            lane: Any but the quick one.
        """

    def renderers(self) -> tuple[int, int]:
        """Renderers of the fronts before this one, and of those behind it."""

    def free_front(self) -> int | None:
        """A front that could begin a job now; ``None`` for none."""

    def lent(self, front: int) -> None:
        """Take it that a front has begun a job, until it says otherwise."""


class NoOtherFronts:
    """There is one front; see :class:`OtherFronts`."""

    def waiting(self) -> int:
        """None."""
        return 0

    def held(self) -> int:
        """None."""
        return 0

    def animations(self, deadline: float) -> int:
        """None."""
        return 0

    def hold(self, memory: int, animations: int) -> None:
        """Nobody wants to know."""

    def lock(self) -> AbstractContextManager[None]:
        """It is."""
        return nullcontext()

    def before(self, deadline: float) -> bool:
        """None does."""
        return False

    def spread(self, work: float, renderers: int) -> float:
        """To nobody."""
        return math.inf

    def lane(self, lane: str) -> tuple[int, float]:
        """None."""
        return 0, 0.0

    def renderers(self) -> tuple[int, int]:
        """None."""
        return 0, 0

    def free_front(self) -> int | None:
        """There is none."""
        return None

    def lent(self, front: int) -> None:
        """Nothing is."""


class Mean:
    """A mean of the latest values, each of which counts the less the more work was done since.

    Args:
        first: The mean while there is no value.

    Attributes:
        value: The mean.
    """

    __slots__ = ("_total", "_weight", "value")

    def __init__(self, first: float) -> None:
        self.value = first
        self._total = self._weight = 0.0

    def add(self, value: float, weight: float, seconds: float) -> None:
        """Take in a value.

        Args:
            value: What was measured, ``weight`` times what the mean is of.
            weight: How much it counts.
            seconds: Of work that were done for it.
        """
        fades = math.exp(-seconds / WINDOW)
        self._total = self._total * fades + value
        self._weight = self._weight * fades + weight
        if self._weight:
            self.value = self._total / self._weight

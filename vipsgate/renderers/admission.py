"""Limits of the queue for a renderer: predicted wait, number of jobs and memory; pure.

A wait is predicted from the jobs ahead: by the estimate of each job that a renderer has estimated,
and by the mean of the latest measured times for the others. Estimates are corrected by the times
that estimated jobs have taken. All times are wall-clock times, so they include the effect of other
load on the machine. No clock, no process, no event loop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

WINDOW = 4.0  # seconds of work over which the means are taken
FIRST_GUESS = 0.01  # seconds of a job before any was measured: those of a medium picture
WAITING_BYTES = 24 << 10  # of the front's memory for a waiting request and its connection
QUEUE_BYTES = 256 << 20  # of the front's memory for all waiting requests


class Reason(StrEnum):
    """Why a job is refused."""

    WAIT = "wait"  # it would wait too long
    LENGTH = "length"  # too many jobs wait
    MEMORY = "memory"  # the waiting requests take too much memory
    DEADLINE = "deadline"  # it was accepted, and not done in time


@dataclass(frozen=True, slots=True)
class Refusal:
    """The refusal of a job.

    Attributes:
        reason: The limit that it would exceed.
        wait: Its predicted wait, in seconds.
    """

    reason: Reason
    wait: float

    @property
    def headers(self) -> Mapping[str, str]:
        """``Retry-After``: the predicted wait in whole seconds, 1 or more."""
        return {"Retry-After": str(max(1, math.ceil(self.wait)))}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of the queue.

    Attributes:
        seconds: Longest predicted wait of a job (``server.queue_seconds``).
        jobs: Largest number of waiting jobs (``server.queue``).
        memory: Largest memory of waiting requests, in bytes (``server.queue_bytes``).
    """

    seconds: float
    jobs: int
    memory: int = QUEUE_BYTES

    def holds(self, requests: int) -> bool:
        """Return whether there is memory for this number of waiting requests."""
        return requests * WAITING_BYTES <= self.memory

    def refusal(
        self, *, wait: float, jobs: int, room: int, left: float, takes: float, waited: float = 0.0
    ) -> Refusal | None:
        """Return why the next job is refused, or ``None`` if it may wait.

        Args:
            wait: Its predicted wait, in seconds.
            jobs: Number of jobs that wait already.
            room: Further jobs that may wait, because free renderers begin as many at once.
            left: Seconds until its deadline.
            takes: Seconds that the job itself is predicted to take.
            waited: Seconds that its request has waited before it was admitted.
        """
        if jobs >= self.jobs + room:
            return Refusal(Reason.LENGTH, wait)
        # a job that can begin at once is tried, however long it is expected to take
        if wait > max(0.0, min(self.seconds, left - takes) - waited):
            return Refusal(Reason.WAIT, wait)
        return None


class OtherFronts(Protocol):
    """The other fronts of the machine, which share memory and the queue's limits with this one.

    Heavy jobs are here all but quick ones, so animated ones, too.
    """

    def waiting(self) -> int:
        """Number of jobs that wait in other fronts."""

    def held(self) -> int:
        """Bytes of memory for which heavy jobs of other fronts have a permit."""

    def animations(self, deadline: float) -> int:
        """Return the number of animations that other fronts run, or are to begin before this one.

        Args:
            deadline: Deadline of an animation of this front. Each front whose first waiting
                animation has an earlier one begins that first.
        """

    def hold(self, memory: int, animations: int) -> None:
        """Publish what the running heavy jobs of this front take.

        Args:
            memory: Bytes of memory for which they have a permit.
            animations: Number of them that are animations.
        """

    def lock(self) -> AbstractContextManager[None]:
        """Return a lock under which only one front at a time gives permits for heavy jobs."""

    def before(self, deadline: float) -> bool:
        """Return whether a job of another front lacks only memory and has an earlier deadline."""

    def spread(self, work: float, renderers: int) -> float:
        """Return the seconds that quick jobs would wait if spread evenly over all fronts.

        Args:
            work: Seconds of work of the quick jobs that wait in this front.
            renderers: Number of renderers of this front.
        """

    def lane(self, lane: str) -> tuple[int, float]:
        """Return the number of jobs of a lane that wait in other fronts, and the work of the lane.

        The work is in seconds of one core: all of the waiting jobs, and half of the running ones.

        Args:
            lane: Any lane but the quick one.
        """

    def renderers(self) -> tuple[int, int]:
        """Return the number of renderers of the fronts before this one, and of those after it."""

    def free_front(self) -> int | None:
        """Return a front that could begin a job now, or ``None``."""

    def lent(self, front: int) -> None:
        """Count a job as begun in a front, until that front publishes its numbers again."""


class NoOtherFronts:
    """:class:`OtherFronts` of a server that has one front."""

    def waiting(self) -> int:
        """Return 0."""
        return 0

    def held(self) -> int:
        """Return 0."""
        return 0

    def animations(self, deadline: float) -> int:
        """Return 0."""
        return 0

    def hold(self, memory: int, animations: int) -> None:
        """Do nothing."""

    def lock(self) -> AbstractContextManager[None]:
        """Return a context that locks nothing."""
        return nullcontext()

    def before(self, deadline: float) -> bool:
        """Return ``False``."""
        return False

    def spread(self, work: float, renderers: int) -> float:
        """Return infinity: there is no other front to spread work over."""
        return math.inf

    def lane(self, lane: str) -> tuple[int, float]:
        """Return no jobs and no work."""
        return 0, 0.0

    def renderers(self) -> tuple[int, int]:
        """Return no renderers."""
        return 0, 0

    def free_front(self) -> int | None:
        """Return ``None``."""
        return None

    def lent(self, front: int) -> None:
        """Do nothing."""


class Mean:
    """A mean of the latest values; the weight of each decays with the work done since.

    Args:
        first: The mean before there is a value.

    Attributes:
        value: The mean.
    """

    __slots__ = ("_total", "_weight", "value")

    def __init__(self, first: float) -> None:
        self.value = first
        self._total = self._weight = 0.0

    def add(self, value: float, weight: float, seconds: float) -> None:
        """Add a value.

        Args:
            value: The measured value, times ``weight``.
            weight: How much it counts.
            seconds: Seconds of work that it stands for.
        """
        fades = math.exp(-seconds / WINDOW)
        self._total = self._total * fades + value
        self._weight = self._weight * fades + weight
        if self._weight:
            self.value = self._total / self._weight

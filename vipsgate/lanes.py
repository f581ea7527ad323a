"""Who is rendered next: lanes by cost, permits by memory, queues bounded in length and time.

Every job begins as a quick one, because nobody knows its cost before its header is read. A renderer
that finds it dearer hands it back with the cost, and it waits again, among its like. What is quick
never waits for what is not: when all renderers are busy with such work, one more may begin a quick
one. Pure but for the order of calls: no clock, no process, no event loop.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import chain
from typing import Generic, Protocol, TypeVar

from .image.cost import Cost

QUICK_SECONDS = 0.25  # of one core, as estimated; above, a job is no quick one
QUICK_BYTES = 128 << 20  # of memory, as estimated, likewise
PATIENCE = 0.5  # part of a job's time that it may have to wait; who would wait longer is refused
HEAVY_PART = 4  # the queue of each other lane is this much shorter than that of quick jobs
MEMORY = 0.1  # weight of the newest of the times that jobs took in their mean


class Lane(StrEnum):
    """The kinds of work that do not stand in each other's way."""

    QUICK = "quick"
    HEAVY = "heavy"
    ANIMATED = "animated"


class Waiting(Protocol):
    """What lanes know of a job.

    Attributes:
        cost: As a renderer has estimated it; ``None`` until then.
        ready: Before when it does not begin.
    """

    cost: Cost | None
    ready: float


def lane_of(job: Waiting) -> Lane:
    """Where a job belongs; unknown ones are quick until a renderer says otherwise."""
    if job.cost is None or job.cost.within(QUICK_SECONDS, QUICK_BYTES):
        return Lane.QUICK
    return Lane.ANIMATED if job.cost.pages > 1 else Lane.HEAVY


J = TypeVar("J", bound=Waiting)


class Lanes(Generic[J]):
    """The jobs that wait, and how many of each lane are under work.

    Args:
        count: Renderers that work at a time.
        queue: Jobs that may wait, of all lanes together.
        wait: Seconds that a job may have to wait, as far as one can say.
        memory: Bytes that jobs other than quick ones may take together.
    """

    def __init__(self, *, count: int, queue: int, wait: float, memory: int) -> None:
        self._count, self._queue, self._wait, self._memory = count, queue, wait, memory
        self._waiting: dict[Lane, deque[J]] = {lane: deque() for lane in Lane}
        self._working = dict.fromkeys(Lane, 0)
        self._held = 0
        self._mean = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[J]:
        return chain.from_iterable(self._waiting.values())

    def waiting(self) -> dict[str, int]:
        """Jobs that wait, by lane."""
        return {lane.value: len(jobs) for lane, jobs in self._waiting.items()}

    def working(self) -> dict[str, int]:
        """Jobs under work, by lane."""
        return {lane.value: count for lane, count in self._working.items()}

    def permits(self) -> dict[str, int]:
        """Jobs that may be under work at a time, by lane."""
        return {lane.value: self._permits(lane) for lane in Lane}

    @property
    def held(self) -> int:
        """Bytes of memory for which jobs other than quick ones have a permit."""
        return self._held

    # -- in and out of the queue -----------------------------------------------------------------

    def enter(self, job: J) -> None:
        """Wait for a renderer, behind those of the same lane."""
        self._waiting[lane_of(job)].append(job)

    def enter_again(self, job: J) -> None:
        """Wait as the first of its lane: it has waited before."""
        self._waiting[lane_of(job)].appendleft(job)

    def leave(self, job: J) -> bool:
        """Give up waiting; was it there?"""
        try:
            self._waiting[lane_of(job)].remove(job)
        except ValueError:
            return False
        return True

    def clear(self) -> list[J]:
        """All that wait, who wait no longer."""
        found = [job for jobs in self._waiting.values() for job in jobs]
        for jobs in self._waiting.values():
            jobs.clear()
        return found

    # -- bounds ----------------------------------------------------------------------------------

    def delay(self, lane: Lane) -> float:
        """Seconds that the next job of a lane would have to wait, by what is known."""
        if lane is Lane.QUICK:
            return len(self._waiting[lane]) * self._mean / self._count
        asked = sum(job.cost.seconds for job in self._waiting[lane] if job.cost)
        return asked / self._permits(lane)

    def full(self, lane: Lane, more: int = 0) -> bool:
        """Would the next job of a lane be refused?

        Args:
            lane: Its lane.
            more: Jobs that wait elsewhere, already given to a renderer.
        """
        if self._may_begin(lane) and all(job.ready for job in self._waiting[lane]):
            # who is not ready yet waits for its like: some of these are about to begin
            return len(self) + more >= self._queue + self._count
        short = len(self) + more >= self._queue
        if lane is not Lane.QUICK:
            short = short or len(self._waiting[lane]) >= -(-self._queue // HEAVY_PART)
        return short or self.delay(lane) > self._wait

    def retry(self, lane: Lane) -> int:
        """Whole seconds after which one who is refused may come again."""
        return max(1, math.ceil(self.delay(lane) / 2))

    # -- work ------------------------------------------------------------------------------------

    def next(self, now: float) -> J | None:
        """The job that a free renderer is to begin now; it counts as under work from here on."""
        for lane in self._order():
            for job in self._waiting[lane]:
                if job.ready <= now and self._may_begin(lane, job):
                    self._waiting[lane].remove(job)
                    self.begun(job)
                    return job
                if lane is not Lane.QUICK:
                    break  # who needs much memory is not passed by others for ever
        return None

    def ahead(self, now: float) -> J | None:
        """A quick job to be given to a renderer before it is free; it does not count yet.

        None where the next renderer that is free is for other work.
        """
        jobs = self._waiting[Lane.QUICK]
        if self._order()[0] is not Lane.QUICK and len(jobs) < len(self):
            return None
        return jobs.popleft() if jobs and jobs[0].ready <= now else None

    def alike(self, like: Callable[[J], bool], most: int) -> list[J]:
        """Quick jobs that go along with one that begins; they do not count yet."""
        found = [job for job in self._waiting[Lane.QUICK] if like(job)][:most]
        for job in found:
            self._waiting[Lane.QUICK].remove(job)
        return found

    def may_begin(self, job: J) -> bool:
        """May a renderer that is free begin this one, which does not wait here?"""
        return self._may_begin(lane_of(job), job)

    def begun(self, job: J) -> None:
        """It is under work."""
        self._working[lane_of(job)] += 1
        self._held += self._asks(job)

    def ended(self, job: J, seconds: float | None = None) -> None:
        """It is not under work any more.

        Args:
            job: As it was when it began.
            seconds: That it took, where it came to its end.
        """
        lane = lane_of(job)
        self._working[lane] -= 1
        self._held -= self._asks(job)
        if lane is Lane.QUICK and seconds is not None:
            self._mean += (seconds - self._mean) * (MEMORY if self._mean else 1)

    @staticmethod
    def _asks(job: J) -> int:
        return job.cost.memory if job.cost and lane_of(job) is not Lane.QUICK else 0

    def _permits(self, lane: Lane) -> int:
        """Renderers that a lane may have at a time."""
        return max(1, self._count // 2) if lane is Lane.ANIMATED else self._count

    def _order(self) -> tuple[Lane, ...]:
        """One renderer is for what is not quick while there is such work; then quick goes first."""
        if self._working[Lane.HEAVY] + self._working[Lane.ANIMATED]:
            return Lane.QUICK, Lane.HEAVY, Lane.ANIMATED
        return Lane.HEAVY, Lane.ANIMATED, Lane.QUICK

    def _may_begin(self, lane: Lane, job: J | None = None) -> bool:
        busy = sum(self._working.values())
        if lane is Lane.QUICK:
            return busy < self._count or not self._working[lane]
        if busy >= self._count or self._working[lane] >= self._permits(lane):
            return False
        return job is None or not self._held or self._held + self._asks(job) <= self._memory

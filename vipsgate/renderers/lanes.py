"""The queues of jobs: lanes by cost, permits by memory, bounds of the predicted wait; pure.

Every job enters as a quick one, because its cost is unknown until its header is read. A worker that
finds it more expensive hands it back with an estimate, and it waits again, in the heavy or the
animated lane. Quick jobs never wait for those: when all workers are busy with expensive jobs, one
more may begin a quick one. The quick lane may hold thousands of jobs, so nothing here iterates over
all of it; the other lanes are short, because their predicted waits add up.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from itertools import chain, islice, takewhile
from typing import Generic, Protocol, TypeVar

from ..image.cost import Cost
from .admission import FIRST_GUESS, Bounds, Mean, NoOtherFronts, OtherFronts, Refusal

QUICK_SECONDS = 0.25  # of one core: the highest estimate of a quick job
QUICK_BYTES = 128 << 20  # of memory, likewise
NO_LOCK = nullcontext()  # for quick jobs, which share no memory with other fronts
HEAVY_PART = 4  # the other lanes hold ``Bounds.jobs`` divided by this at most


class Lane(StrEnum):
    """The kinds of jobs that are queued apart, so that none delays another."""

    QUICK = "quick"
    HEAVY = "heavy"
    ANIMATED = "animated"


class Waiting(Protocol):
    """The attributes of a job that the lanes read.

    Attributes:
        cost: The worker's estimate; ``None`` before there is one.
        gathering: Whether it is held back a moment for other jobs of the same content.
        content: Identifies the content of the source; jobs of equal content may be sent to one
            worker together. Empty for a job that is sent alone.
        deadline: Time at which the job expires. All jobs are given the same time, so those of a
            lane expire in the order in which they came.
        borrowed: Whether it came from another front, and so is not lent to a third one.
    """

    cost: Cost | None
    gathering: bool
    content: str
    deadline: float
    borrowed: bool


def lane_of(cost: Cost | None) -> Lane:
    """Return the lane of a job; one of unknown cost is quick until a worker has estimated it."""
    if cost is None or cost.within(QUICK_SECONDS, QUICK_BYTES):
        return Lane.QUICK
    return Lane.ANIMATED if cost.pages > 1 else Lane.HEAVY


J = TypeVar("J", bound=Waiting)


class Lanes(Generic[J]):
    """The waiting jobs of each lane, and the number that are being worked on.

    Args:
        count: Workers that may work at a time.
        bounds: Limits of the queue.
        memory: Bytes that jobs other than quick ones may take together.
        others: The other fronts, which share ``bounds`` and ``memory``.

    Attributes:
        queued: Number of waiting jobs, in all lanes.
    """

    def __init__(
        self, *, count: int, bounds: Bounds, memory: int, others: OtherFronts | None = None
    ) -> None:
        self._count, self._bounds, self._memory = count, bounds, memory
        self._others = others or NoOtherFronts()
        self._waiting: dict[Lane, OrderedDict[J, None]] = {lane: OrderedDict() for lane in Lane}
        self._by_content: dict[str, OrderedDict[J, None]] = {}  # quick jobs
        self.queued = 0
        self._working = dict.fromkeys(Lane, 0)
        self._busy = 0  # jobs that are being worked on, in all lanes
        self._estimates = dict.fromkeys(Lane, 0.0)  # seconds of the jobs in work; not of quick ones
        self._held = 0
        self._mean = Mean(FIRST_GUESS)  # seconds of a quick job
        self._factor = Mean(1.0)  # seconds of any other job, as a multiple of its estimate

    def __len__(self) -> int:
        return self.queued

    def __iter__(self) -> Iterator[J]:
        return chain.from_iterable(self._waiting.values())

    def __contains__(self, job: J) -> bool:
        return job in self._waiting[lane_of(job.cost)]

    def waiting(self) -> dict[str, int]:
        """Number of waiting jobs, by lane."""
        return {lane.value: len(jobs) for lane, jobs in self._waiting.items()}

    def working(self) -> dict[str, int]:
        """Number of jobs that are being worked on, by lane."""
        return {lane.value: count for lane, count in self._working.items()}

    def permits(self) -> dict[str, int]:
        """Number of jobs that may be worked on at a time, by lane."""
        return {lane.value: self._permits(lane) for lane in Lane}

    @property
    def held(self) -> int:
        """Bytes of memory that running jobs other than quick ones have a permit for."""
        return self._held

    @property
    def heavy_seconds(self) -> float:
        """Estimated seconds of waiting heavy and animated jobs, and half those of running ones."""
        lanes = (Lane.HEAVY, Lane.ANIMATED)
        waiting = sum(job.cost.seconds for one in lanes for job in self._waiting[one] if job.cost)
        return waiting + sum(self._estimates[one] for one in lanes) / 2

    @property
    def quick(self) -> int:
        """Number of waiting quick jobs."""
        return len(self._waiting[Lane.QUICK])

    @property
    def quick_seconds(self) -> float:
        """Mean seconds of the latest quick jobs, more than 0."""
        return max(self._mean.value, 1e-6)

    # -- in and out of the queue -----------------------------------------------------------------

    def enter(self, job: J) -> None:
        """Add a job to the end of its lane."""
        lane = lane_of(job.cost)
        self._waiting[lane][job] = None
        self.queued += 1
        if lane is Lane.QUICK and job.content:
            self._by_content.setdefault(job.content, OrderedDict())[job] = None

    def enter_again(self, job: J) -> None:
        """Add a job to the front of its lane, because it has waited before."""
        self.enter(job)
        self._waiting[lane_of(job.cost)].move_to_end(job, last=False)

    def leave(self, job: J) -> bool:
        """Remove a job, and return whether it was waiting."""
        lane = lane_of(job.cost)
        if job not in self._waiting[lane]:
            return False
        del self._waiting[lane][job]
        self.queued -= 1
        if alike := self._by_content.get(job.content):
            alike.pop(job, None)
            if not alike:
                del self._by_content[job.content]
        return True

    def overdue(self, now: float) -> list[J]:
        """Return the waiting jobs whose deadline has passed; they are not removed."""
        expensive = [job for lane in (Lane.HEAVY, Lane.ANIMATED) for job in self._waiting[lane]]
        quick = takewhile(lambda job: job.deadline <= now, self._waiting[Lane.QUICK])
        return [*(job for job in expensive if job.deadline <= now), *quick]

    def clear(self) -> list[J]:
        """Remove all waiting jobs, and return them."""
        every = list(self)
        self._by_content.clear()
        self.queued = 0
        for jobs in self._waiting.values():
            jobs.clear()
        return every

    # -- bounds ----------------------------------------------------------------------------------

    def wait(self, lane: Lane, more: int = 0) -> float:
        """Predict how many seconds the next job of a lane would wait.

        Jobs that are being worked on count as half done.

        Args:
            lane: Its lane.
            more: Quick jobs that wait at a worker already.
        """
        if lane is Lane.QUICK:
            waiting, working = len(self._waiting[lane]), self._working[lane]
            jobs = waiting + more
            if not jobs and self._may_begin(lane):
                return 0.0
            expensive = self._busy + self.queued > working + waiting
            seconds = (jobs + working / 2) * self._mean.value
            spread = self._others.spread(seconds, self._count)
            return min(seconds / max(1, self._count - expensive), spread)
        ahead = (Lane.HEAVY,) if lane is Lane.HEAVY else (Lane.HEAVY, Lane.ANIMATED)
        costs = [job.cost for one in ahead for job in self._waiting[one] if job.cost]
        if not costs and self._may_begin(lane):
            return 0.0
        # fronts share the machine's memory and lend each other jobs, so the work of all is ahead
        other_seconds, renderers = self._others.heavy()
        seconds = sum(cost.seconds for cost in costs) + other_seconds
        seconds += sum(self._estimates[one] for one in ahead) / 2
        together = renderers + (1 if self._waiting[Lane.QUICK] else self._permits(lane))
        if costs:  # only as many at a time as there is memory for
            mean = sum(cost.memory for cost in costs) / len(costs)
            together = max(1, min(together, int(self._memory / max(mean, 1))))
        return seconds * self._factor.value / together

    def refusal(
        self,
        lane: Lane,
        left: float = math.inf,
        more: int = 0,
        cost: Cost | None = None,
        waited: float = 0.0,
    ) -> Refusal | None:
        """Return why the next job of a lane would be refused, or ``None`` if it would be accepted.

        Args:
            lane: Its lane.
            left: Seconds until its deadline.
            more: Quick jobs that wait at a worker already.
            cost: Its cost, if known.
            waited: Seconds that its request has waited already.
        """
        own, room = self.queued + more, 0
        if not own and lane is Lane.QUICK and self._may_begin(lane):
            return None  # it would begin at once
        jobs = own + self._others.waiting()
        # gathering jobs begin within milliseconds, so they are not counted as a queue
        if self._may_begin(lane) and all(job.gathering for job in self._waiting[lane]):
            room = self._count
        elif lane is not Lane.QUICK:
            part = -(-self._bounds.jobs // HEAVY_PART)
            jobs = max(jobs, len(self._waiting[lane]) + self._bounds.jobs - part)
        takes = cost.seconds * self._factor.value if cost else self._mean.value
        wait = self.wait(lane, more)
        return self._bounds.refusal(
            wait=wait, jobs=jobs, room=room, left=left, takes=takes, waited=waited
        )

    # -- work ------------------------------------------------------------------------------------

    def next(self) -> J | None:
        """Remove and return the job that a free worker is to begin; it counts as running."""
        for lane in self._order() if self.queued else ():
            jobs = self._waiting[lane]
            if not jobs or not self._may_begin(lane):
                continue  # before the loop, as thousands may wait while the spare worker is idle
            for job in jobs:
                if not job.gathering and self._begin(lane, job):
                    return job
                if lane is not Lane.QUICK:
                    break  # a job that lacks memory is not overtaken, or it would wait for ever
        return None

    def _begin(self, lane: Lane, job: J) -> bool:
        """Begin a waiting job if it may begin, and return whether it has."""
        with self._others.lock() if lane is not Lane.QUICK else NO_LOCK:
            if not self._may_begin(lane, job.cost):
                return False
            if lane is not Lane.QUICK and self._others.before(job.deadline):
                return False  # nor is one that waits in another front overtaken
            self.leave(job)
            self.begun(job.cost)
            return True

    @property
    def lacking(self) -> float:
        """Deadline of the first job that lacks nothing but memory; 0 if there is none."""
        for lane in (Lane.HEAVY, Lane.ANIMATED):
            job = next(iter(self._waiting[lane]), None)
            if job is None or job.gathering or not self._may_begin(lane):
                continue
            if not self._has_memory(lane, job.cost):
                return job.deadline
        return 0.0

    def next_to_lend(self) -> J | None:
        """Remove and return the job that another front can begin now."""
        for lane in self._order():
            for job in self._waiting[lane]:
                if not job.gathering and not job.borrowed and self._has_memory(lane, job.cost):
                    self.leave(job)
                    return job
                break  # the first of a lane is not overtaken
        return None

    def ahead(self, *, alone: bool = True) -> J | None:
        """Remove and return a quick job to queue at a busy worker; it does not count as running.

        ``None`` if the next free worker is needed for an expensive job.

        Args:
            alone: Whether the job may be one without ``content``.
        """
        jobs = self._waiting[Lane.QUICK]
        if len(jobs) < self.queued and self._order()[0] is not Lane.QUICK:
            return None
        job = next(iter(jobs), None)
        if job is None or job.gathering or not (alone or job.content):
            return None
        self.leave(job)
        return job

    def alike(self, first: J, count: int) -> list[J]:
        """Remove and return up to ``count`` quick jobs with the content of ``first``; they do not
        count as running.
        """
        jobs = list(islice(self._by_content.get(first.content, ()), count))
        for job in jobs:
            self.leave(job)
        return jobs

    @property
    def open(self) -> bool:
        """Whether a job of any lane may begin: none may if a quick one may not."""
        return self._may_begin(Lane.QUICK)

    @property
    def room(self) -> int:
        """How many more jobs the workers could begin."""
        return self._count - self._busy

    def may_begin(self, cost: Cost | None) -> bool:
        """Return whether a free worker may begin a job of this cost that is not waiting here."""
        return self._may_begin(lane_of(cost), cost)

    def begun(self, cost: Cost | None) -> None:
        """Count a job as running."""
        self._count_work(cost, 1)

    def ended(self, cost: Cost | None, seconds: float | None = None) -> None:
        """Count a job as no longer running.

        Args:
            cost: Its cost when it began.
            seconds: How long it took; ``None`` if that must not count towards the predictions.
        """
        self._count_work(cost, -1)
        if seconds is None:
            return
        if cost is None:
            self._mean.add(seconds, 1.0, seconds)
        else:
            self._factor.add(seconds, cost.seconds, seconds)

    def _count_work(self, cost: Cost | None, sign: int) -> None:
        lane = lane_of(cost)
        self._working[lane] += sign
        self._busy += sign
        if cost and lane is not Lane.QUICK:
            if cost.memory:
                self._held += sign * cost.memory
                self._others.hold(self._held)
            self._estimates[lane] += sign * cost.seconds
            if not self._working[lane]:
                self._estimates[lane] = 0.0  # without the rest that rounding leaves

    def _permits(self, lane: Lane) -> int:
        """Number of workers that a lane may use at a time."""
        return max(1, self._count // 2) if lane is Lane.ANIMATED else self._count

    def _order(self) -> tuple[Lane, ...]:
        """Return the order in which a free worker looks for a job.

        One worker is reserved for expensive jobs while there are any; then quick ones go first.
        """
        if self._working[Lane.HEAVY] + self._working[Lane.ANIMATED]:
            return Lane.QUICK, Lane.HEAVY, Lane.ANIMATED
        return Lane.HEAVY, Lane.ANIMATED, Lane.QUICK

    def _may_begin(self, lane: Lane, cost: Cost | None = None) -> bool:
        if lane is Lane.QUICK:
            return self._busy < self._count or not self._working[lane]
        if self._busy >= self._count or self._working[lane] >= self._permits(lane):
            return False
        return self._has_memory(lane, cost)

    def _has_memory(self, lane: Lane, cost: Cost | None) -> bool:
        """Return whether there is memory for a job of this cost; there is for any if none runs."""
        if lane is Lane.QUICK or not cost:
            return True
        held = self._held + self._others.held()
        return not held or held + cost.memory <= self._memory

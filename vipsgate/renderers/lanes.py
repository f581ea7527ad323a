"""The queues of jobs: lanes by cost, permits by memory, bounds of the predicted wait; pure.

Every job begins as a quick one, because nobody knows its cost before its header is read. A worker
that finds it more expensive hands it back with the cost, and it waits again, among its like. What
is quick never waits for what is not: when all workers are busy with such work, one more may begin a
quick one. Thousands may wait, so nothing here looks at all of them but of the heavy ones, which are
few, since their waits add up.
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

QUICK_SECONDS = 0.25  # of one core, as estimated; above, a job is no quick one
QUICK_BYTES = 128 << 20  # of memory, as estimated, likewise
NO_LOCK = nullcontext()  # for quick jobs, which share no memory with other fronts
HEAVY_PART = 4  # the queue of each other lane is this much shorter than that of quick jobs


class Lane(StrEnum):
    """The kinds of work that do not stand in each other's way."""

    QUICK = "quick"
    HEAVY = "heavy"
    ANIMATED = "animated"


class Waiting(Protocol):
    """What lanes know of a job.

    Attributes:
        cost: As a worker has estimated it; ``None`` until then.
        gathering: Whether it waits for others of the same content, and does not begin yet.
        content: Names the content of the source; jobs with the same one may go together. Empty for
            one that goes alone.
        deadline: When nobody will wait for it any more; all have the same time.
        borrowed: Whether another front has asked for it, so that it is given to no third one.
    """

    cost: Cost | None
    gathering: bool
    content: str
    deadline: float
    borrowed: bool


def lane_of(cost: Cost | None) -> Lane:
    """Where a job of this cost belongs; an unknown one is quick until a worker says otherwise."""
    if cost is None or cost.within(QUICK_SECONDS, QUICK_BYTES):
        return Lane.QUICK
    return Lane.ANIMATED if cost.pages > 1 else Lane.HEAVY


J = TypeVar("J", bound=Waiting)


class Lanes(Generic[J]):
    """The jobs that wait, and how many of each lane are under work.

    Args:
        count: Workers that work at a time.
        bounds: How much may wait.
        memory: Bytes that jobs other than quick ones may take together.
        others: What other fronts have of that, and of all that may wait.

    Attributes:
        queued: Jobs that wait, in all lanes.
    """

    def __init__(
        self, *, count: int, bounds: Bounds, memory: int, others: OtherFronts | None = None
    ) -> None:
        self._count, self._bounds, self._memory = count, bounds, memory
        self._others = others or NoOtherFronts()
        self._waiting: dict[Lane, OrderedDict[J, None]] = {lane: OrderedDict() for lane in Lane}
        self._by_content: dict[str, OrderedDict[J, None]] = {}  # quick ones, that may go together
        self.queued = 0
        self._working = dict.fromkeys(Lane, 0)
        self._busy = 0  # of all lanes
        self._estimates = dict.fromkeys(Lane, 0.0)  # seconds of those under work but for quick ones
        self._held = 0
        self._mean = Mean(FIRST_GUESS)  # seconds of a quick job
        self._factor = Mean(1.0)  # what others have taken, as a multiple of their estimates

    def __len__(self) -> int:
        return self.queued

    def __iter__(self) -> Iterator[J]:
        return chain.from_iterable(self._waiting.values())

    def __contains__(self, job: J) -> bool:
        return job in self._waiting[lane_of(job.cost)]

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

    @property
    def heavy_seconds(self) -> float:
        """That jobs other than quick ones take: those that wait, and half of the others."""
        lanes = (Lane.HEAVY, Lane.ANIMATED)
        waiting = sum(job.cost.seconds for one in lanes for job in self._waiting[one] if job.cost)
        return waiting + sum(self._estimates[one] for one in lanes) / 2

    @property
    def quick(self) -> int:
        """Quick jobs that wait."""
        return len(self._waiting[Lane.QUICK])

    @property
    def quick_seconds(self) -> float:
        """What a quick job takes, more than 0: the mean of those measured lately."""
        return max(self._mean.value, 1e-6)

    # -- in and out of the queue -----------------------------------------------------------------

    def enter(self, job: J) -> None:
        """Wait for a worker, behind those of the same lane."""
        lane = lane_of(job.cost)
        self._waiting[lane][job] = None
        self.queued += 1
        if lane is Lane.QUICK and job.content:
            self._by_content.setdefault(job.content, OrderedDict())[job] = None

    def enter_again(self, job: J) -> None:
        """Wait as the first of its lane: it has waited before."""
        self.enter(job)
        self._waiting[lane_of(job.cost)].move_to_end(job, last=False)

    def leave(self, job: J) -> bool:
        """Give up waiting; was it there?"""
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
        """Those whose time is up; they still wait."""
        expensive = [job for lane in (Lane.HEAVY, Lane.ANIMATED) for job in self._waiting[lane]]
        quick = takewhile(lambda job: job.deadline <= now, self._waiting[Lane.QUICK])
        return [*(job for job in expensive if job.deadline <= now), *quick]

    def clear(self) -> list[J]:
        """All that wait, who wait no longer."""
        every = list(self)
        self._by_content.clear()
        self.queued = 0
        for jobs in self._waiting.values():
            jobs.clear()
        return every

    # -- bounds ----------------------------------------------------------------------------------

    def wait(self, lane: Lane, more: int = 0) -> float:
        """Seconds that the next job of a lane would have to wait, as predicted.

        What is under work is half done, as far as one can say.

        Args:
            lane: Its lane.
            more: Quick jobs that were given to a worker already, and wait there.
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
        # memory is that of the machine, and what waits for none is lent: all fronts are ahead
        other_seconds, renderers = self._others.heavy()
        seconds = sum(cost.seconds for cost in costs) + other_seconds
        seconds += sum(self._estimates[one] for one in ahead) / 2
        together = renderers + (1 if self._waiting[Lane.QUICK] else self._permits(lane))
        if costs:  # so many as there is memory for
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
        """Return why the next job of a lane would be refused; ``None`` where it would not.

        Args:
            lane: Its lane.
            left: Seconds until its deadline.
            more: Quick jobs that were given to a worker already, and wait there.
            cost: Its cost, where that is known.
            waited: Seconds that it has waited already.
        """
        own, room = self.queued + more, 0
        if not own and lane is Lane.QUICK and self._may_begin(lane):
            return None  # it waits for nobody
        jobs = own + self._others.waiting()
        # those that gather are no queue: some of them are about to begin
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
        """The job that a free worker is to begin now; it counts as under work from here on."""
        for lane in self._order() if self.queued else ():
            jobs = self._waiting[lane]
            if not jobs or not self._may_begin(lane):
                continue  # thousands may wait, and there is always a spare worker that is free
            for job in jobs:
                if not job.gathering and self._begin(lane, job):
                    return job
                if lane is not Lane.QUICK:
                    break  # who needs much memory is not passed by others for ever
        return None

    def _begin(self, lane: Lane, job: J) -> bool:
        """Count a job that waits as under work, where it may begin."""
        with self._others.lock() if lane is not Lane.QUICK else NO_LOCK:
            if not self._may_begin(lane, job.cost):
                return False
            if lane is not Lane.QUICK and self._others.before(job.deadline):
                return False  # nor do those of other fronts pass it
            self.leave(job)
            self.begun(job.cost)
            return True

    @property
    def lacking(self) -> float:
        """Deadline of the first job that waits for memory and nothing else; 0 for none."""
        for lane in (Lane.HEAVY, Lane.ANIMATED):
            job = next(iter(self._waiting[lane]), None)
            if job is None or job.gathering or not self._may_begin(lane):
                continue
            if not self._has_memory(lane, job.cost):
                return job.deadline
        return 0.0

    def next_to_lend(self) -> J | None:
        """The job that another front is to do, which could begin it now; it does not count here."""
        for lane in self._order():
            for job in self._waiting[lane]:
                if not job.gathering and not job.borrowed and self._has_memory(lane, job.cost):
                    self.leave(job)
                    return job
                break  # none passes another of its lane
        return None

    def ahead(self, *, alone: bool = True) -> J | None:
        """A quick job to be given to a worker before it is free; it does not count yet.

        None where the next worker that is free is for other work.

        Args:
            alone: Whether it may be one that goes alone.
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
        """Quick jobs of the same content that go along with one, at most so many; they do not count
        yet.
        """
        jobs = list(islice(self._by_content.get(first.content, ()), count))
        for job in jobs:
            self.leave(job)
        return jobs

    @property
    def open(self) -> bool:
        """May a job begin at all? No other lane may where the quick one may not."""
        return self._may_begin(Lane.QUICK)

    @property
    def room(self) -> int:
        """How many more jobs may be under work at a time, as far as workers go."""
        return self._count - self._busy

    def may_begin(self, cost: Cost | None) -> bool:
        """May a worker that is free begin a job of this cost, which does not wait here?"""
        return self._may_begin(lane_of(cost), cost)

    def begun(self, cost: Cost | None) -> None:
        """A job of this cost is under work."""
        self._count_work(cost, 1)

    def ended(self, cost: Cost | None, seconds: float | None = None) -> None:
        """A job is not under work any more.

        Args:
            cost: Its cost, as it was when it began.
            seconds: That it took; ``None`` where that tells nothing of others.
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
                self._estimates[lane] = 0.0  # but for what rounding has left

    def _permits(self, lane: Lane) -> int:
        """Workers that a lane may have at a time."""
        return max(1, self._count // 2) if lane is Lane.ANIMATED else self._count

    def _order(self) -> tuple[Lane, ...]:
        """One worker is for what is not quick while there is such work; then quick goes first."""
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
        """Is there memory for a job of this cost? There is for any that is alone."""
        if lane is Lane.QUICK or not cost:
            return True
        held = self._held + self._others.held()
        return not held or held + cost.memory <= self._memory

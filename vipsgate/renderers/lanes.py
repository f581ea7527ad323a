"""The queues of jobs: lanes by cost, permits by memory, bounds of the predicted wait; pure.

Every job enters as a quick one, because its cost is unknown until its header is read. A worker that
finds it more expensive hands it back with an estimate, and it waits again, in the heavy or the
animated lane. Quick jobs never wait for those: when all workers are busy with expensive jobs, one
more may begin a quick one.

Heavy and animated jobs share workers by seconds (:mod:`.fair_share`), so that neither keeps the
other out, however many come; and each lane has a bound of its own, so that neither fills the queue.
If the job whose turn it is lacks memory, no other expensive job overtakes it, in this front or
another one. An animation that lacks a permit is overtaken by heavy pictures, which need none. The
alternative was one queue for both, in order of arrival: simpler, but when a thousand clients
request heavy pictures, these fill it, and a request for an animation is refused.

The quick lane may hold thousands of jobs, so nothing here iterates over all of it; the other lanes
are short, because their predicted waits add up.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain, islice, takewhile
from typing import Generic, Protocol, TypeVar

from ..image.cost import Cost
from .admission import FIRST_GUESS, Bounds, Mean, NoOtherFronts, OtherFronts, Refusal
from .fair_share import FairShare

QUICK_SECONDS = 0.25  # of one core: the highest estimate of a quick job
QUICK_BYTES = 128 << 20  # of memory, likewise
EXPENSIVE_PART = 4  # each other lane holds ``Bounds.jobs`` divided by this at most


class Lane(StrEnum):
    """The kinds of jobs that are queued apart, so that none delays another."""

    QUICK = "quick"
    HEAVY = "heavy"
    ANIMATED = "animated"


EXPENSIVE = (Lane.HEAVY, Lane.ANIMATED)
OTHER = {Lane.HEAVY: Lane.ANIMATED, Lane.ANIMATED: Lane.HEAVY}


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


def animations(renderers: int) -> int:
    """Return how many animations this number of renderers may run at a time: half, at least 1."""
    return max(1, renderers // 2)


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
        self._share = FairShare(EXPENSIVE)

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
        """Number of jobs that may be worked on at a time, by lane; of animations, a fair share.

        All fronts may run :func:`animations` together, which are divided by their renderers.
        """
        before, behind = self._others.renderers()
        part = (before + self._count) // 2 - before // 2 if before or behind else self._animations()
        return {Lane.QUICK.value: self._count, Lane.HEAVY.value: self._count, "animated": part}

    @property
    def held(self) -> int:
        """Bytes of memory that running jobs other than quick ones have a permit for."""
        return self._held

    def seconds(self, lane: Lane) -> float:
        """Return the estimated seconds of a lane: of waiting jobs, and half of the running ones.

        Args:
            lane: Any lane but the quick one.
        """
        waiting = sum(job.cost.seconds for job in self._waiting[lane] if job.cost)
        return waiting + self._estimates[lane] / 2

    @property
    def first_animation(self) -> float:
        """Deadline of the first animation that waits; 0 if there is none."""
        job = next(iter(self._waiting[Lane.ANIMATED]), None)
        return job.deadline if job and not job.gathering else 0.0

    @property
    def expensive(self) -> bool:
        """Whether a heavy or animated job waits or runs."""
        return not self._reserves or self.queued > len(self._waiting[Lane.QUICK])

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
        expensive = [job for lane in EXPENSIVE for job in self._waiting[lane]]
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
            if not jobs and self.open:
                return 0.0
            expensive = self._busy + self.queued > working + waiting
            seconds = (jobs + working / 2) * self._mean.value
            spread = self._others.spread(seconds, self._count)
            return min(seconds / max(1, self._count - expensive), spread)
        if not self._waiting[lane] and not self._firsts() and self._could_begin(lane):
            return 0.0
        return self._wait_by_turns(lane) * self._factor.value

    def _wait_by_turns(self, lane: Lane) -> float:
        """Return the seconds that the next job of an expensive lane would wait, by estimates."""
        other = OTHER[lane]
        costs = {one: [job.cost for job in self._waiting[one] if job.cost] for one in EXPENSIVE}
        # fronts share the machine's memory and lend each other jobs, so the work of all is ahead
        work = {
            one: sum(cost.seconds for cost in costs[one]) + self._others.lane(one)[1]
            for one in EXPENSIVE
        }
        # the other lane is given as many seconds meanwhile, and one job more if its turn comes
        turns = work[lane] + self._share.lead(lane, other)
        if turns >= 0 and costs[other]:
            turns += costs[other][0].seconds
        ahead = work[lane] + max(0.0, min(work[other], turns))
        ahead += sum(self._estimates[one] for one in EXPENSIVE) / 2
        # while quick jobs wait, they take all workers but one; else they keep those that they have
        here = 1 if self._waiting[Lane.QUICK] else max(1, self._count - self._working[Lane.QUICK])
        together = sum(self._others.renderers()) + here
        if every := [*costs[lane], *costs[other]]:  # only as many at a time as there is memory for
            mean = sum(cost.memory for cost in every) / len(every)
            together = max(1, min(together, int(self._memory / max(mean, 1))))
        own, permits = work[lane] + self._estimates[lane] / 2, self._animations()
        if lane is Lane.ANIMATED:
            return max(ahead / together, own / permits)
        if together > permits:  # the rest of the workers always serve heavy jobs
            return min(ahead / together, own / (together - permits))
        return ahead / together

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
        if not own and lane is Lane.QUICK and self.open:
            return None  # it would begin at once
        if lane is Lane.QUICK:
            jobs = own + self._others.waiting()
        else:  # it was counted when it entered, so only the part of its own lane limits it
            part = -(-self._bounds.jobs // EXPENSIVE_PART)
            jobs = len(self._waiting[lane]) + self._others.lane(lane)[0] + self._bounds.jobs - part
        # gathering jobs begin within milliseconds, so they are not counted as a queue
        if self._could_begin(lane) and all(job.gathering for job in self._waiting[lane]):
            room = self._count
        takes = cost.seconds * self._factor.value if cost else self._mean.value
        wait = self.wait(lane, more)
        return self._bounds.refusal(
            wait=wait, jobs=jobs, room=room, left=left, takes=takes, waited=waited
        )

    # -- work ------------------------------------------------------------------------------------

    def next(self) -> J | None:
        """Remove and return the job that a free worker is to begin; it counts as running."""
        if not self.queued:
            return None
        if self._reserves:
            return self._next_expensive() or self._next_quick()
        return self._next_quick() or self._next_expensive()

    def _next_quick(self) -> J | None:
        if not self.open:
            return None  # before the loop, as thousands may wait while the spare worker is idle
        for job in self._waiting[Lane.QUICK]:
            if not job.gathering:
                self.leave(job)
                self.begun(job.cost)
                return job
        return None

    def _next_expensive(self) -> J | None:
        if self._busy >= self._count or len(self._waiting[Lane.QUICK]) == self.queued:
            return None
        with self._others.lock():
            firsts = self._firsts()
            if not firsts or self._lacks_memory(firsts[0]):
                return None
            job = firsts[0]
            if job.cost:  # no job counts for more seconds than a job may wait
                seconds = min(job.cost.seconds, self._bounds.seconds)
                lanes = [lane_of(one.cost) for one in firsts]
                self._share.begun(lanes[0], seconds, lanes)
            self.leave(job)
            self.begun(job.cost)
            return job

    @property
    def _reserves(self) -> bool:
        """Whether no expensive job runs, so that the next worker is reserved for one."""
        return not (self._working[Lane.HEAVY] or self._working[Lane.ANIMATED])

    def _firsts(self) -> list[J]:
        """Return the first job of each expensive lane that has a permit, in order of turns."""
        firsts = (next(iter(self._waiting[lane]), None) for lane in self._share.order())
        return [
            job
            for job in firsts
            if job and not job.gathering and self._has_permit(lane_of(job.cost), job.deadline)
        ]

    @property
    def _all_expensive(self) -> bool:
        """Whether as many expensive jobs run as workers may work at a time."""
        return self._working[Lane.HEAVY] + self._working[Lane.ANIMATED] >= self._count

    @property
    def pressing(self) -> bool:
        """Whether a job waits that lacks only a worker or memory."""
        return self.queued > 0 and bool(self._waiting[Lane.QUICK] or self._firsts())

    @property
    def lacking(self) -> float:
        """Deadline of the job that lacks only memory; 0 if there is none."""
        # a worker with a quick job is soon free for it, unless another quick job goes first
        if not self._reserves and (self._waiting[Lane.QUICK] or self._all_expensive):
            return 0.0
        firsts = self._firsts()
        return firsts[0].deadline if firsts and not self._has_memory(firsts[0].cost) else 0.0

    def to_lend(self) -> J | None:
        """Return the job to lend to a front that could begin it now; it is not removed."""
        quick = next(iter(self._waiting[Lane.QUICK]), None)
        if quick and (quick.gathering or quick.borrowed):
            quick = None  # the first of a lane is not overtaken
        if quick and not self._reserves:
            return quick
        for job in self._firsts():
            if self._lacks_memory(job):
                break  # nor is a job that lacks memory
            if not job.borrowed:
                return job
        return quick

    def ahead(self, *, alone: bool = True) -> J | None:
        """Remove and return a quick job to queue at a busy worker; it does not count as running.

        ``None`` if the next free worker is needed for an expensive job.

        Args:
            alone: Whether the job may be one without ``content``.
        """
        jobs = self._waiting[Lane.QUICK]
        if len(jobs) < self.queued and self._reserves and self._firsts():
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
        """Whether a quick job may begin; if not, no job of another lane may."""
        return self._busy < self._count or not self._working[Lane.QUICK]

    @property
    def room(self) -> int:
        """How many more jobs the workers could begin."""
        return self._count - self._busy

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
            self._held += sign * cost.memory
            self._others.hold(self._held, self._working[Lane.ANIMATED])
            self._estimates[lane] += sign * cost.seconds
            if not self._working[lane]:
                self._estimates[lane] = 0.0  # without the rest that rounding leaves

    def _animations(self) -> int:
        """Return how many animations all fronts together may run at a time."""
        return animations(self._count + sum(self._others.renderers()))

    def _has_permit(self, lane: Lane, deadline: float = math.inf) -> bool:
        """Return whether there is a permit for a job of an expensive lane.

        Args:
            lane: Its lane; heavy jobs need no permit.
            deadline: Its deadline: animations of other fronts with an earlier one go first.
        """
        if lane is Lane.HEAVY:
            return True
        taken = self._working[lane] + self._others.animations(deadline)
        return taken < self._animations()

    def _could_begin(self, lane: Lane) -> bool:
        """Return whether workers and permits allow a job of this lane to begin."""
        if lane is Lane.QUICK:
            return self.open
        return self._busy < self._count and self._has_permit(lane)

    def _has_memory(self, cost: Cost | None) -> bool:
        """Return whether there is memory for an expensive job; there is for any if none runs."""
        held = self._held + self._others.held()
        return not (held and cost) or held + cost.memory <= self._memory

    def _lacks_memory(self, job: J) -> bool:
        """Return whether memory is lacking for a job, or one of another front goes first."""
        return not self._has_memory(job.cost) or self._others.before(job.deadline)

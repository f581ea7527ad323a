"""Assigns jobs to workers; pure.

A free worker begins the next job of the lanes (:mod:`.lanes`). One that is busy with a quick job is
sent further quick ones in advance, enough to keep it busy while the front is late; a worker that
becomes free takes them back, and so does another front if that is worth the transfer. Jobs of equal
content that wait at the same time are sent to one worker: the source is read once for all of them,
and decoded once for those that begin with the same pixels. If that takes long, other workers take
some of them.

Events come in as method calls, and :meth:`Scheduler.actions` yields what is to be done about them.
Jobs and workers may be of any type. No clock, no process, no event loop.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeVar

from ..image.cost import Cost
from .admission import Bounds, OtherFronts, Refusal
from .lanes import Lane, Lanes, Waiting, lane_of

LARGE_SOURCE = 512 << 10  # bytes of a source from which on jobs gather before they are sent
PART_AFTER = 0.15  # seconds after which jobs that were sent together may go to other workers
MAX_TOGETHER = 8  # jobs of one content that are sent to a worker at once
AHEAD_SECONDS = 0.025  # of work sent to a worker in advance: a front with 8,000 clients is so late
MAX_AHEAD = 16  # jobs sent in advance: their messages fit into the buffer of a socket
ALONE_AHEAD = 8  # likewise of jobs without ``content``, whose messages may be eight times as long
ALL_AHEAD = 512  # likewise at all workers: the kernel limits descriptors in flight
LEND_SECONDS = (
    0.002  # of work that waits, from which on a job is lent: ten times what the way takes
)


class Schedulable(Waiting, Protocol):
    """The attributes of a job that the scheduler reads.

    Attributes:
        started: When a worker began it. Set by the scheduler.
        retry: Whether it is retried if its worker dies. Set by the scheduler.
    """

    started: float
    retry: bool

    @property
    def awaited(self) -> bool:
        """Whether a caller still waits for its result."""

    @property
    def telling(self) -> bool:
        """Whether its time may count towards the predictions for other jobs."""


J = TypeVar("J", bound=Schedulable)
W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Give(Generic[J, W]):
    """Send these jobs to the worker, behind those that it has."""

    jobs: tuple[J, ...]
    worker: W


@dataclass(frozen=True, slots=True)
class Take(Generic[J, W]):
    """Cancel this job at the worker, because another one does it; the worker still replies."""

    job: J
    worker: W


@dataclass(frozen=True, slots=True)
class Expire(Generic[J]):
    """Fail this job, which has reached its deadline and was sent to no worker."""

    job: J


@dataclass(frozen=True, slots=True)
class Lend(Generic[J]):
    """Send this job to another front."""

    job: J
    front: int


@dataclass(frozen=True, slots=True)
class Retire(Generic[W]):
    """End the worker, which has no jobs and gets none."""

    worker: W


Action = Give[J, W] | Take[J, W] | Expire[J] | Lend[J] | Retire[W]


@dataclass(slots=True, eq=False)
class _Slot(Generic[J]):
    """A job in the queue of a worker.

    Attributes:
        job: The job.
        cost: Its cost when it was sent, which the lanes have counted.
        together: Whether it was sent along with another job.
        taken: Whether it was taken back, for another worker or front.
    """

    job: J
    cost: Cost | None
    together: bool = False
    taken: bool = False


@dataclass(slots=True, eq=False)
class _WorkerQueue(Generic[J]):
    """The jobs of a worker.

    Attributes:
        slots: Its jobs in order; it works on the first.
        started: When it began the first.
        retiring: Whether it gets no further jobs.
    """

    slots: deque[_Slot[J]] = field(default_factory=deque)
    started: float = 0.0
    retiring: bool = False

    def last(self) -> _Slot[J] | None:
        """Return the last job that it has not begun and is still to do."""
        for slot in islice(reversed(self.slots), len(self.slots) - 1):
            if not slot.taken and slot.job.awaited:
                return slot
        return None


class Scheduler(Generic[J, W]):
    """The waiting jobs, and the workers with theirs.

    Args:
        count: Workers that may work at a time.
        bounds: Limits of the queue.
        memory: Bytes that jobs other than quick ones may take together.
        others: The other fronts, which share ``bounds`` and ``memory``.
    """

    def __init__(
        self, *, count: int, bounds: Bounds, memory: int, others: OtherFronts | None = None
    ) -> None:
        self.lanes: Lanes[J] = Lanes(count=count, bounds=bounds, memory=memory, others=others)
        self._others = others
        self._queues: dict[W, _WorkerQueue[J]] = {}
        self._idle: list[W] = []
        self._retired: list[W] = []
        self._ahead = 0  # jobs sent in advance: not begun, and not taken back

    # -- workers -----------------------------------------------------------------------------------

    def __contains__(self, worker: W) -> bool:
        return worker in self._queues

    def idle(self) -> tuple[W, ...]:
        """Return the workers that have no jobs."""
        return tuple(self._idle)

    def under_work(self) -> list[tuple[W, Cost | None]]:
        """Return the busy workers, each with the cost of its job when it was sent."""
        return [
            (worker, queue.slots[0].cost) for worker, queue in self._queues.items() if queue.slots
        ]

    def add(self, worker: W) -> None:
        """Add a worker that has started."""
        self._queues[worker] = _WorkerQueue()
        self._idle.append(worker)

    def remove(self, worker: W, *, retry: bool = True, begun: bool = True) -> J | None:
        """Remove a worker that has ended, and return its job if that is not to be retried.

        Its other jobs return to the front of their lanes.

        Args:
            worker: A worker that was added.
            retry: Whether its job may be retried; each job is, once at most.
            begun: Whether it can have begun its job; if not, the job waits for another worker.
        """
        slots = self._queues.pop(worker).slots
        if worker in self._idle:
            self._idle.remove(worker)
        if not slots:
            return None
        first = slots.popleft()
        self.lanes.ended(first.cost)
        self._ahead -= sum(not slot.taken for slot in slots)
        lost = first.job if not first.taken and first.job.awaited else None
        for slot in reversed(slots):
            if not slot.taken and slot.job.awaited:
                self.lanes.enter_again(slot.job)
        slots.clear()
        if lost and (not begun or (lost.retry and retry)):
            lost.retry = lost.retry and not begun
            self.lanes.enter_again(lost)
            return None
        return lost

    def finish(self, worker: W, now: float, *, retire: bool = False) -> J | None:
        """Handle a worker's reply to the first of its jobs; it begins the next one.

        Args:
            worker: One that has a job.
            now: Seconds, by any clock.
            retire: Whether to end the worker when it has no more jobs.

        Returns:
            The job that it is done with; ``None`` if that had been taken back.
        """
        queue = self._queues[worker]
        slot = queue.slots.popleft()
        # the time of a job that was stopped, or has waited for bytes, predicts nothing
        tells = not slot.taken and slot.job.awaited and slot.job.telling
        self.lanes.ended(slot.cost, now - queue.started if tells else None)
        queue.retiring = queue.retiring or retire
        if queue.slots:
            self._ahead -= not queue.slots[0].taken
            self._begin(queue, now)
            self.lanes.begun(queue.slots[0].cost)
        elif queue.retiring:
            del self._queues[worker]
            self._retired.append(worker)
        else:
            self._idle.append(worker)
        return None if slot.taken else slot.job

    # -- jobs --------------------------------------------------------------------------------------

    def enter(self, job: J, size: int = 0) -> bool:
        """Add a job, and return whether it is held back for others of its content.

        If so, the caller calls :meth:`gathered` after a moment.

        Args:
            job: The job.
            size: Size of its source, in bytes.
        """
        job.gathering = bool(job.content) and size >= LARGE_SOURCE
        self.lanes.enter(job)
        return job.gathering

    def gathered(self, job: J) -> None:
        """Let a job begin that was held back for others of its content."""
        job.gathering = False

    def abandon(self, job: J) -> W | None:
        """Drop a job that is not awaited any more; return the worker to cancel it at, if any."""
        if not self.lanes.leave(job):
            for worker, queue in self._queues.items():
                if any(slot.job is job and not slot.taken for slot in queue.slots):
                    return worker
        return None

    def overdue(self, now: float) -> list[J]:
        """Return the jobs whose deadline has passed; the caller abandons them."""
        return [*self.lanes.overdue(now), *(job for job in self._given() if job.deadline <= now)]

    def clear(self) -> list[J]:
        """Remove all waiting jobs, send no more, and return all jobs."""
        self._idle.clear()
        return [*self.lanes.clear(), *self._given()]

    def enter_again(self, job: J) -> None:
        """Add a job to the front of its lane that another front has given back."""
        self.lanes.enter_again(job)

    # -- bounds ------------------------------------------------------------------------------------

    def ahead(self) -> int:
        """Number of jobs that wait at a worker."""
        return self._ahead

    def free(self) -> int:
        """Number of further jobs that could begin now."""
        return 0 if self.lanes.pressing else max(0, min(len(self._idle), self.lanes.room))

    @property
    def quiet(self) -> bool:
        """Whether no job waits and one more could begin."""
        return not (self.lanes.queued or self._ahead) and self.lanes.room > 0

    def waiting(self) -> int:
        """Number of jobs that would begin if a worker were free."""
        return self._ahead + sum(not job.gathering for job in self.lanes)

    def waits(self, job: J) -> bool:
        """Return whether a job waits and was sent to no worker."""
        return job in self.lanes

    def wait(self, lane: Lane = Lane.QUICK) -> float:
        """Predict how many seconds the next job of a lane would wait."""
        return self.lanes.wait(lane, self._ahead)

    def refusal(self, left: float, cost: Cost | None = None, waited: float = 0.0) -> Refusal | None:
        """Return why the next job would be refused, or ``None`` if it would be accepted.

        Args:
            left: Seconds until its deadline.
            cost: Its cost, if known.
            waited: Seconds that its request has waited already.
        """
        return self.lanes.refusal(lane_of(cost), left, self._ahead, cost, waited)

    # -- decisions ---------------------------------------------------------------------------------

    def actions(self, now: float) -> Iterator[Action[J, W]]:
        """Yield what is to be done now; each action counts as done when it is yielded.

        While it is done, any method may be called, including this one: the next action is decided
        afterwards.
        """
        while self._retired:
            yield Retire(self._retired.pop())
        while self._idle and (self._ahead or self.lanes.queued) and self.lanes.open:
            stolen = self._steal(now) if self._ahead else None
            job = stolen.job if stolen else self.lanes.next()
            if job is None:
                break
            follows: Action[J, W]
            if job.deadline <= now:
                self.lanes.ended(job.cost)
                follows = Expire(job)
            else:
                # the one used last: its memory is warm
                follows = self._give(job, self._idle.pop(), now)
            if stolen:
                yield stolen
            yield follows
        if self._others and (self.lanes.queued or self._ahead):
            yield from self._lend(self._others)
        if self.lanes.queued:
            yield from self._give_ahead(now)

    def _give_ahead(self, now: float) -> Iterator[Action[J, W]]:
        """Send workers quick jobs in advance, one to each before a second to any."""
        most = math.ceil(AHEAD_SECONDS / self.lanes.quick_seconds)
        most = min(most, MAX_AHEAD, max(1, ALL_AHEAD // max(1, len(self._queues))))
        while self.lanes.queued and (worker := self._least(most)) is not None:
            alone = len(self._queues[worker].slots) <= ALONE_AHEAD
            if (job := self.lanes.ahead(alone=alone)) is None:
                return
            yield self._give(job, worker, now)

    def _least(self, most: int) -> W | None:
        """Return the worker with the fewest quick jobs, up to ``most``, and no other job."""
        result, fewest = None, most + 1
        for worker, queue in self._queues.items():
            count = len(queue.slots)
            if 0 < count < fewest and queue.slots[0].cost is None and not queue.retiring:
                result, fewest = worker, count
        return result

    def _steal(self, now: float) -> Take[J, W] | None:
        """Take a job back from a worker that has not begun it; it counts as running."""
        for worker, queue in self._queues.items():
            slot = queue.last() if len(queue.slots) > 1 else None
            if slot is None or (slot.together and now - queue.started < PART_AFTER):
                continue
            self._take(slot)
            self.lanes.begun(slot.cost)
            return Take(slot.job, worker)
        return None

    def _take(self, slot: _Slot[J]) -> None:
        slot.taken = True
        self._ahead -= 1

    def _lend(self, others: OtherFronts) -> Iterator[Action[J, W]]:
        """Lend jobs to other fronts that could begin them now."""
        while self._worth_lending() and (front := others.free_front()) is not None:
            job = self.lanes.to_lend()
            if job:
                self.lanes.leave(job)
            elif take := self._recall():
                yield take
                job = take.job
            else:
                return
            others.lent(front)
            yield Lend(job, front)

    def _worth_lending(self) -> bool:
        """Return whether so much waits that lending is worth the transfer."""
        lanes = self.lanes
        quick = lanes.quick + self._ahead
        return quick * lanes.quick_seconds > LEND_SECONDS or lanes.queued > lanes.quick

    def _recall(self) -> Take[J, W] | None:
        """Take a job back from a worker that has not begun it, to lend it."""
        for worker, queue in self._queues.items():
            slot = queue.last() if len(queue.slots) > 1 else None
            if slot and not slot.together and not slot.job.borrowed:
                self._take(slot)
                return Take(slot.job, worker)
        return None

    def _give(self, first: J, worker: W, now: float) -> Give[J, W]:
        """Send a job to a worker, with others of its content."""
        alike = [] if first.cost else self.lanes.alike(first, MAX_TOGETHER - 1)
        queue = self._queues[worker]
        begins = not queue.slots
        self._ahead += len(alike) + (not begins)
        queue.slots.append(_Slot(first, first.cost))
        queue.slots.extend(_Slot(job, job.cost, together=True) for job in alike)
        if begins:
            self._begin(queue, now)
        return Give((first, *alike), worker)

    @staticmethod
    def _begin(queue: _WorkerQueue[J], now: float) -> None:
        queue.started = now
        if not queue.slots[0].taken:
            queue.slots[0].job.started = now

    def _given(self) -> Iterator[J]:
        """Yield the jobs that workers have."""
        for queue in self._queues.values():
            yield from (slot.job for slot in queue.slots if not slot.taken)

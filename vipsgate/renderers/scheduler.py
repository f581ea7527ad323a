"""Which worker does which job; pure.

A worker that is free begins the next job of the lanes (:mod:`.lanes`). One at a quick job is given
the next quick ones before it is done, as many as it takes not to wait for a front that is late; a
worker that is free meanwhile takes them away again, and so does one of another front, where that is
worth the way. Jobs of one content that wait at the same time go along together, since the source is
read once for all, and decoded once for those that begin with the same pixels; where that takes
long, they are parted again.

Events come in by methods; :meth:`Scheduler.actions` says what follows from them. Jobs and workers
are whatever the caller takes for them. No clock, no process, no event loop.
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

LARGE_SOURCE = 512 << 10  # bytes of a source whose jobs wait for others of the same content
PART_AFTER = 0.15  # seconds that a job takes by itself before those that came with it may leave it
MAX_TOGETHER = 8  # jobs of one content that go to a worker at once
AHEAD_SECONDS = 0.025  # of work that a worker is given ahead: so late is a front with 8,000 clients
MAX_AHEAD = 16  # jobs that this is at most: messages of them fit into the buffer of a socket
ALONE_AHEAD = 8  # likewise of jobs that go alone, whose messages may be eight times as long
ALL_AHEAD = 512  # jobs that all workers together have; the kernel counts descriptors under way
LEND_SECONDS = (
    0.002  # of work that waits, from which on a job is lent: ten times what the way takes
)


class Schedulable(Waiting, Protocol):
    """What the scheduler knows of a job.

    Attributes:
        started: When a worker began it. Set here.
        retry: Whether it is tried once more when its worker dies. Set here.
    """

    started: float
    retry: bool

    @property
    def awaited(self) -> bool:
        """Does somebody wait for it?"""

    @property
    def telling(self) -> bool:
        """Does the time that it takes tell what others will take?"""


J = TypeVar("J", bound=Schedulable)
W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Give(Generic[J, W]):
    """The worker is to do these jobs, behind those that it has."""

    jobs: tuple[J, ...]
    worker: W


@dataclass(frozen=True, slots=True)
class Take(Generic[J, W]):
    """The worker is not to begin this job, which another does; it still says that it has not."""

    job: J
    worker: W


@dataclass(frozen=True, slots=True)
class Expire(Generic[J]):
    """The time of this job is up; it has been given to nobody."""

    job: J


@dataclass(frozen=True, slots=True)
class Lend(Generic[J]):
    """Another front is to do this job."""

    job: J
    front: int


@dataclass(frozen=True, slots=True)
class Retire(Generic[W]):
    """The worker is to end; it has no jobs, and gets none."""

    worker: W


Action = Give[J, W] | Take[J, W] | Expire[J] | Lend[J] | Retire[W]


@dataclass(slots=True, eq=False)
class _Turn(Generic[J]):
    """A job's place at a worker.

    Attributes:
        job: The job.
        cost: Its cost when it was given, by which it is counted.
        together: Whether it came along with another one.
        taken: Whether another worker does it.
    """

    job: J
    cost: Cost | None
    together: bool = False
    taken: bool = False


@dataclass(slots=True, eq=False)
class _Desk(Generic[J]):
    """What a worker has been given.

    Attributes:
        turns: Its jobs; the first is under work.
        started: When it began that one.
        retiring: Whether it gets no further job.
    """

    turns: deque[_Turn[J]] = field(default_factory=deque)
    started: float = 0.0
    retiring: bool = False

    def last(self) -> _Turn[J] | None:
        """The last of its jobs but the first that is still to be done here."""
        for turn in islice(reversed(self.turns), len(self.turns) - 1):
            if not turn.taken and turn.job.awaited:
                return turn
        return None


class Scheduler(Generic[J, W]):
    """The jobs that wait, and the workers.

    Args:
        count: Workers that work at a time.
        bounds: How much may wait.
        memory: Bytes that jobs other than quick ones may take together.
        others: What other fronts have of that.
    """

    def __init__(
        self, *, count: int, bounds: Bounds, memory: int, others: OtherFronts | None = None
    ) -> None:
        self.lanes: Lanes[J] = Lanes(count=count, bounds=bounds, memory=memory, others=others)
        self._others = others
        self._desks: dict[W, _Desk[J]] = {}
        self._idle: list[W] = []
        self._retired: list[W] = []
        self._ahead = 0  # jobs that workers have, have not begun, and shall begin

    # -- workers -----------------------------------------------------------------------------------

    def __contains__(self, worker: W) -> bool:
        return worker in self._desks

    def idle(self) -> tuple[W, ...]:
        """Workers that have nothing to do."""
        return tuple(self._idle)

    def under_work(self) -> list[tuple[W, Cost | None]]:
        """The workers that work, each with the cost of its job as it was when it was given."""
        return [(worker, desk.turns[0].cost) for worker, desk in self._desks.items() if desk.turns]

    def add(self, worker: W) -> None:
        """A worker has started."""
        self._desks[worker] = _Desk()
        self._idle.append(worker)

    def remove(self, worker: W, *, retry: bool = True) -> J | None:
        """A worker has ended. Return the job that it was at, where that is not tried again.

        Its other jobs wait as the first of their lanes: they have waited before.

        Args:
            worker: One that is known here.
            retry: Whether that job may be tried again, once.
        """
        turns = self._desks.pop(worker).turns
        if worker in self._idle:
            self._idle.remove(worker)
        if not turns:
            return None
        first = turns.popleft()
        self.lanes.ended(first.cost)
        self._ahead -= sum(not turn.taken for turn in turns)
        lost = first.job if not first.taken and first.job.awaited else None
        for turn in reversed(turns):
            if not turn.taken and turn.job.awaited:
                self.lanes.enter_again(turn.job)
        turns.clear()
        if lost and lost.retry and retry:
            lost.retry = False
            self.lanes.enter_again(lost)
            return None
        return lost

    def finish(self, worker: W, now: float, *, retire: bool = False) -> J | None:
        """A worker is done with the first of its jobs, and begins the next one.

        Args:
            worker: One that has a job.
            now: Seconds, by any clock.
            retire: Whether it is to end when it has no more jobs.

        Returns:
            That job; ``None`` where another worker does it.
        """
        desk = self._desks[worker]
        turn = desk.turns.popleft()
        # one that was stopped tells nothing of others, nor one that has waited for bytes
        tells = not turn.taken and turn.job.awaited and turn.job.telling
        self.lanes.ended(turn.cost, now - desk.started if tells else None)
        desk.retiring = desk.retiring or retire
        if desk.turns:
            self._ahead -= not desk.turns[0].taken
            self._begin(desk, now)
            self.lanes.begun(desk.turns[0].cost)
        elif desk.retiring:
            del self._desks[worker]
            self._retired.append(worker)
        else:
            self._idle.append(worker)
        return None if turn.taken else turn.job

    # -- jobs --------------------------------------------------------------------------------------

    def enter(self, job: J, size: int = 0) -> bool:
        """A job waits. Return whether it waits for others of its content, too.

        For that it has a moment, after which the caller calls :meth:`gathered`.

        Args:
            job: The job.
            size: Bytes of its source.
        """
        job.gathering = bool(job.content) and size >= LARGE_SOURCE
        self.lanes.enter(job)
        return job.gathering

    def gathered(self, job: J) -> None:
        """It has waited for others long enough."""
        job.gathering = False

    def abandon(self, job: J) -> W | None:
        """Nobody waits for a job any more. Return the worker that has it, if any: it may stop."""
        if not self.lanes.leave(job):
            for worker, desk in self._desks.items():
                if any(turn.job is job and not turn.taken for turn in desk.turns):
                    return worker
        return None

    def overdue(self, now: float) -> list[J]:
        """Jobs whose time is up; they stay where they are until they are abandoned."""
        return [*self.lanes.overdue(now), *(job for job in self._given() if job.deadline <= now)]

    def clear(self) -> list[J]:
        """All jobs; none waits any more, and no worker gets one."""
        self._idle.clear()
        return [*self.lanes.clear(), *self._given()]

    def enter_again(self, job: J) -> None:
        """A job waits as the first of its lane, which was given away in vain."""
        self.lanes.enter_again(job)

    # -- bounds ------------------------------------------------------------------------------------

    def ahead(self) -> int:
        """Jobs that wait at a worker."""
        return self._ahead

    def free(self) -> int:
        """Jobs that could begin now, besides those that wait."""
        return 0 if self.lanes.pressing else max(0, min(len(self._idle), self.lanes.room))

    @property
    def quiet(self) -> bool:
        """Does nothing wait, and may one more job begin?"""
        return not (self.lanes.queued or self._ahead) and self.lanes.room > 0

    def waiting(self) -> int:
        """Jobs that would begin if a worker were free."""
        return self._ahead + sum(not job.gathering for job in self.lanes)

    def waits(self, job: J) -> bool:
        """Has no worker been given this job?"""
        return job in self.lanes

    def wait(self, lane: Lane = Lane.QUICK) -> float:
        """Seconds that the next job of a lane would have to wait, as predicted."""
        return self.lanes.wait(lane, self._ahead)

    def refusal(self, left: float, cost: Cost | None = None, waited: float = 0.0) -> Refusal | None:
        """Return why the next job would be refused; ``None`` where it would not.

        Args:
            left: Seconds until its deadline.
            cost: Its cost, where that is known.
            waited: Seconds that it has waited already.
        """
        return self.lanes.refusal(lane_of(cost), left, self._ahead, cost, waited)

    # -- decisions ---------------------------------------------------------------------------------

    def actions(self, now: float) -> Iterator[Action[J, W]]:
        """What is to be done now. Each counts as done when it is handed out.

        To do one may call methods of this scheduler, also this one: what follows is decided then.
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
        """Give workers what they are to begin next, each its first one before any has a second."""
        most = math.ceil(AHEAD_SECONDS / self.lanes.quick_seconds)
        most = min(most, MAX_AHEAD, max(1, ALL_AHEAD // max(1, len(self._desks))))
        while self.lanes.queued and (worker := self._least(most)) is not None:
            alone = len(self._desks[worker].turns) <= ALONE_AHEAD
            if (job := self.lanes.ahead(alone=alone)) is None:
                return
            yield self._give(job, worker, now)

    def _least(self, most: int) -> W | None:
        """The worker at quick jobs that has the fewest, up to ``most``; ``None`` for none."""
        result, fewest = None, most + 1
        for worker, desk in self._desks.items():
            count = len(desk.turns)
            if 0 < count < fewest and desk.turns[0].cost is None and not desk.retiring:
                result, fewest = worker, count
        return result

    def _steal(self, now: float) -> Take[J, W] | None:
        """Take a job away from a worker that has not begun it; it counts as under work."""
        for worker, desk in self._desks.items():
            turn = desk.last() if len(desk.turns) > 1 else None
            if turn is None or (turn.together and now - desk.started < PART_AFTER):
                continue
            self._take(turn)
            self.lanes.begun(turn.cost)
            return Take(turn.job, worker)
        return None

    def _take(self, turn: _Turn[J]) -> None:
        turn.taken = True
        self._ahead -= 1

    def _lend(self, others: OtherFronts) -> Iterator[Action[J, W]]:
        """Give jobs to other fronts that could begin them now."""
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
        """Does so much wait that it is worth the way?"""
        lanes = self.lanes
        quick = lanes.quick + self._ahead
        return quick * lanes.quick_seconds > LEND_SECONDS or lanes.queued > lanes.quick

    def _recall(self) -> Take[J, W] | None:
        """Take a job away from a worker that has not begun it; it does not count here any more."""
        for worker, desk in self._desks.items():
            turn = desk.last() if len(desk.turns) > 1 else None
            if turn and not turn.together and not turn.job.borrowed:
                self._take(turn)
                return Take(turn.job, worker)
        return None

    def _give(self, first: J, worker: W, now: float) -> Give[J, W]:
        """Give a job to a worker, with those that can go along."""
        alike = [] if first.cost else self.lanes.alike(first, MAX_TOGETHER - 1)
        desk = self._desks[worker]
        begins = not desk.turns
        self._ahead += len(alike) + (not begins)
        desk.turns.append(_Turn(first, first.cost))
        desk.turns.extend(_Turn(job, job.cost, together=True) for job in alike)
        if begins:
            self._begin(desk, now)
        return Give((first, *alike), worker)

    @staticmethod
    def _begin(desk: _Desk[J], now: float) -> None:
        desk.started = now
        if not desk.turns[0].taken:
            desk.turns[0].job.started = now

    def _given(self) -> Iterator[J]:
        """Jobs that workers have."""
        for desk in self._desks.values():
            yield from (turn.job for turn in desk.turns if not turn.taken)

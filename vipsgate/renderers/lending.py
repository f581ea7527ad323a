"""Lends jobs to other fronts, so that none waits in one front while renderers of another are idle.

Every front has its own renderers, so a job normally passes no other process. A job that would wait
longer than the transfer takes, and that another front could begin at once, is sent to that front;
a front whose renderers are idle notifies one where jobs wait. The alternative, one broker for all
renderers, costs every job two more messages, a tenth of the time of a thumbnail, and would be one
more process that can be overloaded.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..fronts.claims import Claim
from ..fronts.peers import Peers
from ..fronts.scoreboard import MICRO, Column
from ..image.cost import Cost
from ..worker import protocol
from ..worker.protocol import Message
from .lanes import Lane, Lanes, animations
from .scheduler import LEND_SECONDS, Scheduler

if TYPE_CHECKING:
    from .process import PendingJob, WorkerProcess

RENDER, FREE = "render", "free"  # names of a call and of a notice to other fronts
WAITING = {"heavy": Column.HEAVY, "animated": Column.ANIMATED}  # by lane
WORK = {"heavy": Column.HEAVY_WORK, "animated": Column.ANIMATED_WORK}
EXPENSIVE = (
    *(Column.HEAVY, Column.ANIMATED, Column.HEAVY_WORK, Column.ANIMATED_WORK),
    *(Column.LACKING, Column.FIRST_ANIMATION),
)
NOTHING = (0,) * len(EXPENSIVE)
FRESH_SECONDS = 0.001  # for which the numbers of other fronts are not read again


class RefusedError(Exception):
    """The other front has no free renderer any more."""


def choose(front: int, free: Sequence[int]) -> int | None:
    """Return the front whose renderers could begin the most jobs, or ``None`` if none could.

    Args:
        front: The number of this front, which is left out.
        free: Number of jobs that each front could begin.
    """
    others = [(count, -number) for number, count in enumerate(free) if number != front]
    most, number = max(others, default=(0, 0))
    return -number if most > 0 else None


class Lending:
    """The jobs that one front lends to others and borrows from them.

    Args:
        peers: Access to the other fronts.
    """

    def __init__(self, peers: Peers) -> None:
        self.peers, self._scoreboard, self._me = peers, peers.scoreboard, peers.front
        self._published: tuple[int, ...] = ()
        self._expensive: tuple[int, ...] = ()
        self._looked = 0.0  # when the numbers below were read
        self._waiting, self._work, self._renderers = 0, 0.0, (0, 0)  # of all others

    # -- for the lanes: see vipsgate.renderers.admission.OtherFronts -------------------------------

    def waiting(self) -> int:
        """Number of jobs that wait in other fronts."""
        self._look()
        return self._waiting

    def held(self) -> int:
        """Bytes of memory for which heavy jobs of other fronts have a permit."""
        return self._scoreboard.others(self._me, Column.HELD)

    def animations(self, deadline: float) -> int:
        """Return the number of animations that other fronts run, or are to begin before this."""
        at_work = self._scoreboard.others(self._me, Column.ANIMATIONS)
        return at_work + self._earlier(Column.FIRST_ANIMATION, deadline)

    def hold(self, memory: int, animations: int) -> None:
        """Publish what the running heavy jobs of this front take."""
        self._scoreboard.set(self._me, Column.HELD, memory)
        self._scoreboard.set(self._me, Column.ANIMATIONS, animations)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock under which only one front at a time gives permits for heavy jobs."""
        with self._scoreboard.lock():
            yield

    def before(self, deadline: float) -> bool:
        """Return whether a job of another front lacks only memory and has an earlier deadline."""
        return self._earlier(Column.LACKING, deadline) > 0

    def _earlier(self, column: Column, deadline: float) -> int:
        """Return how many other fronts that respond have an earlier deadline in a column."""
        latest = int(min(deadline * MICRO, sys.maxsize))
        return sum(
            front != self._me and 0 < other < latest and self._scoreboard.responds(front)
            for front, other in enumerate(self._scoreboard.column(column))
        )

    def spread(self, work: float, renderers: int) -> float:
        """Return the seconds that quick jobs would wait if spread evenly over all fronts."""
        self._look()
        renderers += sum(self._renderers)
        return (work + self._work) / renderers if renderers else math.inf

    def lane(self, lane: str) -> tuple[int, float]:
        """Return the number of jobs of a lane that wait in other fronts, and their seconds."""
        others, me = self._scoreboard.others, self._me
        return others(me, WAITING[lane]), others(me, WORK[lane]) / MICRO

    def renderers(self) -> tuple[int, int]:
        """Return the number of renderers of the fronts before this one, and of those after it."""
        self._look()
        return self._renderers

    def _look(self) -> None:
        """Read the numbers of other fronts unless they are fresh, as each job needs them often."""
        now = time.monotonic()
        if now - self._looked > FRESH_SECONDS:
            self._looked, scoreboard, me = now, self._scoreboard, self._me
            self._waiting = scoreboard.others(me, Column.WAITING)
            self._work = scoreboard.others(me, Column.WORK) / MICRO
            renderers = scoreboard.column(Column.RENDERERS)
            self._renderers = sum(renderers[:me]), sum(renderers[me + 1 :])

    # -- for the pool ------------------------------------------------------------------------------

    def publish(self, scheduler: Scheduler[PendingJob, WorkerProcess]) -> None:
        """Publish the numbers of this front."""
        lanes = scheduler.lanes
        free, ahead = scheduler.free(), scheduler.ahead()
        work = int((lanes.quick + ahead) * lanes.quick_seconds * MICRO)
        numbers = (free, lanes.queued + ahead, work)
        if free or numbers != self._published:  # other fronts change FREE, too
            self._published = numbers
            self._write((Column.FREE, Column.WAITING, Column.WORK), numbers)
        expensive = _expensive(lanes) if lanes.expensive else NOTHING
        if expensive != self._expensive:
            self._expensive = expensive
            self._write(EXPENSIVE, expensive)

    def offer(self) -> None:
        """If renderers are free here, notify the front that has the most waiting jobs."""
        if self._published[0] and (other := self._needy()) is not None:
            self.peers.channel.notify(other, FREE, {})

    def _write(self, columns: Sequence[Column], numbers: Sequence[int]) -> None:
        for column, number in zip(columns, numbers, strict=True):
            self._scoreboard.set(self._me, column, number)

    def _needy(self) -> int | None:
        """Return the front with the most waiting jobs, or ``None`` if none would lend one."""
        column = self._scoreboard.column
        work, heavy, animated = column(Column.WORK), column(Column.HEAVY), column(Column.ANIMATED)
        most = int(LEND_SECONDS * MICRO)
        permit = any(animated) and sum(column(Column.ANIMATIONS)) < animations(
            sum(column(Column.RENDERERS))
        )
        waits = [
            (own, number)
            for number, own in enumerate(work)
            if number != self._me and (own > most or heavy[number] or (permit and animated[number]))
        ]
        return max(waits)[1] if waits else None

    def free_front(self) -> int | None:
        """Return a front that could begin a job now, or ``None``."""
        free = self._scoreboard.column(Column.FREE)
        free[self._me] = 0
        if max(free) <= 0:  # as usual when jobs wait
            return None
        while (other := choose(self._me, free)) is not None:
            if self._scoreboard.responds(other):
                return other
            free[other] = 0
        return None

    def lent(self, front: int) -> None:
        """Count a job as begun in a front, until that front publishes its numbers again."""
        self._scoreboard.add(front, Column.FREE, -1)

    def gather(self, content: str) -> Claim:
        """Claim that jobs of one content gather in this front."""
        return self.peers.claims.acquire(f"content {content}")

    async def ask(
        self, to: int, job: protocol.Job, content: str, cost: Cost | None, seconds: float
    ) -> protocol.Output:
        """Have another front do a job.

        Args:
            to: The number of the front.
            job: The job; its descriptors stay open and belong to the caller.
            content: See :meth:`vipsgate.renderers.pool.Renderers.render`.
            cost: A worker's estimate, or ``None``.
            seconds: Seconds until its deadline.

        Raises:
            RefusedError: The front has no free renderer.
            FrontLostError: The front has ended.
            OssError: The job has failed.
        """
        batch, descriptors = protocol.Batch(1, (job,)).encode()
        estimate = (cost.seconds, cost.memory, cost.pages) if cost else None
        body = {"batch": batch, "content": content, "cost": estimate, "seconds": seconds}
        answer, files = await self.peers.channel.call(to, RENDER, body, descriptors)
        if "refused" in answer:
            raise RefusedError
        outcome = protocol.Reply.decode(answer, files, 1).outcome
        assert isinstance(outcome, protocol.Output)
        return outcome


def _expensive(lanes: Lanes[PendingJob]) -> tuple[int, ...]:
    """Return the numbers of this front for the columns :data:`EXPENSIVE`."""
    waiting = lanes.waiting()
    times = (
        *(lanes.seconds(Lane.HEAVY), lanes.seconds(Lane.ANIMATED)),
        *(lanes.lacking, lanes.first_animation),
    )
    return waiting[Lane.HEAVY], waiting[Lane.ANIMATED], *(int(time * MICRO) for time in times)


def read(body: Message, descriptors: Sequence[int]) -> tuple[protocol.Job, str, Cost | None, float]:
    """Read the message of :meth:`Lending.ask`: job, content, cost, seconds until the deadline."""
    job = protocol.Batch.decode(body["batch"], descriptors).jobs[0]
    cost = Cost(*body["cost"]) if body["cost"] else None
    return job, body["content"], cost, body["seconds"]

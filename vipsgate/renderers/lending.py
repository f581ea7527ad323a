"""Lends jobs to other fronts, so that none waits in one front while renderers of another are idle.

Every front has its own renderers, so a job normally passes no other process. A job that would wait
longer than the transfer takes, and that another front could begin at once, is sent to that front;
a front whose renderers are idle notifies one where jobs wait. The alternative, one broker for all
renderers, costs every job two more messages, a tenth of the time of a thumbnail, and would be one
more process that can be overloaded.
"""

from __future__ import annotations

import math
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
from .scheduler import LEND_SECONDS, Scheduler

if TYPE_CHECKING:
    from .process import PendingJob, WorkerProcess

RENDER, FREE = "render", "free"  # names of a call and of a notice to other fronts
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
        self._looked = 0.0  # when the numbers below were read
        self._waiting, self._work, self._heavy, self._renderers = 0, 0.0, 0.0, 0  # of all others

    # -- for the lanes: see vipsgate.renderers.admission.OtherFronts -------------------------------

    def waiting(self) -> int:
        """Number of jobs that wait in other fronts."""
        self._look()
        return self._waiting

    def held(self) -> int:
        """Bytes of memory for which heavy jobs of other fronts have a permit."""
        return self._scoreboard.others(self._me, Column.HELD)

    def hold(self, memory: int) -> None:
        """Tell other fronts for how many bytes heavy jobs of this front have a permit."""
        self._scoreboard.set(self._me, Column.HELD, memory)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock under which only one front at a time gives permits for memory."""
        with self._scoreboard.lock():
            yield

    def before(self, deadline: float) -> bool:
        """Return whether a job of another front lacks only memory and has an earlier deadline."""
        lacking = self._scoreboard.column(Column.LACKING)
        return any(
            0 < other < int(deadline * MICRO) and self._scoreboard.responds(front)
            for front, other in enumerate(lacking)
            if front != self._me
        )

    def spread(self, work: float, renderers: int) -> float:
        """Return the seconds that quick jobs would wait if spread evenly over all fronts."""
        self._look()
        renderers += self._renderers
        return (work + self._work) / renderers if renderers else math.inf

    def heavy(self) -> tuple[float, int]:
        """Return the seconds of heavy work of other fronts, and the number of their renderers."""
        self._look()
        return self._heavy, self._renderers

    def _look(self) -> None:
        """Read the numbers of other fronts unless they are fresh, as each job needs them often."""
        now = time.monotonic()
        if now - self._looked > FRESH_SECONDS:
            self._looked, scoreboard, me = now, self._scoreboard, self._me
            self._waiting = scoreboard.others(me, Column.WAITING)
            self._work = scoreboard.others(me, Column.WORK) / MICRO
            self._heavy = scoreboard.others(me, Column.HEAVY_WORK) / MICRO
            self._renderers = scoreboard.others(me, Column.RENDERERS)

    # -- for the pool ------------------------------------------------------------------------------

    def publish(self, scheduler: Scheduler[PendingJob, WorkerProcess]) -> None:
        """Publish the numbers of this front, and notify one with waiting jobs of free renderers."""
        lanes = scheduler.lanes
        quick = lanes.quick + scheduler.ahead()
        free, heavy = scheduler.free(), len(lanes) - lanes.quick
        work, heavy_work = quick * lanes.quick_seconds, lanes.heavy_seconds
        lacking = lanes.lacking if heavy else 0.0
        numbers = (
            *(free, quick + heavy, heavy, int(work * MICRO), int(heavy_work * MICRO)),
            int(lacking * MICRO),
        )
        if numbers != self._published or free:
            self._published = numbers
            columns = (
                *(Column.FREE, Column.WAITING, Column.HEAVY),
                *(Column.WORK, Column.HEAVY_WORK, Column.LACKING),
            )
            for column, value in zip(columns, numbers, strict=True):
                self._scoreboard.set(self._me, column, value)
        if free and (other := self._needy()) is not None:
            self.peers.channel.notify(other, FREE, {})

    def _needy(self) -> int | None:
        """Return the front with the most waiting jobs, or ``None`` if none would lend one."""
        work, heavy = self._scoreboard.column(Column.WORK), self._scoreboard.column(Column.HEAVY)
        most = int(LEND_SECONDS * MICRO)
        waits = [
            (own, number)
            for number, own in enumerate(work)
            if number != self._me and (own > most or heavy[number])
        ]
        return max(waits)[1] if waits else None

    def free_front(self) -> int | None:
        """Reserve a permit of a front that could begin a job now; return the front, or ``None``."""
        free = self._scoreboard.column(Column.FREE)
        free[self._me] = 0
        if max(free) <= 0:  # as usual when jobs wait
            return None
        while (other := choose(self._me, free)) is not None:
            if self._scoreboard.responds(other):
                self._scoreboard.add(other, Column.FREE, -1)  # until it publishes again
                return other
            free[other] = 0
        return None

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


def read(body: Message, descriptors: Sequence[int]) -> tuple[protocol.Job, str, Cost | None, float]:
    """Read the message of :meth:`Lending.ask`: job, content, cost, seconds until the deadline."""
    job = protocol.Batch.decode(body["batch"], descriptors).jobs[0]
    cost = Cost(*body["cost"]) if body["cost"] else None
    return job, body["content"], cost, body["seconds"]

"""Jobs that other fronts of the machine do, so that none queues while renderers of another idle.

Every front has renderers of its own, which spares all jobs a hop. What would wait here for longer
than the hop takes, and could begin there at once, is asked of that front; a front whose
renderers have nothing to do says so to one where something waits. The other design, one broker for
all renderers, costs every job two more messages, a tenth of a thumbnail, and is a front of its own
that can be full.
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

RENDER, FREE = "render", "free"  # what is asked, and told
FRESH_SECONDS = 0.001  # for which a look at what waits in other fronts will do


class RefusedError(Exception):
    """The front that was asked has no renderer for it any more."""


def choose(front: int, free: Sequence[int]) -> int | None:
    """Return the front whose renderers could begin the most jobs; ``None`` where none could.

    Args:
        front: The one that asks.
        free: Jobs that could begin, by front.
    """
    others = [(count, -number) for number, count in enumerate(free) if number != front]
    most, number = max(others, default=(0, 0))
    return -number if most > 0 else None


class Lending:
    """What one front's pool lends and borrows.

    Args:
        peers: Where the others are.
    """

    def __init__(self, peers: Peers) -> None:
        self.peers, self._scoreboard, self._me = peers, peers.scoreboard, peers.front
        self._published: tuple[int, ...] = ()
        self._looked = 0.0  # when that was
        self._waiting, self._work, self._heavy, self._renderers = 0, 0.0, 0.0, 0  # of all others

    # -- for the lanes: see vipsgate.renderers.admission.OtherFronts -------------------------------

    def waiting(self) -> int:
        """Jobs that wait in other fronts."""
        self._look()
        return self._waiting

    def held(self) -> int:
        """Bytes of memory for which heavy jobs of other fronts have a permit."""
        return self._scoreboard.others(self._me, Column.HELD)

    def hold(self, memory: int) -> None:
        """Tell the others for how many bytes heavy jobs have a permit here."""
        self._scoreboard.set(self._me, Column.HELD, memory)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Decide about that memory while nobody else does."""
        with self._scoreboard.lock():
            yield

    def before(self, deadline: float) -> bool:
        """Does a job of another front wait for that memory alone, and for longer?"""
        lacking = self._scoreboard.column(Column.LACKING)
        return any(
            0 < other < int(deadline * MICRO) and self._scoreboard.responds(front)
            for front, other in enumerate(lacking)
            if front != self._me
        )

    def spread(self, work: float, renderers: int) -> float:
        """Seconds that quick work takes which waits here, were all that waits spread evenly."""
        self._look()
        renderers += self._renderers
        return (work + self._work) / renderers if renderers else math.inf

    def heavy(self) -> tuple[float, int]:
        """Seconds that heavy jobs of other fronts take, and their renderers."""
        self._look()
        return self._heavy, self._renderers

    def _look(self) -> None:
        """See what waits in other fronts: it is wanted several times with each picture."""
        now = time.monotonic()
        if now - self._looked > FRESH_SECONDS:
            self._looked, scoreboard, me = now, self._scoreboard, self._me
            self._waiting = scoreboard.others(me, Column.WAITING)
            self._work = scoreboard.others(me, Column.WORK) / MICRO
            self._heavy = scoreboard.others(me, Column.HEAVY_WORK) / MICRO
            self._renderers = scoreboard.others(me, Column.RENDERERS)

    # -- for the pool ------------------------------------------------------------------------------

    def publish(self, scheduler: Scheduler[PendingJob, WorkerProcess]) -> None:
        """Tell the others how things are; one where something waits, that renderers are free."""
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
        """The front where most waits, if any would give it away."""
        work, heavy = self._scoreboard.column(Column.WORK), self._scoreboard.column(Column.HEAVY)
        most = int(LEND_SECONDS * MICRO)
        waits = [
            (own, number)
            for number, own in enumerate(work)
            if number != self._me and (own > most or heavy[number])
        ]
        return max(waits)[1] if waits else None

    def free_front(self) -> int | None:
        """A front that could begin a job now; it is taken to have begun one then."""
        free = self._scoreboard.column(Column.FREE)
        free[self._me] = 0
        if max(free) <= 0:  # as it mostly is where something waits
            return None
        while (other := choose(self._me, free)) is not None:
            if self._scoreboard.responds(other):
                self._scoreboard.add(other, Column.FREE, -1)  # until it tells anew
                return other
            free[other] = 0
        return None

    def gather(self, content: str) -> Claim:
        """Claim that jobs of one content gather here."""
        return self.peers.claims.acquire(f"content {content}")

    async def ask(
        self, to: int, job: protocol.Job, content: str, cost: Cost | None, seconds: float
    ) -> protocol.Output:
        """Have another front do a job.

        Args:
            to: Which one.
            job: The job; its descriptors stay the caller's.
            content: See :meth:`vipsgate.renderers.pool.Renderers.render`.
            cost: As a worker has estimated it.
            seconds: Until its deadline.

        Raises:
            RefusedError: It has no renderer for it.
            FrontLostError: It has ended.
            OssError: What came of the job.
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
    """A question of :meth:`Lending.ask` again."""
    job = protocol.Batch.decode(body["batch"], descriptors).jobs[0]
    cost = Cost(*body["cost"]) if body["cost"] else None
    return job, body["content"], cost, body["seconds"]

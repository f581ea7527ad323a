"""The pool of worker processes: takes jobs, sends each to a worker, and stops abandoned ones.

There is one process more than may work at a time, so that a dead one is replaced by a warm one at
once, and a quick picture finds one while all others are at expensive work. Which of them does which
job is decided by :mod:`.scheduler`; the processes themselves are in :mod:`.workers`. A client that
leaves, and a deadline, are reported to libvips first and enforced by SIGKILL after a grace. Where
there are several fronts, each has a pool, and they lend each other what is free (:mod:`.lending`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .. import errors
from ..fronts.channel import Reply
from ..fronts.claims import Claim
from ..fronts.peers import Peers
from ..fronts.scoreboard import Column
from ..image.cost import Cost
from ..store.arrival import Arrival
from ..worker import protocol
from .admission import QUEUE_BYTES, Bounds, Reason, Refusal
from .lanes import QUICK_BYTES, QUICK_SECONDS, Lane, lane_of
from .lending import FREE, RENDER, Lending, read
from .lent import LentJobs
from .lowest import FullError, Lowest
from .process import PendingJob, WorkerDied, WorkerProcess
from .refusals import BUSY, Refusals
from .result import Result
from .scheduler import LARGE_SOURCE, MAX_TOGETHER, Expire, Give, Lend, Retire, Scheduler, Take
from .state import State
from .tasks import Tasks
from .workers import COMMAND, Workers

POLL_INTERVAL = 0.05  # seconds between two looks at the workers' memory, and at deadlines
GATHER = 0.002  # seconds that a job waits for others of its content; decoding takes ten times that
MAX_TEXT = 2048  # characters of a process; jobs with longer ones go alone
MAX_ATTACHMENTS = protocol.MAX_DESCRIPTORS // MAX_TOGETHER - 1  # likewise


class GivenBack(Exception):
    """A job whose source still comes has left its worker to others."""


class Renderers:
    """The pool.

    Args:
        count: Workers that work at a time.
        queue: Jobs that may wait for one.
        queue_seconds: That a job may have to wait, as predicted.
        queue_bytes: Of memory that requests may take which wait.
        timeout: Seconds for one job, waiting included.
        ceiling: Bytes of memory above which an idle worker is replaced.
        job_memory: Bytes that a job may take on top of what its worker held before.
        memory: Bytes that jobs other than quick ones may take together, as estimated.
        settings: ``limits`` and ``image`` of the configuration, as plain values.
        peers: The other fronts of the machine; ``None`` where there is one.
        command: What to start; tests start others.
    """

    def __init__(
        self,
        *,
        count: int,
        queue: int,
        queue_seconds: float,
        queue_bytes: int = QUEUE_BYTES,
        timeout: float,
        ceiling: int,
        job_memory: int,
        memory: int,
        settings: dict[str, Any],
        peers: Peers | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._timeout = timeout
        self._bounds = Bounds(min(queue_seconds, timeout), queue, queue_bytes)
        self._count = count
        self._workers = Workers(
            count + 1,
            command=command,
            settings=settings,
            ceiling=ceiling,
            job_memory=job_memory,
            started=self._started,
            replied=self._replied,
            lost=self._lost,
        )
        self._lending = Lending(peers) if peers else None
        self._lent = LentJobs(self._lending, self._take_back) if self._lending else None
        self._scheduler: Scheduler[PendingJob, WorkerProcess] = Scheduler(
            count=count, bounds=self._bounds, memory=memory, others=self._lending
        )
        self._lowest = Lowest(
            lambda: self._scheduler.quiet,
            permits=max(1, count // 2),  # the next of the others finds a worker
            queue=queue,
            timeout=timeout,
        )
        self._arriving: set[PendingJob] = set()
        self._refusals = Refusals()
        self._tasks = Tasks()

    # -- what the server sees --------------------------------------------------------------------

    async def start(self) -> None:
        """Start all workers and wait until they are ready.

        Raises:
            StartError: One of them cannot work here.
        """
        await self._workers.start()
        self._tasks.run(self._watch())
        if self._lending:
            peers = self._lending.peers
            peers.publish(Column.RENDERERS, self._count)
            peers.channel.on_call(RENDER, self._borrow)
            peers.channel.on_notice(FREE, lambda body, files: self._dispatch())

    async def close(self) -> None:
        """End all workers; what they were doing is lost."""
        self._tasks.cancel()
        lent = self._lent.clear() if self._lent else ()
        for job in (*self._scheduler.clear(), *lent):
            if not job.result.done():
                job.result.set_exception(errors.ServiceUnavailable("The server is being stopped."))
        await self._workers.close()

    @property
    def version(self) -> str:
        """What the workers make pictures with; empty until the first one is ready."""
        return self._workers.version

    @property
    def sandbox(self) -> str:
        """What the sandbox of the workers consists of here, in words."""
        return self._workers.sandbox

    def refusal(self, waited: float = 0.0) -> Refusal | None:
        """Return why the next job would be refused; ``None`` where it would not.

        Args:
            waited: Seconds that its request has waited already.
        """
        return self._scheduler.refusal(self._timeout, waited=waited)

    @property
    def quiet(self) -> bool:
        """Does nothing wait, and would one more job begin at once?"""
        return self._scheduler.quiet

    def check(self) -> None:
        """Refuse a job before anything is opened for it; whether it is taken is decided later.

        Raises:
            CpuLimitExceeded: It would be refused if it came now.
        """
        if refusal := self.refusal():
            raise self.refuse(refusal)

    def check_memory(self, requests: int) -> None:
        """Refuse a request where all that wait would take more memory than they may.

        Args:
            requests: That wait, with this one: for a worker, or for the same picture.

        Raises:
            CpuLimitExceeded: They would.
        """
        if self._bounds.holds(requests):
            return
        raise self.refuse(Refusal(Reason.MEMORY, self._scheduler.wait()))

    def refuse(self, refusal: Refusal) -> errors.CpuLimitExceeded:
        """Count a refusal, and return the error that the client gets."""
        return self._refusals.refuse(refusal)

    def state(self) -> State:
        """See :class:`State`."""
        scheduler, lanes = self._scheduler, self._scheduler.lanes
        waiting = lanes.waiting()
        waiting[Lane.QUICK] += scheduler.ahead()
        return State(
            permits=lanes.permits(),
            working=lanes.working(),
            waiting=waiting,
            held=lanes.held,
            waits={lane.value: scheduler.wait(lane) for lane in Lane},
            queue=self._bounds.jobs,
            queue_seconds=self._bounds.seconds,
            refusals=self._refusals.counts(),
            lent=self._lent.count if self._lent else 0,
            memory=self._workers.memory(),
            starts=self._workers.starts,
            ends=dict(self._workers.ends),
        )

    def pids(self) -> list[int]:
        """The process ids of all workers, the spare one included."""
        return [worker.process.pid for worker in self._workers]

    @asynccontextmanager
    async def lowest(self, *, counted: bool = True) -> AsyncIterator[None]:
        """Wait in the lowest lane for a turn; what is rendered within is admitted as all else.

        Args:
            counted: Whether it is a refusal where there is no turn: somebody has asked for it.

        Raises:
            CpuLimitExceeded: Others wait all the time, or too many in this lane.
        """
        try:
            async with self._lowest.turn():
                yield
        except FullError:
            if not counted:
                raise errors.CpuLimitExceeded(BUSY[Reason.WAIT]) from None
            raise self.refuse(Refusal(Reason.WAIT, self._scheduler.wait())) from None

    async def render(
        self, job: protocol.Job, content: str = "", arrival: Arrival | None = None
    ) -> Result:
        """Have a job done.

        Args:
            job: What is to be done; its descriptors stay the caller's.
            content: Names the content of the source, so that jobs of one may go together; empty
                where that is not known.
            arrival: Of the source, where its bytes still come; such a job goes alone.

        Raises:
            GivenBack: Its source still comes, and others need the worker or its time is up.
            CpuLimitExceeded: The queue is full, or the time is up.
            ImageTooLarge: It took more memory than was foreseen for it.
            ImageDamage: The decoder died of it, twice.
            WatermarkError: One of the attachments cannot be used.
            OssError: What the worker raised.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if len(job.process) > MAX_TEXT or len(job.attachments) > MAX_ATTACHMENTS:
            content = ""
        pending = PendingJob(job, begun + self._timeout, loop.create_future(), content, arrival)
        pending.borrowed = arrival is not None  # its bytes come here
        return await self._done(pending, begun)

    async def _borrow(self, body: protocol.Message, descriptors: list[int]) -> Reply:
        """Do a job for another front."""
        loop = asyncio.get_running_loop()
        job, content, cost, seconds = read(body, descriptors)
        begun = loop.time()
        pending = PendingJob(job, begun + seconds, loop.create_future(), content, cost=cost)
        pending.borrowed = True
        if self._scheduler.refusal(seconds, cost):
            return {"refused": True}, ()
        result = await self._done(pending, begun)
        return protocol.Reply(1, 0, result.output()).encode()

    async def _done(self, pending: PendingJob, begun: float) -> Result:
        """See :meth:`render`."""
        self._submit(pending)
        try:
            if pending.arrives:
                self._arriving.add(pending)
            output = await pending.result
        except GivenBack:
            self._abandon(pending)
            raise
        except WorkerDied as died:
            raise await self._workers.error_for_exit(died.worker, pending.cost) from None
        except TimeoutError:
            self._abandon(pending)
            if pending.arrives:
                raise GivenBack from None
            raise self._refusals.late(self._timeout, self._scheduler.wait()) from None
        except (asyncio.CancelledError, GeneratorExit):  # the client is gone
            self._abandon(pending)
            raise
        finally:
            self._arriving.discard(pending)
        if output.master >= 0 and not pending.job.blank:  # which no renderer of ours does
            protocol.close([output.master])
            output = output._replace(master=-1)
        return Result.of(output, pending.started - begun, pending.predicted)

    # -- jobs ------------------------------------------------------------------------------------

    def _submit(self, job: PendingJob) -> None:
        if refusal := self.refusal():
            raise self.refuse(refusal)
        job.predicted = self._scheduler.wait()
        source = job.job.source
        size = os.fstat(source).st_size if job.content and source is not None else 0
        claim: Claim | None = None
        if self._lending and self._lent and size >= LARGE_SOURCE and not job.borrowed:
            claim = self._lending.gather(job.content)
            if claim.owner is not None:
                return self._lent.lend(job, claim.owner)
        if self._scheduler.enter(job, size):
            asyncio.get_running_loop().call_later(GATHER, self._gathered, job, claim)
        self._dispatch()

    def _gathered(self, job: PendingJob, claim: Claim | None) -> None:
        if claim:
            claim.release()
        self._scheduler.gathered(job)
        self._dispatch()

    def _dispatch(self) -> None:
        """Do what the scheduler decides."""
        for action in self._scheduler.actions(asyncio.get_running_loop().time()):
            match action:
                case Give(jobs, worker):
                    budget = None if jobs[0].cost else (QUICK_SECONDS, QUICK_BYTES)
                    worker.send(jobs, budget)
                case Take(job, worker):
                    worker.cancel(job.number)
                case Expire(job):
                    _expire(job)
                case Lend(job, front) if self._lent:
                    self._lent.lend(job, front)
                case Retire(worker):
                    self._workers.replace(worker)
        self._lowest.advance()
        if self._lending:
            self._lending.publish(self._scheduler)

    def _take_back(self, job: PendingJob) -> None:
        """Do a job here, like any other, that another front has not done."""
        job.borrowed = True
        self._scheduler.enter_again(job)
        self._dispatch()

    def _abandon(self, job: PendingJob) -> None:
        """Nobody waits for this job any more."""
        if self._lent and self._lent.cancel(job):
            return
        if worker := self._scheduler.abandon(job):
            worker.cancel(job.number)
        elif job.result.done() and not job.result.cancelled() and not job.result.exception():
            protocol.close(job.result.result().descriptors)  # it came as the caller gave up

    def _replied(self, worker: WorkerProcess, reply: protocol.Reply) -> None:
        """A worker is done with the first of its jobs."""
        now = asyncio.get_running_loop().time()
        outcome = reply.outcome
        # one that has not begun its job holds what it held before
        retire = not isinstance(outcome, Cost) and self._workers.is_too_large(reply.rss)
        job = self._scheduler.finish(worker, now, retire=retire)
        if job is None or not job.awaited:
            if isinstance(outcome, protocol.Output):
                protocol.close(outcome.descriptors)
        elif isinstance(outcome, protocol.Output):
            job.result.set_result(outcome)
        elif isinstance(outcome, Cost):
            self._enter_again(job, outcome, now)
        else:
            job.result.set_exception(outcome)
        self._dispatch()

    def _enter_again(self, job: PendingJob, cost: Cost, now: float) -> None:
        """Let a job wait that was not begun because it costs more than a quick one."""
        job.cost = cost
        if refusal := self._scheduler.refusal(job.deadline - now, cost):
            job.result.set_exception(self.refuse(refusal))
            return
        waited = self._timeout - (job.deadline - now)
        job.predicted = waited + self._scheduler.wait(lane_of(cost))
        self._scheduler.enter(job)

    # -- workers ---------------------------------------------------------------------------------

    def _started(self, worker: WorkerProcess) -> None:
        """A worker is ready."""
        self._scheduler.add(worker)
        self._dispatch()

    def _lost(self, worker: WorkerProcess) -> None:
        """A worker has ended, with whatever it was at."""
        if job := self._scheduler.remove(worker, retry=not worker.out_of_memory):
            job.result.set_exception(WorkerDied(worker))
        self._dispatch()

    async def _watch(self) -> None:
        """Kill what takes too much memory, expire deadlines, part what takes too long together."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            self._workers.check_memory(self._scheduler.idle(), self._scheduler.under_work())
            for job in self._scheduler.overdue(asyncio.get_running_loop().time()):
                _expire(job)
            self._dispatch()
            self._give_back()

    def _give_back(self) -> None:
        """Take workers from pictures whose sources are late, for jobs that wait for one."""
        late = [job for job in self._arriving if job.late > POLL_INTERVAL]
        if not late or not (waiting := self._scheduler.waiting()):
            return
        for job in sorted(late, key=lambda job: job.late, reverse=True)[:waiting]:
            if job.awaited and not self._scheduler.waits(job):
                job.result.set_exception(GivenBack())


def _expire(job: PendingJob) -> None:
    """Its time is up."""
    if not job.result.done():
        job.result.set_exception(TimeoutError())

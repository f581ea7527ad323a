"""The pool of worker processes: accepts jobs, sends each to a worker, and stops abandoned ones.

There is one process more than may work at a time, so that a process that dies is replaced at once,
and a quick picture finds a worker while all others are busy with expensive jobs. :mod:`.scheduler`
decides which worker does which job; :mod:`.workers` starts and ends the processes. If a client
leaves or a deadline passes, libvips is asked to stop, and the process is killed if it does not stop
within a grace period. With several fronts, each has a pool, and lends jobs to others that have free
workers (:mod:`.lending`).
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

POLL_INTERVAL = 0.05  # seconds between two checks of the workers' memory, and of deadlines
GATHER = 0.002  # seconds that a job waits for others of its content; decoding takes ten times that
MAX_TEXT = 2048  # characters of a process text; jobs with a longer one are sent alone
MAX_ATTACHMENTS = protocol.MAX_DESCRIPTORS // MAX_TOGETHER - 1  # likewise


class GivenBack(Exception):
    """A job whose source is still arriving has been stopped, as other jobs need its worker."""


class Renderers:
    """The pool of one front.

    Args:
        count: Workers that may work at a time.
        queue: Largest number of waiting jobs.
        queue_seconds: Longest predicted wait of a job.
        queue_bytes: Largest memory of waiting requests.
        timeout: Seconds for one job, waiting included.
        ceiling: Bytes of memory above which an idle worker is replaced.
        job_memory: Bytes that a job may take on top of what its worker held before.
        memory: Bytes that jobs other than quick ones may take together, by their estimates.
        settings: ``limits`` and ``image`` of the configuration, as plain values.
        peers: Access to the other fronts; ``None`` if there is one front.
        command: The command that starts a worker; tests start others.
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
            permits=max(1, count // 2),  # so that the next job of another lane finds a worker
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
            StartError: A worker cannot run on this machine.
        """
        await self._workers.start()
        self._tasks.run(self._watch())
        if self._lending:
            peers = self._lending.peers
            peers.publish(Column.RENDERERS, self._count)
            peers.channel.on_call(RENDER, self._borrow)
            # not answered with an offer: two fronts could notify each other for ever
            peers.channel.on_notice(FREE, lambda body, files: self._dispatch(offer=False))

    async def close(self) -> None:
        """End all workers; their jobs are lost."""
        self._tasks.cancel()
        lent = self._lent.clear() if self._lent else ()
        for job in (*self._scheduler.clear(), *lent):
            if not job.result.done():
                job.result.set_exception(errors.ServiceUnavailable("The server is being stopped."))
        await self._workers.close()

    @property
    def version(self) -> str:
        """The versions of the workers' libraries; empty until the first worker is ready."""
        return self._workers.version

    @property
    def sandbox(self) -> str:
        """The parts of the workers' sandbox that are in force here, in words."""
        return self._workers.sandbox

    def refusal(self, waited: float = 0.0) -> Refusal | None:
        """Return why the next job would be refused, or ``None`` if it would be accepted.

        Args:
            waited: Seconds that its request has waited already.
        """
        return self._scheduler.refusal(self._timeout, waited=waited)

    @property
    def quiet(self) -> bool:
        """Whether no job waits and one more would begin at once."""
        return self._scheduler.quiet

    def check(self) -> None:
        """Refuse a request before anything is opened for it; its job may still be refused later.

        Raises:
            CpuLimitExceeded: A job would be refused now.
        """
        if refusal := self.refusal():
            raise self.refuse(refusal)

    def check_memory(self, requests: int) -> None:
        """Refuse a request if the waiting requests would take more memory than they may.

        Args:
            requests: Number of requests that wait for a worker or for the same picture as another,
                this one included.

        Raises:
            CpuLimitExceeded: They would take more.
        """
        if self._bounds.holds(requests):
            return
        raise self.refuse(Refusal(Reason.MEMORY, self._scheduler.wait()))

    def refuse(self, refusal: Refusal) -> errors.CpuLimitExceeded:
        """Count a refusal, and return the error for the client."""
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
        """Wait in the lowest lane; jobs within the context are then admitted like all others.

        Args:
            counted: Whether giving up counts as a refusal, because a client waits for the picture.

        Raises:
            CpuLimitExceeded: Too many wait in this lane, or other jobs have waited all the time.
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
            job: The job; its descriptors stay open and belong to the caller.
            content: Identifies the content of the source, so that jobs of equal content may be sent
                together; empty if unknown.
            arrival: The source, if its bytes are still arriving; such a job is sent alone.

        Raises:
            GivenBack: Its source is still arriving, and other jobs need the worker or the deadline
                has passed.
            CpuLimitExceeded: The queue is full, or the deadline has passed.
            ImageTooLarge: It took more memory than its estimate allows.
            ImageDamage: Two workers have died of it.
            WatermarkError: One of the attachments cannot be used.
            OssError: Any other error of the worker.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if len(job.process) > MAX_TEXT or len(job.attachments) > MAX_ATTACHMENTS:
            content = ""
        pending = PendingJob(job, begun + self._timeout, loop.create_future(), content, arrival)
        pending.borrowed = arrival is not None  # not to be lent: its bytes arrive in this front
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
        """Submit a job and wait for its result; see :meth:`render`."""
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
        if output.master >= 0 and not pending.job.blank:  # our renderers never send one unasked
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

    def _dispatch(self, *, offer: bool = True) -> None:
        """Carry out the scheduler's actions.

        Args:
            offer: Whether to notify another front of renderers that are free afterwards.
        """
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
            if offer:
                self._lending.offer()

    def _take_back(self, job: PendingJob) -> None:
        """Do a job in this front that another front has given back."""
        job.borrowed = True
        self._scheduler.enter_again(job)
        self._dispatch()

    def _abandon(self, job: PendingJob) -> None:
        """Drop or cancel a job that is not awaited any more."""
        if self._lent and self._lent.cancel(job):
            return
        if worker := self._scheduler.abandon(job):
            worker.cancel(job.number)
        elif job.result.done() and not job.result.cancelled() and not job.result.exception():
            protocol.close(job.result.result().descriptors)  # arrived just as the caller gave up

    def _replied(self, worker: WorkerProcess, reply: protocol.Reply) -> None:
        """Handle a worker's reply to the first of its jobs."""
        now = asyncio.get_running_loop().time()
        outcome = reply.outcome
        # a worker that has not begun the job has not grown since the last one
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
        """Queue a job again that a worker has handed back as too expensive for a quick one."""
        job.cost = cost
        if refusal := self._scheduler.refusal(job.deadline - now, cost):
            job.result.set_exception(self.refuse(refusal))
            return
        waited = self._timeout - (job.deadline - now)
        job.predicted = waited + self._scheduler.wait(lane_of(cost))
        self._scheduler.enter(job)

    # -- workers ---------------------------------------------------------------------------------

    def _started(self, worker: WorkerProcess) -> None:
        """Add a worker that is ready."""
        self._scheduler.add(worker)
        self._dispatch()

    def _lost(self, worker: WorkerProcess) -> None:
        """Remove a worker that has ended; its job is retried or fails."""
        retry, begun = not worker.out_of_memory, worker.begun
        if job := self._scheduler.remove(worker, retry=retry, begun=begun):
            job.result.set_exception(WorkerDied(worker))
        self._dispatch()

    async def _watch(self) -> None:
        """Enforce memory limits and deadlines, and let free workers take jobs, at intervals."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            self._workers.check_memory(self._scheduler.idle(), self._scheduler.under_work())
            for job in self._scheduler.overdue(asyncio.get_running_loop().time()):
                _expire(job)
            self._dispatch()
            self._give_back()

    def _give_back(self) -> None:
        """Stop pictures whose sources are late, one for each job that waits for a worker."""
        late = [job for job in self._arriving if job.late > POLL_INTERVAL]
        if not late or not (waiting := self._scheduler.waiting()):
            return
        for job in sorted(late, key=lambda job: job.late, reverse=True)[:waiting]:
            if job.awaited and not self._scheduler.waits(job):
                job.result.set_exception(GivenBack())


def _expire(job: PendingJob) -> None:
    """Fail a job that has reached its deadline."""
    if not job.result.done():
        job.result.set_exception(TimeoutError())

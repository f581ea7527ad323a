"""The pool of worker processes: starts them, sends them jobs, and kills them.

There is one process more than may work at a time, so that a dead one is replaced by a warm one at
once, and a quick picture finds one while all others are at expensive work. Which of them does which
job is decided by :mod:`.scheduler`. A client that leaves, and a deadline, are reported to libvips
first and enforced by SIGKILL after a grace. The memory of the workers is watched from here:
RLIMIT_AS makes libvips crash, and an encoder does not stop when asked. Each job is held to its own
estimate, on top of what its worker held before: one that was handed back came with its estimate,
and a worker that begins one without handing it back has found it to be a quick one. Where there are
several fronts, each has a pool, and they lend each other what is free (:mod:`.lending`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from .. import errors
from ..image.cost import Cost
from ..image.notes import Notes
from ..image.search import Choice
from ..siblings.claims import Claim
from ..siblings.family import Family
from ..siblings.post import Answer, LostError
from ..siblings.table import Column
from ..store.arrival import Arrival
from ..worker import protocol
from ..worker.main import ENVIRONMENT
from .admission import QUEUE_BYTES, Bounds, Reason, Refusal
from .lanes import QUICK_BYTES, QUICK_SECONDS, Lane, lane_of
from .lending import FREE, RENDER, Lending, RefusedError, read
from .lowest import FullError, Lowest
from .process import PendingJob, WorkerDied, WorkerProcess
from .scheduler import LARGE_SOURCE, MAX_TOGETHER, Expire, Give, Lend, Retire, Scheduler, Take

POLL_INTERVAL = 0.05  # seconds between two looks at the workers' memory, and at deadlines
START_TIMEOUT = 30.0  # seconds for a worker to be ready; 0.3 is usual
COMMAND = (sys.executable, "-m", "vipsgate.worker.main")
RETRY_SOON = {"Retry-After": "1"}
GATHER = 0.002  # seconds that a job waits for others of its content; decoding takes ten times that
MAX_TEXT = 2048  # characters of a process; jobs with longer ones go alone
MAX_ATTACHMENTS = protocol.MAX_DESCRIPTORS // MAX_TOGETHER - 1  # likewise
BUSY = {
    Reason.WAIT: "The server is busy: the picture would wait too long for a renderer.",
    Reason.LENGTH: "The server is busy: too many pictures wait for a renderer.",
    Reason.MEMORY: "The server is busy: the requests that wait take too much memory.",
}
ENDS = ("died", "memory", "overdue", "replaced")  # why a worker ended: values of a metric's label
# what a worker inherits of the environment: keys of stores and secrets are none of its business
INHERITED = (
    "HOME LANG LC_ALL LC_CTYPE LD_LIBRARY_PATH LD_PRELOAD MALLOC_CONF PATH PYTHONHOME PYTHONPATH "
    "TZ VIRTUAL_ENV".split()
)

log = logging.getLogger(__name__)


class GivenBack(Exception):
    """A job whose source still comes has left its worker to others."""


class StartError(Exception):
    """No worker can be started; the text says why."""


class Result(NamedTuple):
    """A finished picture, or another answer about one.

    Attributes:
        mime: Content-Type.
        size: Bytes.
        descriptor: A memfd with the bytes; who gets the result closes it.
        queue: Seconds waited for a worker.
        render: Seconds from the first look at the file to the last byte.
        missing: Characters of its text that no font has.
        notes: What was not followed to the letter, but for what the text of the process says.
        probe: Seconds of ``render`` that reading the header took; 0 for a video.
        predicted: Seconds of ``queue``, as predicted when it began to wait.
        choice: The quality that was searched for; ``None`` where none was.
        master: A memfd with the source's master, where one was made and is wanted, to be closed
            likewise; -1 else.
    """

    mime: str
    size: int
    descriptor: int
    queue: float
    render: float
    missing: int
    notes: Notes = ()
    probe: float = 0.0
    predicted: float = 0.0
    choice: Choice | None = None
    master: int = -1

    def close(self) -> None:
        """Give the descriptors back."""
        protocol.close([self.descriptor] if self.master < 0 else [self.descriptor, self.master])

    def output(self) -> protocol.Output:
        """The same as a worker says it."""
        return protocol.Output(
            self.mime,
            self.size,
            self.descriptor,
            self.render,
            self.probe,
            self.missing,
            self.notes,
            self.choice,
            self.master,
        )


@dataclass(frozen=True, slots=True)
class State:
    """What the pool is doing, and how often it lost a worker.

    Attributes:
        permits: Jobs that may be worked on at a time, by lane.
        working: Jobs that are worked on, by lane.
        waiting: Jobs that wait, by lane.
        held: Bytes of memory for which jobs other than quick ones have a permit.
        waits: Seconds that the next job would wait, as predicted, by lane.
        queue: Jobs that may wait, in all lanes.
        queue_seconds: That a job may have to wait, as predicted.
        refusals: Jobs that were refused or not done in time, by reason.
        lent: Jobs that other fronts were asked to do.
        memory: Bytes that each worker holds, the spare one included.
        starts: Workers that were ever ready.
        ends: Workers that have ended since, by reason, a word of :data:`ENDS`.
    """

    permits: Mapping[str, int]
    working: Mapping[str, int]
    waiting: Mapping[str, int]
    held: int
    waits: Mapping[str, float]
    queue: int
    queue_seconds: float
    refusals: Mapping[str, int]
    lent: int
    memory: tuple[int, ...]
    starts: int
    ends: Mapping[str, int]


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
        family: The other fronts of the machine; ``None`` where there is one.
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
        family: Family | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.version = ""
        self.sandbox = ""
        self._count, self._timeout = count, timeout
        self._bounds = Bounds(min(queue_seconds, timeout), queue, queue_bytes)
        self._ceiling, self._job_memory = ceiling, job_memory
        self._command = command
        self._settings = orjson.dumps({**settings, "parent": os.getpid()}).decode()
        self._all: set[WorkerProcess] = set()
        self._lending = Lending(family) if family else None
        self._lent: dict[PendingJob, asyncio.Task[None]] = {}
        self._scheduler: Scheduler[PendingJob, WorkerProcess] = Scheduler(
            count=count, bounds=self._bounds, memory=memory, elsewhere=self._lending
        )
        self._lowest = Lowest(
            lambda: self._scheduler.quiet,
            permits=max(1, count // 2),  # the next of the others finds a worker
            queue=queue,
            timeout=timeout,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._arriving: set[PendingJob] = set()
        self._closed = False
        self._starts = self._lent_count = 0
        self._ends = dict.fromkeys(ENDS, 0)
        self._refusals = dict.fromkeys(Reason, 0)

    # -- what the server sees --------------------------------------------------------------------

    async def start(self) -> None:
        """Start all workers and wait until they are ready.

        Raises:
            StartError: One of them cannot work here.
        """
        starts = [asyncio.ensure_future(self._start_one()) for _ in range(self._count + 1)]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.wait(starts)
            await self.close()
            raise
        self._run(self._watch())
        if self._lending:
            family = self._lending.family
            family.tell(Column.RENDERERS, self._count)
            family.post.handle(RENDER, self._borrow)
            family.post.listen(FREE, lambda body, files: self._dispatch())

    async def close(self) -> None:
        """End all workers; what they were doing is lost."""
        self._closed = True
        for task in (*self._tasks, *self._lent.values()):
            task.cancel()
        for job in (*self._scheduler.clear(), *self._lent):
            if not job.result.done():
                job.result.set_exception(errors.ServiceUnavailable("The server is being stopped."))
        workers = list(self._all)
        for worker in workers:
            worker.close(grace=0)
            worker.kill()
        await asyncio.gather(*(worker.process.wait() for worker in workers))
        self._all.clear()

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
            requests: That wait, with this one: for a worker, or for what another has asked for.

        Raises:
            CpuLimitExceeded: They would.
        """
        if self._bounds.holds(requests):
            return
        raise self.refuse(Refusal(Reason.MEMORY, self._scheduler.wait()))

    def refuse(self, refusal: Refusal) -> errors.CpuLimitExceeded:
        """Count a refusal, and return it as the client is told it."""
        self._refusals[refusal.reason] += 1
        error = errors.CpuLimitExceeded(BUSY[refusal.reason], headers=refusal.headers)
        error.hold = max(1.0, refusal.wait)
        return error

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
            refusals={reason.value: count for reason, count in self._refusals.items()},
            lent=self._lent_count,
            memory=tuple(worker.rss() for worker in self._all),
            starts=self._starts,
            ends=dict(self._ends),
        )

    def pids(self) -> list[int]:
        """The process ids of all workers, the spare one included."""
        return [worker.process.pid for worker in self._all]

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

    async def _borrow(self, body: protocol.Message, descriptors: list[int]) -> Answer:
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
            raise await self._error_for_exit(died.worker, pending) from None
        except TimeoutError:
            self._abandon(pending)
            if pending.arrives:
                raise GivenBack from None
            self._refusals[Reason.DEADLINE] += 1
            wait = Refusal(Reason.DEADLINE, self._scheduler.wait())
            raise errors.CpuLimitExceeded(
                f"The picture was not ready within {self._timeout:g} seconds.",
                headers=wait.headers,
            ) from None
        except (asyncio.CancelledError, GeneratorExit):  # the client is gone
            self._abandon(pending)
            raise
        finally:
            self._arriving.discard(pending)
        if output.master >= 0 and not pending.job.keep:  # which no renderer of ours does
            protocol.close([output.master])
            output = output._replace(master=-1)
        return Result(
            output.mime,
            output.size,
            output.descriptor,
            pending.started - begun,
            output.seconds,
            output.missing,
            output.notes,
            output.probe,
            pending.predicted,
            output.choice,
            output.master,
        )

    # -- jobs ------------------------------------------------------------------------------------

    def _submit(self, job: PendingJob) -> None:
        if refusal := self.refusal():
            raise self.refuse(refusal)
        job.predicted = self._scheduler.wait()
        source = job.job.source
        size = os.fstat(source).st_size if job.content and source is not None else 0
        claim: Claim | None = None
        if self._lending and size >= LARGE_SOURCE and not job.borrowed:
            claim = self._lending.gather(job.content)
            if claim.other is not None:
                return self._lend(self._lending, claim.other, job)
        if self._scheduler.enter(job, size):
            asyncio.get_running_loop().call_later(GATHER, self._gathered, job, claim)
        self._dispatch()

    def _gathered(self, job: PendingJob, claim: Claim | None) -> None:
        if claim:
            claim.give()
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
                case Lend(job, front) if self._lending:
                    self._lend(self._lending, front, job)
                case Retire(worker):
                    self._ends["replaced"] += 1
                    self._all.discard(worker)
                    worker.close()
                    self._run(self._replace())
        self._lowest.advance()
        if self._lending:
            self._lending.publish(self._scheduler)

    def _lend(self, lending: Lending, other: int, job: PendingJob) -> None:
        """Have another front do a job."""
        self._lent_count += 1
        task = asyncio.get_running_loop().create_task(self._ask(lending, other, job))
        self._lent[job] = task
        task.add_done_callback(lambda _: self._lent.pop(job, None))

    async def _ask(self, lending: Lending, other: int, job: PendingJob) -> None:
        loop = asyncio.get_running_loop()
        seconds = job.deadline - loop.time()
        try:
            output = await lending.ask(other, job.job, job.content, job.cost, seconds)
        except (LostError, RefusedError):
            if job.awaited:  # it is done here, like any other
                job.borrowed = True
                self._scheduler.enter_again(job)
                self._dispatch()
        except errors.OssError as error:
            if job.awaited:
                job.result.set_exception(error)
        except ValueError as error:
            log.error("another front has not answered like one: %s", error)
            if job.awaited:
                job.result.set_exception(errors.InternalError("The picture could not be made."))
        else:
            if job.awaited:
                job.started = loop.time() - output.seconds
                job.result.set_result(output)
            else:
                protocol.close(output.descriptors)

    def _abandon(self, job: PendingJob) -> None:
        """Nobody waits for this job any more."""
        if lent := self._lent.get(job):
            lent.cancel()
        elif worker := self._scheduler.abandon(job):
            worker.cancel(job.number)
        elif job.result.done() and not job.result.cancelled() and not job.result.exception():
            protocol.close(job.result.result().descriptors)  # it came as the caller gave up

    def replied(self, worker: WorkerProcess, reply: protocol.Reply) -> None:
        """See :class:`vipsgate.renderers.process.Owner`."""
        now = asyncio.get_running_loop().time()
        outcome = reply.outcome
        # one that has not begun its job holds what it held before
        retire = not isinstance(outcome, Cost) and reply.rss > self._ceiling
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

    def lost(self, worker: WorkerProcess) -> None:
        """See :class:`vipsgate.renderers.process.Owner`."""
        self._all.discard(worker)
        if worker not in self._scheduler:  # it has not been ready
            return
        if job := self._scheduler.remove(worker, retry=not worker.out_of_memory):
            job.result.set_exception(WorkerDied(worker))
        if not self._closed:
            dead = "overdue" if worker.unresponsive else "died"
            self._ends["memory" if worker.out_of_memory else dead] += 1
            log.warning("renderer %d is gone; starting another", worker.process.pid)
            self._run(self._replace())
        self._dispatch()

    # -- starts and ends -------------------------------------------------------------------------

    async def _start_one(self) -> None:
        """Start a worker and take it in when it is ready.

        Raises:
            StartError: It cannot work here.
        """
        worker = await self._process()
        self._all.add(worker)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                ready = await worker.ready
            if "ready" not in ready:
                raise StartError(ready.get("refused", "it says nothing that a worker says"))
        except BaseException as error:
            self._all.discard(worker)
            worker.close(grace=0)
            worker.kill()
            await worker.process.wait()
            if isinstance(error, TimeoutError | WorkerDied):
                raise StartError("a renderer ended, or hung, before it was ready") from None
            raise
        self.version, self.sandbox = ready["ready"], ready.get("sandbox", "")
        self._starts += 1
        worker.base = worker.rss()
        self._scheduler.add(worker)
        self._dispatch()

    async def _process(self) -> WorkerProcess:
        ours, theirs = socket.socketpair(socket.AF_UNIX, protocol.KIND)
        ours.setblocking(False)
        listen, control = os.pipe2(os.O_CLOEXEC)
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                str(listen),
                self._settings,
                pass_fds=(theirs.fileno(), listen),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,  # the front's own standard output carries the ready line only
                env=inherited | ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for the front, which drains
            )
        except BaseException:
            ours.close()
            os.close(control)
            raise
        finally:
            theirs.close()
            os.close(listen)
        return WorkerProcess(process, ours, control, self)

    async def _replace(self) -> None:
        delay = 0.1
        while True:
            try:
                return await self._start_one()
            except (StartError, OSError) as error:
                log.error("a renderer cannot be started: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, 5.0)

    def _may_take(self, cost: Cost | None) -> int:
        """Bytes of memory that a job may take on top of what its worker held before."""
        return min(self._job_memory, cost.memory if cost else QUICK_BYTES)

    async def _error_for_exit(self, worker: WorkerProcess, job: PendingJob) -> errors.OssError:
        """Why did it die, in the client's terms?"""
        code = await worker.process.wait()
        if worker.out_of_memory:
            return errors.ImageTooLarge(
                f"The picture took more than the {self._may_take(job.cost)} bytes of memory "
                "it may take."
            )
        if code == -signal.SIGKILL:  # by another process, or the kernel for want of memory
            return errors.ServiceUnavailable("The renderer was killed.", headers=RETRY_SOON)
        return errors.ImageDamage("The image file may be damaged. Its decoder died of it.")

    async def _watch(self) -> None:
        """Kill what takes too much memory, expire deadlines, part what takes too long together."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            for worker in self._scheduler.idle():
                worker.base = worker.rss()  # what it has given back is not for the next job
            for worker, cost in self._scheduler.under_work():
                held = min(worker.base, self._ceiling)  # whatever it says of itself
                if worker.rss() > held + self._may_take(cost):
                    worker.out_of_memory = True
                    worker.kill()
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

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of the pool's own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the pool has failed", exc_info=task.exception())


def _expire(job: PendingJob) -> None:
    """Its time is up."""
    if not job.result.done():
        job.result.set_exception(TimeoutError())

"""The pool of renderer processes: jobs wait in it, are given out, timed, and tried again.

There is one process more than may work at a time, so that a dead one is replaced by a warm one at
once, and a quick picture finds one while all others are at dear work (:mod:`.lanes`). A renderer
has its next quick job before it is done with the last, so that it never waits for the loop; another
one that is free takes it away again. Jobs of one source that wait at the same time go together,
since the source is decoded once for all (:mod:`vipsgate.image.group`). A client that leaves, and a
deadline, are told to libvips first and enforced by SIGKILL after a grace. The memory of the working
renderers is watched from here: RLIMIT_AS makes libvips crash, and an encoder cannot be asked. Each
job is held to its own estimate, on top of what its renderer held before: one that was handed back
has told it, and a renderer that begins one without doing so has found it to be a quick one's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .. import errors
from ..image.cost import Cost
from ..worker import protocol
from ..worker.main import ENVIRONMENT
from .admission import QUEUE_BYTES, Bounds, Reason, Refusal
from .process import Child, Gone, Job
from .scheduler import QUICK_BYTES, Lane, Lanes, lane_of

WATCH = 0.05  # seconds between two looks at the memory of the working renderers, and at deadlines
START = 30.0  # seconds for a renderer to be ready; 0.3 is usual
COMMAND = (sys.executable, "-m", "vipsgate.worker.main")
BACK_SOON = {"Retry-After": "1"}
LARGE = 512 << 10  # bytes of a source whose jobs wait for others of the same source
GATHER = 0.002  # seconds that they wait; decoding takes ten times as long
PARTED = 0.15  # seconds that a job takes by itself before those that came with it may leave it
TOGETHER = 8  # jobs of one source that go to a renderer at once
LONG_TEXT = 2048  # characters of a process; longer ones go alone
MOST_BESIDE = protocol.MOST_DESCRIPTORS // TOGETHER - 1  # descriptors beside a source, likewise
BUSY = {
    Reason.WAIT: "The server is busy: the picture would wait too long for a renderer.",
    Reason.LENGTH: "The server is busy: too many pictures wait for a renderer.",
    Reason.MEMORY: "The server is busy: the requests that wait take too much memory.",
}
ENDS = ("died", "memory", "overdue", "replaced")  # why a renderer is no more
# what a renderer inherits of the environment: keys of stores and secrets are none of its business
INHERITED = (
    "HOME LANG LC_ALL LC_CTYPE LD_LIBRARY_PATH LD_PRELOAD MALLOC_CONF PATH PYTHONHOME PYTHONPATH "
    "TZ VIRTUAL_ENV".split()
)

log = logging.getLogger(__name__)


class StartError(Exception):
    """No renderer can be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished picture, or another answer about one.

    Attributes:
        mime: Content-Type.
        size: Bytes.
        descriptor: A memfd with the bytes; who gets the result closes it.
        queue: Seconds waited for a renderer.
        render: Seconds from the first look at the file to the last byte.
        missing: Characters of its text that no font has.
        probe: Seconds of ``render`` that reading the header took; 0 for a video.
        predicted: Seconds of ``queue``, as predicted when it began to wait.
    """

    mime: str
    size: int
    descriptor: int
    queue: float
    render: float
    missing: int
    probe: float = 0.0
    predicted: float = 0.0

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class State:
    """What the pool is doing, and how often it lost somebody.

    Attributes:
        permits: Jobs that may be worked on at a time, by lane.
        working: Jobs that are worked on, by lane.
        waiting: Jobs that wait, by lane.
        held: Bytes of memory for which jobs other than quick ones have a permit.
        waits: Seconds that the next job would wait, as predicted, by lane.
        queue: Jobs that may wait, in all lanes.
        queue_seconds: That a job may have to wait, as predicted.
        refusals: Jobs that were refused or not done in time, by reason.
        memory: Bytes that each renderer holds, the spare one included.
        starts: Renderers that were ever ready.
        ends: Renderers that have ended since, by reason, a word of :data:`ENDS`.
    """

    permits: Mapping[str, int]
    working: Mapping[str, int]
    waiting: Mapping[str, int]
    held: int
    waits: Mapping[str, float]
    queue: int
    queue_seconds: float
    refusals: Mapping[str, int]
    memory: tuple[int, ...]
    starts: int
    ends: Mapping[str, int]


class Renderers:
    """The pool.

    Args:
        count: Renderers that work at a time.
        queue: Jobs that may wait for one.
        queue_seconds: That a job may have to wait, as predicted.
        queue_bytes: Of memory that requests may take which wait.
        timeout: Seconds for one job, waiting included.
        ceiling: Bytes of memory above which an idle renderer is replaced.
        most: Bytes of memory that a job may take on top of what its renderer held before.
        memory: Bytes that jobs other than quick ones may take together, as estimated.
        settings: ``limits`` and ``image`` of the configuration, as plain values.
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
        most: int,
        memory: int,
        settings: dict[str, Any],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.version = ""
        self.sandbox = ""
        self._count, self._timeout = count, timeout
        self._bounds = Bounds(min(queue_seconds, timeout), queue, queue_bytes)
        self._ceiling, self._most = ceiling, most
        self._command = command
        self._settings = orjson.dumps({**settings, "parent": os.getpid()}).decode()
        self._all: set[Child] = set()
        self._idle: list[Child] = []
        self._working: set[Child] = set()
        self._lanes: Lanes[Job] = Lanes(count=count, bounds=self._bounds, memory=memory)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._starts = 0
        self._ends = dict.fromkeys(ENDS, 0)
        self._refusals = dict.fromkeys(Reason, 0)

    # -- what the server sees --------------------------------------------------------------------

    async def start(self) -> None:
        """Start all renderers and wait until they are ready.

        Raises:
            StartError: One of them cannot work here.
        """
        births = [asyncio.ensure_future(self._spawn()) for _ in range(self._count + 1)]
        try:
            await asyncio.gather(*births)
        except BaseException:
            for birth in births:
                birth.cancel()
            await asyncio.wait(births)
            await self.close()
            raise
        self._later(self._watch())

    async def close(self) -> None:
        """End all renderers; what they were doing is lost."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        jobs = [*self._lanes.clear(), *(job for child in self._working for job in child.jobs)]
        for job in jobs:
            if not job.answer.done():
                job.answer.set_exception(errors.ServiceUnavailable("The server is being stopped."))
        children = list(self._all)
        for child in children:
            child.close(patience=0)
            child.kill()
        await asyncio.gather(*(child.process.wait() for child in children))
        self._all.clear()

    @property
    def full(self) -> bool:
        """Would the next job be refused?"""
        return self._refusal(Lane.QUICK, self._timeout) is not None

    def check(self) -> None:
        """Refuse a job before anything is opened for it; whether it is taken is decided later.

        Raises:
            CpuLimitExceeded: It would be refused if it came now.
        """
        if refusal := self._refusal(Lane.QUICK, self._timeout):
            raise self.refuse(refusal)

    def check_memory(self, requests: int) -> None:
        """Refuse a request where all that wait would take more memory than they may.

        Args:
            requests: That wait, with this one: for a renderer, or for what another has asked for.

        Raises:
            CpuLimitExceeded: They would.
        """
        if self._bounds.holds(requests):
            return
        raise self.refuse(Refusal(Reason.MEMORY, self._lanes.wait(Lane.QUICK, self._ahead())))

    def refuse(self, refusal: Refusal) -> errors.CpuLimitExceeded:
        """Count a refusal, and return it as the client is told it."""
        self._refusals[refusal.reason] += 1
        error = errors.CpuLimitExceeded(BUSY[refusal.reason], headers=refusal.headers)
        error.hold = float(refusal.headers["Retry-After"])
        return error

    def state(self) -> State:
        """See :class:`State`."""
        waiting = self._lanes.waiting()
        waiting[Lane.QUICK] += self._ahead()
        return State(
            permits=self._lanes.permits(),
            working=self._lanes.working(),
            waiting=waiting,
            held=self._lanes.held,
            waits={lane.value: self._lanes.wait(lane, self._ahead()) for lane in Lane},
            queue=self._bounds.jobs,
            queue_seconds=self._bounds.seconds,
            refusals={reason.value: count for reason, count in self._refusals.items()},
            memory=tuple(child.rss() for child in self._all),
            starts=self._starts,
            ends=dict(self._ends),
        )

    def pids(self) -> list[int]:
        """The process ids of all renderers, the spare one included."""
        return [child.process.pid for child in self._all]

    async def render(
        self,
        process: str,
        descriptor: int,
        beside: Sequence[tuple[str, int]] = (),
        source: str = "",
    ) -> Result:
        """Have a picture rendered.

        Args:
            process: Canonical text of what is to be done.
            descriptor: The source, opened; it stays the caller's.
            beside: ETag and descriptor of each other object that the process needs, in its order;
                they stay the caller's, too.
            source: Names the content of the source, so that jobs of one may go together; empty
                where nobody knows.

        Raises:
            CpuLimitExceeded: The queue is full, or the time is up.
            ImageTooLarge: It took more memory than was foreseen for it.
            ImageDamage: The decoder died of it, twice.
            WatermarkError: One of the other objects cannot be used.
            OssError: What the renderer raised.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if len(process) > LONG_TEXT or len(beside) > MOST_BESIDE:
            source = ""
        job = Job(process, descriptor, beside, begun + self._timeout, loop.create_future(), source)
        self._submit(job)
        try:
            said, made = await job.answer
        except Gone as gone:
            raise await self._verdict(gone.child, job) from None
        except BaseException as error:  # the time is up, or the client gone
            self._drop(job)
            if isinstance(error, TimeoutError):
                self._refusals[Reason.DEADLINE] += 1
                wait = Refusal(Reason.DEADLINE, self._lanes.wait(Lane.QUICK, self._ahead()))
                raise errors.CpuLimitExceeded(
                    f"The picture was not ready within {self._timeout:g} seconds.",
                    headers=wait.headers,
                ) from None
            raise
        if "error" in said:
            raise errors.load(said["error"])
        return Result(
            said["type"],
            said["size"],
            made[0],
            job.sent - begun,
            said["seconds"],
            said["missing"],
            said["probe"],
            job.predicted,
        )

    # -- jobs ------------------------------------------------------------------------------------

    def _submit(self, job: Job) -> None:
        if refusal := self._refusal(Lane.QUICK, self._timeout):
            raise self.refuse(refusal)
        job.predicted = self._lanes.wait(Lane.QUICK, self._ahead())
        if job.source and os.fstat(job.descriptor).st_size >= LARGE:
            job.ready = math.inf
            asyncio.get_running_loop().call_later(GATHER, self._gathered, job)
        self._lanes.enter(job)
        self._lend()

    def _refusal(self, lane: Lane, left: float, cost: Cost | None = None) -> Refusal | None:
        return self._lanes.refusal(lane, left, self._ahead(), cost)

    def _gathered(self, job: Job) -> None:
        """It has waited for others long enough."""
        job.ready = 0.0
        self._lend()

    def _ahead(self) -> int:
        """Jobs that wait at a renderer."""
        return sum(max(0, len(child.jobs) - 1) for child in self._working)

    def _lend(self) -> None:
        """Give out what waits, as far as renderers are free, and one job more for each."""
        now = asyncio.get_running_loop().time()
        while self._idle and (job := self._taken_back(now) or self._lanes.next(now)):
            if job.deadline <= now:
                self._lanes.ended(job)
                _give_up(job)
                continue
            child = self._idle.pop()  # the one used last: its memory is warm
            self._working.add(child)
            child.take([job, *self._alike(job)])
        for child in list(self._working):  # one may turn out to be gone
            if len(child.jobs) == 1 and child.jobs[0].cost is None and not child.worn:
                job = self._lanes.ahead(now)
                if job is None:
                    break
                child.take([job, *self._alike(job)])

    def _alike(self, first: Job) -> list[Job]:
        """Waiting jobs that can go along with this one."""
        return [] if first.cost else self._lanes.alike(first, TOGETHER - 1)

    def _taken_back(self, now: float) -> Job | None:
        """A job that waits at a renderer which is busy, while another one is free."""
        for child in self._working:
            job = child.jobs[-1]
            stays = job.together and now - child.jobs[0].sent < PARTED
            if len(child.jobs) > 1 and not (stays or job.answer.done()):
                if not self._lanes.may_begin(job):
                    return None
                child.stop(job)
                child.give_back(job)
                self._lanes.begun(job)
                return job
        return None

    def _drop(self, job: Job) -> None:
        """Nobody waits for this job any more."""
        if self._lanes.leave(job):
            return
        if job.child and job in job.child.jobs:
            job.child.stop(job)
        elif job.answer.done() and not job.answer.cancelled() and not job.answer.exception():
            protocol.close(job.answer.result()[1])  # it came in the very moment of giving up

    def answered(self, child: Child, job: Job, said: protocol.Message, beside: list[int]) -> None:
        """See :class:`vipsgate.renderers.process.Owner`."""
        seconds = None
        if job.answer.done():
            protocol.close(beside)  # it was stopped: how long it took tells nothing of others
        else:
            job.answer.set_result((said, beside))
            seconds = asyncio.get_running_loop().time() - job.sent
        self._over(child, job, seconds)
        child.worn = child.worn or said["rss"] > self._ceiling
        self._next(child)

    def returned(self, child: Child, job: Job, cost: Cost) -> None:
        """See :class:`vipsgate.renderers.process.Owner`."""
        now = asyncio.get_running_loop().time()
        self._over(child, job, now - job.sent)
        job.cost, job.child = cost, None
        if not job.answer.done():
            if refusal := self._refusal(lane_of(job), job.deadline - now, cost):
                job.answer.set_exception(self.refuse(refusal))
            else:
                waited = self._timeout - (job.deadline - now)
                job.predicted = waited + self._lanes.wait(lane_of(job))
                self._lanes.enter(job)
        self._next(child)

    def _over(self, child: Child, job: Job, seconds: float | None = None) -> None:
        """The renderer is done with a job, and at the next one if it has one."""
        self._lanes.ended(job, seconds)
        if child.jobs:
            self._lanes.begun(child.jobs[0])

    def _next(self, child: Child) -> None:
        """What a renderer does that is done with a job."""
        if not child.jobs:
            self._working.discard(child)
            if child.worn:
                self._ends["replaced"] += 1
                self._all.discard(child)
                child.close()
                self._later(self._replace())
            else:
                self._idle.append(child)
        self._lend()

    def lost(self, child: Child, jobs: Sequence[Job]) -> None:
        """See :class:`vipsgate.renderers.process.Owner`."""
        taken_in = child in self._working or child in self._idle
        self._all.discard(child)
        self._working.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if jobs:
            self._lanes.ended(jobs[0])
        for job in reversed(jobs):
            job.child = None
            if job.answer.done():
                continue
            if job is not jobs[0]:
                self._lanes.enter_again(job)
            elif job.again and not child.swollen:
                job.again = False
                self._lanes.enter_again(job)
            else:
                job.answer.set_exception(Gone(child))
        if taken_in and not self._closed:
            why = "memory" if child.swollen else "overdue" if child.overdue else "died"
            self._ends[why] += 1
            log.warning("renderer %d is gone; starting another", child.process.pid)
            self._later(self._replace())
        self._lend()

    # -- births and deaths -----------------------------------------------------------------------

    async def _spawn(self) -> None:
        """Start a renderer and take it in when it is ready.

        Raises:
            StartError: It cannot work here.
        """
        child = await self._process()
        self._all.add(child)
        try:
            async with asyncio.timeout(START):
                ready = await child.ready
            if "ready" not in ready:
                raise StartError(ready.get("refused", "it says nothing that a renderer says"))
        except BaseException as error:
            self._all.discard(child)
            child.close(patience=0)
            if isinstance(error, TimeoutError | Gone):
                raise StartError("a renderer ended, or hung, before it was ready") from None
            raise
        self.version, self.sandbox = ready["ready"], ready.get("sandbox", "")
        self._starts += 1
        child.base = child.rss()
        self._idle.append(child)
        self._lend()

    async def _process(self) -> Child:
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
        return Child(process, ours, control, self)

    async def _replace(self) -> None:
        delay = 0.1
        while True:
            try:
                return await self._spawn()
            except (StartError, OSError) as error:
                log.error("a renderer cannot be started: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, 5.0)

    def _may_take(self, job: Job) -> int:
        """Bytes of memory that a job may take on top of what its renderer held before."""
        return min(self._most, job.cost.memory if job.cost else QUICK_BYTES)

    async def _verdict(self, child: Child, job: Job) -> errors.OssError:
        """Why did it die, in the client's terms?"""
        code = await child.process.wait()
        if child.swollen:
            return errors.ImageTooLarge(
                f"The picture took more than the {self._may_take(job)} bytes of memory it may take."
            )
        if code == -signal.SIGKILL:  # somebody else's, or the kernel for want of memory
            return errors.ServiceUnavailable("The renderer was killed.", headers=BACK_SOON)
        return errors.ImageDamage("The image file may be damaged. Its decoder died of it.")

    async def _watch(self) -> None:
        """Kill what swells, give up what is overdue, and part what takes too long together."""
        while True:
            await asyncio.sleep(WATCH)
            for child in self._idle:
                child.base = child.rss()  # what it has given back meanwhile is not for the next job
            for child in self._working:
                held = min(child.base, self._ceiling)  # whatever it says of itself
                if child.rss() > held + self._may_take(child.jobs[0]):
                    child.swollen = True
                    child.kill()
            now = asyncio.get_running_loop().time()
            given = [job for child in self._working for job in child.jobs if job.deadline <= now]
            for job in (*self._lanes.overdue(now), *given):
                _give_up(job)
            self._lend()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the pool has failed", exc_info=task.exception())


def _give_up(job: Job) -> None:
    """Its time is up."""
    if not job.answer.done():
        job.answer.set_exception(TimeoutError())

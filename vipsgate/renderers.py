"""The pool of renderer processes: jobs wait in it, are given out, timed, and tried again.

There is one process more than may work at a time, so that a dead one is replaced by a warm one at
once. A renderer that has done a job gets the next one in the same breath, before the first is
answered, so that it never waits for the loop. A client that leaves, and a deadline, are told to
libvips first and enforced by SIGKILL after a grace. The memory of the working renderers is watched
from here: RLIMIT_AS makes libvips crash, and an encoder cannot be asked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from . import errors, wire
from .child import Child, Gone, Job
from .renderer import ENVIRONMENT

WATCH = 0.05  # seconds between two looks at the memory of the working renderers
START = 30.0  # seconds for a renderer to be ready; 0.3 is usual
COMMAND = (sys.executable, "-m", "vipsgate.renderer")
BACK_SOON = {"Retry-After": "1"}
LANE = "all"  # there is one
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
    """

    mime: str
    size: int
    descriptor: int
    queue: float
    render: float
    missing: int
    probe: float = 0.0

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
        queue: Jobs that may wait, in all lanes.
        memory: Bytes that each renderer holds, the spare one included.
        starts: Renderers that were ever ready.
        ends: Renderers that have ended since, by reason, a word of :data:`ENDS`.
    """

    permits: Mapping[str, int]
    working: Mapping[str, int]
    waiting: Mapping[str, int]
    queue: int
    memory: tuple[int, ...]
    starts: int
    ends: Mapping[str, int]


class Renderers:
    """The pool.

    Args:
        count: Renderers that work at a time.
        queue: Jobs that may wait for one.
        timeout: Seconds for one job, waiting included.
        ceiling: Bytes of memory above which an idle renderer is replaced.
        most: Bytes of memory that a job may take on top of that.
        settings: ``limits`` and ``image`` of the configuration, as plain values.
        command: What to start; tests start others.
    """

    def __init__(
        self,
        *,
        count: int,
        queue: int,
        timeout: float,
        ceiling: int,
        most: int,
        settings: dict[str, Any],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.version = ""
        self.sandbox = ""
        self._count, self._queue, self._timeout = count, queue, timeout
        self._ceiling, self._most = ceiling, most
        self._command = command
        self._settings = orjson.dumps({**settings, "parent": os.getpid()}).decode()
        self._all: set[Child] = set()
        self._idle: list[Child] = []
        self._working: set[Child] = set()
        self._waiting: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._starts = 0
        self._ends = dict.fromkeys(ENDS, 0)

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
        jobs = [*self._waiting, *(child.job for child in self._working if child.job)]
        self._waiting.clear()
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
        return len(self._waiting) >= self._queue and not self._free()

    def state(self) -> State:
        """See :class:`State`."""
        return State(
            permits={LANE: self._count},
            working={LANE: len(self._working)},
            waiting={LANE: len(self._waiting)},
            queue=self._queue,
            memory=tuple(child.rss() for child in self._all),
            starts=self._starts,
            ends=dict(self._ends),
        )

    def pids(self) -> list[int]:
        """The process ids of all renderers, the spare one included."""
        return [child.process.pid for child in self._all]

    async def render(
        self, process: str, descriptor: int, beside: Sequence[tuple[str, int]] = ()
    ) -> Result:
        """Have a picture rendered.

        Args:
            process: Canonical text of what is to be done.
            descriptor: The source, opened; it stays the caller's.
            beside: ETag and descriptor of each other object that the process needs, in its order;
                they stay the caller's, too.

        Raises:
            CpuLimitExceeded: The queue is full, or the time is up.
            ImageTooLarge: It took more memory than one picture may.
            ImageDamage: The decoder died of it, twice.
            WatermarkError: One of the other objects cannot be used.
            OssError: What the renderer raised.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        job = Job(process, descriptor, beside, begun + self._timeout, loop.create_future())
        self._submit(job)
        try:
            async with asyncio.timeout_at(job.deadline):
                said, made = await job.answer
        except Gone as gone:
            raise await self._verdict(gone.child) from None
        except BaseException as error:  # the time is up, or the client gone
            self._drop(job)
            if isinstance(error, TimeoutError):
                raise errors.CpuLimitExceeded(
                    f"The picture was not ready within {self._timeout:g} seconds.",
                    headers=BACK_SOON,
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
        )

    # -- jobs ------------------------------------------------------------------------------------

    def _free(self) -> bool:
        return bool(self._idle) and len(self._working) < self._count

    def _submit(self, job: Job) -> None:
        if not self._free() and len(self._waiting) >= self._queue:
            raise errors.CpuLimitExceeded(
                f"The server is busy: {len(self._waiting)} pictures are waiting.", headers=BACK_SOON
            )
        self._waiting.append(job)
        self._lend()

    def _lend(self) -> None:
        """Give out what waits, as far as renderers are free."""
        now = asyncio.get_running_loop().time()
        while self._waiting and self._free():
            job = self._waiting.popleft()
            if job.deadline <= now:
                continue  # its own timer is about to say so
            child = self._idle.pop()  # the one used last: its memory is warm
            self._working.add(child)
            child.take(job)

    def _drop(self, job: Job) -> None:
        """Nobody waits for this job any more."""
        if job in self._waiting:
            self._waiting.remove(job)
        elif job.child and job.child.job is job:
            job.child.stop()
        elif job.answer.done() and not job.answer.cancelled() and not job.answer.exception():
            wire.close(job.answer.result()[1])  # it came in the very moment of giving up

    def answered(self, child: Child, job: Job, said: wire.Message, beside: list[int]) -> None:
        """See :class:`vipsgate.child.Owner`."""
        if job.answer.done():
            wire.close(beside)
        else:
            job.answer.set_result((said, beside))
        self._working.discard(child)
        if said["rss"] > self._ceiling:
            self._ends["replaced"] += 1
            self._all.discard(child)
            child.close()
            self._later(self._replace())
        else:
            self._idle.append(child)
        self._lend()

    def lost(self, child: Child, job: Job | None) -> None:
        """See :class:`vipsgate.child.Owner`."""
        taken_in = child in self._working or child in self._idle
        self._all.discard(child)
        self._working.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if job and not job.answer.done():
            if job.again and not child.swollen:
                job.again = False
                self._waiting.appendleft(job)
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
        self._idle.append(child)
        self._lend()

    async def _process(self) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, wire.KIND)
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

    async def _verdict(self, child: Child) -> errors.OssError:
        """Why did it die, in the client's terms?"""
        code = await child.process.wait()
        if child.swollen:
            return errors.ImageTooLarge(
                f"The picture took more than the {self._most} bytes of memory it may take."
            )
        if code == -signal.SIGKILL:  # somebody else's, or the kernel for want of memory
            return errors.ServiceUnavailable("The renderer was killed.", headers=BACK_SOON)
        return errors.ImageDamage("The image file may be damaged. Its decoder died of it.")

    async def _watch(self) -> None:
        """Kill what swells."""
        while True:
            await asyncio.sleep(WATCH)
            for child in self._working:
                if child.rss() > self._most + self._ceiling:
                    child.swollen = True
                    child.kill()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the pool has failed", exc_info=task.exception())

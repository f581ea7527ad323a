"""Starts the worker processes of a pool, replaces those that end, and limits their memory.

:mod:`.scheduler` and :mod:`.pool` decide which of them does which job. The memory of the workers is
watched from outside, because libvips crashes under RLIMIT_AS and an encoder does not stop when
asked. Each job is held to its estimate, on top of what its worker held before. A job without one is
held to the limit of quick jobs, as a worker hands back any other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from .. import errors
from ..image.cost import Cost
from ..worker import protocol
from ..worker.main import ENVIRONMENT
from .lanes import QUICK_BYTES
from .process import Replied, WorkerDied, WorkerProcess
from .tasks import Tasks

START_TIMEOUT = 30.0  # seconds for a worker to be ready; 0.3 is usual
FIRST_DELAY, MAX_DELAY = 0.1, 5.0  # seconds before a failed start is retried
COMMAND = (sys.executable, "-m", "vipsgate.worker.main")
RETRY_SOON = {"Retry-After": "1"}
ENDS = ("died", "memory", "overdue", "replaced")  # why a worker ended: values of a metric's label
# Environment variables that a worker inherits; others may hold secrets.
INHERITED = (
    "HOME LANG LC_ALL LC_CTYPE LD_LIBRARY_PATH LD_PRELOAD MALLOC_CONF PATH PYTHONHOME PYTHONPATH "
    "TZ VIRTUAL_ENV".split()
)

log = logging.getLogger(__name__)


class StartError(Exception):
    """A worker cannot be started; the text says why."""


class Workers:
    """All worker processes of a pool, those that are still starting included.

    Args:
        count: How many to run.
        command: The command that starts one.
        settings: ``limits`` and ``image`` of the configuration, as plain values.
        ceiling: Bytes of memory above which an idle worker is to be replaced.
        job_memory: Bytes that a job may take on top of what its worker held before.
        started: Called with each worker that is ready.
        replied: Called with a worker and its reply to the first of its jobs.
        lost: Called with a worker that was ready and has ended, or has broken the protocol.

    Attributes:
        version: The versions of their libraries; empty until the first worker is ready.
        sandbox: The parts of their sandbox that are in force here, in words.
        starts: Number of workers that have become ready so far.
        ends: Number of those that have ended, by reason (:data:`ENDS`).
    """

    def __init__(
        self,
        count: int,
        *,
        command: Sequence[str],
        settings: dict[str, Any],
        ceiling: int,
        job_memory: int,
        started: Callable[[WorkerProcess], None],
        replied: Replied,
        lost: Callable[[WorkerProcess], None],
    ) -> None:
        self.version = self.sandbox = ""
        self.starts, self.ends = 0, dict.fromkeys(ENDS, 0)
        self._count, self._command = count, command
        self._settings = orjson.dumps({**settings, "parent": os.getpid()}).decode()
        self._ceiling, self._job_memory = ceiling, job_memory
        self._on_start, self._on_reply, self._on_loss = started, replied, lost
        self._all: set[WorkerProcess] = set()
        self._tasks = Tasks()
        self._closed = False

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    # -- starts and ends -------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all of them and wait until they are ready.

        Raises:
            StartError: A worker cannot run on this machine.
        """
        starts = [asyncio.ensure_future(self._start_one()) for _ in range(self._count)]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.wait(starts)
            await self.close()
            raise

    async def close(self) -> None:
        """End all of them; their jobs are lost."""
        self._closed = True
        self._tasks.cancel()
        workers = list(self._all)
        for worker in workers:
            worker.close(grace=0)
            worker.kill()
        await asyncio.gather(*(worker.process.wait() for worker in workers))
        self._all.clear()

    def replace(self, worker: WorkerProcess) -> None:
        """End an idle worker, and start another one."""
        self.ends["replaced"] += 1
        self._all.discard(worker)
        worker.close()
        self._tasks.run(self._start_another())

    async def _start_one(self) -> None:
        """Start a worker, and add it to the pool when it is ready.

        Raises:
            StartError: It cannot run on this machine.
        """
        worker = await self._process()
        self._all.add(worker)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                ready = await worker.ready
            if "ready" not in ready:
                raise StartError(ready.get("refused", "its first message is not that of a worker"))
        except BaseException as error:
            self._all.discard(worker)
            worker.close(grace=0)
            worker.kill()
            await worker.process.wait()
            if isinstance(error, TimeoutError | WorkerDied):
                raise StartError("a renderer ended, or hung, before it was ready") from None
            raise
        self.version, self.sandbox = ready["ready"], ready.get("sandbox", "")
        self.starts += 1
        worker.started, worker.base = True, worker.rss()
        self._on_start(worker)

    async def _start_another(self) -> None:
        """Start a worker in place of one that has ended, retrying until that works."""
        delay = FIRST_DELAY
        while True:
            try:
                return await self._start_one()
            except (StartError, OSError) as error:
                log.error("a renderer cannot be started: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, MAX_DELAY)

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
                start_new_session=True,  # so that Ctrl-C reaches only the front, which drains
            )
        except BaseException:
            ours.close()
            os.close(control)
            raise
        finally:
            theirs.close()
            os.close(listen)
        return WorkerProcess(process, ours, control, self._on_reply, self._lost)

    def _lost(self, worker: WorkerProcess) -> None:
        """Handle a worker that has ended or broken the protocol, and start another one."""
        self._all.discard(worker)
        if not worker.started:  # ``_start_one`` gets an exception
            return
        if not self._closed:
            dead = "overdue" if worker.unresponsive else "died"
            self.ends["memory" if worker.out_of_memory else dead] += 1
            log.warning("renderer %d has ended; starting another", worker.process.pid)
            self._tasks.run(self._start_another())
        self._on_loss(worker)

    # -- memory ----------------------------------------------------------------------------------

    def memory(self) -> tuple[int, ...]:
        """Bytes of memory that each worker holds."""
        return tuple(worker.rss() for worker in self._all)

    def is_too_large(self, rss: int) -> bool:
        """Return whether an idle worker that holds ``rss`` bytes is to be replaced."""
        return rss > self._ceiling

    def check_memory(
        self,
        idle: Iterable[WorkerProcess],
        working: Iterable[tuple[WorkerProcess, Cost | None]],
    ) -> None:
        """Kill the workers whose jobs take more memory than they may.

        Args:
            idle: Idle workers; memory that one has returned to the system by now is not counted as
                held before its next job.
            working: The others, each with the estimated cost of its job.
        """
        for worker in idle:
            worker.base = worker.rss()
        for worker, cost in working:
            held = min(worker.base, self._ceiling)  # a worker's own figure is not trusted
            if worker.rss() > held + self._allowance(cost):
                worker.out_of_memory = True
                worker.kill()

    def _allowance(self, cost: Cost | None) -> int:
        """Bytes of memory that a job may take on top of what its worker held before."""
        return min(self._job_memory, cost.memory if cost else QUICK_BYTES)

    async def error_for_exit(self, worker: WorkerProcess, cost: Cost | None) -> errors.OssError:
        """Return the error of a job whose worker has died.

        Args:
            worker: The worker; its exit status is waited for.
            cost: The estimated cost of the job; ``None`` for a quick one.
        """
        code = await worker.process.wait()
        if worker.out_of_memory:
            return errors.ImageTooLarge(
                f"The picture took more than the {self._allowance(cost)} bytes of memory "
                "it may take."
            )
        if code == -signal.SIGKILL:  # by another process, or by the kernel when memory ran out
            return errors.ServiceUnavailable("The renderer was killed.", headers=RETRY_SOON)
        return errors.ImageDamage("The image file may be damaged. Its decoder has crashed.")

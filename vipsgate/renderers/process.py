"""One worker process as the front sees it: its socket, its pipe for cancel messages, its memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..image.cost import Cost
from ..worker import protocol
from .scheduler import QUICK_BYTES, QUICK_SECONDS

PAGE = os.sysconf("SC_PAGE_SIZE")
CANCEL_GRACE = 0.25  # seconds that libvips has to stop when told so
EXIT_GRACE = 0.2  # seconds between the end of its socket and SIGKILL; an exit status tells more


class WorkerDied(Exception):
    """The worker has died under its job, and so had another before it."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__()
        self.worker = worker


@dataclass(slots=True, eq=False)
class PendingJob:
    """A job whose result is awaited.

    Attributes:
        job: What is sent to the worker.
        deadline: When nobody will wait for it any more, in the loop's time.
        result: What comes of it.
        content: Names the content of the source; jobs with the same one may go together.
        ready: When it may begin, in the loop's time.
        cost: As a worker has estimated it; ``None`` until then.
        retry: Whether it is tried once more when its worker dies.
        started: When a worker began it, in the loop's time.
        number: Under which its worker knows it.
        together: Whether it came to its worker along with another one.
        predicted: Seconds that it waits for a worker, as predicted.
        worker: Who works on it.
    """

    job: protocol.Job
    deadline: float
    result: asyncio.Future[protocol.Output]
    content: str = ""
    ready: float = 0.0
    cost: Cost | None = None
    retry: bool = True
    started: float = 0.0
    number: int = 0
    together: bool = False
    predicted: float = 0.0
    worker: WorkerProcess | None = field(default=None, repr=False)


class Owner(Protocol):
    """Who is told what happens to a worker."""

    def replied(self, worker: WorkerProcess, job: PendingJob, reply: protocol.Reply) -> None:
        """A job is done, and the next one begun; the descriptor of a result is the owner's."""

    def lost(self, worker: WorkerProcess, jobs: Sequence[PendingJob]) -> None:
        """The process is gone, or has sent what no worker sends; the first job was under work."""


class WorkerProcess:
    """A process, started, and the socket to it.

    Args:
        process: The process.
        connection: Our end of the socket.
        control: Our end of the pipe for cancel messages.
        owner: Who is told.

    Attributes:
        ready: What the process says when it has started.
        jobs: What it works on, also when nobody waits for that any more, and what it does next.
        out_of_memory: It was killed for the memory it took.
        base: Bytes of memory that it held when it was done with the last job, or later.
        retiring: It holds more memory than an idle one may, and gets no further job.
        unresponsive: It was killed because it did not stop when told so.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        connection: socket.socket,
        control: int,
        owner: Owner,
    ) -> None:
        self.process = process
        self.jobs: deque[PendingJob] = deque()
        self.out_of_memory = self.retiring = self.unresponsive = False
        self.base = 0
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[protocol.Message] = self._loop.create_future()
        self._connection = connection
        self._control = control
        self._owner = owner
        self._number = 0
        self._grace: asyncio.TimerHandle | None = None
        try:
            self._statm = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # it has ended already
            self._statm = -1
        self._loop.add_reader(connection.fileno(), self._readable)

    def take(self, jobs: Sequence[PendingJob]) -> None:
        """Begin to work on jobs of one source, or do so behind what is under work.

        One whose cost is unknown comes back when it is no quick one.
        """
        first, number = jobs[0], self._number + 1
        for job in jobs:
            self._number += 1
            job.number, job.worker, job.together = self._number, self, job is not first
        if not self.jobs:
            first.started = self._loop.time()
        self.jobs.extend(jobs)
        budget = None if first.cost else (QUICK_SECONDS, QUICK_BYTES)
        batch = protocol.Batch(number, tuple(job.job for job in jobs), budget)
        try:
            protocol.send(self._connection, *batch.encode())
        except OSError:
            self._end()

    def cancel(self, job: PendingJob) -> None:
        """Tell libvips to stop a job; if it is under work, kill the process if it has not by then.

        One that was not begun yet will not be.
        """
        if self._control < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._control, job.number.to_bytes(8, "little"))
        if self.jobs and job is self.jobs[0]:
            if self._grace:
                self._grace.cancel()
            self._grace = self._loop.call_later(CANCEL_GRACE, self._kill_unresponsive)

    def give_back(self, job: PendingJob) -> None:
        """Another worker does it; what this one says of it, if it does, is for nobody."""
        self.jobs[self.jobs.index(job)] = replace(job, result=_nobody(self._loop))

    def _kill_unresponsive(self) -> None:
        self.unresponsive = True
        self.kill()

    def kill(self) -> None:
        """End the process now; that it is gone is noticed like any other death."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self, grace: float = EXIT_GRACE) -> None:
        """Let go of it: a worker whose socket is closed ends by itself, or is killed."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        protocol.close([self._control, self._statm])
        self._control = self._statm = -1  # others have those numbers from now on
        self._loop.call_later(grace, self.kill)

    def rss(self) -> int:
        """Bytes of memory that it holds now; 0 when it is gone."""
        try:
            return int(os.pread(self._statm, 64, 0).split()[1]) * PAGE
        except (OSError, IndexError, ValueError):
            return 0

    def _readable(self) -> None:
        try:
            message, descriptors = protocol.receive(self._connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            return self._end()
        try:
            if message is None:
                raise ValueError("the process has ended")
            if not self.ready.done() and not descriptors:
                return self.ready.set_result(message)
            if not self.jobs:
                raise ValueError("a reply to no job")
            reply = protocol.Reply.decode(message, descriptors, self.jobs[0].number)
        except ValueError:
            protocol.close(descriptors)
            return self._end()
        self._replied(reply)

    def _replied(self, reply: protocol.Reply) -> None:
        job = self.jobs.popleft()
        self.base = reply.rss
        if self._grace:
            self._grace.cancel()
        if self.jobs:
            self.jobs[0].started = self._loop.time()
            if self.jobs[0].result.done():
                self.cancel(self.jobs[0])  # nobody waits for it; it may have begun all the same
        self._owner.replied(self, job, reply)

    def _end(self) -> None:
        jobs = list(self.jobs)
        self.jobs.clear()
        if self._grace:
            self._grace.cancel()
        self.close()
        if not self.ready.done():
            self.ready.set_exception(WorkerDied(self))
        self._owner.lost(self, jobs)


def _nobody(loop: asyncio.AbstractEventLoop) -> asyncio.Future[protocol.Output]:
    """A result that nobody waits for."""
    future: asyncio.Future[protocol.Output] = loop.create_future()
    future.cancel()
    return future

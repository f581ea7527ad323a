"""One renderer process as the front sees it: given jobs by a socket, stopped by a pipe, killed."""

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
GRACE = 0.25  # seconds that libvips has to stop when told so
LAST_WORDS = 0.2  # seconds between the end of its socket and SIGKILL; an exit status tells more


class Gone(Exception):
    """The renderer has died under its job, and so had another before it."""

    def __init__(self, child: Child) -> None:
        super().__init__()
        self.child = child


@dataclass(slots=True, eq=False)
class Job:
    """A picture to be made.

    Attributes:
        process: Canonical text of what is to be done.
        descriptor: The source, opened; whoever made the job closes it.
        beside: ETag and descriptor of each other object that the process needs, in its order.
        deadline: When nobody will wait for it any more, in the loop's time.
        answer: What the renderer says, and the descriptors with it.
        source: Names the content of the source; jobs with the same one may go together.
        ready: When it may begin, in the loop's time.
        cost: As a renderer has estimated it; ``None`` until then.
        again: Whether it is tried once more when its renderer dies.
        sent: When a renderer began it, in the loop's time.
        number: Under which its renderer knows it.
        together: Whether it came to its renderer along with another one.
        predicted: Seconds that it waits for a renderer, as predicted.
        child: Who works on it.
    """

    process: str
    descriptor: int
    beside: Sequence[tuple[str, int]]
    deadline: float
    answer: asyncio.Future[tuple[protocol.Message, list[int]]]
    source: str = ""
    ready: float = 0.0
    cost: Cost | None = None
    again: bool = True
    sent: float = 0.0
    number: int = 0
    together: bool = False
    predicted: float = 0.0
    child: Child | None = field(default=None, repr=False)


class Owner(Protocol):
    """Who is told what happens to a child."""

    def answered(self, child: Child, job: Job, said: protocol.Message, beside: list[int]) -> None:
        """A job is done, and the next one begun; the descriptors beside are the owner's."""

    def returned(self, child: Child, job: Job, cost: Cost) -> None:
        """A job turned out to cost more than a quick one, and was not begun."""

    def lost(self, child: Child, jobs: Sequence[Job]) -> None:
        """The process is gone, or has said what no renderer says; the first job was under work."""


class Child:
    """A process, started, and the socket to it.

    Args:
        process: The process.
        connection: Our end of the socket.
        control: Our end of the pipe that takes the word to stop.
        owner: Who is told.

    Attributes:
        ready: What the process says when it has started.
        jobs: What it works on, also when nobody waits for that any more, and what it does next.
        swollen: It was killed for the memory it took.
        base: Bytes of memory that it held when it was done with the last job, or later.
        worn: It holds more memory than an idle one may, and gets no further job.
        overdue: It was killed because it did not stop when told so.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        connection: socket.socket,
        control: int,
        owner: Owner,
    ) -> None:
        self.process = process
        self.jobs: deque[Job] = deque()
        self.swollen = self.worn = self.overdue = False
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

    def take(self, jobs: Sequence[Job]) -> None:
        """Begin to work on jobs of one source, or do so behind what is under work.

        One whose cost is unknown comes back when it is no quick one.
        """
        first, number = jobs[0], self._number + 1
        for job in jobs:
            self._number += 1
            job.number, job.child, job.together = self._number, self, job is not first
        if not self.jobs:
            first.sent = self._loop.time()
        self.jobs.extend(jobs)
        message = {
            "id": number,
            "most": None if first.cost else (QUICK_SECONDS, QUICK_BYTES),
            "jobs": [(job.process, [etag for etag, _ in job.beside]) for job in jobs],
        }
        beside = [descriptor for job in jobs for _, descriptor in job.beside]
        try:
            protocol.send(self._connection, message, [first.descriptor, *beside])
        except OSError:
            self._end()

    def stop(self, job: Job) -> None:
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
            self._grace = self._loop.call_later(GRACE, self._no_more_grace)

    def give_back(self, job: Job) -> None:
        """Another renderer does it; what this one says of it, if it does, is for nobody."""
        self.jobs[self.jobs.index(job)] = replace(job, answer=_nobody(self._loop))

    def _no_more_grace(self) -> None:
        self.overdue = True
        self.kill()

    def kill(self) -> None:
        """End the process now; that it is gone is noticed like any other death."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self, patience: float = LAST_WORDS) -> None:
        """Let go of it: a renderer whose socket is closed ends by itself, or is killed."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        protocol.close([self._control, self._statm])
        self._control = self._statm = -1  # others have those numbers from now on
        self._loop.call_later(patience, self.kill)

    def rss(self) -> int:
        """Bytes of memory that it holds now; 0 when it is gone."""
        try:
            return int(os.pread(self._statm, 64, 0).split()[1]) * PAGE
        except (OSError, IndexError, ValueError):
            return 0

    def _readable(self) -> None:
        try:
            said, beside = protocol.receive(self._connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            said, beside = None, []
        if said is not None and not self.ready.done() and not beside:
            self.ready.set_result(said)
        elif (
            said is not None and self.jobs and protocol.is_reply(said, beside, self.jobs[0].number)
        ):
            self._replied(said, beside)
        else:
            protocol.close(beside)
            self._end()

    def _replied(self, said: protocol.Message, beside: list[int]) -> None:
        job = self.jobs.popleft()
        self.base = said["rss"]
        if self._grace:
            self._grace.cancel()
        if self.jobs:
            self.jobs[0].sent = self._loop.time()
            if self.jobs[0].answer.done():
                self.stop(self.jobs[0])  # nobody waits for it; it may have begun all the same
        if "cost" in said:
            self._owner.returned(self, job, Cost(*said["cost"]))
        else:
            self._owner.answered(self, job, said, beside)

    def _end(self) -> None:
        jobs = list(self.jobs)
        self.jobs.clear()
        if self._grace:
            self._grace.cancel()
        self.close()
        if not self.ready.done():
            self.ready.set_exception(Gone(self))
        self._owner.lost(self, jobs)


def _nobody(loop: asyncio.AbstractEventLoop) -> asyncio.Future[tuple[protocol.Message, list[int]]]:
    """An answer that nobody waits for."""
    future: asyncio.Future[tuple[protocol.Message, list[int]]] = loop.create_future()
    future.cancel()
    return future

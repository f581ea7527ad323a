"""One renderer process as the front sees it: given jobs by a socket, stopped by a pipe, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from . import wire

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
        again: Whether it is tried once more when its renderer dies.
        sent: When a renderer took it, in the loop's time.
        child: Who works on it.
    """

    process: str
    descriptor: int
    beside: Sequence[tuple[str, int]]
    deadline: float
    answer: asyncio.Future[tuple[wire.Message, list[int]]]
    again: bool = True
    sent: float = 0.0
    child: Child | None = field(default=None, repr=False)


class Owner(Protocol):
    """Who is told what happens to a child."""

    def answered(self, child: Child, job: Job, said: wire.Message, beside: list[int]) -> None:
        """A job is done, and the child free; the descriptors beside are the owner's."""

    def lost(self, child: Child, job: Job | None) -> None:
        """The process is gone, or has said what no renderer says; perhaps under a job."""


class Child:
    """A process, started, and the socket to it.

    Args:
        process: The process.
        connection: Our end of the socket.
        control: Our end of the pipe that takes the word to stop.
        owner: Who is told.

    Attributes:
        ready: What the process says when it has started.
        job: What it works on, also when nobody waits for that any more.
        swollen: It was killed for the memory it took.
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
        self.job: Job | None = None
        self.swollen = self.overdue = False
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[wire.Message] = self._loop.create_future()
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

    def take(self, job: Job) -> None:
        """Begin to work on a job."""
        self._number += 1
        self.job, job.child, job.sent = job, self, self._loop.time()
        try:
            etags = [etag for etag, _ in job.beside]
            message = {"id": self._number, "process": job.process, "etags": etags}
            descriptors = [job.descriptor, *(descriptor for _, descriptor in job.beside)]
            wire.send(self._connection, message, descriptors)
        except OSError:
            self._end()

    def stop(self) -> None:
        """Tell libvips to stop the present job, and kill the process if it has not by then."""
        if self._control < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._control, self._number.to_bytes(8, "little"))
        self._grace = self._loop.call_later(GRACE, self._no_more_grace)

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
        wire.close([self._control, self._statm])
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
            said, beside = wire.receive(self._connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            said, beside = None, []
        if said is not None and not self.ready.done() and not beside:
            self.ready.set_result(said)
        elif said is not None and self.job and wire.is_reply(said, beside, self._number):
            job, self.job = self.job, None
            if self._grace:
                self._grace.cancel()
            self._owner.answered(self, job, said, beside)
        else:
            wire.close(beside)
            self._end()

    def _end(self) -> None:
        job, self.job = self.job, None
        if self._grace:
            self._grace.cancel()
        self.close()
        if not self.ready.done():
            self.ready.set_exception(Gone(self))
        self._owner.lost(self, job)

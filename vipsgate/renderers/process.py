"""One worker process as the front sees it: its socket, its pipe for cancel messages, its memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..image.cost import Cost
from ..store.arrival import Arrival, Bell
from ..worker import protocol

PAGE = os.sysconf("SC_PAGE_SIZE")
CANCEL_GRACE = 0.25  # seconds that libvips has to stop after a cancel message
EXIT_GRACE = 0.2  # seconds between the end of its socket and SIGKILL; an exit status tells more


class WorkerDied(Exception):
    """The worker has died under its job, and so had another before it."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__()
        self.worker = worker


@dataclass(slots=True, eq=False)
class PendingJob:
    """A job whose result is awaited; see :class:`vipsgate.renderers.scheduler.Schedulable`.

    Attributes:
        job: What is sent to the worker.
        deadline: When nobody will wait for it any more, in the loop's time.
        result: What comes of it.
        content: Names the content of the source; jobs with the same one may go together.
        arrival: Of the source, where it was not yet there; such a job goes alone.
        gathering: Whether it waits for others of its content.
        cost: As a worker has estimated it; ``None`` until then.
        retry: Whether it is tried once more when its worker dies.
        started: When a worker began it, in the loop's time.
        number: Under which its worker knows it.
        predicted: Seconds that it waits for a worker, as predicted.
        borrowed: Whether it came from another front, or back from one, so that it stays here.
    """

    job: protocol.Job
    deadline: float
    result: asyncio.Future[protocol.Output]
    content: str = ""
    arrival: Arrival | None = None
    gathering: bool = False
    cost: Cost | None = None
    retry: bool = True
    started: float = 0.0
    number: int = 0
    predicted: float = 0.0
    borrowed: bool = False

    @property
    def awaited(self) -> bool:
        """Does somebody wait for it?"""
        return not self.result.done()

    @property
    def arrives(self) -> bool:
        """Do bytes of the source still come?"""
        return self.arrival is not None and not self.arrival.complete

    @property
    def late(self) -> float:
        """Seconds until all of the source is there, as predicted."""
        return self.arrival.seconds_left() if self.arrival else 0.0

    @property
    def telling(self) -> bool:
        """See :class:`.scheduler.Schedulable`: a wait for bytes says nothing of the work."""
        return self.arrival is None


Replied = Callable[["WorkerProcess", protocol.Reply], None]


class WorkerProcess:
    """A process, started, and the socket to it.

    Args:
        process: The process.
        connection: Our end of the socket.
        control: Our end of the pipe for cancel messages.
        replied: Called with this worker and its reply when the first of its jobs is done; the
            descriptors of a result are the callee's.
        lost: Called with this worker when the process is gone, or has broken the protocol.

    Attributes:
        ready: What the process says when it has started.
        started: It has said that it is ready, and was taken in. Set by :mod:`.workers`.
        out_of_memory: It was killed for the memory it took.
        base: Bytes of memory that it held when it was done with the last job, or later.
        unresponsive: It was killed because it did not stop after a cancel message.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        connection: socket.socket,
        control: int,
        replied: Replied,
        lost: Callable[[WorkerProcess], None],
    ) -> None:
        self.process = process
        self.started = self.out_of_memory = self.unresponsive = False
        self.base = 0
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[protocol.Message] = self._loop.create_future()
        self._connection = connection
        self._control = control
        self._on_reply, self._on_loss = replied, lost
        self._sent = self._done = 0  # numbers of the last job sent, and of the last one done
        self._cancelled: set[int] = set()
        self._bells: dict[int, Bell] = {}  # of jobs whose sources still come
        self._grace: asyncio.TimerHandle | None = None
        try:
            self._statm = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # it has ended already
            self._statm = -1
        self._loop.add_reader(connection.fileno(), self._readable)

    def send(self, jobs: Sequence[PendingJob], budget: protocol.Budget | None) -> None:
        """Have jobs of one source done, behind those that were sent before.

        One that costs more than the budget comes back.
        """
        first = self._sent + 1
        for job in jobs:
            self._sent += 1
            job.number = self._sent
        coming = self._coming(jobs[0])
        batch = protocol.Batch(first, tuple(job.job for job in jobs), budget, coming)
        try:
            protocol.send(self._connection, *batch.encode())
        except OSError:
            return self._end()
        if coming:
            self._bells[first].sent()

    def _coming(self, job: PendingJob) -> protocol.Coming | None:
        """Return what the worker has to know of a source that still arrives."""
        if job.arrival is None or job.arrival.complete:
            return None
        bell = self._bells[job.number] = job.arrival.bell()
        return protocol.Coming(job.arrival.object.size, bell.reader)

    def _silence(self, number: int) -> None:
        """Let a job no longer wait for its source."""
        if bell := self._bells.pop(number, None):
            bell.close()

    def cancel(self, number: int) -> None:
        """Send a cancel message, and kill the process where it does not stop a job under work.

        One that was not begun yet will not be.
        """
        if self._control < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._control, number.to_bytes(8, "little"))
        self._cancelled.add(number)
        self._silence(number)
        if number == self._done + 1:
            self._begin_grace()

    def _begin_grace(self) -> None:
        if self._grace:
            self._grace.cancel()
        self._grace = self._loop.call_later(CANCEL_GRACE, self._kill_unresponsive)

    def _kill_unresponsive(self) -> None:
        self.unresponsive = True
        self.kill()

    def kill(self) -> None:
        """End the process now; that it is gone is noticed like any other death."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self, grace: float = EXIT_GRACE) -> None:
        """Close its socket, upon which a worker exits, and kill it if it has not in time."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        protocol.close([self._control, self._statm])
        for number in list(self._bells):
            self._silence(number)
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
            if self._done == self._sent:
                raise ValueError("a reply to no job")
            reply = protocol.Reply.decode(message, descriptors, self._done + 1)
        except ValueError:
            protocol.close(descriptors)
            return self._end()
        self._replied(reply)

    def _replied(self, reply: protocol.Reply) -> None:
        self._done = reply.number
        self._cancelled.discard(reply.number)
        self._silence(reply.number)
        self.base = reply.rss
        if self._grace:
            self._grace.cancel()
        if self._done + 1 in self._cancelled:
            self._begin_grace()  # it may have begun all the same
        self._on_reply(self, reply)

    def _end(self) -> None:
        if self._grace:
            self._grace.cancel()
        self.close()
        if not self.ready.done():
            self.ready.set_exception(WorkerDied(self))
        self._on_loss(self)

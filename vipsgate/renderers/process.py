"""A worker process from the front's side: its socket, its pipe for cancel messages, its memory."""

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
CANCEL_GRACE = 0.25  # seconds from a cancel message to SIGKILL
EXIT_GRACE = 0.2  # seconds from closing its socket to SIGKILL; its own exit status says more


class WorkerDied(Exception):
    """The worker has died during the job, and so had another before it."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__()
        self.worker = worker


@dataclass(slots=True, eq=False)
class PendingJob:
    """A job whose result is awaited; see :class:`vipsgate.renderers.scheduler.Schedulable`.

    Attributes:
        job: The job, as it is sent to a worker.
        deadline: When it expires, in the loop's time.
        result: A future of the worker's output.
        content: Identifies the content of the source; jobs of equal content may be sent together.
        arrival: The source, if it was still arriving; such a job is sent alone.
        gathering: Whether it is held back a moment for other jobs of the same content.
        cost: A worker's estimate; ``None`` before there is one.
        retry: Whether it is retried if its worker dies.
        started: When a worker began it, in the loop's time.
        number: Its number among the jobs of its worker.
        predicted: Predicted seconds of waiting for a worker.
        borrowed: Whether it came from another front, or back from one, and is not lent any more.
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
        """Whether a caller still waits for its result."""
        return not self.result.done()

    @property
    def arrives(self) -> bool:
        """Whether its source is still arriving."""
        return self.arrival is not None and not self.arrival.complete

    @property
    def late(self) -> float:
        """Predicted seconds until its source is complete."""
        return self.arrival.seconds_left() if self.arrival else 0.0

    @property
    def telling(self) -> bool:
        """See :class:`.scheduler.Schedulable`; false for a job that has waited for bytes."""
        return self.arrival is None


Replied = Callable[["WorkerProcess", protocol.Reply], None]


class WorkerProcess:
    """A worker process that was started, and the socket to it.

    Args:
        process: The process.
        connection: The front's end of the socket.
        control: The front's end of the pipe for cancel messages.
        replied: Called with this worker and its reply when the first of its jobs is done; the
            descriptors of a result then belong to the callee.
        lost: Called with this worker when the process has ended, or has broken the protocol.

    Attributes:
        ready: A future of the message that the process sends when it has started.
        started: Whether it was ready and has joined the pool. Set by :mod:`.workers`.
        out_of_memory: Whether it was killed for the memory it took.
        base: Bytes of memory that it held after its last job, or later.
        unresponsive: Whether it was killed because it did not stop after a cancel message.
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
        # numbers of the last job sent, the last one that has reached it, and the last one done
        self._sent = self._delivered = self._done = 0
        self._cancelled: set[int] = set()
        self._bells: dict[int, Bell] = {}  # of jobs whose sources are still arriving, by number
        self._grace: asyncio.TimerHandle | None = None
        try:
            self._statm = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # it has ended already
            self._statm = -1
        self._loop.add_reader(connection.fileno(), self._read)

    def send(self, jobs: Sequence[PendingJob], budget: protocol.Budget | None) -> None:
        """Send jobs of one source, to be done after those sent before.

        A job that costs more than the budget is handed back.
        """
        first = self._sent + 1
        for job in jobs:
            self._sent += 1
            job.number = self._sent
        coming = self._coming(jobs[0])
        batch = protocol.Batch(first, tuple(job.job for job in jobs), budget, coming)
        try:
            protocol.send(self._connection, *batch.encode())
        except (BrokenPipeError, ConnectionResetError):  # it has died
            self._loop.call_soon(self._read_rest)
            return
        except OSError:
            return self._end()
        self._delivered = self._sent
        if coming:
            self._bells[first].sent()

    @property
    def begun(self) -> bool:
        """Whether it can have begun the first of its jobs."""
        return self._done < self._delivered

    def _coming(self, job: PendingJob) -> protocol.Coming | None:
        """Return what the worker has to know about a source that is still arriving."""
        if job.arrival is None or job.arrival.complete:
            return None
        bell = self._bells[job.number] = job.arrival.bell()
        return protocol.Coming(job.arrival.object.size, bell.reader)

    def _silence(self, number: int) -> None:
        """Stop telling the worker of bytes that arrive for a job."""
        if bell := self._bells.pop(number, None):
            bell.close()

    def cancel(self, number: int) -> None:
        """Cancel a job: the process is killed if it is working on it and does not stop.

        A job that it has not begun is not begun.
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
        """Kill the process; its end is noticed like any other."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self, grace: float = EXIT_GRACE) -> None:
        """Close its socket, upon which a worker exits, and kill it if it does not exit in time."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        protocol.close([self._control, self._statm])
        for number in list(self._bells):
            self._silence(number)
        self._control = self._statm = -1  # the numbers may be reused from now on
        self._loop.call_later(grace, self.kill)

    def rss(self) -> int:
        """Return the bytes of memory that it holds now; 0 if it has ended."""
        try:
            return int(os.pread(self._statm, 64, 0).split()[1]) * PAGE
        except (OSError, IndexError, ValueError):
            return 0

    def _read_rest(self) -> None:
        """Handle the replies that a worker has sent before it died, and then its end.

        All at once, because uvloop does not watch a socket any more that has had an error.
        """
        while self._connection.fileno() >= 0:
            if not self._read():
                self._end()

    def _read(self) -> bool:
        """Handle the next message, or its end; return ``False`` if there is neither."""
        try:
            message, descriptors = protocol.receive(self._connection)
        except BlockingIOError:
            return False
        except ConnectionResetError:  # it has died with jobs unread
            self._read_rest()
            return True
        except (OSError, ValueError):
            self._end()
            return True
        self._handle(message, descriptors)
        return True

    def _handle(self, message: protocol.Message | None, descriptors: list[int]) -> None:
        try:
            if message is None:
                raise ValueError("the process has ended")
            if not self.ready.done() and not descriptors:
                return self.ready.set_result(message)
            if not self.begun:
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
        self.out_of_memory = False  # if it is being killed, that was for the job that is done
        if self._grace:
            self._grace.cancel()
        if self._done + 1 in self._cancelled:
            self._begin_grace()  # the worker may have begun it before the message came
        self._on_reply(self, reply)

    def _end(self) -> None:
        if self._grace:
            self._grace.cancel()
        self.close()
        if not self.ready.done():
            self.ready.set_exception(WorkerDied(self))
        self._on_loss(self)

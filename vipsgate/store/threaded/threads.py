"""Threads for calls of the kernel that may hang, each call within its time.

A thread in such a call cannot be stopped. So there are only so many of them, for each file system
its own; when all are stuck the next call is refused at once. What a stuck call would still have
given is put away by the thread itself, when the file system comes back. They are daemons: a process
that ends does not wait for them. :class:`concurrent.futures.ThreadPoolExecutor` has the threads and
the bound, but its own are waited for at the end of the process, however long they hang.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Generic, ParamSpec, TypeVar

from aiofiles.os import wrap

from ...errors import GatewayTimeout, OssError, ServiceUnavailable
from ..local import abandoned, paths
from ..local.root import away

MAX_THREADS = 16  # of one file system

P = ParamSpec("P")
T = TypeVar("T")
Jobs = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]  # None: the thread ends


class State(enum.Enum):
    """Of a call."""

    WAITING, RUNNING, DONE, DROPPED = range(4)


class Call(Generic[T]):
    """Work for a thread.

    Args:
        work: What is done.
        until: Seconds of the clock after which nobody waits for it.

    Attributes:
        until: Likewise.
    """

    def __init__(self, work: Callable[[], T], until: float) -> None:
        self._work, self.until = work, until
        self._lock, self._state = threading.Lock(), State.WAITING
        self._result: T | None = None
        self._next: Callable[[T | None], object] | None = None  # behind it, if it is abandoned

    @property
    def is_abandoned(self) -> bool:
        """Does nobody wait for it any more?"""
        return self._next is not None

    def __call__(self) -> T | None:
        """Do it, in a thread."""
        with self._lock:
            if self._state is State.DROPPED:
                return None
            self._state = State.RUNNING
        abandoned.watch(lambda: self.is_abandoned)
        result = None
        try:
            result = self._work()
            return result
        finally:
            abandoned.watch(None)
            with self._lock:
                self._state, self._result = State.DONE, result
                following = self._next
            if following:
                following(result)

    def abandon(self, following: Callable[[T | None], object]) -> bool:
        """Nobody waits for it any more.

        Args:
            following: What is done behind it, with its result; with ``None`` where it failed, or
                never begins. It takes the place of an earlier one.

        Returns:
            Whether its thread will do that. If not, the call is over, and the caller is to see to
            it by :meth:`result`.
        """
        with self._lock:
            self._next = following
            if self._state is State.WAITING:
                self._state = State.DROPPED
            return self._state is State.RUNNING

    @property
    def result(self) -> T | None:
        """What it gave, once it is over."""
        return self._result


class Threads(Executor):
    """Those of one file system.

    Args:
        name: Of the threads.
        seconds: That a call may take, waiting for a thread included.
        most: How many threads there are at most.
        clock: Seconds.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        most: int = MAX_THREADS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._seconds, self._most, self._clock = name, seconds, most, clock
        self._jobs, self._idle, self._count = Jobs(), threading.Semaphore(0), 0
        self._lock = threading.RLock()  # a file that is collected meanwhile submits that it closes
        self._ends: dict[Call[Any], float] = {}  # of calls that are in a thread now

    @property
    def stuck(self) -> int:
        """Threads in a call whose time is over."""
        now = self._clock()
        return sum(until < now for until in tuple(self._ends.values()))

    def check(self) -> None:
        """Refuse at once what would find no thread.

        Raises:
            ServiceUnavailable: All are stuck.
        """
        if len(self._ends) >= self._most and self.stuck >= self._most:
            raise away("The store's file system does not answer.")

    async def run(
        self,
        work: Callable[[], T],
        *,
        discard: Callable[[T | None], object] = lambda result: None,
        seconds: float = 0,
    ) -> T:
        """Work in a thread, within its time.

        Args:
            work: What is done.
            discard: Puts the result away where nobody waits for it any more; in a thread.
            seconds: That this work may take longer than others.

        Raises:
            GatewayTimeout: It is not done in time.
            ServiceUnavailable: All threads are stuck, or the file system fails.
            OssError: What the work raises.
        """
        call = self.call(work, seconds)
        try:
            return await self.wait(call)
        except (asyncio.CancelledError, GatewayTimeout, ServiceUnavailable):
            if not call.abandon(discard) and call.result is not None:
                self.submit(discard, call.result)
            raise

    def call(self, work: Callable[[], T], seconds: float = 0) -> Call[T]:
        """Work that is to begin with :meth:`wait`; the arguments are those of :meth:`run`."""
        return Call(work, self._clock() + self._seconds + seconds)

    async def wait(self, call: Call[T]) -> T:
        """Do a call, and wait for it within its time; see :meth:`run`."""
        self.check()
        try:
            async with asyncio.timeout(call.until - self._clock()):
                result: T = await wrap(self._noted)(call, executor=self)
                return result
        except OssError:
            raise
        except OSError as error:  # also that the time is over
            raise refusal(error) from None

    def _noted(self, call: Call[T]) -> T:
        self._ends[call] = call.until
        try:
            return call()  # type: ignore[return-value]  # None: nobody waits for it
        finally:
            del self._ends[call]

    def now(self, work: Callable[[], T]) -> T:
        """Work in a thread, for a caller without a loop; see :meth:`run`."""
        try:
            return self.submit(work).result(self._seconds)
        except OSError as error:  # also that the time is over
            raise refusal(error) from None

    def submit(self, work: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> Future[T]:
        """See :class:`concurrent.futures.Executor`."""
        future: Future[T] = Future()
        with self._lock:
            self._jobs.put((future, lambda: work(*args, **options)))
            if not self._idle.acquire(blocking=False) and self._count < self._most:
                self._count += 1
                name, own = f"{self._name}-{self._count}", (self._jobs, self._idle)
                threading.Thread(target=_work, args=own, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let the threads end, each behind what it is doing; what still comes has new ones."""
        with self._lock:
            for _ in range(self._count):
                self._jobs.put(None)
            self._jobs, self._idle, self._count = Jobs(), threading.Semaphore(0), 0


def _work(jobs: Jobs, idle: threading.Semaphore) -> None:
    """A thread."""
    while job := jobs.get():
        future, work = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        del job, future, work  # what was given is not held until the next call
        idle.release()


def refusal(error: OSError) -> OssError:
    """What is to be told of a call that has failed, or whose time is over."""
    if isinstance(error, TimeoutError):  # of the loop, without a number
        error = OSError(errno.ETIMEDOUT, "")
    return paths.unavailable(error, "had")

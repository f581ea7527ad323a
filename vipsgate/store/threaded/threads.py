"""Threads for system calls that may hang, with a time limit for each call.

A thread in such a call cannot be stopped. So each file system has a limited number of threads of
its own; when all are stuck, the next call is refused at once. The late result of a stuck call is
discarded by its thread, when the file system responds again. The threads are daemons, so that a
process does not wait for them when it ends; it would for those of
:class:`concurrent.futures.ThreadPoolExecutor`, however long they hang.
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

MAX_THREADS = 16  # for each file system

P = ParamSpec("P")
T = TypeVar("T")
Jobs = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]  # None: the thread ends


class State(enum.Enum):
    """The states of a call."""

    WAITING, RUNNING, DONE, DROPPED = range(4)


class Call(Generic[T]):
    """A function call to be made in a thread.

    Args:
        work: The function.
        until: Its deadline, in seconds of the clock.

    Attributes:
        until: Its deadline, in seconds of the clock.
    """

    def __init__(self, work: Callable[[], T], until: float) -> None:
        self._work, self.until = work, until
        self._lock, self._state = threading.Lock(), State.WAITING
        self._result: T | None = None
        self._next: Callable[[T | None], object] | None = None  # called after it, if abandoned

    @property
    def is_abandoned(self) -> bool:
        """Whether its result is not awaited any more."""
        return self._next is not None

    def __call__(self) -> T | None:
        """Make the call, in a thread."""
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
        """Stop waiting for the call, and have its result discarded.

        Args:
            following: Called by the thread after the call, with its result, or ``None`` if it
                failed. It replaces an earlier one.

        Returns:
            Whether ``following`` will be called. If not, the call has ended or will never begin,
            and the caller has to discard its :attr:`result`.
        """
        with self._lock:
            self._next = following
            if self._state is State.WAITING:
                self._state = State.DROPPED
            return self._state is State.RUNNING

    @property
    def result(self) -> T | None:
        """The result, after the call has ended; ``None`` before, or if it failed."""
        return self._result


class Threads(Executor):
    """The threads of one file system.

    Args:
        name: Prefix of the names of the threads.
        seconds: Seconds that a call may take, including the wait for a thread.
        most: Largest number of threads.
        clock: Returns a monotonic time, in seconds.
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
        self._lock = threading.RLock()  # ``File.__del__`` may submit while it is held
        self._ends: dict[Call[Any], float] = {}  # deadlines of the calls that are in a thread now

    @property
    def stuck(self) -> int:
        """Number of threads in a call whose deadline has passed."""
        now = self._clock()
        return sum(until < now for until in tuple(self._ends.values()))

    def check(self) -> None:
        """Check that not all threads are stuck.

        Raises:
            ServiceUnavailable: All threads are stuck.
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
        """Call a function in a thread, and return its result.

        Args:
            work: The function.
            discard: Called in a thread with a result that is not awaited any more, or ``None``.
            seconds: Seconds that this call may take longer than others.

        Raises:
            GatewayTimeout: The call has reached its deadline.
            ServiceUnavailable: All threads are stuck, or the file system fails.
            OssError: The function has raised it.
        """
        call = self.call(work, seconds)
        try:
            return await self.wait(call)
        except (asyncio.CancelledError, GatewayTimeout, ServiceUnavailable):
            if not call.abandon(discard) and call.result is not None:
                self.submit(discard, call.result)
            raise

    def call(self, work: Callable[[], T], seconds: float = 0) -> Call[T]:
        """Return a call that begins with :meth:`wait`; for the arguments see :meth:`run`."""
        return Call(work, self._clock() + self._seconds + seconds)

    async def wait(self, call: Call[T]) -> T:
        """Make a call, and return its result; see :meth:`run`."""
        self.check()
        try:
            async with asyncio.timeout(call.until - self._clock()):
                result: T = await wrap(self._noted)(call, executor=self)
                return result
        except OssError:
            raise
        except OSError as error:  # including TimeoutError
            raise refusal(error) from None

    def _noted(self, call: Call[T]) -> T:
        self._ends[call] = call.until
        try:
            return call()  # type: ignore[return-value]  # None: it is not awaited
        finally:
            del self._ends[call]

    def now(self, work: Callable[[], T]) -> T:
        """Do the same as :meth:`run`, for a caller without an event loop."""
        try:
            return self.submit(work).result(self._seconds)
        except OSError as error:  # including TimeoutError
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
        """End the threads, each after its current call; further calls start new ones."""
        with self._lock:
            for _ in range(self._count):
                self._jobs.put(None)
            self._jobs, self._idle, self._count = Jobs(), threading.Semaphore(0), 0


def _work(jobs: Jobs, idle: threading.Semaphore) -> None:
    """Make the calls in order; this is the threads' function."""
    while job := jobs.get():
        future, work = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        del job, future, work  # or they would be held until the next call
        idle.release()


def refusal(error: OSError) -> OssError:
    """Return OSS's error for a call that has failed, or has reached its deadline."""
    if isinstance(error, TimeoutError):  # of the loop, without a number
        error = OSError(errno.ETIMEDOUT, "")
    return paths.unavailable(error, "had")

"""The renderer processes as the front sees them: spawned, lent out, timed, killed, replaced.

There is one process more than may work at a time, so that a dead one is replaced by a warm one at
once. Each works on one job; a client that leaves, and a deadline, are told to libvips first and
enforced by SIGKILL after a grace. The memory of the working ones is watched from here: RLIMIT_AS
makes libvips crash, and an encoder cannot be asked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from . import errors, wire
from .child import Child, Gone
from .renderer import ENVIRONMENT, UNWANTED

GRACE = 0.25  # seconds that libvips has to stop when told so
WATCH = 0.05  # seconds between two looks at the memory of the working renderers
START = 30.0  # seconds for a renderer to be ready; 0.3 is usual
COMMAND = (sys.executable, "-m", "vipsgate.renderer")
BACK_SOON = {"Retry-After": "1"}

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
    """

    mime: str
    size: int
    descriptor: int
    queue: float
    render: float

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


class Renderers:
    """The pool.

    Args:
        count: Renderers that work at a time.
        queue: Jobs that may wait for one.
        timeout: Seconds for one job, waiting included.
        ceiling: Bytes of memory above which an idle renderer is replaced.
        most: Bytes of memory above which a working one is killed.
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
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # -- what the server sees --------------------------------------------------------------------

    async def start(self) -> None:
        """Start all renderers and wait until they are ready.

        Raises:
            StartError: One of them cannot work here.
        """
        try:
            await asyncio.gather(*(self._spawn() for _ in range(self._count + 1)))
        except BaseException:
            await self.close()
            raise
        self._later(self._watch())

    async def close(self) -> None:
        """End all renderers; what they were doing is lost."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        renderers = list(self._all)
        for renderer in renderers:
            renderer.close()
            renderer.kill()
        await asyncio.gather(*(renderer.process.wait() for renderer in renderers))
        self._all.clear()

    @property
    def full(self) -> bool:
        """Would the next job be refused?"""
        return len(self._waiting) >= self._queue and not self._free()

    def pids(self) -> list[int]:
        """The process ids of all renderers, the spare one included."""
        return [renderer.process.pid for renderer in self._all]

    async def render(self, process: str, descriptor: int) -> Result:
        """Have a picture rendered.

        Args:
            process: Canonical text of what is to be done.
            descriptor: The source, opened; it stays the caller's.

        Raises:
            CpuLimitExceeded: The queue is full, or the time is up.
            ImageTooLarge: It took more memory than one picture may.
            ImageDamage: The decoder died of it, twice.
            OssError: What the renderer raised.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + self._timeout
        for again in (True, False):
            renderer = await self._acquire(deadline)
            queued = loop.time() - begun
            try:
                message, descriptors = await renderer.run(
                    {"process": process}, [descriptor], deadline
                )
            except Gone:
                self._working.discard(renderer)
                if again and not renderer.swollen:
                    continue
                raise await self._verdict(renderer) from None
            except TimeoutError:
                self._later(self._settle(renderer))
                raise _late(self._timeout) from None
            except BaseException:  # the client is gone
                self._later(self._settle(renderer))
                raise
            self._release(renderer, message.get("rss", 0))
            return _result(message, descriptors, queued)
        raise AssertionError("unreachable")

    # -- lending ---------------------------------------------------------------------------------

    def _free(self) -> bool:
        return bool(self._idle) and len(self._working) < self._count

    async def _acquire(self, deadline: float) -> Child:
        """A renderer for one job, after those who came before."""
        if self._free():
            renderer = self._idle.pop()  # the one used last: its memory is warm
            self._working.add(renderer)
            return renderer
        if len(self._waiting) >= self._queue:
            raise errors.CpuLimitExceeded(
                f"The server is busy: {len(self._waiting)} pictures are waiting.", headers=BACK_SOON
            )
        place: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                return await place
        except BaseException as error:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place.cancelled():  # lent in the very moment of giving up
                self._release(place.result(), 0)
            if isinstance(error, TimeoutError):
                raise _late(self._timeout) from None
            raise

    def _release(self, renderer: Child, rss: int) -> None:
        """The job is done: lend the renderer on, or replace it when it has grown too large."""
        self._working.discard(renderer)
        if renderer not in self._all:
            return
        if rss > self._ceiling:
            self._all.discard(renderer)
            renderer.close()
            self._later(self._replace())
        else:
            self._idle.append(renderer)
        self._lend()

    def _lend(self) -> None:
        while self._waiting and self._free():
            place = self._waiting.popleft()
            if not place.done():
                renderer = self._idle.pop()
                self._working.add(renderer)
                place.set_result(renderer)

    async def _settle(self, renderer: Child) -> None:
        """Stop a job that nobody waits for any more, and get the renderer back or kill it."""
        renderer.stop()
        try:
            deadline = asyncio.get_running_loop().time() + GRACE
            message, descriptors = await renderer.answer(deadline)
        except TimeoutError:
            self._working.discard(renderer)
            renderer.kill()
        except Gone:
            self._working.discard(renderer)
        else:
            wire.close(descriptors)
            self._release(renderer, message.get("rss", 0))

    # -- births and deaths -----------------------------------------------------------------------

    async def _spawn(self) -> None:
        """Start a renderer and take it in when it is ready."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, wire.KIND)
        ours.setblocking(False)
        listen, control = os.pipe2(os.O_CLOEXEC)
        environment = {k: v for k, v in os.environ.items() if k not in UNWANTED} | ENVIRONMENT
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                str(listen),
                self._settings,
                pass_fds=(theirs.fileno(), listen),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,  # the front's own standard output carries the ready line only
                env=environment,
                start_new_session=True,  # Ctrl-C is for the front, which drains
            )
        finally:
            theirs.close()
            os.close(listen)
        renderer = Child(process, ours, control, self._lost)
        self._all.add(renderer)
        try:
            ready, _ = await renderer.answer(asyncio.get_running_loop().time() + START)
        except (TimeoutError, Gone):
            raise StartError("a renderer process ended, or hung, before it was ready") from None
        if "refused" in ready:
            raise StartError(ready["refused"])
        self.version, self.sandbox = ready["ready"], ready["sandbox"]
        self._idle.append(renderer)
        self._lend()

    def _lost(self, renderer: Child) -> None:
        """A renderer has died: working, idle, or while it started."""
        known = renderer in self._all
        self._all.discard(renderer)
        if renderer in self._idle:
            self._idle.remove(renderer)
        if known and self.version and not self._closed:
            log.warning("renderer %d is gone; starting another", renderer.process.pid)
            self._later(self._replace())

    async def _replace(self) -> None:
        delay = 0.1
        while True:
            try:
                return await self._spawn()
            except (StartError, OSError) as error:
                log.error("a renderer cannot be started: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, 5.0)

    async def _verdict(self, renderer: Child) -> errors.OssError:
        """Why did it die, in the client's terms?"""
        code = await renderer.process.wait()
        if renderer.swollen:
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
            for renderer in self._working:
                if renderer.rss() > self._most + self._ceiling:
                    renderer.swollen = True
                    renderer.kill()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _result(message: dict[str, Any], descriptors: list[int], queued: float) -> Result:
    if "error" in message:
        wire.close(descriptors)
        raise errors.load(message["error"])
    return Result(
        message["type"],
        message["size"],
        descriptors[0],
        queued,
        message["probe"] + message["render"],
    )


def _late(timeout: float) -> errors.CpuLimitExceeded:
    return errors.CpuLimitExceeded(
        f"The picture was not ready within {timeout:g} seconds.", headers=BACK_SOON
    )

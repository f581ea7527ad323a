"""One renderer process as the front sees it: spoken to by a socket, stopped by a pipe, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from . import wire

Answer = tuple[dict[str, Any], list[int]]  # a message, and descriptors to be closed
PAGE = os.sysconf("SC_PAGE_SIZE")


class Gone(Exception):
    """The renderer has died under its job."""


class Child:
    """A process, started, and the socket to it.

    Args:
        process: The process.
        connection: Our end of the socket.
        control: Our end of the pipe that takes the word to stop.
        lost: Told when the process is gone.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        connection: socket.socket,
        control: int,
        lost: Callable[[Child], None],
    ) -> None:
        self.process = process
        self.swollen = False
        self._connection = connection
        self._control = control
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] = self._loop.create_future()
        self._job = 0
        self._statm = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._loop.add_reader(connection.fileno(), self._readable)

    async def run(self, job: dict[str, Any], descriptors: Sequence[int], deadline: float) -> Answer:
        """Send a job and wait for its answer.

        Raises:
            TimeoutError: There was none until ``deadline``, in the loop's time.
            Gone: The renderer died.
        """
        self._job += 1
        self._answer = self._loop.create_future()
        try:
            wire.send(self._connection, {"id": self._job, **job}, descriptors)
        except OSError:
            raise Gone from None
        return await self.answer(deadline)

    async def answer(self, deadline: float) -> Answer:
        """The answer to the last job, also for a second caller when a first has given up.

        The message that a process sends when it is ready counts as an answer too.

        Raises:
            TimeoutError, Gone: As :meth:`run`.
        """
        async with asyncio.timeout_at(deadline):
            return await asyncio.shield(self._answer)

    def stop(self) -> None:
        """Tell libvips to stop the present job."""
        with contextlib.suppress(OSError):
            os.write(self._control, self._job.to_bytes(8, "little"))

    def kill(self) -> None:
        """End the process now; that it is gone is noticed like any other death."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self) -> None:
        """Let go of it: a renderer whose socket is closed ends by itself."""
        if self._connection.fileno() >= 0:
            self._loop.remove_reader(self._connection.fileno())
            self._connection.close()
            wire.close([self._control, self._statm])

    def rss(self) -> int:
        """Bytes of memory that it holds now; 0 when it is gone."""
        try:
            return int(os.pread(self._statm, 64, 0).split()[1]) * PAGE
        except (OSError, IndexError):
            return 0

    def _readable(self) -> None:
        try:
            message, descriptors = wire.receive(self._connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            message, descriptors = None, []
        waiting = None if self._answer.done() else self._answer
        if message is None:
            self.close()
            self.kill()  # closed its socket, but may still run
            if waiting:
                waiting.set_exception(Gone())
            self._lost(self)
        elif waiting and message.get("id", self._job) == self._job:
            waiting.set_result((message, descriptors))
        else:
            wire.close(descriptors)

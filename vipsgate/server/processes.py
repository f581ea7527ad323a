"""Starts, reaps, restarts and kills the front processes, in their parent."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

HANG_SECONDS = 15.0  # without a heartbeat, after which a front is killed
QUICK_END = 5.0  # seconds: a front that ends sooner after its start is started again later
FIRST_DELAY, MAX_DELAY = 0.1, 5.0  # shortest and longest delay of that start, in seconds

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FrontProcess:
    """A front process, and its earlier starts.

    Attributes:
        pid: Its process id; 0 while there is none.
        since: When it was started, or is to be started, by ``time.monotonic``.
        ready: Whether it serves.
        delay: Delay of the latest restart, in seconds; doubled if the front ends soon again.
        starts: Number of starts.
    """

    pid: int = 0
    since: float = 0.0
    ready: bool = False
    delay: float = 0.0
    starts: int = 0

    @property
    def replaces(self) -> bool:
        """Whether it replaces a process that has ended."""
        return self.starts > 1

    def started(self, pid: int, now: float) -> None:
        """Record a start."""
        self.pid, self.since, self.ready = pid, now, False

    def ended(self, now: float) -> None:
        """Record the end; the next start is due at once, or later if the process ended soon."""
        soon = now - self.since < QUICK_END
        self.delay = min(max(FIRST_DELAY, 2 * self.delay), MAX_DELAY) if soon else 0.0
        self.pid, self.since, self.ready = 0, now + self.delay, False


class Fronts:
    """All front processes, by their number.

    Args:
        count: Number of fronts.
        live: Runs a front, in the child process, until it exits.
    """

    def __init__(self, count: int, live: Callable[[int], NoReturn]) -> None:
        self._all = [FrontProcess() for _ in range(count)]
        self._live = live

    def __getitem__(self, number: int) -> FrontProcess:
        return self._all[number]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[FrontProcess]:
        return iter(self._all)

    def all_ready(self) -> bool:
        """Return whether all fronts serve."""
        return all(front.ready for front in self._all)

    def any_alive(self) -> bool:
        """Return whether any front has a process."""
        return any(front.pid for front in self._all)

    def start_due(self) -> None:
        """Start the fronts that have no process and are due."""
        for number, front in enumerate(self._all):
            if not front.pid and time.monotonic() >= front.since:
                self._start(number)

    def _start(self, number: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._all[number].starts += 1
        if not (pid := os.fork()):
            self._live(number)
        self._all[number].started(pid, time.monotonic())

    def reap(self) -> list[tuple[int, int]]:
        """Reap processes, including orphans, as this may be the init of a container.

        Returns:
            Numbers and process ids of the fronts that have ended.
        """
        ended = []
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                for number, front in enumerate(self._all):
                    if front.pid == pid:
                        front.ended(time.monotonic())
                        ended.append((number, pid))
        return ended

    def signal(self, number: int) -> None:
        """Send a signal to all fronts."""
        for front in self._all:
            if front.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(front.pid, number)

    def kill_hung(self, beat: Callable[[int], float]) -> None:
        """Kill the fronts that serve but have sent no heartbeat for :data:`HANG_SECONDS`.

        Args:
            beat: Returns the time of a front's latest heartbeat, by ``time.monotonic``; 0 for none.
        """
        now = time.monotonic()
        for number, front in enumerate(self._all):
            latest = beat(number) if front.ready else 0.0
            if latest and now - latest > HANG_SECONDS:
                log.error("front %d has not responded for %g seconds", number, HANG_SECONDS)
                os.kill(front.pid, signal.SIGKILL)
                front.ready = False

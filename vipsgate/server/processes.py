"""The front processes of a server as its parent sees them: forked, reaped, replaced and killed."""

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
FIRST_DELAY, MAX_DELAY = 0.1, 5.0  # seconds that this is, at least and at most

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FrontProcess:
    """One front process, and what is known of those that had its number before.

    Attributes:
        pid: Its process; 0 while there is none.
        since: When it was started, or is to be.
        ready: Whether it serves.
        delay: Seconds after which it is started again, should it end soon.
        starts: How often it was started.
    """

    pid: int = 0
    since: float = 0.0
    ready: bool = False
    delay: float = 0.0
    starts: int = 0

    @property
    def replaces(self) -> bool:
        """Does it take the place of one that has ended?"""
        return self.starts > 1

    def started(self, pid: int, now: float) -> None:
        """Note a start."""
        self.pid, self.since, self.ready = pid, now, False

    def ended(self, now: float) -> None:
        """Note the end: the next start is due at once, or later where starts do not last."""
        soon = now - self.since < QUICK_END
        self.delay = min(max(FIRST_DELAY, 2 * self.delay), MAX_DELAY) if soon else 0.0
        self.pid, self.since, self.ready = 0, now + self.delay, False


class Fronts:
    """All front processes, by their number.

    Args:
        count: How many there are to be.
        live: Is a front, in the child process, from its fork to its exit.
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
        """Does each of them serve?"""
        return all(front.ready for front in self._all)

    def any_alive(self) -> bool:
        """Is there a process of any?"""
        return any(front.pid for front in self._all)

    def start_due(self) -> None:
        """Start each that has no process and whose time has come."""
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
        """Note which fronts have ended, and reap orphans, too, whose init this may be.

        Returns:
            Their numbers and process ids.
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
        """Send a signal to all of them."""
        for front in self._all:
            if front.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(front.pid, number)

    def kill_hung(self, beat: Callable[[int], float]) -> None:
        """Kill those that serve, as far as they have said, and have not beaten for long.

        Args:
            beat: The time of a front's latest heartbeat, by ``time.monotonic``; 0 for none.
        """
        now = time.monotonic()
        for number, front in enumerate(self._all):
            latest = beat(number) if front.ready else 0.0
            if latest and now - latest > HANG_SECONDS:
                log.error("front %d has shown no life for %g seconds", number, HANG_SECONDS)
                os.kill(front.pid, signal.SIGKILL)
                front.ready = False

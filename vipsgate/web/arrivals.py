"""Connections that have been accepted and are not set up yet.

To set a connection up, transport, protocol, parser and task, takes 50 microseconds. Where thousands
connect at once, that is half a second in which whoever asks for something light is behind all of
them. So the first ones in an iteration of the loop are set up at once, and the others are looked at
before, which takes 10 microseconds:

* What has sent a request for work is set up when the turn of that request comes (:mod:`.turns`).
* What has sent nothing yet is set up when it has, or after a while.
* All else is set up.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable
from functools import partial

from .connection import Work
from .turns import ONE, Turns

AT_ONCE = 16  # connections in an iteration of the loop that are set up without a look
MAX_LOOKED_AT = 64  # of those that have sent something, in one iteration
PEEK_BYTES = 1 << 12  # of what a client has sent
SILENT_SECONDS = 1.0  # after which a connection that has sent nothing is set up

SetUp = Callable[[socket.socket, float], None]  # a connection, and Connection's ``came``


class Arrivals:
    """The connections of a port that are not set up yet; an event loop is running.

    Args:
        turns: Whose turn it is to have work begun.
        work: Which requests are work.
        set_up: Sets a connection up.
    """

    def __init__(self, turns: Turns, work: Work, set_up: SetUp) -> None:
        self._turns, self._work, self._set_up = turns, work, set_up
        self._at_once = Turns(AT_ONCE)
        self._waiting: set[socket.socket] = set()
        self._silent: dict[int, tuple[socket.socket, float]] = {}  # by descriptor, oldest first
        self._epoll: select.epoll | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._silent)

    def add(self, connection: socket.socket) -> bool:
        """Set a connection up, at once or later. Return whether it has been set up at once."""
        if not self._turns.busy and self._at_once.take():
            self._set_up(connection, 0.0)
            return True
        data = _peek(connection)
        if data is None:
            self._wait_for_data(connection)
            return False
        return self._add(connection, data)

    def flush(self) -> None:
        """Set all connections up now."""
        while self._waiting:
            self._set_up(self._waiting.pop(), 0.0)
        for descriptor in list(self._silent):
            self._set_up(self._heard(descriptor), 0.0)
        self._watch_no_more()

    def _add(self, connection: socket.socket, data: bytes) -> bool:
        work = self._work
        if not work.waits(data) or work.knows(data):
            self._set_up(connection, 0.0)
            return True
        self._waiting.add(connection)
        self._turns.wait(partial(self._begin, connection, time.perf_counter()))
        return False

    def _begin(self, connection: socket.socket, came: float) -> float:
        """Set up a connection whose turn has come. Return how much of a turn it takes."""
        if connection not in self._waiting:  # it has been set up since
            return 0.0
        self._waiting.discard(connection)
        self._set_up(connection, came)
        return ONE

    def _wait_for_data(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if self._epoll is None:
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._on_data)
            loop.call_later(SILENT_SECONDS, self._give_up)
        descriptor = connection.fileno()
        self._epoll.register(descriptor, select.EPOLLIN)
        self._silent[descriptor] = connection, loop.time()

    def _heard(self, descriptor: int) -> socket.socket:
        """Return a silent connection, which is none any more."""
        assert self._epoll
        connection, _ = self._silent.pop(descriptor)
        self._epoll.unregister(descriptor)
        return connection

    def _on_data(self) -> None:
        """Look at connections that have sent something, or that the client has closed."""
        if self._epoll is None:
            return
        for descriptor, _ in self._epoll.poll(0, MAX_LOOKED_AT):
            connection = self._heard(descriptor)
            self._add(connection, _peek(connection) or b"")

    def _give_up(self) -> None:
        """Set up the connections that have been silent for long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        old = [number for number, (_, at) in self._silent.items() if at <= now - SILENT_SECONDS]
        for descriptor in old[:MAX_LOOKED_AT]:
            self._set_up(self._heard(descriptor), 0.0)
        if self._silent:
            oldest = next(at for _, at in self._silent.values())
            loop.call_at(max(oldest + SILENT_SECONDS, now), self._give_up)
        else:
            self._watch_no_more()

    def _watch_no_more(self) -> None:
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None


def _peek(connection: socket.socket) -> bytes | None:
    """Return what a client has sent so far; ``None`` for nothing."""
    try:
        return connection.recv(PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:  # it is set up, and found to be closed
        return b""

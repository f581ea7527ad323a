"""Connections that have been accepted and are not set up yet.

To set up a connection (transport, protocol, parser and task) takes about 50 microseconds. Where
thousands of clients connect at once, that adds up to half a second, and a client that wants
something light would wait behind all of them. So only the first few in an iteration of the loop are
set up at once. The others are looked at first, which takes 10 microseconds:

* A connection whose client has sent a request for work is set up when the turn of that request
  comes (:mod:`.turns`).
* One whose client has sent nothing yet is set up when it has, or after :data:`SILENT_SECONDS`.
* Any other one is set up.
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
MAX_LOOKED_AT = 64  # silent connections that are handled in an iteration once they have data
PEEK_BYTES = 1 << 12  # of what a client has sent, to tell what it wants
SILENT_SECONDS = 1.0  # after which a connection whose client has sent nothing is set up

SetUp = Callable[[socket.socket, float], None]  # a connection, and Connection's ``came``


class Arrivals:
    """The connections of a port that are not set up yet; an event loop is running.

    Args:
        turns: Decides when a request for work begins.
        work: Tells which requests are work.
        set_up: Called with a connection to set it up.
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
        """Set up a connection, now or later. Return whether it was done now."""
        if not self._turns.busy and self._at_once.take():
            self._set_up(connection, 0.0)
            return True
        data = _peek(connection)
        if data is None:
            self._wait_for_data(connection)
            return False
        return self._add(connection, data)

    def flush(self) -> None:
        """Set up all connections now."""
        while self._waiting:
            self._set_up(self._waiting.pop(), 0.0)
        for descriptor in list(self._silent):
            self._set_up(self._unwatch(descriptor), 0.0)
        self._close_epoll()

    def _add(self, connection: socket.socket, data: bytes) -> bool:
        work = self._work
        if not work.waits(data) or work.knows(data):
            self._set_up(connection, 0.0)
            return True
        self._waiting.add(connection)
        self._turns.wait(partial(self._begin, connection, time.perf_counter()))
        return False

    def _begin(self, connection: socket.socket, came: float) -> float:
        """Set up a connection whose turn has come. Return how much of a turn that takes."""
        if connection not in self._waiting:  # :meth:`flush` has set it up
            return 0.0
        self._waiting.discard(connection)
        self._set_up(connection, came)
        return ONE

    def _wait_for_data(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if self._epoll is None:
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._on_data)
            loop.call_later(SILENT_SECONDS, self._set_up_old)
        descriptor = connection.fileno()
        self._epoll.register(descriptor, select.EPOLLIN)
        self._silent[descriptor] = connection, loop.time()

    def _unwatch(self, descriptor: int) -> socket.socket:
        """Stop watching a silent connection, and return it."""
        assert self._epoll
        connection, _ = self._silent.pop(descriptor)
        self._epoll.unregister(descriptor)
        return connection

    def _on_data(self) -> None:
        """Handle connections whose client has sent something, or has closed them."""
        if self._epoll is None:
            return
        for descriptor, _ in self._epoll.poll(0, MAX_LOOKED_AT):
            connection = self._unwatch(descriptor)
            self._add(connection, _peek(connection) or b"")

    def _set_up_old(self) -> None:
        """Set up connections that have been silent for :data:`SILENT_SECONDS`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        old = [number for number, (_, at) in self._silent.items() if at <= now - SILENT_SECONDS]
        for descriptor in old[:MAX_LOOKED_AT]:
            self._set_up(self._unwatch(descriptor), 0.0)
        if self._silent:
            oldest = next(at for _, at in self._silent.values())
            loop.call_at(max(oldest + SILENT_SECONDS, now), self._set_up_old)
        else:
            self._close_epoll()

    def _close_epoll(self) -> None:
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None


def _peek(connection: socket.socket) -> bytes | None:
    """Return what a client has sent so far; ``None`` if that is nothing."""
    try:
        return connection.recv(PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:  # the connection is broken, which its protocol is told once it is set up
        return b""

"""The public port of several fronts: accepts connections, and passes each to a front.

Each goes to the front with the fewest connections, and no byte of it is read here. If each front
had a socket of its own (``SO_REUSEPORT``), the kernel would choose by a hash, which often gives one
of two fronts 6 of 8 connections, and a front that dies would lose the connections queued for it. If
fronts shared one socket, each connection would wake all of them. Passing a connection on costs 20
microseconds, once.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ..fronts import balance
from ..fronts.scoreboard import Column, Scoreboard
from ..web import ports
from ..web.connection_limit import MAX_ACCEPTED, RETRY_SECONDS, ConnectionLimit
from ..worker import protocol
from .notices import CLOSE_IDLE, CONNECTIONS, LAST

Notify = Callable[[int, str, protocol.Message, Sequence[int]], None]
FULL_SECONDS = 1.0  # wait at the end for fronts whose sockets are full
log = logging.getLogger(__name__)


class Acceptor:
    """The public port of several fronts.

    Args:
        sockets: Its bound sockets.
        scoreboard: The scoreboard, with the number of connections of each front.
        limit: The most open connections.
        notify: Sends a front, by its number, a notice with descriptors; raises OSError if its
            socket is full.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], scoreboard: Scoreboard, limit: int, notify: Notify
    ) -> None:
        self._sockets, self._scoreboard, self._notify = sockets, scoreboard, notify
        self._limit = ConnectionLimit(limit)
        self._held: list[socket.socket] = []  # accepted connections that no front takes yet
        self._open = self._paused = False

    @property
    def listening(self) -> Sequence[socket.socket]:
        """The sockets from which connections are accepted at present."""
        return self._sockets if self._open and not self._paused and not self._held else ()

    def open(self) -> None:
        """Start to listen."""
        ports.listen(self._sockets)
        self._open = True

    def accept(self, listening: socket.socket) -> None:
        """Accept the connections in the queue of a socket, up to the limit, and pass them on."""
        loads = balance.loads(self._scoreboard)
        open_now = sum(loads.values()) + len(self._held)
        self._accept(listening, self._limit.acceptable(open_now), loads)

    def _accept(self, listening: socket.socket, most: int, loads: dict[int, int]) -> int:
        connections: list[socket.socket] = []
        try:
            connections.extend(islice(ports.accepted(listening), most))
        except OSError as error:  # no descriptor or no memory
            log.error("connections cannot be accepted: %s", error.strerror)
            time.sleep(RETRY_SECONDS)
        self._pass_on(connections, loads)
        return len(connections)

    def _pass_on(self, connections: Sequence[socket.socket], loads: dict[int, int]) -> None:
        """Pass connections on to fronts, and hold those that none of them takes."""
        waiting, loads = list(connections), dict(loads)
        while waiting and loads:
            shares, rest, waiting = balance.spread(len(waiting), loads), iter(waiting), []
            for front, count in shares.items():
                for part in _parts(list(islice(rest, count)), protocol.MAX_DESCRIPTORS):
                    if front in loads and self._send(front, part):
                        loads[front] += len(part)
                        ports.close(part)
                    else:
                        loads.pop(front, None)
                        waiting += part
        self._held += waiting

    def _send(self, front: int, connections: Sequence[socket.socket]) -> bool:
        """Pass connections on to a front; return whether its socket had room for them."""
        self._scoreboard.add(front, Column.SENT, len(connections))
        try:
            self._notify(front, CONNECTIONS, {}, [item.fileno() for item in connections])
        except OSError as error:  # it has not read for long
            self._scoreboard.add(front, Column.SENT, -len(connections))
            if not self._held:
                log.warning("front %d takes no connections: %s", front, error.strerror)
            return False
        return True

    def check(self) -> None:
        """Pass on held connections; pause accepting and close unused ones if too many are open."""
        loads = balance.loads(self._scoreboard)
        self._pass_on_held(loads)
        self._paused = self._limit.is_full(sum(loads.values()), paused=self._paused)
        if self._paused and loads:
            front = max(loads, key=lambda one: loads[one])
            with contextlib.suppress(OSError):
                self._notify(front, CLOSE_IDLE, {"count": self._limit.part}, ())

    def _pass_on_held(self, loads: dict[int, int]) -> None:
        held, self._held = self._held, []
        self._pass_on(held, loads)

    def close(self, *, shared: bool) -> None:
        """Accept all queued connections, also beyond the limit, and then no more.

        Connections that no front takes within :data:`FULL_SECONDS` are closed.

        Args:
            shared: Whether other servers listen on the port, too.
        """
        if self._open:
            if shared:
                ports.finish_handshakes(self._sockets, ports.HANDSHAKE)
            for item in self._sockets:
                while self._accept(item, MAX_ACCEPTED, balance.loads(self._scoreboard)):
                    pass
        end = time.monotonic() + FULL_SECONDS
        while self._held and time.monotonic() < end:
            time.sleep(FULL_SECONDS / 100)
            self._pass_on_held(balance.loads(self._scoreboard))
        ports.close(self._held)
        self._held = []
        self._open = False
        ports.close(self._sockets)

    def notify_last(self, front: int) -> None:
        """Notify a front that no further connections come."""
        with contextlib.suppress(OSError):
            self._notify(front, LAST, {}, ())


def _parts(items: list[socket.socket], most: int) -> Iterator[list[socket.socket]]:
    for at in range(0, len(items), most):
        yield items[at : at + most]

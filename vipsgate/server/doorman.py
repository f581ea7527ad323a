"""Who takes connections in and hands each to the front with the fewest; reads no byte of them.

Accepting decides who serves. Fronts that listen by themselves (``SO_REUSEPORT``) are chosen by a
hash, which leaves one of two fronts with 6 of 8 connections as often as not, and one that dies
takes the connections along that the kernel has made for it; fronts that share one socket are all
woken by each connection. A connection that is handed on costs 20 microseconds, once.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ..siblings import balance
from ..siblings.table import Column, Table
from ..web import ports
from ..worker import protocol
from .member import CONNECTIONS, LAST, ROOM

MAX_TAKEN = 64  # connections that are handed on in one go
PART = 64  # of the connections, that are to be closed where others wait
PAUSE = 0.25  # seconds without a descriptor for another one

Tell = Callable[[int, str, protocol.Message, Sequence[int]], None]
log = logging.getLogger(__name__)


class Doorman:
    """The public port of several fronts.

    Args:
        sockets: Its sockets, bound.
        table: Where the fronts tell how many connections they have.
        limit: Connections that may be open.
        tell: Tells a front, by its number, with descriptors; raises OSError where it cannot.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], table: Table, limit: int, tell: Tell
    ) -> None:
        self._sockets, self._table, self._limit, self._tell = sockets, table, limit, tell
        self._open = self._full = False

    @property
    def address(self) -> str:
        """The beginning of a URL."""
        return ports.address_of(self._sockets[0])

    @property
    def listening(self) -> Sequence[socket.socket]:
        """The sockets that connections are taken in from at present."""
        return self._sockets if self._open and not self._full else ()

    def open(self) -> None:
        """Listen."""
        ports.listen(self._sockets)
        self._open = True

    def take_in(self, listening: socket.socket) -> int:
        """Take in what the kernel has made, and hand it on. Return how many that was."""
        before = balance.loads(self._table)
        room = max(0, self._limit - sum(before.values()))
        connections: list[socket.socket] = []
        try:
            connections.extend(islice(ports.made(listening), min(MAX_TAKEN, room)))
        except OSError as error:  # no descriptor, or no memory
            log.error("connections cannot be taken in: %s", error.strerror)
            time.sleep(PAUSE)
        try:
            self._hand_on(connections, before)
        finally:
            ports.close(connections)
        return len(connections)

    def _hand_on(self, connections: Sequence[socket.socket], before: dict[int, int]) -> None:
        rest = iter(connections)
        for front, count in balance.spread(len(connections), before).items():
            for part in _parts(list(islice(rest, count)), protocol.MAX_DESCRIPTORS):
                self._table.add(front, Column.SENT, len(part))
                try:
                    self._tell(front, CONNECTIONS, {}, [item.fileno() for item in part])
                except OSError as error:  # its box is full: it has not read for long
                    self._table.add(front, Column.SENT, -len(part))
                    log.error("front %d takes no connections: %s", front, error.strerror)

    def make_room(self) -> None:
        """Have unused connections closed where others wait, and take nobody in meanwhile."""
        loads = balance.loads(self._table)
        part = -(-self._limit // PART)
        room = self._limit - sum(loads.values())
        self._full = room < (part if self._full else 1)
        if self._full and loads:
            front = max(loads, key=lambda one: loads[one])
            with contextlib.suppress(OSError):
                self._tell(front, ROOM, {"count": part}, ())

    def close(self, *, shared: bool) -> None:
        """Take in the last connections, and no more.

        Args:
            shared: Whether other servers listen there, too.
        """
        if self._open:
            if shared:
                ports.finish_handshakes(self._sockets, ports.HANDSHAKE)
            for item in self._sockets:
                while self.take_in(item):
                    pass
        self._open = False
        ports.close(self._sockets)

    def tell_of_the_last(self, front: int) -> None:
        """Tell a front that no further connections come."""
        with contextlib.suppress(OSError):
            self._tell(front, LAST, {}, ())


def _parts(items: list[socket.socket], most: int) -> Iterator[list[socket.socket]]:
    for at in range(0, len(items), most):
        yield items[at : at + most]

"""A front among several: what its parent gives it, and what it is a part of."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..gate.sign import Credential
from ..siblings.claims import Claims
from ..siblings.family import Family
from ..siblings.post import Post
from ..siblings.table import MICRO, Column, Table
from ..worker import protocol
from ..worker.protocol import Message

if TYPE_CHECKING:
    from ..web.listener import Listener

CONNECTIONS, ROOM, LAST = "connections", "room", "last"  # told by the parent
READY, RELOADED, STOPPING, FAILED = "ready", "reloaded", "stopping", "failed"  # and to it
LAST_SECONDS = 2.0  # that the parent has to say that no further connections come
BEAT_SECONDS = 1.0  # between two signs of life


@dataclass(frozen=True, slots=True)
class Member:
    """What a front starts with.

    Attributes:
        front: Its number.
        table: The numbers of all.
        inbox: Its own end of its socket.
        boxes: The other ends of all, by front; the last one is the parent's.
        address: Of the public port, as the beginning of a URL.
        admin: Sockets of the admin port, where this front has it.
        key: For the console, where nobody else has one.
        replaces: Whether it takes the place of one that has ended.
    """

    front: int
    table: Table
    inbox: socket.socket
    boxes: Sequence[socket.socket]
    address: str
    admin: Sequence[socket.socket]
    key: Credential | None
    replaces: bool

    def family(self) -> Family:
        """How it reaches the others; an event loop is running."""

        def alive(front: int) -> bool:
            return front == self.table.fronts or bool(self.table.get(front, Column.ALIVE))

        post = Post(self.front, self.inbox, self.boxes, alive)
        return Family(self.front, self.table, post, Claims(self.table, self.front))

    @property
    def parent(self) -> int:
        """The number of the parent's box."""
        return self.table.fronts


def take_connections(family: Family, listener: Listener) -> None:
    """Serve the connections that the parent hands on, and close some where it says so."""

    def handed(body: Message, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            listener.serve_connection(socket.socket(fileno=descriptor))
        family.table.add(family.front, Column.RECEIVED, len(descriptors))

    def room(body: Message, descriptors: list[int]) -> None:
        protocol.close(descriptors)
        listener.close_idle(body["count"])

    family.post.listen(CONNECTIONS, handed)
    family.post.listen(ROOM, room)


async def last_connections(family: Family) -> None:
    """Wait until the parent has handed on the last connections."""
    last = asyncio.Event()
    family.post.listen(LAST, lambda body, descriptors: last.set())
    family.post.tell(family.table.fronts, STOPPING, {})
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            await last.wait()


async def beat(family: Family) -> None:
    """Give signs of life as long as the loop turns."""
    while True:
        family.tell(Column.BEAT, int(time.monotonic() * MICRO))
        await asyncio.sleep(BEAT_SECONDS)

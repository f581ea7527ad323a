"""A front among several: what it inherits from its parent, and its messages and heartbeats."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..fronts.channel import Channel
from ..fronts.claims import Claims
from ..fronts.peers import Peers
from ..fronts.scoreboard import MICRO, Column, Scoreboard
from ..gate.sign import Credential
from ..worker import protocol
from ..worker.protocol import Message
from .notices import CLOSE_IDLE, CONNECTIONS, LAST, STOPPING

if TYPE_CHECKING:
    from ..web.listener import Listener

LAST_SECONDS = 2.0  # the longest wait for the parent's notice that no further connections come
HEARTBEAT_SECONDS = 1.0  # between heartbeats


@dataclass(frozen=True, slots=True)
class FrontContext:
    """What a front inherits from its parent.

    Attributes:
        front: Its number.
        scoreboard: The numbers that all fronts publish.
        inbox: The socket on which it receives messages.
        outboxes: The sockets by which each front is sent messages; the last one is the parent's.
        address: Address of the public port, as the beginning of a URL.
        admin: Sockets of the admin port, if this front has it.
        key: The temporary key pair for the console; ``None`` if credentials are configured.
        replaces: Whether it takes the place of one that has ended.
    """

    front: int
    scoreboard: Scoreboard
    inbox: socket.socket
    outboxes: Sequence[socket.socket]
    address: str
    admin: Sequence[socket.socket]
    key: Credential | None
    replaces: bool

    def peers(self) -> Peers:
        """Return its connection to the other fronts; needs a running event loop."""

        def alive(front: int) -> bool:
            return front == self.parent or bool(self.scoreboard.get(front, Column.ALIVE))

        channel = Channel(self.front, self.inbox, self.outboxes, alive)
        return Peers(self.front, self.scoreboard, channel, Claims(self.scoreboard, self.front))

    @property
    def parent(self) -> int:
        """The number under which the parent is sent messages."""
        return self.scoreboard.fronts


def serve_connections(peers: Peers, listener: Listener) -> None:
    """Start to serve connections that the parent passes on, and to close unused ones for it."""

    def on_connections(body: Message, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            listener.serve_connection(socket.socket(fileno=descriptor))
        peers.scoreboard.add(peers.front, Column.RECEIVED, len(descriptors))

    def on_close_idle(body: Message, descriptors: list[int]) -> None:
        protocol.close(descriptors)
        listener.close_idle(body["count"])

    peers.channel.on_notice(CONNECTIONS, on_connections)
    peers.channel.on_notice(CLOSE_IDLE, on_close_idle)


async def last_connections(peers: Peers) -> None:
    """Wait until the parent has passed on the last connections."""
    last = asyncio.Event()
    peers.channel.on_notice(LAST, lambda body, descriptors: last.set())
    peers.channel.notify(peers.scoreboard.fronts, STOPPING, {})
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            await last.wait()


async def heartbeat(peers: Peers) -> None:
    """Publish heartbeats until cancelled; they stop if the event loop hangs."""
    while True:
        peers.publish(Column.BEAT, int(time.monotonic() * MICRO))
        await asyncio.sleep(HEARTBEAT_SECONDS)

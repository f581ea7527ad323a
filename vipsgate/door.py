"""A port: opened, and closed again without a request lost.

What closes a port loses three kinds of requests, unless somebody sees to it: those on connections
that the kernel has made and nobody has taken in, those that are under way, and those that a client
sends at the very moment on a connection that was open for more. So the last connections are taken
in, all that comes is still answered, with ``Connection: close``, and only after a while are the
connections closed that nobody uses.

There is a bound of open connections. Beyond it those that wait for a request are closed, and where
there are none, nobody is taken in until somebody leaves; the kernel has them wait meanwhile.

With several servers on one port one gap remains, which only the kernel can close: a handshake that
is under way (sysctl net.ipv4.tcp_migrate_req).
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing

from aiohttp import web

from .connection import Server

BACKLOG = 65_535  # connections that the kernel makes before they are taken in, up to its somaxconn
LINGER = 1.0  # seconds that an unused connection stays open for what may be on its way
LOOK = 0.02  # seconds between two looks whether there are any
FULL_LOOK = 0.25  # seconds between two looks for unused ones while nobody is taken in
PART = 64  # of the connections, that are closed or have left before others are taken in
HELD = 2  # descriptors of a request that waits, or is answered: the connection, and a file
RESERVE = 1024  # descriptors for all else: pipes and sockets of renderers, a third one of a few


def room(descriptors: int) -> int:
    """Return how many connections may be open where there may be so many descriptors."""
    return max(1, (descriptors - min(RESERVE, descriptors // 4)) // HELD)


def room_here() -> int:
    """The same for the descriptors that this process may have."""
    return room(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class Door:
    """A port and the connections that came in by it.

    Args:
        runner: Who serves them.
        limit: Connections that may be open; 0 for no limit.
    """

    def __init__(self, runner: web.BaseRunner, limit: int = 0) -> None:
        self._runner, self._limit = runner, limit
        self._listening: list[socket.socket] = []  # ours, that stay while nobody is taken in
        self._servers: list[asyncio.Server] = []  # the loop's; none while nobody is taken in
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, host: str, port: int, *, shared: bool) -> str:
        """Listen.

        Args:
            host: The address.
            port: The port; 0 for any that is free.
            shared: Whether other processes may listen there, too.

        Returns:
            The address as the beginning of a URL.

        Raises:
            OSError: The port cannot be had.
        """
        await self._runner.setup()
        server = await asyncio.get_running_loop().create_server(
            self._handler, host, port, reuse_port=shared or None, backlog=BACKLOG
        )
        self._servers.append(server)
        self._listening = [_again(item.fileno()) for item in server.sockets]
        if self._limit:
            assert isinstance(self._runner.server, Server)
            self._runner.server.on_lost = self._on_lost
        where, number = server.sockets[0].getsockname()[:2]
        return f"http://[{where}]:{number}" if ":" in where else f"http://{where}:{number}"

    async def close(self, seconds: float, linger: float = LINGER) -> None:
        """Take no further connections, and finish what is under way.

        Args:
            seconds: After which what is not finished is given up.
            linger: Of these, how long unused connections stay open.
        """
        end = asyncio.get_running_loop().time() + seconds
        self._closed = True
        if self._opening:
            self._opening.cancel()
        if self._listening:
            await self._take_in_the_last()
            wait = min(linger, seconds)
            while self._runner.server and self._runner.server.connections and wait > 0:
                await asyncio.sleep(min(LOOK, wait))
                wait -= LOOK
        # aiohttp by itself waits twice as long
        cleaning = asyncio.ensure_future(self._runner.cleanup())
        await asyncio.wait({cleaning}, timeout=max(0.0, end - asyncio.get_running_loop().time()))
        cleaning.cancel()
        await asyncio.wait({cleaning})

    def _handler(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server
        if self._limit and self._servers and self._count() + 1 >= self._limit:
            asyncio.get_running_loop().call_soon(self._pause)
        return server()

    def _count(self) -> int:
        assert isinstance(self._runner.server, Server)
        return self._runner.server.count

    def _pause(self) -> None:
        """Take nobody in; the kernel goes on to make connections, since our sockets are open."""
        if self._servers and not self._closed:
            self._close_servers()
            self._make_room()

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    def _make_room(self) -> None:
        """Close connections that nobody uses, as long as nobody is taken in."""
        if self._servers or self._closed or self._opening:
            return
        assert isinstance(self._runner.server, Server)
        self._runner.server.close_idle(-(-self._limit // PART))
        asyncio.get_running_loop().call_later(FULL_LOOK, self._make_room)

    def _on_lost(self) -> None:
        if self._servers or self._closed or self._opening:
            return
        if self._count() <= self._limit - -(-self._limit // PART):
            self._opening = asyncio.get_running_loop().create_task(self._open_again())

    async def _open_again(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for item in self._listening:
                ours = _again(item.fileno())
                server = await loop.create_server(self._handler, sock=ours, backlog=BACKLOG)
                self._servers.append(server)
        finally:
            self._opening = None

    async def _take_in_the_last(self) -> None:
        """The kernel would reset those connections that it has made and nobody has taken in."""
        self._close_servers()
        await asyncio.sleep(0)  # the loop's own are closed by now; as long as ours is open,
        await asyncio.sleep(0)  # the kernel goes on to make connections
        loop = asyncio.get_running_loop()
        for item in self._listening:
            with closing(item):
                item.setblocking(False)
                taken = list(_waiting(item))
            for connection in taken:
                await loop.connect_accepted_socket(self._handler, connection)
        self._listening = []


def _again(descriptor: int) -> socket.socket:
    """The same listening socket, to be closed by itself."""
    return socket.socket(fileno=os.dup(descriptor))


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # there is none left
            return
        connection.setblocking(False)
        yield connection

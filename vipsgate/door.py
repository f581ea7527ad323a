"""A port: opened, and closed again without a request lost.

What closes a port loses three kinds of requests, unless somebody sees to it: those on connections
that the kernel has made and nobody has taken in, those that are under way, and those that a client
sends at the very moment on a connection that was open for more. So the last connections are taken
in, all that comes is still answered, with ``Connection: close``, and only after a while are the
connections closed that nobody uses.

With several servers on one port one gap remains, which only the kernel can close: a handshake that
is under way (sysctl net.ipv4.tcp_migrate_req).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import closing

from aiohttp import web

BACKLOG = 1024  # connections that the kernel makes before they are taken in
LINGER = 1.0  # seconds that an unused connection stays open for what may be on its way
LOOK = 0.02  # seconds between two looks whether there are any


class Door:
    """A port and the connections that came in by it.

    Args:
        runner: Who serves them.
    """

    def __init__(self, runner: web.BaseRunner) -> None:
        self._runner = runner
        self._server: asyncio.Server | None = None

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
        self._server = await asyncio.get_running_loop().create_server(
            self._handler, host, port, reuse_port=shared or None, backlog=BACKLOG
        )
        where, number = self._server.sockets[0].getsockname()[:2]
        return f"http://[{where}]:{number}" if ":" in where else f"http://{where}:{number}"

    async def close(self, seconds: float, linger: float = LINGER) -> None:
        """Take no further connections, and finish what is under way.

        Args:
            seconds: After which what is not finished is given up.
            linger: Of these, how long unused connections stay open.
        """
        end = asyncio.get_running_loop().time() + seconds
        if self._server:
            await self._take_in_the_last(self._server)
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
        assert self._runner.server
        return self._runner.server()

    async def _take_in_the_last(self, server: asyncio.Server) -> None:
        """The kernel would reset those connections that it has made and nobody has taken in."""
        held = [socket.socket(fileno=os.dup(item.fileno())) for item in server.sockets]
        server.close()
        await asyncio.sleep(0)  # the loop's own are closed by now; as long as ours is open,
        await asyncio.sleep(0)  # the kernel goes on to make connections
        loop = asyncio.get_running_loop()
        for item in held:
            with closing(item):
                item.setblocking(False)
                taken = list(_waiting(item))
            for connection in taken:
                await loop.connect_accepted_socket(self._handler, connection)


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # there is none left
            return
        connection.setblocking(False)
        yield connection

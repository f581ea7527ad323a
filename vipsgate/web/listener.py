"""The public port: who is taken in, and how it closes, so that nobody is left without an answer.

The loop by itself takes in one connection in each of its iterations (libuv), so that under load
who comes anew would wait for seconds. Here it is all that the kernel has made, up to a number.

A server that only closes its connections resets those that were just made, and what a client
sends at the very moment on a connection that was open for more. So the last connections are taken
in, all that comes is still answered, with ``Connection: close``, and only after a while are the
connections closed that nobody uses.

There is a bound of open connections. Beyond it those that wait for a request are closed, and where
there are none, nobody is taken in until somebody leaves; the kernel has them wait meanwhile.

With several servers on one port, a socket that is to be closed begins no connection for a while
before, and finishes those that it has begun (:mod:`vipsgate.web.synfilter`).

Where a server has several fronts, their parent takes the connections in, and hands them on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import islice
from typing import Any

from aiohttp import web

from . import ports
from .server import Server

LINGER = 1.0  # seconds that an unused connection stays open for what may be on its way
POLL_INTERVAL = 0.02  # seconds between two looks whether there are any
FULL_POLL_INTERVAL = 0.25  # seconds between two looks for unused ones while nobody is taken in
MAX_TAKEN = 64  # connections in one iteration of the loop
PART = 64  # of the connections, that are closed or have left before others are taken in


class Listener:
    """A port and the connections that came in by it.

    Args:
        runner: Who serves them.
        limit: Connections that may be open; 0 for no limit.
        counted: Told how many are open, whenever that is another number.
    """

    def __init__(
        self, runner: web.BaseRunner, limit: int = 0, counted: Callable[[int], None] | None = None
    ) -> None:
        self._runner, self._limit, self._counted = runner, limit, counted
        self._listening: list[socket.socket] = []
        self._making: set[asyncio.Task[Any]] = set()  # connections that are not served yet
        self._taking = self._closed = self._shared = False

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
        self._shared = shared
        return await self.open_on(ports.bind(host, port, shared=shared))

    async def open_on(self, sockets: Sequence[socket.socket]) -> str:
        """Listen on sockets that are bound; they are closed with the listener."""
        await self.serve()
        self._listening = list(sockets)
        ports.listen(self._listening)
        self._take()
        return ports.address_of(self._listening[0])

    async def serve(self) -> None:
        """Serve what :meth:`hand` hands in."""
        await self._runner.setup()
        if self._limit or self._counted:
            assert isinstance(self._runner.server, Server)
            self._runner.server.on_lost = self._on_lost

    def hand(self, connection: socket.socket) -> None:
        """Serve a connection that somebody else has taken in."""
        connection.setblocking(False)
        self._make(connection)
        self._count()

    def make_room(self, count: int) -> None:
        """Close so many connections that nobody uses, as others wait to be taken in."""
        assert isinstance(self._runner.server, Server)
        self._runner.server.close_idle(count)

    async def close(self, seconds: float, linger: float = LINGER) -> None:
        """Take no further connections, and finish what is under way.

        Args:
            seconds: After which what is not finished is given up.
            linger: Of these, how long unused connections stay open.
        """
        end = asyncio.get_running_loop().time() + seconds
        if self._listening and self._shared and ports.begin_no_more(self._listening):
            await asyncio.sleep(min(ports.HANDSHAKE, seconds))
        self._closed = True
        if self._runner.server:
            await self._take_in_the_last()
            wait = min(linger, seconds)
            while self._runner.server and self._runner.server.connections and wait > 0:
                await asyncio.sleep(min(POLL_INTERVAL, wait))
                wait -= POLL_INTERVAL
        # aiohttp by itself waits twice as long
        cleaning = asyncio.ensure_future(self._runner.cleanup())
        await asyncio.wait({cleaning}, timeout=max(0.0, end - asyncio.get_running_loop().time()))
        cleaning.cancel()
        await asyncio.wait({cleaning})

    def _handler(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server
        return server()

    def _take(self) -> None:
        """Take connections in, from now on."""
        if not self._taking and not self._closed:
            self._taking = True
            for item in self._listening:
                asyncio.get_running_loop().add_reader(item, self._take_in, item)

    def _pause(self) -> None:
        """Take nobody in; the kernel goes on to make connections."""
        self._taking = False
        for item in self._listening:
            asyncio.get_running_loop().remove_reader(item)

    def _room(self) -> int:
        """How many more connections there may be."""
        if not self._limit:
            return MAX_TAKEN
        assert isinstance(self._runner.server, Server)
        return self._limit - self._runner.server.count - len(self._making)

    def _take_in(self, item: socket.socket) -> None:
        """Take in what the kernel has made by now, as far as there is room."""
        try:
            for connection in islice(ports.made(item), min(MAX_TAKEN, self._room())):
                self._make(connection)
        except OSError:  # no descriptor, or no memory: later
            self._pause()
            asyncio.get_running_loop().call_later(FULL_POLL_INTERVAL, self._take)
            return
        if self._room() < 1:
            self._pause()

    def _make(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._handler, connection))
        self._making.add(task)
        task.add_done_callback(self._made)

    def _made(self, task: asyncio.Task[Any]) -> None:
        self._making.discard(task)
        if not task.cancelled():
            task.exception()  # it was closed at once: nobody is there to be told
        self._count()
        if self._taking or self._making or not self._listening:
            return
        if self._room() < 1:
            self._make_room()
        else:  # those that were being made may have counted twice
            self._take()

    def _make_room(self) -> None:
        """Close connections that nobody uses, as long as nobody is taken in."""
        if self._taking or self._closed:
            return
        assert isinstance(self._runner.server, Server)
        self._runner.server.close_idle(-(-self._limit // PART))
        asyncio.get_running_loop().call_later(FULL_POLL_INTERVAL, self._make_room)

    def _count(self) -> None:
        if self._counted:
            assert isinstance(self._runner.server, Server)
            self._counted(self._runner.server.count + len(self._making))

    def _on_lost(self) -> None:
        self._count()
        if self._limit and not self._taking and self._room() >= -(-self._limit // PART):
            self._take()

    async def _take_in_the_last(self) -> None:
        """The kernel would reset those connections that it has made and nobody has taken in."""
        self._pause()
        for item in self._listening:
            with closing(item), suppress(OSError):
                for connection in ports.made(item):
                    self._make(connection)
        self._listening = []
        if self._making:
            await asyncio.wait(self._making)

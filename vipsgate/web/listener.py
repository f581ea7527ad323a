"""A port: accepting connections up to a limit, and closing without leaving a client unanswered.

The event loop by itself accepts one connection in each of its iterations (libuv), so that under
load a new client would wait for seconds. Here it is all of the accept queue, up to a number, though
not all of them are set up at once (:mod:`.arrivals`).

A server that only closes its sockets resets the connections that are still in the accept queue, and
loses what a client sends at the very moment on a connection that was open for more. So the queue is
drained, all that comes is still answered, with ``Connection: close``, and only after a while are
unused connections closed.

There is a limit of open connections (:mod:`.connection_limit`): beyond it connections that wait for
a request are closed, and where there are none, further ones stay in the accept queue.

With several servers on one port, a socket that is to be closed completes no new handshakes for a
while before, and finishes those that have begun (:mod:`vipsgate.web.synfilter`).

Where a server has several fronts, their parent accepts, and passes connections on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from typing import Any

from aiohttp import web

from . import ports
from .arrivals import Arrivals
from .connection_limit import RETRY_SECONDS, ConnectionLimit
from .server import Server

LINGER = 1.0  # seconds that an unused connection stays open for what may be on its way
POLL_INTERVAL = 0.02  # seconds between two looks whether there are any
MAX_SET_UP = 64  # of the connections that are accepted in one go: 4 ms


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
        self._runner, self._counted = runner, counted
        self._limit = ConnectionLimit(limit)
        self._listening: list[socket.socket] = []
        self._connecting: set[asyncio.Task[Any]] = set()  # connections that are not served yet
        self._arrivals: Arrivals | None = None
        self._accepting = self._closed = self._shared = False

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
        self._resume()
        return ports.address_of(self._listening[0])

    async def serve(self) -> None:
        """Serve what :meth:`serve_connection` is given."""
        await self._runner.setup()
        self._arrivals = self._server.arrivals(self._connect)
        if self._limit.connections or self._counted:
            self._server.on_lost = self._on_lost

    def serve_connection(self, connection: socket.socket) -> None:
        """Serve a connection that another process has accepted."""
        connection.setblocking(False)
        self._add(connection)
        self._report()

    def close_idle(self, count: int) -> None:
        """Close up to ``count`` unused connections, as others wait to be accepted."""
        self._server.close_idle(count)

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
            await self._drain_accept_queue()
            wait = min(linger, seconds)
            while self._runner.server and self._runner.server.connections and wait > 0:
                await asyncio.sleep(min(POLL_INTERVAL, wait))
                wait -= POLL_INTERVAL
        # aiohttp by itself waits twice as long
        cleaning = asyncio.ensure_future(self._runner.cleanup())
        await asyncio.wait({cleaning}, timeout=max(0.0, end - asyncio.get_running_loop().time()))
        cleaning.cancel()
        await asyncio.wait({cleaning})

    @property
    def _server(self) -> Server:
        server = self._runner.server
        assert isinstance(server, Server)
        return server

    def _resume(self) -> None:
        """Accept connections, from now on."""
        if not self._accepting and not self._closed:
            self._accepting = True
            for item in self._listening:
                asyncio.get_running_loop().add_reader(item, self._accept, item)

    def _pause(self) -> None:
        """Accept nothing; the kernel goes on to complete handshakes, and queues the connections."""
        self._accepting = False
        for item in self._listening:
            asyncio.get_running_loop().remove_reader(item)

    def _connections(self) -> int:
        """Connections that are open; one that is being set up may count twice for a moment."""
        return self._server.count + len(self._connecting) + len(self._arrivals or ())

    def _is_full(self, *, paused: bool = False) -> bool:
        limit = self._limit
        return bool(limit.connections) and limit.is_full(self._connections(), paused=paused)

    def _accept(self, item: socket.socket) -> None:
        """Accept what is in the queue of a socket, up to the limit."""
        most = self._limit.acceptable(self._connections() if self._limit.connections else 0)
        try:
            set_up = 0
            for connection in islice(ports.accepted(item), most):
                set_up += self._add(connection)
                if set_up >= MAX_SET_UP:
                    break
        except OSError:  # no descriptor, or no memory: later
            self._pause()
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._resume)
            return
        if self._is_full():
            self._pause()

    def _add(self, connection: socket.socket) -> bool:
        assert self._arrivals is not None
        return self._arrivals.add(connection)

    def _connect(self, connection: socket.socket, came: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        handler = partial(self._server, came)
        task = loop.create_task(loop.connect_accepted_socket(handler, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[Any]) -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            task.exception()  # it was closed at once, which is no fault
        self._report()
        if self._accepting or self._connecting or not self._listening:
            return
        if self._is_full():
            self._make_room()
        else:  # those that were being set up may have counted twice
            self._resume()

    def _make_room(self) -> None:
        """Close unused connections again and again, as long as none is accepted."""
        if self._accepting or self._closed:
            return
        self.close_idle(self._limit.part)
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._make_room)

    def _report(self) -> None:
        if self._counted:
            self._counted(self._connections())

    def _on_lost(self) -> None:
        self._report()
        if self._limit.connections and not self._accepting and not self._is_full(paused=True):
            self._resume()

    async def _drain_accept_queue(self) -> None:
        """Accept what is in the queues, beyond the limit, too: the kernel would reset it."""
        self._pause()
        for item in self._listening:
            with closing(item), suppress(OSError):
                for connection in ports.accepted(item):
                    self._connect(connection)
        self._listening = []
        if self._arrivals is not None:
            self._arrivals.flush()
        if self._connecting:
            await asyncio.wait(self._connecting)

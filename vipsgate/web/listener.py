"""A port: accepting connections up to a limit, and closing without leaving a client unanswered.

uvloop's own server accepts one connection in each iteration of the event loop (libuv), so that
under load a new client would wait for seconds. Here all connections in the accept queue are
accepted at once, up to a number, though not all are set up at once (:mod:`.arrivals`).

A server that only closes its sockets resets the connections that are still in the accept queue, and
loses requests that clients are sending on open connections. So the queue is drained, further
requests are still answered, with ``Connection: close``, and unused connections are closed only
after a while.

If the limit of open connections is reached (:mod:`.connection_limit`), unused ones are closed;
while there are none, further connections stay in the accept queue.

With several servers on one port, a socket that is to be closed begins no new handshakes, and
finishes those under way, for a while before (:mod:`vipsgate.web.synfilter`).

If a server has several fronts, their parent accepts connections and passes them on.
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

LINGER = 1.0  # seconds for which unused connections stay open, as a request may be on its way
POLL_INTERVAL = 0.02  # seconds between checks whether any are open
MAX_SET_UP = 64  # connections set up at once of those that are accepted in one go: 4 ms


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
        """Bind a port, and listen on it.

        Args:
            host: The address.
            port: The port; 0 for any that is free.
            shared: Whether other processes may listen on the port, too.

        Returns:
            The address as the beginning of a URL.

        Raises:
            OSError: The port cannot be bound.
        """
        self._shared = shared
        return await self.open_on(ports.bind(host, port, shared=shared))

    async def open_on(self, sockets: Sequence[socket.socket]) -> str:
        """Listen on bound sockets, which are closed with the listener."""
        await self.serve()
        self._listening = list(sockets)
        ports.listen(self._listening)
        self._resume()
        return ports.address_of(self._listening[0])

    async def serve(self) -> None:
        """Prepare to serve connections, without listening."""
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
        """Close up to ``count`` unused connections, to make room for others."""
        self._server.close_idle(count)

    async def close(self, seconds: float, linger: float = LINGER) -> None:
        """Accept no further connections, and finish the requests under way.

        Args:
            seconds: Time after which unfinished requests are cancelled.
            linger: How much of this time unused connections stay open, in seconds.
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
        """Start to accept connections."""
        if not self._accepting and not self._closed:
            self._accepting = True
            for item in self._listening:
                asyncio.get_running_loop().add_reader(item, self._accept, item)

    def _pause(self) -> None:
        """Stop accepting; the kernel still completes handshakes and queues the connections."""
        self._accepting = False
        for item in self._listening:
            asyncio.get_running_loop().remove_reader(item)

    def _connections(self) -> int:
        """Return the number of open connections; one that is being set up may count twice."""
        return self._server.count + len(self._connecting) + len(self._arrivals or ())

    def _is_full(self, *, paused: bool = False) -> bool:
        limit = self._limit
        return bool(limit.connections) and limit.is_full(self._connections(), paused=paused)

    def _accept(self, item: socket.socket) -> None:
        """Accept the connections in the queue of a socket, up to the limit."""
        most = self._limit.acceptable(self._connections() if self._limit.connections else 0)
        try:
            set_up = 0
            for connection in islice(ports.accepted(item), most):
                set_up += self._add(connection)
                if set_up >= MAX_SET_UP:
                    break
        except OSError:  # no descriptor or no memory: retried later
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
            task.exception()  # the connection was closed at once, which is not logged
        self._report()
        if self._accepting or self._connecting or not self._listening:
            return
        if self._is_full():
            self._make_room()
        else:  # connections that were being set up may have counted twice
            self._resume()

    def _make_room(self) -> None:
        """Close unused connections repeatedly until accepting is resumed."""
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
        """Accept all queued connections, also beyond the limit, as the kernel would reset them."""
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

"""aiohttp's server with the connections of :mod:`.connection`, which are counted."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from .arrivals import Arrivals, SetUp
from .connection import Connection, NoWork, Refuse, Work
from .throttle import Throttle
from .turns import Turns

IDLE_SECONDS = 1.0  # after which an unused connection may be closed to make room for others

Around = Callable[..., Awaitable[web.StreamResponse]]


class Server(web.Server):
    """All connections of a port.

    Args:
        handler: Answers requests.
        refuse: See :class:`Connection`.
        throttle: Likewise.
        turns: Likewise.
        work: Likewise.
        options: See ``web.Server``.

    Attributes:
        count: Number of open connections.
        on_lost: Called when a connection was closed.
    """

    def __init__(
        self,
        handler: Callable[[Any], Awaitable[web.StreamResponse]],
        *,
        refuse: Refuse,
        throttle: Throttle | None = None,
        turns: Turns | None = None,
        work: Work | None = None,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._refuse, self._work = refuse, work or NoWork()
        self._throttle, self._turns = throttle or Throttle(0.0), turns or Turns()
        self.count = 0
        self.on_lost: Callable[[], None] = _nothing

    def __call__(self, came: float = 0.0) -> Connection:
        """Return the protocol of a new connection.

        Args:
            came: See :class:`Connection`.
        """
        return Connection(
            self,
            loop=self._loop,
            refuse=self._refuse,
            throttle=self._throttle,
            turns=self._turns,
            work=self._work,
            came=came,
            **self._kwargs,
        )

    def arrivals(self, set_up: SetUp) -> Arrivals:
        """Return an object that holds connections until ``set_up`` is called with them."""
        return Arrivals(self._turns, self._work, set_up)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection."""
        self.count += 1
        super().connection_made(handler, transport)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Count a connection that was closed."""
        self.count -= 1
        super().connection_lost(handler, exc)
        self.on_lost()

    def close_idle(self, most: int) -> None:
        """Close up to ``most`` unused connections, those first that are unused for longest."""
        now = asyncio.get_running_loop().time()
        idle = [
            (since, number, handler)
            for number, handler in enumerate(self.connections)
            if isinstance(handler, Connection)
            and (since := handler.idle_since()) is not None
            and since <= now - IDLE_SECONDS
        ]
        for _, _, handler in heapq.nsmallest(most, idle):
            handler.force_close()


class Runner(web.AppRunner):
    """Runs an aiohttp application on a :class:`Server`.

    Args:
        app: The application.
        refuse: See :class:`Connection`.
        around: Answers a request by calling the application, its second argument, and handles the
            application's errors.
        options: See ``web.AppRunner``.
    """

    def __init__(self, app: web.Application, *, refuse: Refuse, around: Around, **options: Any):
        super().__init__(app, **options)
        self._refuse, self._around = refuse, around

    async def _make_server(self) -> web.Server:
        result = await super()._make_server()
        return Server(
            partial(self._around, application=result.request_handler),
            refuse=self._refuse,
            request_factory=result.request_factory,
            access_log=None,
        )


def _nothing() -> None:
    pass

"""An answer that was given before: its headers are written once, and sent as they are.

From a table of headers to bytes aiohttp takes as long as all the rest of a hit. What is written
here holds for HTTP/1.1 and a connection that stays open; everybody else is answered as usual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

HIGH = 1 << 16  # bytes that may wait for the client before its next request is looked at
LOOK = 0.002  # seconds between two looks whether it has taken them
STALL = 60.0  # seconds that it may take none
FORBIDDEN = frozenset("\r\n\0")  # they would end a header inside its value (RFC 9110, 5.5)


def written(headers: Mapping[str, str]) -> bytes | None:
    """The status line of a 200, and these headers; ``None`` where one of them has no such form."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any(not FORBIDDEN.isdisjoint(line) for line in lines):
        return None
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, ""]).encode()


def fits(request: web.BaseRequest) -> bool:
    """May the request be answered like this?"""
    return request.version == HttpVersion11 and request.keep_alive


class Ready(web.StreamResponse):
    """200 with headers and a body that are bytes already.

    Args:
        request: One that :func:`fits`.
        head: All headers, up to the empty line.
        body: As long as they say.
    """

    def __init__(self, request: web.BaseRequest, head: bytes, body: bytes) -> None:
        super().__init__()
        self.content_length = len(body)
        self._to, self._parts = request.transport, (head, body)

    @property
    def keep_alive(self) -> bool:
        """It stays open."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """All is prepared."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send it, and wait for a client that is slow to take it.

        Raises:
            ConnectionResetError: The client is gone, or takes nothing.
        """
        if self._to is None or self._to.is_closing():
            raise ConnectionResetError("the client is gone")
        self._to.writelines(self._parts)
        if self._to.get_write_buffer_size() > HIGH:
            await self._taken(self._to)

    async def _taken(self, to: asyncio.WriteTransport) -> None:
        loop = asyncio.get_running_loop()
        left, since = to.get_write_buffer_size(), loop.time()
        while left > HIGH and not to.is_closing():
            await asyncio.sleep(LOOK)
            if (now := to.get_write_buffer_size()) < left:
                left, since = now, loop.time()
            elif loop.time() - since > STALL:
                to.abort()
                raise ConnectionResetError("the client takes nothing")

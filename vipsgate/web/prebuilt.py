"""Answers whose bytes are all there: headers and body are sent in one piece, as they are.

From a table of headers to bytes aiohttp takes as long as all the rest of a hit; what is the same
each time is written once. This holds for HTTP/1.1 and a connection that stays open; everybody else
is answered as usual.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from ..gate import conditional

HOLD = web.ResponseKey("hold", float)  # seconds that an answer may be held back
HIGH = 1 << 16  # bytes that may wait for the client before its next request is looked at
POLL_INTERVAL = 0.002  # seconds between two looks whether it has taken them
STALL_TIMEOUT = 60.0  # seconds that it may take none
PHRASES = {status.value: status.phrase for status in HTTPStatus}


def written(headers: Mapping[str, str], status: int = 200) -> bytes | None:
    """A status line and these headers; ``None`` where one of them has no such form."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    text = "".join(lines)
    # one of them inside of a value would end the header there (RFC 9110, 5.5)
    if "\0" in text or not text.count("\r") == text.count("\n") == len(lines):
        return None
    return f"HTTP/1.1 {status} {PHRASES[status]}\r\n{text}".encode()


def fits(request: web.BaseRequest) -> bool:
    """May the request be answered like this?"""
    return request.version == HttpVersion11 and request.keep_alive


def respond(
    request: web.BaseRequest, status: int, headers: Mapping[str, str], body: bytes
) -> web.StreamResponse:
    """An answer with these headers and this body, sent in one piece."""
    if fits(request) and "Connection" not in headers and (head := written(headers, status)):
        return Ready(request, head + end(len(body)), body, status)
    return web.Response(status=status, headers=headers, body=body)


def end(size: int) -> bytes:
    """The last headers, of a body of so many bytes that is sent now, and the empty line."""
    date = conditional.http_date(int(time.time()))
    return b"Date: %b\r\nContent-Length: %d\r\n\r\n" % (date.encode(), size)


class Ready(web.StreamResponse):
    """An answer with headers and a body that are bytes already.

    Args:
        request: One that :func:`fits`.
        head: All headers, up to the empty line.
        body: As long as they say.
        status: As they say.
    """

    def __init__(
        self, request: web.BaseRequest, head: bytes, body: bytes, status: int = 200
    ) -> None:
        super().__init__(status=status)
        self._to, self._parts = request.transport, (head, body)

    @property
    def content_length(self) -> int | None:
        """Bytes of the body."""
        return len(self._parts[1])

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        raise TypeError("the body says how long it is")

    @property
    def keep_alive(self) -> bool:
        """Does the connection stay open?"""
        return self._keep_alive is not False

    def force_close(self) -> None:
        """Say that it does not; before the answer is sent."""
        super().force_close()
        head, body = self._parts
        self._parts = head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n", body

    def send(self) -> None:
        """Give it to the system, which may not have taken all of it yet."""
        if self._to is not None and not self._to.is_closing():
            self._to.writelines(self._parts)

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
            await asyncio.sleep(POLL_INTERVAL)
            if (now := to.get_write_buffer_size()) < left:
                left, since = now, loop.time()
            elif loop.time() - since > STALL_TIMEOUT:
                to.abort()
                raise ConnectionResetError("the client takes nothing")

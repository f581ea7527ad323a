"""Answers that are sent as prepared bytes, headers and body in one piece.

aiohttp takes as long to serialise headers as all the rest of a cache hit takes, so headers that do
not change are serialised once. This is done for HTTP/1.1 on connections that stay open; other
requests are answered as usual.
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
HIGH = 1 << 16  # unsent bytes that may remain when the next request is handled
POLL_INTERVAL = 0.002  # seconds between checks how many remain
STALL_TIMEOUT = 60.0  # seconds for which a client may read nothing
PHRASES = {status.value: status.phrase for status in HTTPStatus}


def written(headers: Mapping[str, str], status: int = 200) -> bytes | None:
    """Return the bytes of a status line and headers; ``None`` if a header is not valid."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    text = "".join(lines)
    # CR or LF inside of a value would end the header there (RFC 9110, 5.5)
    if "\0" in text or not text.count("\r") == text.count("\n") == len(lines):
        return None
    return f"HTTP/1.1 {status} {PHRASES[status]}\r\n{text}".encode()


def fits(request: web.BaseRequest) -> bool:
    """Return whether a request may be answered with prepared bytes."""
    return request.version == HttpVersion11 and request.keep_alive


def respond(
    request: web.BaseRequest, status: int, headers: Mapping[str, str], body: bytes
) -> web.StreamResponse:
    """Return an answer, which is sent in one piece if possible."""
    if fits(request) and "Connection" not in headers and (head := written(headers, status)):
        return Ready(request, head + end(len(body)), body, status)
    return web.Response(status=status, headers=headers, body=body)


def end(size: int) -> bytes:
    """Return the last headers of an answer that is sent now, and the empty line.

    Args:
        size: Size of the body, in bytes.
    """
    date = conditional.http_date(int(time.time()))
    return b"Date: %b\r\nContent-Length: %d\r\n\r\n" % (date.encode(), size)


class Ready(web.StreamResponse):
    """An answer whose headers and body are bytes.

    Args:
        request: A request that :func:`fits`.
        head: The status line and all headers, with the empty line.
        body: The body, as long as Content-Length in ``head``.
        status: The status in ``head``.
    """

    def __init__(
        self, request: web.BaseRequest, head: bytes, body: bytes, status: int = 200
    ) -> None:
        super().__init__(status=status)
        self._to, self._parts = request.transport, (head, body)

    @property
    def content_length(self) -> int | None:
        """Size of the body, in bytes."""
        return len(self._parts[1])

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        raise TypeError("the body says how long it is")

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return self._keep_alive is not False

    def force_close(self) -> None:
        """Close the connection after the answer, which has not been sent yet."""
        super().force_close()
        head, body = self._parts
        self._parts = head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n", body

    def send(self) -> None:
        """Write the answer to the transport, without waiting until it is sent."""
        if self._to is not None and not self._to.is_closing():
            self._to.writelines(self._parts)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Do nothing, as all is prepared."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the answer, and wait until most of it is sent.

        Raises:
            ConnectionResetError: The client has left, or reads nothing.
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

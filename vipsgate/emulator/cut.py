"""A connection that is closed in the middle of an answer.

It is a wrapper between an answer and its transport. If an answer sends a file to the socket, this
goes to one end of a pair of sockets, and is read from the other end and written like everything
else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

END = b"\r\n\r\n"  # end of the headers
INTERIM = b"HTTP/1.1 100 "  # an interim response, which a client may wait for
BLOCK = 1 << 16  # bytes that are read from the pair at a time


class CutTransport:
    """A transport that closes after the headers of an answer and a number of bytes of its body.

    All other attributes are those of the transport. A shorter answer is sent whole.

    Args:
        transport: The transport of the connection.
        size: Bytes of the body that are sent; ``None``: headers are not sent either.
    """

    def __init__(self, transport: asyncio.Transport, size: int | None) -> None:
        self._transport, self._size = transport, size
        self._head = b""  # the headers of the answer so far
        self._left: int | None = None  # bytes of the body that may still be sent; None: in headers
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._done = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send as much of the data as may be sent."""
        data = bytes(data)
        if self._done or data.startswith(INTERIM):
            if not self._done:
                self._transport.write(data)
            return
        if self._size is None:
            self._finish(b"")
        elif self._left is None:
            head, end, rest = (self._head + data).partition(END)
            if not end:
                self._head = head
                return
            self._left = self._size
            self._send(head + end, rest)
        else:
            self._send(b"", data)

    def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send as much of the data as may be sent."""
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        """Whether the connection is cut, or closed."""
        return self._done or self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, unless the bytes that may be sent are just being sent."""
        if not self._done:
            self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return one end of the pair in place of the transport's socket."""
        if name != "socket" or self._done:
            return self._transport.get_extra_info(name, default)
        if self._pair is None:
            self._pair = socket.socketpair()
            for item in self._pair:
                item.setblocking(False)
            asyncio.get_running_loop().add_reader(self._pair[0], self._pump)
        return self._pair[1]

    def close_pair(self) -> None:
        """Send what is left in the pair of sockets, and close it."""
        if self._pair:
            self._pump()
            asyncio.get_running_loop().remove_reader(self._pair[0])
            for item in self._pair:
                item.close()
            self._pair = None

    def _pump(self) -> None:
        assert self._pair
        while True:
            try:
                data = self._pair[0].recv(BLOCK)
            except BlockingIOError:
                return
            if not data:
                return
            self.write(data)

    def _send(self, head: bytes, body: bytes) -> None:
        assert self._left is not None
        piece = body[: self._left]
        self._left -= len(piece)
        if len(piece) < len(body) or (not self._left and body):
            self._finish(head + piece)
        else:
            self._transport.write(head + piece)

    def _finish(self, data: bytes) -> None:
        self._done = True
        if self._size is None:
            self._transport.abort()
            return
        self._transport.write(data)
        self._transport.close()  # bytes that were written are still sent

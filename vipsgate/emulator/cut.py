"""A connection that ends in the middle of an answer.

It stands between an answer and its transport. What an answer sends by itself, from a file to the
socket, goes to one end of a pair of sockets, and from the other end the same way as all else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

END = b"\r\n\r\n"  # of the headers
INTERIM = b"HTTP/1.1 100 "  # an answer before the answer, which a client may wait for
BLOCK = 1 << 16  # bytes taken from the pair at a time


class CutTransport:
    """A transport that closes after the headers of an answer and so many bytes of its body.

    Whatever is not named here is the transport's own. An answer that is shorter arrives whole.

    Args:
        transport: Of the connection.
        size: Bytes of the body that are sent; ``None``: not even the headers are.
    """

    def __init__(self, transport: asyncio.Transport, size: int | None) -> None:
        self._transport, self._size = transport, size
        self._head = b""  # of the answer, as far as it has come
        self._left: int | None = None  # bytes of the body that may still be sent; None: in the head
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._done = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send as much of it as may be sent."""
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
        """Send as much of them as may be sent."""
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        """Whether the connection is cut, or closed."""
        return self._done or self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, unless what may be sent is just being sent."""
        if not self._done:
            self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a socket of ours in place of the transport's."""
        if name != "socket" or self._done:
            return self._transport.get_extra_info(name, default)
        if self._pair is None:
            self._pair = socket.socketpair()
            for item in self._pair:
                item.setblocking(False)
            asyncio.get_running_loop().add_reader(self._pair[0], self._pump)
        return self._pair[1]

    def close_pair(self) -> None:
        """Give the pair of sockets up, with nothing left in it."""
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
        self._transport.close()  # what was sent arrives; the rest never comes

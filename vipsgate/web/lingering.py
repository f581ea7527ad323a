"""Closes a connection whose client may still send, as nginx's ``lingering_close`` does.

If it was closed at once, the kernel would answer the client's further bytes with a reset, which
makes the client's system discard the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LINGER_BYTES = 32 << 20  # discarded at most; more than the largest source of OSS
LINGER_SECONDS = 5.0  # the longest time to discard bytes
LINGER_PAUSE = 0.002  # seconds between reads of up to 250 KB: 1 Gbit/s


class Lingering(asyncio.Protocol):
    """Discards what a client sends until it closes the connection.

    Args:
        transport: The transport, which is aborted after :data:`LINGER_BYTES` or
            :data:`LINGER_SECONDS`.
        lost: Called when the connection is closed.
        loop: The event loop.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        lost: Callable[[Exception | None], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._transport, self._lost = transport, lost
        self._loop, self._left = loop, LINGER_BYTES
        self._end = loop.call_later(LINGER_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()
        else:  # a pause lets the loop serve other connections
            self._transport.pause_reading()
            self._loop.call_later(LINGER_PAUSE, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._lost(exc)

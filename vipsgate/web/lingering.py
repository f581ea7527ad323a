"""The end of a connection, whose client may still send: nginx's ``lingering_close``.

Were it closed at once, the client's bytes on their way would be answered with a reset, which makes
his system forget the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LINGER_BYTES = 32 << 20  # thrown away of what comes behind the last answer: a whole source of OSS
LINGER_SECONDS = 5.0  # for that
LINGER_PAUSE = 0.002  # seconds between two readings of it, of 250 KB at most: a gigabit a second


class Lingering(asyncio.Protocol):
    """The end of a connection: bytes are counted, and thrown away.

    Args:
        transport: Which is closed after :data:`LINGER_BYTES` or :data:`LINGER_SECONDS`.
        lost: Called when it is closed.
        loop: Where this is.
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
        else:  # else the loop would read on and on from this one, before anybody's turn
            self._transport.pause_reading()
            self._loop.call_later(LINGER_PAUSE, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._lost(exc)

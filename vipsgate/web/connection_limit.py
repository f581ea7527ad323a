"""Limits the open connections of a port, and decides when the next ones are accepted; pure.

Connections beyond the limit are not refused: the kernel completes the handshake, and they wait in
its accept queue. Meanwhile unused connections are closed, a part of the limit at a time, and none
is accepted until such a part is free, so that a full server is not woken for every single
connection.

RULE: imports no aiohttp, as :mod:`.ports`.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_ACCEPTED = 256  # connections in one go, between which others are served
PARTS = 64  # of a limit: one part is closed, or must be free, at a time
RETRY_SECONDS = 0.25  # before unused connections are closed again, or a failed accept is retried


@dataclass(frozen=True, slots=True)
class ConnectionLimit:
    """A limit of open connections.

    Attributes:
        connections: The most open connections; 0 for no limit.
    """

    connections: int

    @property
    def part(self) -> int:
        """Number of connections that are closed at a time if others wait."""
        return -(-self.connections // PARTS)

    def acceptable(self, count: int) -> int:
        """Return how many connections may be accepted in one go while ``count`` are open."""
        if not self.connections:
            return MAX_ACCEPTED
        return min(MAX_ACCEPTED, max(0, self.connections - count))

    def is_full(self, count: int, *, paused: bool = False) -> bool:
        """Return whether nothing is to be accepted while ``count`` connections are open.

        Args:
            count: Open connections.
            paused: Whether it was full at the last check; then a part of the limit has to be free.
        """
        return bool(self.connections) and self.connections - count < (self.part if paused else 1)

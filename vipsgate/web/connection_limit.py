"""How many connections may be open on a port, and when the next ones are accepted; pure.

Whoever connects beyond the limit is not refused: the kernel completes the handshake, and the
connection waits in its accept queue. Meanwhile unused connections are closed, a part of them at a
time, and nothing is accepted before such a part is free, so that a full server is not woken for
every single connection.

RULE: imports no aiohttp, as :mod:`.ports`.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_ACCEPTED = 256  # connections in one go, between which others are served
PARTS = 64  # of a limit: one part is closed, or must be free, at a time
RETRY_SECONDS = 0.25  # until unused connections are looked for again, or a failed accept is tried


@dataclass(frozen=True, slots=True)
class ConnectionLimit:
    """A bound of open connections.

    Attributes:
        connections: How many may be open; 0 for any number.
    """

    connections: int

    @property
    def part(self) -> int:
        """Connections that are closed at a time where others wait."""
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
            paused: Whether that was so just now; then a part of the limit has to be free.
        """
        return bool(self.connections) and self.connections - count < (self.part if paused else 1)

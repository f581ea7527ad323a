"""The connection of a front with the other fronts of its server."""

from __future__ import annotations

from dataclasses import dataclass

from .channel import Channel
from .claims import Claims
from .scoreboard import Column, Scoreboard


@dataclass(frozen=True, slots=True)
class Peers:
    """The other fronts as one of them sees them.

    Attributes:
        front: The number of this front.
        scoreboard: The numbers that all fronts publish.
        channel: Calls and notices to the others.
        claims: The pictures that each front is making, so that no other front makes them.
    """

    front: int
    scoreboard: Scoreboard
    channel: Channel
    claims: Claims

    @property
    def is_leader(self) -> bool:
        """Whether this front has the admin port, and does the work of which one front is enough."""
        return self.front == 0

    def publish(self, column: Column, value: int) -> None:
        """Write a number of this front to the scoreboard."""
        self.scoreboard.set(self.front, column, value)

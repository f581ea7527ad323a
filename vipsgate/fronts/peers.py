"""One front of a server, and what connects it with the others."""

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
        claims: What each front is making, so that the others do not make it, too.
    """

    front: int
    scoreboard: Scoreboard
    channel: Channel
    claims: Claims

    @property
    def is_leader(self) -> bool:
        """Is this the front with the admin port, which does what is done once for the machine?"""
        return self.front == 0

    def publish(self, column: Column, value: int) -> None:
        """Write a number of this front to the scoreboard."""
        self.scoreboard.set(self.front, column, value)

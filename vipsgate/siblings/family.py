"""One front among those of its server: which one it is, and by what it reaches the others."""

from __future__ import annotations

from dataclasses import dataclass

from .claims import Claims
from .post import Post
from .table import Column, Table


@dataclass(frozen=True, slots=True)
class Family:
    """All of it.

    Attributes:
        front: Its number; 0 has the admin port, and what is done once for the machine.
        table: The numbers of all.
        post: Questions to the others.
        claims: Who makes what.
    """

    front: int
    table: Table
    post: Post
    claims: Claims

    @property
    def leads(self) -> bool:
        """Does this front do what is done once for the machine?"""
        return self.front == 0

    def tell(self, column: Column, value: int) -> None:
        """Tell a number of this front."""
        self.table.set(self.front, column, value)

"""Writes to a store, announced to other processes that cache what they have read from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


async def _announce_to_none(path: str) -> None:
    pass


class Writes:
    """Two hooks by which the caches of several processes are kept consistent after writes.

    Attributes:
        announce: Called with a name that was written here; returns when all others have dropped it.
        forget: Called with a name that was written by another process; drops it from this one.
    """

    def __init__(self) -> None:
        self.announce: Callable[[str], Awaitable[None]] = _announce_to_none
        self.forget: Callable[[str], None] = _nothing


def _nothing(path: str) -> None:
    pass

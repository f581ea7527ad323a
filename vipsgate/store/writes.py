"""Names of a store that are written, for other processes that remember what they have seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


async def _nobody(path: str) -> None:
    pass


class Writes:
    """Who is told, and who has to forget.

    Attributes:
        told: Waits until all others have forgotten a name that was written here.
        forget: Forgets a name that was written elsewhere.
    """

    def __init__(self) -> None:
        self.told: Callable[[str], Awaitable[None]] = _nobody
        self.forget: Callable[[str], None] = _nothing


def _nothing(path: str) -> None:
    pass

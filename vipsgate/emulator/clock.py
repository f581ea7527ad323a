"""The emulator's clock: that of the machine, moved."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, as the server has them; time goes on from wherever it is moved to.

    Attributes:
        offset: Seconds that are added.
    """

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

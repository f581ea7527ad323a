"""The emulator's clock: that of the machine, with an offset."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, as the server sees them.

    Attributes:
        offset: Seconds that are added to the machine's time.
    """

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

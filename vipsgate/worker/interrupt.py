"""Stops the work on a job when the front sends a cancel message.

The front writes the number of a job into a pipe, which a thread of the worker reads. libvips can be
stopped from another thread.
"""

from __future__ import annotations

import os
from typing import Any

CANCELLED = "The picture is no longer needed."


class Interrupt:
    """The current job, the image that is computed for it, and the cancelled jobs."""

    def __init__(self) -> None:
        self._job = 0
        self._cancelled: set[int] = set()
        self._image: Any = None

    @property
    def cancelled(self) -> bool:
        """Whether the current job is cancelled; for loops that compute no libvips image."""
        return self._job in self._cancelled

    def begin(self, job: int) -> None:
        """Set the number of the current job."""
        self._job, self._image = job, None
        if self._cancelled:
            self._cancelled = {number for number in self._cancelled if number >= job}

    def end(self) -> None:
        """Release the image of the current job, which is done."""
        self._image = None

    def watch(self, image: Any) -> None:
        """Set the image that is computed next; stop it at once if the job is cancelled."""
        self._image = image
        if self.cancelled:
            image.set_kill(True)

    def listen(self, descriptor: int) -> None:
        """Read cancel messages, each a number in 8 bytes, until the pipe is closed."""
        while message := os.read(descriptor, 8):
            number = int.from_bytes(message, "little")
            self._cancelled = self._cancelled | {number}
            image = self._image
            if self._job == number and image is not None:
                image.set_kill(True)

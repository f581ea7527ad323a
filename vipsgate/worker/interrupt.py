"""How the work on a job is stopped from outside: cancel messages, heard by a thread.

The front writes the number of a job into a pipe. libvips can be told to stop from another thread,
so one thread of a worker does nothing but read that pipe.
"""

from __future__ import annotations

import os
from typing import Any

CANCELLED = "The picture is not wanted any more."


class Interrupt:
    """The job under work, the image that is computed for it, and the jobs that are cancelled."""

    def __init__(self) -> None:
        self._job = 0
        self._cancelled: set[int] = set()
        self._image: Any = None

    @property
    def cancelled(self) -> bool:
        """Is the job under work cancelled? For loops that compute no image of libvips'."""
        return self._job in self._cancelled

    def begin(self, job: int) -> None:
        """The work on the job with this number begins."""
        self._job, self._image = job, None
        if self._cancelled:
            self._cancelled = {number for number in self._cancelled if number >= job}

    def end(self) -> None:
        """The work is done; no image is held any longer."""
        self._image = None

    def watch(self, image: Any) -> None:
        """This image is computed next."""
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

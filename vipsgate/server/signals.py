"""Signals of a process without an event loop: queued as they arrive, and read when convenient."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from types import TracebackType

MAX_READ = 64  # signals in one go


class Signals:
    """A context in which signals are not handled but queued, and read from a socket.

    Args:
        numbers: The signals; after the context they are handled as before.
    """

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self._numbers = numbers
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, _noted) for number in self._numbers}
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when a signal has arrived."""
        return self._reader.fileno()

    def read(self) -> Sequence[int]:
        """Return the numbers of the signals that have arrived, in their order."""
        try:
            return self._reader.recv(MAX_READ)
        except BlockingIOError:
            return ()

    def close(self) -> None:
        """Close the sockets, also in a child process."""
        self._reader.close()
        self._writer.close()


def _noted(number: int, frame: object) -> None:
    """Do nothing: Python has written the number to the socket."""

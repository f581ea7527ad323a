"""A circuit breaker: closed, open, on trial.

Pure: no clock of its own, so every case is a row. Closed until :data:`MAX_FAILURES` calls in a row
have failed; then open, which refuses at once; after a pause one call goes out as a trial. One that
succeeds closes it, one that fails doubles the pause.
"""

from __future__ import annotations

MAX_FAILURES = 3  # failures in a row, each of which has been tried again by itself already
FIRST_PAUSE, MAX_PAUSE = 1.0, 15.0  # seconds of the first pause and of the longest
SPREAD = 0.5  # part of a pause that chance may take off, so that a fleet does not come back at once


class Breaker:
    """One store's.

    Attributes:
        open: Askings are refused, or one is on trial.
    """

    def __init__(self) -> None:
        self.open = False
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._until = 0.0
        self._trial = False

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking, 0 for now; then the asking has begun.

        Whoever is let through says how it ended: by :meth:`succeeded`, :meth:`failed` or
        :meth:`left`.
        """
        if not self.open:
            return 0.0
        if self._trial:
            return FIRST_PAUSE
        if now < self._until:
            return self._until - now
        self._trial = True
        return 0.0

    def left_to_wait(self, now: float) -> float:
        """Seconds until it is worth asking, for others."""
        return max(0.0, self._until - now) if self.open else 0.0

    def succeeded(self) -> None:
        """There was an answer, whatever it said."""
        self.open = self._trial = False
        self._failures, self._pause = 0, FIRST_PAUSE

    def failed(self, now: float, chance: float) -> None:
        """There was none.

        Args:
            now: Seconds on any clock that only goes forward.
            chance: From 0 to 1.
        """
        self._failures += 1
        if self.open and not self._trial:  # it had begun before; the pause is on already
            return
        if self._failures < MAX_FAILURES:
            return
        self._until = now + self._pause * (1 - SPREAD * chance)
        self._pause = min(2 * self._pause, MAX_PAUSE)
        self.open, self._trial = True, False

    def left(self) -> None:
        """Nobody waited for the answer."""
        self._trial = False

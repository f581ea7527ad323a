"""A circuit breaker: closed, open, or on trial; pure, the time is a parameter.

It is closed until :data:`MAX_FAILURES` calls in a row have failed. Then it is open, and calls are
refused at once. After a pause, one call is let through as a trial. If that succeeds, the breaker is
closed; if it fails, the pause is doubled.
"""

from __future__ import annotations

MAX_FAILURES = 3  # failed calls in a row; each has included its retries
FIRST_PAUSE, MAX_PAUSE = 1.0, 15.0  # seconds of the first pause and of the longest
SPREAD = 0.5  # random share by which a pause is shorter, so that a fleet does not retry at once


class Breaker:
    """The breaker of one server or store.

    Attributes:
        open: Whether calls are refused, or one is on trial.
    """

    def __init__(self) -> None:
        self.open = False
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._until = 0.0
        self._trial = False

    def wait(self, now: float) -> float:
        """Return the seconds until a call may be made; 0 lets this call through.

        The caller then reports how it has ended, by :meth:`succeeded`, :meth:`failed` or
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
        """Return the seconds until a call may be made, without making one."""
        return max(0.0, self._until - now) if self.open else 0.0

    def succeeded(self) -> None:
        """Report that a call got an answer, which may be an error."""
        self.open = self._trial = False
        self._failures, self._pause = 0, FIRST_PAUSE

    def failed(self, now: float, chance: float) -> None:
        """Report that a call got no answer.

        Args:
            now: Seconds of a monotonic clock.
            chance: A random number from 0 to 1, which shortens the pause.
        """
        self._failures += 1
        if self.open and not self._trial:  # it began before the breaker was opened
            return
        if self._failures < MAX_FAILURES:
            return
        self._until = now + self._pause * (1 - SPREAD * chance)
        self._pause = min(2 * self._pause, MAX_PAUSE)
        self.open, self._trial = True, False

    def left(self) -> None:
        """Report that a call was given up before it ended."""
        self._trial = False

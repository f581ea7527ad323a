"""Refused jobs: the errors that clients get, and how many there were of each kind."""

from __future__ import annotations

from collections.abc import Mapping

from .. import errors
from .admission import Reason, Refusal

BUSY = {
    Reason.WAIT: "The server is busy: the picture would wait too long for a renderer.",
    Reason.LENGTH: "The server is busy: too many pictures wait for a renderer.",
    Reason.MEMORY: "The server is busy: the requests that wait take too much memory.",
}


class Refusals:
    """A counter of refusals by reason, which makes the errors that clients are given."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Reason, 0)

    def counts(self) -> Mapping[str, int]:
        """How many there were, by reason."""
        return {reason.value: count for reason, count in self._counts.items()}

    def refuse(self, refusal: Refusal) -> errors.CpuLimitExceeded:
        """Count a job that is not taken, and return the error that says so."""
        self._counts[refusal.reason] += 1
        error = errors.CpuLimitExceeded(BUSY[refusal.reason], headers=refusal.headers)
        error.hold = max(1.0, refusal.wait)
        return error

    def late(self, seconds: float, wait: float) -> errors.CpuLimitExceeded:
        """Count a job that was taken and is not done in time, and return the error.

        Args:
            seconds: That it had.
            wait: Seconds that the next one would wait, as predicted.
        """
        self._counts[Reason.DEADLINE] += 1
        return errors.CpuLimitExceeded(
            f"The picture was not ready within {seconds:g} seconds.",
            headers=Refusal(Reason.DEADLINE, wait).headers,
        )

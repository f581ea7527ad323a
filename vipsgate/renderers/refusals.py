"""Refused jobs: the errors that clients get, and their number by reason."""

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
    """Counts refusals by reason, and makes the errors that clients get."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Reason, 0)

    def counts(self) -> Mapping[str, int]:
        """Number of refusals, by reason."""
        return {reason.value: count for reason, count in self._counts.items()}

    def refuse(self, refusal: Refusal) -> errors.CpuLimitExceeded:
        """Count a job that is refused, and return the error for the client."""
        self._counts[refusal.reason] += 1
        error = errors.CpuLimitExceeded(BUSY[refusal.reason], headers=refusal.headers)
        error.hold = max(1.0, refusal.wait)
        return error

    def late(self, seconds: float, wait: float) -> errors.CpuLimitExceeded:
        """Count a job that was accepted and not done in time, and return the error.

        Args:
            seconds: The time that it had.
            wait: Predicted wait of the next job, in seconds.
        """
        self._counts[Reason.DEADLINE] += 1
        return errors.CpuLimitExceeded(
            f"The picture was not ready within {seconds:g} seconds.",
            headers=Refusal(Reason.DEADLINE, wait).headers,
        )

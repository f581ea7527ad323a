"""Limits the rate at which refusals are sent, so that clients which retry at once take no core.

A refusal takes a fifth of the time of a small picture. Some thousand clients that retry as soon as
they are refused would keep the front busy, and take the cores from the renderers. So a limited
number of refusals a second is sent at once, which is enough for clients that obey Retry-After.
Further ones are held back, at most for the time in their Retry-After. A held refusal is kept as
bytes, and its connection is not read from meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RATE = 100.0  # refusals a second that are answered at once: 2 % of a core
BURST = 20  # refusals that are sent at once after a pause
MAX_HOLD = 30.0  # seconds; less than the 75 after which an unused connection is closed


class RateLimit:
    """A limit of events a second that allows bursts (generic cell rate algorithm); pure.

    Args:
        rate: Events a second.
        burst: Events at once, after a pause.
    """

    __slots__ = ("_interval", "_next", "_tolerance")

    def __init__(self, rate: float, burst: int) -> None:
        self._interval, self._tolerance = 1 / rate, (burst - 1) / rate
        self._next = 0.0

    def allow(self, now: float) -> bool:
        """Return whether an event may take place now; if so, it is counted."""
        at = max(self._next, now)
        if at - self._tolerance > now:
            return False
        self._next = at + self._interval
        return True

    def would_allow(self, now: float) -> bool:
        """Return whether :meth:`allow` would let an event take place now."""
        return self._next - self._tolerance <= now

    def delay(self, now: float, most: float) -> float:
        """Return the seconds that an event has to wait.

        Args:
            now: Seconds, by any clock.
            most: Longest wait, in seconds; the rate is exceeded rather than this.
        """
        at = max(self._next, now)
        delay = min(max(0.0, at - self._tolerance - now), most)
        # an event that was let through early does not delay later ones
        self._next = min(at + self._interval, now + most + self._tolerance + self._interval)
        return delay


class Throttle:
    """The refusals of one port that are held back.

    Args:
        most: Longest time to hold one, in seconds, up to :data:`MAX_HOLD`.
        limit: Rate at which refusals are sent at once.
    """

    def __init__(self, most: float = MAX_HOLD, limit: RateLimit | None = None) -> None:
        self._most = min(most, MAX_HOLD)
        self._limit = limit or RateLimit(RATE, BURST)
        self._held: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._open = True

    @property
    def held(self) -> int:
        """Number of refusals that are held back now."""
        return len(self._held)

    def delay(self, wait: float) -> float:
        """Return the seconds for which to hold the next refusal back; 0 for not at all.

        Args:
            wait: Seconds after which the client is to retry.
        """
        if not self._open:
            return 0.0
        return self._limit.delay(asyncio.get_running_loop().time(), min(wait, self._most))

    def hold(self, seconds: float, send: Callable[[], None]) -> None:
        """Call ``send`` after ``seconds``."""

        def release() -> None:
            del self._held[send]
            send()

        self._held[send] = asyncio.get_running_loop().call_later(seconds, release)

    def release(self) -> None:
        """Send all held refusals, and hold no more, because the server is stopping."""
        self._open = False
        held, self._held = self._held, {}
        for send, timer in held.items():
            timer.cancel()
            send()

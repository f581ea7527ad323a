"""Refusals are answered at a bounded rate, so that clients who retry at once take no core.

To refuse takes a fifth of what a small picture takes. Some thousand clients that ask again as soon
as they are refused would keep the front busy with nothing else, and the renderers from the cores.
So a few refusals a second are answered at once, which is all where clients obey Retry-After; others
are held back, up to the time after which the client was to come again. What is held is the answer
as bytes; the connection is not read from meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RATE = 100.0  # refusals a second that are answered at once: 2 % of a core
BURST = 20  # of them together
MAX_HOLD = 30.0  # seconds; an unused connection is closed after 75


class RateLimit:
    """A limit of events a second, which may come in bursts; pure (GCRA).

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
            most: Seconds that it waits at most; the rate is passed rather.
        """
        at = max(self._next, now)
        delay = min(max(0.0, at - self._tolerance - now), most)
        # who did not wait for its turn leaves the turns of others where they are
        self._next = min(at + self._interval, now + most + self._tolerance + self._interval)
        return delay


class Throttle:
    """The refusals of a port that are held back.

    Args:
        most: Seconds that one is held, up to :data:`MAX_HOLD`.
        limit: How many a second are sent at once.
    """

    def __init__(self, most: float = MAX_HOLD, limit: RateLimit | None = None) -> None:
        self._most = min(most, MAX_HOLD)
        self._limit = limit or RateLimit(RATE, BURST)
        self._held: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._open = True

    @property
    def held(self) -> int:
        """Refusals that are held back now."""
        return len(self._held)

    def delay(self, wait: float) -> float:
        """Return the seconds that the next refusal is to be held back; 0 for not at all.

        Args:
            wait: After which the client is to come again.
        """
        if not self._open:
            return 0.0
        return self._limit.delay(asyncio.get_running_loop().time(), min(wait, self._most))

    def hold(self, seconds: float, send: Callable[[], None]) -> None:
        """Send a refusal later."""

        def release() -> None:
            del self._held[send]
            send()

        self._held[send] = asyncio.get_running_loop().call_later(seconds, release)

    def release(self) -> None:
        """Send all that is held back, and hold no more: the server ends."""
        self._open = False
        held, self._held = self._held, {}
        for send, timer in held.items():
            timer.cancel()
            send()

"""Work that nobody waits for: one thing after the other, each once, and only so many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..cache.entry import CacheKey
from ..errors import OssError

MAX_WAITING = 256  # pictures; who asks for one again brings it back

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Later:
    """The pictures that are made when there is nothing else to do, the first one under way."""

    _waiting: dict[CacheKey, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def add(self, cache_key: CacheKey, make: Callable[[], Awaitable[None]]) -> bool:
        """Have it made some time, unless too many wait; was it new here?

        Args:
            cache_key: Its name.
            make: Makes it; an OssError says that it cannot be had now.
        """
        if cache_key in self._waiting or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting[cache_key] = make
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return True

    async def close(self) -> None:
        """Give all of it up."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            cache_key, make = next(iter(self._waiting.items()))
            try:
                with contextlib.suppress(OssError):
                    await make()
            except Exception:
                log.exception("a picture could not be made in the background")
            finally:
                self._waiting.pop(cache_key, None)

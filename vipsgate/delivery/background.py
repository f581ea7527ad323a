"""Pictures that no request waits for: made one after the other, each once, up to a number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..cache.entry import CacheKey
from ..errors import OssError

MAX_WAITING = 256  # pictures; the next request for one that was dropped adds it again

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Background:
    """A queue of pictures that are made when there is nothing else to do."""

    _waiting: dict[CacheKey, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def add(self, cache_key: CacheKey, make: Callable[[], Awaitable[None]]) -> bool:
        """Have a picture made some time, unless too many wait. Return whether it is new here.

        Args:
            cache_key: Names the picture.
            make: Makes it; an OssError is ignored.
        """
        if cache_key in self._waiting or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting[cache_key] = make
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return True

    async def close(self) -> None:
        """Drop all of them, and cancel the one under way."""
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

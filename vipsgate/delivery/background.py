"""A bounded queue of pictures to render in the background, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..cache.entry import CacheKey
from ..errors import OssError

MAX_WAITING = 256  # pictures; others are not added until their next request

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Background:
    """A queue of pictures that no request waits for."""

    _waiting: dict[CacheKey, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def add(self, cache_key: CacheKey, make: Callable[[], Awaitable[None]]) -> bool:
        """Add a picture, unless it or too many others wait; return whether it was added.

        Args:
            cache_key: The name of the picture.
            make: Renders it; an OssError is ignored.
        """
        if cache_key in self._waiting or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting[cache_key] = make
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return True

    async def close(self) -> None:
        """Discard all that wait, and cancel the one under way."""
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

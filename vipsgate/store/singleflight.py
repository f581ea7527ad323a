"""Objects that several want at the same time are fetched once, and each gets a descriptor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .base import Object

Fetched = tuple[Object, int]  # and its descriptor


@dataclass(slots=True)
class _Fetch:
    task: asyncio.Task[Fetched]
    waiting: int = 0


class Shared:
    """What is being fetched, by name."""

    def __init__(self) -> None:
        self._fetches: dict[str, _Fetch] = {}

    async def join(self, name: str, work: Callable[[], Awaitable[Fetched]]) -> Fetched:
        """Fetch something, or wait for the same; when the last one has left it is given up.

        Returns:
            The object, and a descriptor for the caller to close.

        Raises:
            Exception: What the work raises, for all who wait.
        """
        fetch = self._fetches.get(name)
        if fetch is None:
            fetch = self._fetches[name] = _Fetch(asyncio.ensure_future(_run(work)))
        fetch.waiting += 1
        try:
            found, descriptor = await asyncio.shield(fetch.task)
            return found, os.dup(descriptor)
        finally:
            fetch.waiting -= 1
            if not fetch.waiting:
                if self._fetches.get(name) is fetch:
                    del self._fetches[name]
                fetch.task.cancel()
                fetch.task.add_done_callback(_close)


async def _run(work: Callable[[], Awaitable[Fetched]]) -> Fetched:
    return await work()


def _close(task: asyncio.Task[Fetched]) -> None:
    if not task.cancelled() and not task.exception():
        os.close(task.result()[1])

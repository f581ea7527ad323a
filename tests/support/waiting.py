"""Waiting for what another task, thread or process does, however long that takes a busy machine."""

import asyncio
import time
from collections.abc import Callable


async def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Return as soon as it holds, and fail where it does not within these seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)

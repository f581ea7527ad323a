"""When the garbage collector looks through the objects of a front: often, and at few of them.

Nobody is answered while it does, for 0.3 microseconds an object that is in use. By itself it looks
at new objects when there are so many more of them than have been freed (``gc.set_threshold``).
Where thousands of requests wait, old ones are freed as new ones are made, so that it looks seldom,
and then at 100,000 of them: 60 ms. So here it looks by the clock, too. An object that has been seen
once is looked at again when nobody asks for anything, or a few times an hour: answers leave no
garbage, and 8,000 connections have 600,000 objects.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

YOUNG = 10_000  # more objects that are new than have been freed: a look at these, 3 ms
YOUNG_SECONDS = 0.05  # between two looks at new objects while requests come
IDLE_SECONDS = 1.0  # without a request, after which nobody asks for anything
OLD_SECONDS = 60.0  # between two looks at all objects, where nobody asks for anything
BUSY_SECONDS = 900.0  # likewise, where somebody does
NEVER = 1 << 30  # looks at new objects before one at older ones


def spare() -> None:
    """Keep what is there by now out of what is looked through: it stays.

    A full collection of it takes 20 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, NEVER)


async def collect(requests: Callable[[], int]) -> None:
    """Look for garbage, for as long as this task lives.

    Args:
        requests: Returns how many requests have come so far.
    """
    loop = asyncio.get_running_loop()
    seen, looked, busy, clean = requests(), loop.time(), False, True
    while True:
        await asyncio.sleep(YOUNG_SECONDS if busy else IDLE_SECONDS)
        busy, seen = seen != (count := requests()), count
        if busy:
            gc.collect(0)
            clean = False
        if not clean and loop.time() - looked >= (BUSY_SECONDS if busy else OLD_SECONDS):
            gc.collect()
            clean, looked = True, loop.time()

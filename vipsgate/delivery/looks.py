"""Where the window of a picture goes: looked for once for each source, and kept like a picture.

What a look finds depends on the source, on what is done before the window is cut, and on who looks;
not on the window's size. So it is an entry of the cache under those, with the budget, the tiers and
the purges of the pictures made of that source. Sizes that come at once look one after the other, so
that only the first one has to.
Nothing of an answer depends on whether it was there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import closing
from dataclasses import dataclass

from ..cache.entry import CacheKey, Entry
from ..errors import CpuLimitExceeded, InternalError
from ..image import gravity
from ..image.gravity import Focus
from ..image.look import Look
from ..store.base import Opened
from ..worker.protocol import Job
from .order import Derivative, Order
from .services import Services

BYPASS = "bypass"  # where nothing is kept


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has found.

    Attributes:
        focus: What a window is laid around; ``None`` where nothing was looked for.
        queue: Seconds that the look waited for a renderer; 0 for who has not had it done.
        render: Seconds that it took, likewise.
    """

    focus: Focus | None = None
    queue: float = 0.0
    render: float = 0.0


NOTHING = Seen()


async def find(services: Services, order: Order, source: Opened) -> Seen:
    """What the window of an order is laid around: kept from before, being looked for, or now.

    Args:
        services: Who looks, and where it is kept.
        order: Its process needs a look.
        source: Its source.

    Raises:
        OssError: The picture cannot be looked at, or could not be made.
    """
    assert order.process
    assert order.process.look
    look = order.process.look
    cache_key = _cache_key(services, order, source, look)
    try:
        async with asyncio.timeout(services.settings.server.request_timeout):
            derivative = await _alone(services, order, source, cache_key)
    except TimeoutError:
        raise CpuLimitExceeded("The picture was not looked at in time.") from None
    services.recorder.counters.looks.sums[look.kind, derivative.tier] += 1
    with closing(derivative):
        entry = derivative.entry.in_memory()
    try:
        focus = gravity.load(entry.data or b"")
    except ValueError:
        raise InternalError("The picture could not be looked at.") from None
    return Seen(focus, derivative.queue, derivative.render)


def _cache_key(services: Services, order: Order, source: Opened, look: Look) -> CacheKey:
    """Its name: the source, what is looked for in what of it, and who looks."""
    text = f"look {source.object.etag} {look.text} {services.renderers.version}"
    variant = hashlib.sha256(text.encode()).hexdigest()[:32].upper()
    return CacheKey(order.target.bucket, order.keys[0], variant)


async def _alone(
    services: Services, order: Order, source: Opened, cache_key: CacheKey
) -> Derivative:
    """Have it from the cache, or look, while no other request in this process does.

    Not a flight that several share: it would have to outlive the request that opened the source.
    """
    if services.cache is None:
        return await _look(services, order, source)
    done: Derivative | None = None

    async def make() -> Entry:
        nonlocal done
        done = await _look(services, order, source)
        return done.entry

    lock = services.looking.setdefault(cache_key, asyncio.Lock())
    async with lock:
        if hit := await services.cache.get(cache_key):
            return Derivative(*hit)
        entry, tier = await services.cache.obtain(cache_key, make)
    return Derivative(entry, tier, done.queue, done.render) if done else Derivative(entry, tier)


async def _look(services: Services, order: Order, source: Opened) -> Derivative:
    strict = order.grant.bucket.strict
    job = Job("look", str(order.process), source.descriptor, (), strict, times=source.times)
    with closing(await services.renderers.render(job)) as done:
        data = os.pread(done.descriptor, done.size, 0)
    entry = Entry(done.mime, 0, len(data), data)
    return Derivative(entry, BYPASS, done.queue, done.render)

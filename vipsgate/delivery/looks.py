"""Finds what a crop is centred on, once for each source, and caches the result.

The result depends on the source, on the actions before the crop and on the version of the
renderers, but not on the size of the crop. So it is an entry of the cache with a name made of these
three, in the budget, the tiers and the purges of the pictures of its source. Concurrent requests
for different sizes take turns, so that only the first one analyses the source. An answer is the
same whether or not the result was cached.
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
from .order import BYPASS, Derivative, Order
from .services import Services


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a look.

    Attributes:
        focus: What to centre the crop on; ``None`` if none was needed.
        queue: Time for which the look waited for a renderer, in seconds; 0 if it was cached.
        render: Time that the look took, in seconds; 0 if it was cached.
    """

    focus: Focus | None = None
    queue: float = 0.0
    render: float = 0.0


NOTHING = Seen()


async def find(services: Services, order: Order, source: Opened) -> Seen:
    """Return what the crop of an order is centred on, from the cache or from a renderer.

    Args:
        services: The services.
        order: An order whose process needs a look.
        source: Its source.

    Raises:
        OssError: The source cannot be decoded, or the look was refused or took too long.
    """
    assert order.process
    assert order.process.look
    look = order.process.look
    cache_key = _cache_key(services, order, source, look)
    try:
        async with asyncio.timeout(services.settings.server.request_timeout):
            derivative = await _alone(services, order, source, cache_key)
    except TimeoutError:
        raise CpuLimitExceeded("The picture was not analysed in time.") from None
    services.recorder.counters.looks.sums[look.kind, derivative.tier] += 1
    with closing(derivative):
        entry = derivative.entry.in_memory()
    try:
        focus = gravity.load(entry.data or b"")
    except ValueError:
        raise InternalError("The picture could not be analysed.") from None
    return Seen(focus, derivative.queue, derivative.render)


def _cache_key(services: Services, order: Order, source: Opened, look: Look) -> CacheKey:
    """Return the name of a look in the cache."""
    text = f"look {source.object.etag} {look.text} {services.renderers.version}"
    variant = hashlib.sha256(text.encode()).hexdigest()[:32].upper()
    return CacheKey(order.target.bucket, order.keys[0], variant)


async def _alone(
    services: Services, order: Order, source: Opened, cache_key: CacheKey
) -> Derivative:
    """Return the result from the cache, or look; other requests of this process wait meanwhile.

    It is not a single flight, which would have to outlive the request that opened the source.
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

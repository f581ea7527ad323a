"""The masters of large sources: handed to renderers with their source, and kept as they are made.

Only a renderer knows whether a picture's way leads over one, since it takes the header; so whatever
is made of a source is given its master if it is here, and may bring one back. Nothing of an answer
depends on that (:mod:`vipsgate.image.masters`).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass

from ..cache.entry import CacheKey
from ..cache.masters import Masters
from ..renderers.result import Result
from ..store.base import Opened
from .order import Order
from .services import Services


@dataclass(frozen=True, slots=True)
class Kept:
    """The master of a source, as far as there is one here; whoever has one closes it.

    Attributes:
        masters: Where it is kept; ``None`` where it is not.
        cache_key: Its name.
        descriptor: Of its file; ``None`` where there is none.
    """

    masters: Masters | None = None
    cache_key: CacheKey | None = None
    descriptor: int | None = None

    def keep(self, services: Services, done: Result) -> None:
        """Keep what has come back with a picture, and count how the picture was made."""
        if self.masters is None or self.cache_key is None or done.master < 0:
            return
        services.recorder.counters.masters.sums["made",] += 1
        self.masters.keep(self.cache_key, done.master)

    def close(self, services: Services) -> None:
        """Give it back, and count that it was lent."""
        if self.descriptor is not None:
            services.recorder.counters.masters.sums["lent",] += 1
            with suppress(OSError):
                os.close(self.descriptor)


NOTHING = Kept()


def opened(services: Services, order: Order, source: Opened) -> Kept:
    """Open the master of a source, for as long as a picture of it is made.

    Args:
        services: Where masters are kept.
        order: What is made.
        source: Its source.
    """
    masters = services.cache.masters if services.cache else None
    process = order.process
    if masters is None or process is None or process.answer or process.snapshot:
        return NOTHING
    cache_key = _cache_key(services, order, source)
    return Kept(masters, cache_key, masters.open(cache_key))


def _cache_key(services: Services, order: Order, source: Opened) -> CacheKey:
    """Its name: the source, who makes it, and what has been purged of it."""
    bucket, key = order.target.bucket, order.keys[0]
    text = f"master {source.object.etag} {services.renderers.version}"
    variant = hashlib.sha256(text.encode()).hexdigest()[:32].upper()
    assert services.cache
    variant = services.cache.purges.renamed(variant, bucket, (key,), ())
    return CacheKey(bucket, key, variant)

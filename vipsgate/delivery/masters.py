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

LEAST = 64 << 10  # bytes of a source whose master is kept; most that have less have few pixels


@dataclass(frozen=True, slots=True)
class Kept:
    """The master of a source, as far as there is one here; whoever has one closes it.

    Attributes:
        masters: Where it is kept; ``None`` where it is not.
        cache_key: Its name.
        descriptor: Of its file; ``None`` where there is none.
        blank: Descriptors of a file for one that is made, to write and to read it; ``None`` where
            there is one, or none is kept.
    """

    masters: Masters | None = None
    cache_key: CacheKey | None = None
    descriptor: int | None = None
    blank: tuple[int, int] | None = None

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
        for descriptor in (self.descriptor, *(self.blank or ())):
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)


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
    if source.object.size < LEAST:
        return NOTHING
    cache_key = _cache_key(services, order, source)
    descriptor = masters.open(cache_key)
    blank = masters.blank() if descriptor is None else None
    return Kept(masters, cache_key, descriptor, blank)


def _cache_key(services: Services, order: Order, source: Opened) -> CacheKey:
    """Its name: the source, who makes it, and what has been purged of it."""
    bucket, key = order.target.bucket, order.keys[0]
    text = f"master {source.object.etag} {services.renderers.version}"
    variant = hashlib.sha256(text.encode()).hexdigest()[:32].upper()
    assert services.cache
    variant = services.cache.purges.renamed(variant, bucket, (key,), ())
    return CacheKey(bucket, key, variant)

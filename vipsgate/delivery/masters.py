"""Hands the masters of large sources to renderers, and keeps those that renderers make.

Only a renderer can tell whether a picture is made from a master, as that depends on the source's
header. So every job on a source comes with its master if there is one, and may return a new one. An
answer is the same with or without (:mod:`vipsgate.image.masters`).
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

LEAST = 64 << 10  # bytes of a source that may have a master; most smaller ones have few pixels


@dataclass(frozen=True, slots=True)
class Kept:
    """The open master of a source, or an empty file for it; to be closed.

    Attributes:
        masters: The store of masters; ``None`` if this source has none.
        cache_key: The name of the master.
        descriptor: The descriptor of the master; ``None`` if there is none.
        blank: Two descriptors of an empty file, to write and to read it; ``None`` if there is a
            master, or no file could be created.
    """

    masters: Masters | None = None
    cache_key: CacheKey | None = None
    descriptor: int | None = None
    blank: tuple[int, int] | None = None

    def keep(self, services: Services, done: Result) -> None:
        """Keep the master that came back with a picture, if any, and count it."""
        if self.masters is None or self.cache_key is None:
            return
        if done.master < 0:
            if self.blank and (size := os.fstat(self.blank[1]).st_size):  # there was no room
                self.masters.lacked(size)
            return
        services.recorder.counters.masters.sums["made",] += 1
        self.masters.keep(self.cache_key, done.master)

    def close(self, services: Services) -> None:
        """Close the descriptors, and count a master that was handed out."""
        if self.descriptor is not None:
            services.recorder.counters.masters.sums["lent",] += 1
        for descriptor in (self.descriptor, *(self.blank or ())):
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)


NOTHING = Kept()


def opened(services: Services, order: Order, source: Opened) -> Kept:
    """Open the master of a source for a renderer.

    Args:
        services: The services.
        order: The order.
        source: Its source.

    Returns:
        The master, or an empty file for a new one, for the caller to close; :data:`NOTHING` if
        the order is not for a picture, or the source is small.
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
    """Return the name of a source's master, which a purge of the source changes."""
    bucket, key = order.target.bucket, order.keys[0]
    text = f"master {source.object.etag} {services.renderers.version}"
    variant = hashlib.sha256(text.encode()).hexdigest()[:32].upper()
    assert services.cache
    variant = services.cache.purges.renamed(variant, bucket, (key,), ())
    return CacheKey(bucket, key, variant)

"""Objects of a mirror that are served for a while without being stored in the bucket.

They are layered over a store, whose own objects take precedence. ``stat`` finds an object as long
as it is fresh; it is held longer, so that its server can be asked whether it has changed. An object
is held as a file without a name, within a budget. The alternative, to pass the object along with
the request, would make every user of objects handle two kinds of them.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ..errors import NoSuchKey
from .base import Object, Opened, RangeReader, Store
from .remote.objects import copied

HELD_BYTES = 64 << 20  # bytes of objects that are held; the last one is, however large
MAX_HELD = 512  # objects that are held: each is a descriptor


@dataclass(frozen=True, slots=True)
class Held:
    """An object on the shelf.

    Attributes:
        object: The object.
        descriptor: The descriptor of a file with its bytes.
        until: When it stops being fresh, in seconds of the clock.
        validators: Headers of a conditional request, which asks its server whether it has changed.
        url: The URL that it came from.
    """

    object: Object
    descriptor: int
    until: float
    validators: dict[str, str] = field(default_factory=dict)
    url: str = ""


class Shelf:
    """The most recently added objects.

    Args:
        clock: Returns the time in seconds.
        most: Bytes that are held at most.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = HELD_BYTES) -> None:
        self._held: OrderedDict[tuple[str, str], Held] = OrderedDict()
        self._bytes = 0
        self.clock, self._most = clock, most

    def fresh(self, bucket: str, key: str) -> Held | None:
        """Return an object if it is held and fresh."""
        if (held := self._held.get((bucket, key))) and held.until > self.clock():
            self._held.move_to_end((bucket, key))
            return held
        return None

    def known(self, bucket: str, key: str) -> Held | None:
        """Return an object if it is held, however old."""
        return self._held.get((bucket, key))

    def put(self, bucket: str, key: str, held: Held) -> None:
        """Hold an object; the least recently used ones are dropped to keep the budget."""
        self.drop(bucket, key)
        self._held[bucket, key] = held
        self._bytes += held.object.size
        while len(self._held) > 1 and (self._bytes > self._most or len(self._held) > MAX_HELD):
            self.drop(*next(iter(self._held)))

    def renew(self, bucket: str, key: str, held: Held, until: float) -> None:
        """Extend the time for which an object is fresh, if it is still held."""
        if self._held.get((bucket, key)) is held:
            self._held[bucket, key] = replace(held, until=until)

    def drop(self, bucket: str, key: str) -> None:
        """Drop an object, if it is held."""
        if held := self._held.pop((bucket, key), None):
            self._bytes -= held.object.size
            os.close(held.descriptor)


class Shelved:
    """A store with a shelf of further objects layered over it.

    Args:
        store: The store, whose objects take precedence.
        shelf: The further objects.
    """

    def __init__(self, store: Store, shelf: Shelf) -> None:
        self._store, self._shelf = store, shelf
        # called for every answer, so without a detour through ``__getattr__``
        self.has, self.object_acls, self.reread = store.has, store.object_acls, store.reread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        try:
            return await self._store.stat(bucket, key)
        except NoSuchKey:
            if held := self._shelf.fresh(bucket, key):
                return held.object
            raise

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`."""
        try:
            return await self._store.open(bucket, key)
        except NoSuchKey:
            if held := self._shelf.known(bucket, key):
                return Opened(held.object, os.dup(held.descriptor))
            raise

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`."""
        result = self._store.fingerprint(bucket, key, aliases=aliases)
        if result == () and (held := self._shelf.fresh(bucket, key)):
            return held.object
        return result

    def ranged(self, bucket: str) -> RangeReader | None:
        """See :class:`vipsgate.store.base.Store`."""
        reader = self._store.ranged(bucket)
        return _Parts(reader, self._shelf) if reader else None


class _Parts:
    """Reads parts of remote objects, and of objects on a shelf."""

    def __init__(self, reader: RangeReader, shelf: Shelf) -> None:
        self._reader, self._shelf = reader, shelf

    async def begin(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.RangeReader`."""
        try:
            return await self._reader.begin(bucket, key)
        except NoSuchKey:
            if held := self._shelf.known(bucket, key):
                return Opened(held.object, os.dup(held.descriptor))
            raise

    async def read(self, bucket: str, key: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """See :class:`vipsgate.store.base.RangeReader`."""
        held = self._shelf.known(bucket, key)
        if held and held.object == info:
            return copied(os.dup(held.descriptor), span)
        return await self._reader.read(bucket, key, info, span)


def over(store: Store, shelf: Shelf) -> Store:
    """Return a store with the objects of a shelf layered over it."""
    return cast(Store, Shelved(store, shelf))

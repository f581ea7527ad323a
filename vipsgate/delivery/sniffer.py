"""Detection of pictures among objects by their first bytes, with a cache of the results.

It serves rules for all pictures, which apply whatever the key of an object is. Nothing is decoded;
a few KB of each version of an object are read once, and only these are fetched of a remote object.
"""

from __future__ import annotations

import os
from contextlib import closing

from cachetools import LRUCache

from ..errors import NoSuchKey, PreconditionFailed, ServiceUnavailable
from ..image.formats.codecs import HEAD_BYTES, is_picture
from ..store.base import Object, Opened, Store

MAX_ENTRIES = 16384  # objects that are remembered; one takes about 400 bytes
TRIES = 3  # attempts to read a remote object before it is replaced again

Version = tuple[str, int, float]  # ETag, size in bytes, and time of modification


class Sniffer:
    """Detects pictures, and remembers the results for the objects used last.

    Args:
        max_entries: The largest number of objects to remember.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._known: LRUCache[tuple[str, str], tuple[Version, bool]] = LRUCache(max_entries)

    async def sniff(self, store: Store, bucket: str, key: str, item: Object) -> tuple[Object, bool]:
        """Return an object as it is now, and whether it is a picture.

        Args:
            store: The store.
            bucket: Its bucket.
            key: Its key.
            item: The object as it was looked up.

        Raises:
            NoSuchKey: It has been deleted.
            ServiceUnavailable: It cannot be read, or is replaced again and again.
        """
        known = self._recall(bucket, key, item)
        if known is not None:
            return item, known
        ranged = store.ranged(bucket)
        if ranged is None:
            with closing(await store.open(bucket, key)) as opened:
                return opened.object, self.sniff_opened(bucket, key, opened)
        for _ in range(TRIES):
            try:
                span = range(min(item.size, HEAD_BYTES))
                pieces = await ranged.read(bucket, key, item, span)
                head = b"".join([piece async for piece in pieces])
            except (PreconditionFailed, NoSuchKey):
                item = await store.stat(bucket, key)
            else:
                return item, self._remember(bucket, key, item, head)
        raise ServiceUnavailable(
            "The object is replaced again and again.", headers={"Retry-After": "1"}
        )

    def sniff_opened(self, bucket: str, key: str, opened: Opened) -> bool:
        """Return whether an open object is a picture.

        Raises:
            ServiceUnavailable: It cannot be read.
        """
        known = self._recall(bucket, key, opened.object)
        if known is not None:
            return known
        try:
            head = os.pread(opened.descriptor, HEAD_BYTES, 0)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ServiceUnavailable(f"The object cannot be read now: {reason}.") from None
        return self._remember(bucket, key, opened.object, head)

    def _recall(self, bucket: str, key: str, item: Object) -> bool | None:
        version, picture = self._known.get((bucket, key), (None, False))
        return picture if version == _version(item) else None

    def _remember(self, bucket: str, key: str, item: Object, head: bytes) -> bool:
        picture = is_picture(head)
        self._known[bucket, key] = _version(item), picture
        return picture


def _version(item: Object) -> Version:
    return item.etag, item.size, item.modified

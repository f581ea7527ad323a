"""Detection of pictures among objects by their first bytes, with a cache of the results.

It serves rules for all pictures, whatever an object is called. Nothing is decoded; of each version
of an object a few KB are read once, and of a remote object only these are fetched.
"""

from __future__ import annotations

import os
from contextlib import closing

from cachetools import LRUCache

from ..errors import NoSuchKey, PreconditionFailed, ServiceUnavailable
from ..image.formats.codecs import HEAD_BYTES, is_picture
from ..store.base import Object, Opened, Store

MAX_ENTRIES = 16384  # objects that are remembered; one takes about 400 bytes
TRIES = 3  # to read a remote object as it was when it was looked at

Version = tuple[str, int, float]  # tag, bytes, and since when: what identifies the content


class Sniffer:
    """A cache of which objects are pictures, for those used last.

    Args:
        max_entries: How many are remembered.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._known: LRUCache[tuple[str, str], tuple[Version, bool]] = LRUCache(max_entries)

    async def sniff(self, store: Store, bucket: str, key: str, item: Object) -> tuple[Object, bool]:
        """Return the object as it is by now, and whether it is a picture.

        Args:
            store: Where it is.
            bucket: Its bucket.
            key: Its name.
            item: What was known of it a moment ago.

        Raises:
            NoSuchKey: It is gone by now.
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

"""Cache entries in a bucket of an object store, which a fleet of servers shares; best effort.

The key is ``<bucket>/<hash of the key>/<variant>`` below the configured prefix. No request fails
because of it: an entry that cannot be read is made, and one that cannot be written is not stored.
How long entries are kept is left to a lifecycle rule of the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import NoSuchKey, OssError
from . import purges
from .entry import CacheKey, Entry
from .purges import Numbers

if TYPE_CHECKING:
    from obstore.store import ObjectStore

ABOUT = "vipsgate"  # the entry of an object's metadata: {"mime", "missing", "notes", "crc"}
MAX_BYTES = 16 << 20  # largest body that is stored there; it is held in memory
AT_ONCE = 16  # concurrent removals
LEDGER = ".purges/rules.json"  # the record of purges; not a valid bucket name

T = TypeVar("T")


class StoreClient(Protocol):
    """A client of the store, whose errors are subclasses of OssError."""

    store: ObjectStore

    async def call(self, work: Callable[[], Awaitable[T]], size: int = 0) -> T:
        """Run a request that sends ``size`` bytes."""


class RemoteCache:
    """Entries by cache key.

    Args:
        client: The client of the store.
    """

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    async def get(self, cache_key: CacheKey) -> Entry | None:
        """Return the entry, or ``None`` if it is missing, incomplete or cannot be read."""
        import obstore

        try:
            got = await self._client.call(
                partial(obstore.get_async, self._client.store, _path(cache_key))
            )
            size = got.meta["size"]
            if size > MAX_BYTES:
                return None
            about = json.loads(got.attributes[ABOUT])
            data = bytes(await self._client.call(got.bytes_async))
            if zlib.crc32(data) != about["crc"]:
                return None
            notes = tuple(map(str, about["notes"]))
            return Entry(about["mime"], about["missing"], size, data, notes=notes)
        except (OssError, ValueError, KeyError, TypeError):
            return None

    async def put(self, cache_key: CacheKey, entry: Entry) -> None:
        """Store a copy of an entry, if possible."""
        import obstore

        if entry.size > MAX_BYTES:
            return
        data = entry.in_memory().data or b""
        about = {"mime": entry.mime, "missing": entry.missing, "notes": entry.notes}
        about["crc"] = zlib.crc32(data)
        work = partial(
            obstore.put_async,
            self._client.store,
            _path(cache_key),
            data,
            attributes={
                "Content-Type": entry.mime,
                ABOUT: json.dumps(about, separators=(",", ":")),
            },
            use_multipart=False,
        )
        with contextlib.suppress(OssError):
            await self._client.call(work, entry.size)

    async def purge(self, bucket: str, key: str) -> None:
        """Remove all entries of an object, as far as possible."""
        import obstore

        prefix = _path(CacheKey(bucket, key, ""))
        client = self._client.store
        with contextlib.suppress(OssError):
            objects = await self._client.call(lambda: obstore.list(client, prefix).collect_async())
            for start in range(0, len(objects), AT_ONCE):
                paths = [meta["path"] for meta in objects[start : start + AT_ONCE]]
                await asyncio.gather(*map(self._delete, paths))

    async def exchange(self, known: Numbers) -> Numbers:
        """Add purges to the record, and return all of it.

        Two concurrent writers may overwrite each other's purges; they are then written again.

        Raises:
            OssError: The bucket is unavailable.
        """
        import obstore

        client = self._client.store
        try:
            got = await self._client.call(partial(obstore.get_async, client, LEDGER))
            there = purges.read(bytes(await self._client.call(got.bytes_async)))
        except NoSuchKey:
            there = {}
        merged = purges.tidied(purges.join(there, known))
        if merged != there:
            data = purges.write(merged)
            work = partial(obstore.put_async, client, LEDGER, data, use_multipart=False)
            await self._client.call(work, len(data))
        return merged

    async def _delete(self, path: str) -> None:
        import obstore

        await self._client.call(partial(obstore.delete_async, self._client.store, path))


def _path(cache_key: CacheKey) -> str:
    return f"{cache_key.bucket}/{cache_key.source}/{cache_key.variant}".rstrip("/")

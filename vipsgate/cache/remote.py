"""Bodies in a bucket of an object store, which a whole fleet shares; best effort.

``<bucket>/<hash of the key>/<variant>`` below its place. It never fails a request: what cannot be
had is made, what cannot be kept is not. How much is kept is for the store's own lifecycle rule to
say; what was forgotten by nobody's fault but time's is made again.
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
MAX_BYTES = 16 << 20  # bytes of a body that is kept there; it goes through memory
AT_ONCE = 16  # removals under way
LEDGER = ".purges/rules.json"  # the record of purges; no bucket has such a name

T = TypeVar("T")


class StoreClient(Protocol):
    """A client of the store; what it raises is an OssError."""

    store: ObjectStore

    async def call(self, work: Callable[[], Awaitable[T]], size: int = 0) -> T:
        """Have the store do something that sends so many bytes."""


class RemoteCache:
    """Entries by cache key.

    Args:
        client: Of the store.
    """

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    async def get(self, cache_key: CacheKey) -> Entry | None:
        """Return the entry; ``None`` also where it cannot be had, or is not whole."""
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
        """Keep it, if that can be; the caller's stays open."""
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
        """Remove all entries of an object, as far as that can be."""
        import obstore

        prefix = _path(CacheKey(bucket, key, ""))
        client = self._client.store
        with contextlib.suppress(OssError):
            objects = await self._client.call(lambda: obstore.list(client, prefix).collect_async())
            for start in range(0, len(objects), AT_ONCE):
                paths = [meta["path"] for meta in objects[start : start + AT_ONCE]]
                await asyncio.gather(*map(self._delete, paths))

    async def exchange(self, known: Numbers) -> Numbers:
        """Write down purges that are not there yet, and return all that are; as far as can be.

        Two who write in one moment may undo each other's; who finds that does it again.
        """
        import obstore

        client = self._client.store
        try:
            got = await self._client.call(partial(obstore.get_async, client, LEDGER))
            there = purges.read(bytes(await self._client.call(got.bytes_async)))
        except NoSuchKey:
            there = {}
        except OssError:
            return known
        merged = purges.tidied(purges.join(there, known))
        if merged != there:
            data = purges.write(merged)
            work = partial(obstore.put_async, client, LEDGER, data, use_multipart=False)
            with contextlib.suppress(OssError):
                await self._client.call(work, len(data))
        return merged

    async def _delete(self, path: str) -> None:
        import obstore

        await self._client.call(partial(obstore.delete_async, self._client.store, path))


def _path(cache_key: CacheKey) -> str:
    return f"{cache_key.bucket}/{cache_key.source}/{cache_key.variant}".rstrip("/")

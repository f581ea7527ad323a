"""Buckets in an object store, S3, GCS or Azure, through obstore.

One URL, ``s3://BUCKET/PREFIX``, holds all buckets, whose names are the first parts of the names of
objects: ``PREFIX/<bucket>/<key>``. Objects are replaced by conditional requests (If-Match,
If-None-Match), so of two concurrent writers one gets an error. Objects larger than :data:`ONE_PUT`
are sent in parts, where obstore supports no conditions: then the check is made just before.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from ...buckets import BUCKET, INTERNAL
from ...errors import (
    BucketNotEmpty,
    InvalidObjectName,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
    shown,
)
from ..base import Object, Opened, Page, Properties, md5_of
from . import draft as spool
from . import metadata
from .listing import Walk
from .metadata import Label
from .names import name_of
from .objects import RemoteObjects

if TYPE_CHECKING:
    from obstore import ObjectMeta

MARK = f"{INTERNAL}/bucket"  # an object in each bucket, so that an empty one exists
UNNAMEABLE = re.compile(r"[\x00-\x1f\x7f]")  # characters that no name of obstore can have
NAME_BYTES = 1024  # of a name with its bucket and prefix; S3, GCS and Azure
ONE_PUT = 16 << 20  # bytes that are put in one piece, from memory
MAX_LOOKS = 32  # requests at the same time for a listing
BUCKETS = 30.0  # seconds between two looks for buckets that others have created

S = TypeVar("S")
T = TypeVar("T")


class CloudStore:
    """See :class:`vipsgate.store.base.Store`.

    Args:
        objects: The objects.
        kind: The scheme of the store's URL: ``s3``, ``gs`` or ``az``.
        prefix: The prefix that the client adds to all names.
        bucket: The only bucket, to which all objects belong; empty if there are many.
    """

    def __init__(
        self, objects: RemoteObjects, *, kind: str, prefix: str = "", bucket: str = ""
    ) -> None:
        self._objects, self._kind, self._bucket = objects, kind, bucket
        self._room = NAME_BYTES - len(prefix.encode())
        self._buckets = {bucket} if bucket else set()
        self._looked = -BUCKETS

    # -- buckets ---------------------------------------------------------------------------------

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.base.Store`."""
        return self._objects.client.away

    def stale_ok(self, bucket: str) -> bool:
        """Return ``False``: :meth:`stat` itself returns stale facts while the store is away."""
        return False

    def has(self, bucket: str) -> bool:
        """Return whether there was a bucket of this name at the last look."""
        return bucket in self._buckets or (bucket == INTERNAL and not self._bucket)

    async def look(self) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        now = time.monotonic()
        if now - self._looked >= BUCKETS and not self._bucket:
            self._buckets = set(await self._names())
            self._looked = now

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`."""
        if self._bucket:
            return [(self._bucket, 0.0)]
        names = await self._names()
        self._buckets = set(names)
        head_cache = await _all(self._objects.recall, [f"{name}/{MARK}" for name in names])
        times = [head.object.modified if head.object else 0.0 for head in head_cache]
        return list(zip(names, times, strict=True))

    async def create(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        if (await self._objects.head(f"{bucket}/{MARK}")).object is None:
            await self._objects.put(f"{bucket}/{MARK}", b"", {})
        self._buckets.add(bucket)

    async def remove(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        if not self.has(bucket):
            raise _no_bucket(bucket)
        if (await self.list(bucket, limit=1)).objects:
            raise BucketNotEmpty(
                "The bucket you tried to delete is not empty.", extra={"BucketName": bucket}
            )
        self._buckets.discard(bucket)
        await self._objects.delete(f"{bucket}/{MARK}")

    async def sweep(self) -> None:
        """Do nothing: drafts are files without a name, and the store removes unfinished parts."""

    async def _names(self) -> list[str]:
        """Return the names of all buckets, in order."""
        import obstore

        client = self._objects.client
        listing = await client.call(lambda: obstore.list_with_delimiter_async(client.store))
        return sorted(name for name in listing["common_prefixes"] if BUCKET.fullmatch(name))

    # -- objects ---------------------------------------------------------------------------------

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`; stale while the store is away."""
        info = (await self._objects.see(self._path(bucket, key))).object
        if info is None:
            raise _absent(key)
        return info

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`; from a response that is still fresh."""
        try:
            head = self._objects.fresh(self._path(bucket, key))
        except NoSuchKey:
            return ()
        return head and (head.object or ())

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> None:
        """See :class:`vipsgate.store.base.Store`: never reads without waiting."""

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`; a copy."""
        path = self._path(bucket, key)
        try:
            return await self._objects.open(path)
        except NoSuchKey:
            raise _absent(key) from None

    async def begin(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.RangeReader`."""
        path = self._path(bucket, key)
        try:
            return await self._objects.begin(path)
        except NoSuchKey:
            raise _absent(key) from None

    def ranged(self, bucket: str) -> CloudStore:
        """See :class:`vipsgate.store.base.Store`."""
        return self

    async def read(self, bucket: str, key: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """See :class:`vipsgate.store.base.RangeReader`."""
        return await self._objects.read(self._path(bucket, key), info, span)

    def draft(self, bucket: str) -> spool.CloudDraft:
        """See :class:`vipsgate.store.base.Store`."""

        async def keep(
            draft: spool.CloudDraft,
            key: str,
            properties: Properties,
            etag: str,
            expected: str | None,
        ) -> Object:
            label = Label(properties, etag or draft.tag, draft.crc)
            return await self._keep(draft, bucket, key, label, expected)

        def begin() -> None:
            if not self.has(bucket):
                raise _no_bucket(bucket)

        return spool.CloudDraft(begin, keep)

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """See :class:`vipsgate.store.base.Store`.

        The whole object is put again, as obstore cannot change attributes alone.
        """
        with closing(await self.open(bucket, key)) as opened:
            before = opened.object
            async with self.draft(bucket) as draft:
                await opened.copy(draft)
                label = Label(properties, before.etag, before.crc, before.modified)
                return await self._keep(draft, bucket, key, label, before.etag)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """See :class:`vipsgate.store.base.Store`; the tag is checked just before."""
        try:
            path = self._path(bucket, key)
        except NoSuchKey:
            return
        if expected is not None:
            info = (await self._objects.head(path)).object
            if info and info.etag != expected:
                raise _changed()
        await self._objects.delete(path)

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """See :class:`vipsgate.store.base.Store`.

        Properties and checksum are missing for objects that were not requested lately.
        """
        base = "" if self._bucket else f"{bucket}/"
        walk = Walk(self._objects.client, base, prefix, delimiter, after, trust=self._kind == "s3")
        objects: list[tuple[str, Object]] = []
        unknown: list[tuple[str, ObjectMeta]] = []
        prefixes: list[str] = []
        last = ""
        async for name, meta in walk.entries():
            if len(objects) + len(unknown) + len(prefixes) == limit:
                objects += await _present(self._objects, unknown)
                unknown = []
                if len(objects) + len(prefixes) == limit:  # no listed object was missing
                    break
            last = name
            if meta is None:
                prefixes.append(name)
            else:
                unknown.append((name, meta))
        else:
            last = ""
        return Page(objects + await _present(self._objects, unknown), prefixes, last)

    # -- steps of the above ----------------------------------------------------------------------

    def _path(self, bucket: str, key: str) -> str:
        """Return the name of an object in the store.

        Raises:
            NoSuchKey: No object can have this key.
        """
        name = name_of(key)
        path = name if self._bucket else f"{bucket}/{name}"
        if (
            not {"", ".", "..", INTERNAL}.isdisjoint(name.split("/"))
            or UNNAMEABLE.search(key)
            or len(path.encode()) > self._room
        ):
            raise _absent(key)
        return path

    async def _keep(
        self, draft: spool.CloudDraft, bucket: str, key: str, label: Label, expected: str | None
    ) -> Object:
        """Store a draft as the object."""
        try:
            path = self._path(bucket, key)
        except NoSuchKey:
            raise _impossible(key) from None
        attributes = metadata.write(label, draft.size, self._kind)
        mode = None if expected is None else await self._condition(path, expected)
        # not in one piece, or S3's own tag, an MD5, would be used in place of the label's
        own = self._kind == "s3" and draft.size > 0 and label.etag != draft.tag
        if own or draft.size > ONE_PUT:
            with draft.file() as file:
                native = await self._objects.put(path, file, attributes, size=draft.size)
        else:
            native = await self._objects.put(path, await draft.all(), attributes, mode, draft.size)
        head = await self._objects.head(path)
        if head.object is None or native not in ("", head.native[0]):
            # it has been replaced meanwhile; return the object that was put here
            md5 = md5_of(label.etag, label.crc)
            return Object(draft.size, label.etag, time.time(), label.properties, label.crc, md5=md5)
        return head.object

    async def _condition(self, path: str, expected: str) -> Any:
        """Return obstore's condition for replacing the present object.

        Raises:
            PreconditionFailed: The present object is not the expected one.
        """
        head = await self._objects.head(path)
        if (head.object.etag if head.object else "") != expected:
            raise _changed()
        if not expected:
            return "create"
        known = {"e_tag": head.native[0], "version": head.version}
        return {name: value for name, value in known.items() if value}


async def _present(
    objects: RemoteObjects, entries: Sequence[tuple[str, ObjectMeta]]
) -> list[tuple[str, Object]]:
    """Return the keys of a listing with their objects, without those that do not exist."""
    heads = await _all(lambda entry: objects.recall(entry[1]["path"], entry[1]), entries)
    pairs = zip(entries, heads, strict=True)
    return [(name, head.object) for (name, _), head in pairs if head.object]


async def _all(look: Callable[[S], Awaitable[T]], items: Sequence[S]) -> list[T]:
    """Call ``look`` for all items, several at a time; return the results in order."""
    results: list[T] = []
    for start in range(0, len(items), MAX_LOOKS):
        results += await asyncio.gather(*map(look, items[start : start + MAX_LOOKS]))
    return results


def _absent(key: str) -> NoSuchKey:
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})


def _changed() -> PreconditionFailed:
    return PreconditionFailed("The object has been replaced in the meantime.")


def _impossible(key: str) -> InvalidObjectName:
    return InvalidObjectName(
        "The specified object is not valid. In the object store a name has at most "
        f"{NAME_BYTES} bytes with its bucket, no part of it but the last is empty, none is . or "
        f".., and none has control characters; it was {shown(key)!r}."
    )


def _no_bucket(bucket: str) -> NoSuchBucket:
    return NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": bucket})

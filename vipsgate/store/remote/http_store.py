"""A bucket on an HTTP server, which can be read, but neither listed nor written.

It shares the reading half of object stores: responses are cached for a short time, equal requests
are coalesced, copies are kept in the source cache, and stale responses are used while the server is
away. The alternative, obstore's own store for HTTP, resolves names and follows redirects by itself,
without restrictions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from ...buckets import INTERNAL
from ...errors import ImageTooLarge, NoSuchKey, Unimplemented
from ..base import Object, Opened, Page, Properties
from ..routing import Refused, refuse
from .head_cache import Head
from .http_client import NotModifiedError
from .objects import RemoteReader, head_of


class HttpReader(RemoteReader):
    """Reads objects; known ones are revalidated by conditional requests."""

    async def _look(self, path: str) -> Head:
        known, since = self._head_cache.known(path), self._clock()
        unless = known.version if known and known.object else None
        try:
            return head_of(await self._source.get(path, head=True, unless=unless), since)
        except NotModifiedError:
            return replace(known, since=since) if known else Head(None, since=since)
        except NoSuchKey:
            return Head(None, since=since)


class HttpStore:
    """See :class:`vipsgate.store.base.Store`: one bucket.

    Args:
        objects: Its objects.
        bucket: Its name.
        most: The largest size of an object that is fetched, in bytes.
    """

    def __init__(self, objects: HttpReader, bucket: str, most: int) -> None:
        self._objects, self._bucket, self._most = objects, bucket, most

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.base.Store`."""
        return self._objects.away

    def stale_ok(self, bucket: str) -> bool:
        """Return ``False``: :meth:`stat` itself returns stale facts while the server is away."""
        return False

    async def look(self) -> None:
        """Do nothing: there is one bucket, and it always exists."""

    def has(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`."""
        return [(self._bucket, 0.0)]

    async def create(self, bucket: str) -> None:
        """Do nothing: the bucket exists."""

    async def remove(self, bucket: str) -> None:
        """Do nothing: the bucket stays where it is."""

    async def sweep(self) -> None:
        """Do nothing: no drafts are left behind."""

    def object_acls(self, bucket: str) -> bool:
        """Return ``False``: the bucket's ACL decides, before the server is asked."""
        return False

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`; stale while the server is away."""
        info = (await self._objects.see(_path(key))).object
        if info is None:
            raise _absent(key)
        return info

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`; from a response that is still fresh."""
        try:
            head = self._objects.fresh(_path(key))
        except NoSuchKey:
            return ()
        return head and (head.object or ())

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> None:
        """See :class:`vipsgate.store.base.Store`: never reads without waiting."""

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`; a copy.

        Raises:
            ImageTooLarge: It is larger than ``most``.
        """
        return await self._fetched(bucket, key, self._objects.open)

    async def begin(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.RangeReader`.

        Raises:
            ImageTooLarge: It is larger than ``most``.
        """
        return await self._fetched(bucket, key, self._objects.begin)

    async def _fetched(
        self, bucket: str, key: str, fetch: Callable[[str], Awaitable[Opened]]
    ) -> Opened:
        info = await self.stat(bucket, key)
        if info.size > self._most:
            raise ImageTooLarge(
                f"Maximal size of an object supported from an origin is {self._most} bytes; "
                f"the object has {info.size}."
            )
        try:
            return await fetch(_path(key))
        except NoSuchKey:
            raise _absent(key) from None

    def ranged(self, bucket: str) -> HttpStore:
        """See :class:`vipsgate.store.base.Store`."""
        return self

    async def read(self, bucket: str, key: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """See :class:`vipsgate.store.base.RangeReader`."""
        return await self._objects.read(_path(key), info, span)

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """Raise an error: HTTP has no listing.

        Raises:
            Unimplemented: Always.
        """
        raise Unimplemented(
            "The objects of this bucket cannot be listed: its origin is a server of HTTP.",
            extra={"BucketName": bucket},
        )

    def draft(self, bucket: str) -> Refused:
        """See :class:`vipsgate.store.base.Store`: the bucket is read-only."""
        return Refused(bucket)

    async def describe(self, bucket: str, key: str, properties: Properties) -> NoReturn:
        """Raise AccessDenied: the bucket is read-only."""
        refuse(bucket)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> NoReturn:
        """Raise AccessDenied: the bucket is read-only."""
        refuse(bucket)


def _path(key: str) -> str:
    """Return the name of an object on the server.

    Raises:
        NoSuchKey: No object can have this key.
    """
    if not {"", ".", "..", INTERNAL}.isdisjoint(key.split("/")):
        raise _absent(key)
    return key


def _absent(key: str) -> NoSuchKey:
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})

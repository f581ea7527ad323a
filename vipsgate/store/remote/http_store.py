"""A bucket on a server of HTTP: looked at and read, and neither listed nor written.

It is built on what reads from object stores: what a server has said counts for a moment, equal
questions are asked once, copies lie in the source cache, and what was known will do while the
server is away. The other design, obstore's own store for HTTP, looks names up and follows redirects
by itself, to wherever they lead.
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
    """Objects that are asked for with what is known of them."""

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
        most: Bytes of one that is fetched.
    """

    def __init__(self, objects: HttpReader, bucket: str, most: int) -> None:
        self._objects, self._bucket, self._most = objects, bucket, most

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.base.Store`."""
        return self._objects.away

    def stale_ok(self, bucket: str) -> bool:
        """What may be told while it is away, it tells by itself."""
        return False

    async def look(self) -> None:
        """Nothing: there is one bucket, for ever."""

    def has(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`."""
        return [(self._bucket, 0.0)]

    async def create(self, bucket: str) -> None:
        """Nothing: it is there."""

    async def remove(self, bucket: str) -> None:
        """Nothing: it stays where it is."""

    async def sweep(self) -> None:
        """Nothing: nothing is ever left behind."""

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`: the bucket's decides, before anybody is asked."""
        return False

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`; while the server is away, as it was."""
        info = (await self._objects.see(_path(key))).object
        if info is None:
            raise _absent(key)
        return info

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`: what the server has said just now."""
        try:
            head = self._objects.fresh(_path(key))
        except NoSuchKey:
            return ()
        return head and (head.object or ())

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> None:
        """See :class:`vipsgate.store.base.Store`: nothing is read at once."""

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`: a copy, made for whoever has asked.

        Raises:
            ImageTooLarge: It is larger than is fetched.
        """
        return await self._fetched(bucket, key, self._objects.open)

    async def begin(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.RangeReader`.

        Raises:
            ImageTooLarge: It is larger than is fetched.
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
        """Refused: HTTP has no listing.

        Raises:
            Unimplemented: Always.
        """
        raise Unimplemented(
            "The objects of this bucket cannot be listed: its origin is a server of HTTP.",
            extra={"BucketName": bucket},
        )

    def draft(self, bucket: str) -> Refused:
        """See :class:`vipsgate.store.base.Store`: none can be begun."""
        return Refused(bucket)

    async def describe(self, bucket: str, key: str, properties: Properties) -> NoReturn:
        """Refused."""
        refuse(bucket)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> NoReturn:
        """Refused."""
        refuse(bucket)


def _path(key: str) -> str:
    """The name of an object there.

    Raises:
        NoSuchKey: None can have this key.
    """
    if not {"", ".", "..", INTERNAL}.isdisjoint(key.split("/")):
        raise _absent(key)
    return key


def _absent(key: str) -> NoSuchKey:
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})

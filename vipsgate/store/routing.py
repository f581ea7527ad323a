"""A store in which some buckets have an origin elsewhere, and are read-only.

The objects of such a bucket are written by its owner, by other means, or are painted
(:mod:`.synthetic`); vipsgate lists and reads them, and never writes to the origin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import NoReturn

from ..buckets import Origin
from ..errors import AccessDenied, BadGateway
from .base import Draft, Object, Opened, Page, Properties, RangeReader, Store

log = logging.getLogger(__name__)


class Routing:
    """See :class:`vipsgate.store.base.Store`.

    Args:
        base: The store of all other buckets, and of the internal documents.
        reach: Opens the store of one bucket, by its name and its origin; raises ValueError if it
            cannot.
        direct: Stores that are used in place of the base, by bucket; the mapping may change.

    Attributes:
        faults: Why a bucket's origin cannot be opened, by bucket.
    """

    def __init__(
        self,
        base: Store,
        reach: Callable[[str, Origin], Store],
        direct: Mapping[str, Store] = MappingProxyType({}),
    ) -> None:
        self.faults: dict[str, str] = {}
        self._base, self._reach, self._direct = base, reach, direct
        self._places: dict[str, Origin] = {}
        self._stores: dict[str, Store] = {}

    def assign(self, places: Mapping[str, Origin]) -> None:
        """Set the origins of buckets; those that have not changed are not opened again."""
        for name in self._places.keys() - places.keys():
            self._stores.pop(name, None)
            self.faults.pop(name, None)
        for name, origin in places.items():
            if self._places.get(name) != origin:
                self._stores.pop(name, None)
                self.faults.pop(name, None)
                try:
                    self._stores[name] = self._reach(name, origin)
                except ValueError as error:
                    self.faults[name] = f"origin = {origin.url!r}: {error}"
                    log.error("bucket %s: %s", name, self.faults[name])
        self._places = dict(places)

    def _of(self, bucket: str) -> Store:
        """Return the store of a bucket.

        Raises:
            BadGateway: The bucket's origin cannot be opened.
        """
        if bucket in self.faults:
            raise BadGateway("The bucket's origin cannot be reached.")
        return self._stores.get(bucket) or self._direct.get(bucket, self._base)

    # -- buckets ---------------------------------------------------------------------------------

    @property
    def away(self) -> str:
        """Why the base is unavailable; for other origins, each request fails by itself."""
        return self._base.away

    @property
    def stuck(self) -> int:
        """Number of threads of the base that hang in a system call."""
        stuck: int = getattr(self._base, "stuck", 0)  # an object store has none
        return stuck

    def stale_ok(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return bucket not in self.faults and self._of(bucket).stale_ok(bucket)

    async def look(self) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await self._base.look()

    def has(self, bucket: str) -> bool:
        """Return whether a bucket has an origin, or is in the base."""
        return bucket in self._places or self._direct.get(bucket, self._base).has(bucket)

    def beneath(self, bucket: str) -> bool:
        """Return whether a bucket is in the base, even if it is served from an origin."""
        return self._direct.get(bucket, self._base).has(bucket)

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`."""
        buckets = dict.fromkeys(self._places, 0.0) | dict(await self._base.buckets())
        return sorted(buckets.items())

    async def create(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        if bucket not in self._places:
            await self._base.create(bucket)

    async def remove(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`; does nothing to a bucket with an origin."""
        if bucket not in self._places:
            await self._base.remove(bucket)

    async def sweep(self) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await self._base.sweep()

    # -- objects ---------------------------------------------------------------------------------

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return bucket in self.faults or self._of(bucket).object_acls(bucket)

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        return await self._of(bucket).stat(bucket, key)

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`."""
        if bucket in self.faults:
            return None
        return self._of(bucket).fingerprint(bucket, key, aliases=aliases)

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> bytes | None:
        """See :class:`vipsgate.store.base.Store`."""
        if bucket in self.faults:
            return None
        return self._of(bucket).reread(bucket, key, fingerprint, most, aliases=aliases)

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`."""
        return await self._of(bucket).open(bucket, key)

    def ranged(self, bucket: str) -> RangeReader | None:
        """See :class:`vipsgate.store.base.Store`."""
        return self._of(bucket).ranged(bucket)

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """See :class:`vipsgate.store.base.Store`."""
        return await self._of(bucket).list(
            bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
        )

    def draft(self, bucket: str) -> Draft:
        """See :class:`vipsgate.store.base.Store`."""
        return Refused(bucket) if bucket in self._places else self._of(bucket).draft(bucket)

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        if bucket in self._places:
            refuse(bucket)
        return await self._of(bucket).describe(bucket, key, properties)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        if bucket in self._places:
            refuse(bucket)
        await self._of(bucket).delete(bucket, key, expected=expected)


class Refused:
    """A draft in a read-only bucket, which raises AccessDenied when it is entered."""

    size, md5, crc = 0, b"", 0

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    async def __aenter__(self) -> NoReturn:
        refuse(self._bucket)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    async def write(self, data: bytes) -> None:
        refuse(self._bucket)

    async def copy(self, descriptor: int, start: int, size: int) -> None:
        refuse(self._bucket)

    async def keep(
        self, key: str, properties: Properties, *, etag: str = "", expected: str | None = None
    ) -> Object:
        refuse(self._bucket)


def refuse(bucket: str) -> NoReturn:
    """Refuse to write to a bucket that has an origin.

    Raises:
        AccessDenied: Always.
    """
    raise AccessDenied(
        f"The bucket {bucket} is served from its origin and is written only there.",
        extra={"BucketName": bucket},
    )

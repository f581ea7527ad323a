"""Buckets as folders on a local disk: ``ROOT/<bucket>/<key>``.

``open`` and ``stat`` of a file are called in the event loop: a hop to a thread costs 0.02 to 0.1 ms
of CPU (bench/handover.py), the calls themselves 0.003. Writing, and reading a folder, is done in a
thread. The operations on the disk are in :mod:`.disk`; for files that may block their readers,
:mod:`vipsgate.store.threaded` calls them instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiofiles.os import wrap

from ..base import Object, Opened, Page, Properties
from . import draft
from .disk import Disk, known
from .paths import BucketFolder


class LocalStore:
    """Objects are files; a bucket is a folder, which may itself be a symlink to elsewhere.

    Args:
        root: The folder of all buckets, or its :class:`.disk.Disk` if that is shared.
        stale: Seconds for which cached answers may be served while the root is away.
    """

    def __init__(self, root: Path | Disk, stale: float = 0) -> None:
        self._disk = root if isinstance(root, Disk) else Disk(root, settles=True)
        self._root, self._stale = self._disk.root, stale
        # called for every hit, so without a method in between
        self.has, self.fingerprint = self._disk.has, self._disk.fingerprint
        self.reread = self._disk.reread

    # -- buckets ---------------------------------------------------------------------------------

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.base.Store`."""
        return self._root.fault()

    def stale_ok(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        away = self._root.away_for()
        return away is not None and away <= self._stale

    async def look(self) -> None:
        """Check that the root is not away; buckets in it are looked up on each request."""
        self._root.check()

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`."""
        return await wrap(self._disk.buckets)()

    async def create(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await wrap(self._disk.create)(bucket)

    async def remove(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await wrap(self._disk.remove)(bucket)

    async def sweep(self) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await wrap(self._disk.sweep)()

    # -- objects ---------------------------------------------------------------------------------

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        return self._disk.stat(bucket, key)

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`."""
        return self._disk.open(bucket, key)

    def ranged(self, bucket: str) -> None:
        """Return ``None``: nothing is remote."""

    def draft(self, bucket: str) -> draft.LocalDraft:
        """See :class:`vipsgate.store.base.Store`."""
        disk = self._disk
        return draft.LocalDraft(
            BucketFolder(disk.root, bucket), lambda key: disk.look(bucket, key), known
        )

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        return await wrap(self._disk.describe)(bucket, key, properties)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await wrap(self._disk.delete)(bucket, key, expected)

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """See :class:`vipsgate.store.base.Store`."""
        return await wrap(self._disk.list)(bucket, prefix, delimiter, after, limit)

"""Drafts on a file system that may hang: every step in a thread of its bucket, within its time."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from ...errors import OssError
from ..base import Object, Properties
from ..local.draft import LocalDraft
from ..local.paths import BucketFolder
from .threads import Call, Threads

SLOWEST = 1 << 20  # bytes a second that a file system takes at least, when they are made durable

P = ParamSpec("P")
T = TypeVar("T")


class ThreadedDraft(LocalDraft):
    """See :class:`vipsgate.store.base.Draft`.

    One step is under way at a time. The draft ends behind the last one, however long that hangs:
    before, its descriptor would become another file's, and the step would write into that.

    Args:
        bucket: The bucket's folder.
        look: Key -> what is known of the object; ``None`` where there is none.
        known: Descriptor of a file -> what is known of it.
        threads: Those of the file system.
        kept: Told of the key of an object that may be another one now.
    """

    thread_bytes = 0

    def __init__(
        self,
        bucket: BucketFolder,
        look: Callable[[str], Object | None],
        known: Callable[[int], Object],
        threads: Threads,
        kept: Callable[[str], Awaitable[None]],
    ) -> None:
        super().__init__(bucket, look, known)
        self._threads, self._kept = threads, kept
        self._step: Call[Any] | None = None  # under way, or the last one

    async def __aenter__(self) -> ThreadedDraft:
        try:
            await self._apart(self._begin)
        except BaseException:
            self._end_behind()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._end_behind()
            return
        with contextlib.suppress(OssError):  # the object is kept; its file is closed some time
            await self._apart(self._end)

    async def keep(
        self, key: str, properties: Properties, *, etag: str = "", expected: str | None = None
    ) -> Object:
        """See :class:`vipsgate.store.base.Draft`."""
        try:
            return await super().keep(key, properties, etag=etag, expected=expected)
        finally:
            await self._kept(key)

    async def _apart(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        seconds = self.size / SLOWEST if work == self._keep else 0
        self._step = call = self._threads.call(partial(work, *args, **options), seconds)
        return await self._threads.wait(call)

    def _end_behind(self) -> None:
        """End it behind the step that is under way; nobody waits for either."""
        step = self._step
        if step is None or not step.abandon(lambda result: self._end()):
            self._threads.submit(self._end)

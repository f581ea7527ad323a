"""Drafts on a file system that may hang: each step runs in a thread, with a time limit."""

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

SLOWEST = 1 << 20  # bytes per second that a file system is expected to flush at least

P = ParamSpec("P")
T = TypeVar("T")


class ThreadedDraft(LocalDraft):
    """See :class:`vipsgate.store.base.Draft`.

    Only one step runs at a time. The draft is closed after the last one, however long that hangs:
    if its descriptor were closed before, and reused for another file, the step would write to that.

    Args:
        bucket: The bucket's folder.
        look: Returns the object of a key, or ``None``.
        known: Returns the object of an open file, by its descriptor.
        threads: The threads of the file system.
        kept: Called with the key of an object that may have been replaced.
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
        self._step: Call[Any] | None = None  # the current or latest one

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
        with contextlib.suppress(OssError):  # the object is kept, and its file is closed later
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
        """Close the draft after the current step, without waiting for either."""
        step = self._step
        if step is None or not step.abandon(lambda result: self._end()):
            self._threads.submit(self._end)

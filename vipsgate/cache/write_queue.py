"""Entries on their way to the disk: a queue, and the one thread that writes them in turn.

A file takes some calls of the system, each of which may wait for the disk, so they are not for the
loop. A pool of threads has a way back to the loop for each entry, and several threads that wait for
the interpreter; this one has only a way there, and takes a tenth less of the front's CPU
(bench/README.md, "What it costs to keep a picture").

Where the disk does not keep up, no more than so many bytes wait: what comes then is not stored.
What waits is answered from here.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from .entry import CacheKey, Entry

MAX_BYTES, MAX_ENTRIES = 16 << 20, 1024  # that wait, at most
WARNING_INTERVAL = 60.0  # seconds between two warnings that the disk does not keep up
log = logging.getLogger(__name__)

Job = Callable[[], None]
Write = Callable[[CacheKey, Entry], None]


class WriteQueue:
    """Entries by cache key, until they are written.

    Args:
        max_bytes: Bytes of bodies that may wait.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._entries: dict[CacheKey, Entry] = {}
        self._lock = threading.Lock()  # a descriptor is not closed while it is being duplicated
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._warned = -WARNING_INTERVAL
        weakref.finalize(self, self._jobs.put, None)  # the thread holds nothing but the queue

    def add(self, cache_key: CacheKey, entry: Entry, write: Write) -> bool:
        """Have an entry written.

        Args:
            cache_key: Its name.
            entry: It itself, which is closed when it is written.
            write: Writes it, in the thread.

        Returns:
            Whether there is room for it; if not, it is the caller's still.
        """
        with self._lock:
            most = self._max_bytes - entry.size
            full = len(self._entries) >= MAX_ENTRIES or self._bytes > max(0, most)
            if not full:
                self._entries[cache_key] = entry
                self._bytes += entry.size
        if full:
            self._warn()
            return False
        self._submit(partial(self._run, cache_key, entry, write))
        return True

    def get(self, cache_key: CacheKey) -> Entry | None:
        """Return an entry that waits, for the caller to close."""
        if not self._entries:
            return None
        with self._lock:
            entry = self._entries.get(cache_key)
            return entry.dup() if entry else None

    def has(self, cache_key: CacheKey, entry: Entry) -> bool:
        """Is this very entry still wanted?"""
        return self._entries.get(cache_key) is entry

    def forget(self, bucket: str, key: str) -> None:
        """Have no entries of an object written."""
        with self._lock:
            for cache_key in [each for each in self._entries if each[:2] == (bucket, key)]:
                del self._entries[cache_key]  # it is closed when its turn comes

    async def flush(self) -> None:
        """Wait until all is written that waits now."""
        if self._thread is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(done.set)

        self._submit(tell)
        await done.wait()

    def _submit(self, job: Job) -> None:
        self._jobs.put(job)
        if self._thread is None:
            own = partial(_work, self._jobs)
            self._thread = threading.Thread(target=own, name="cache-writer", daemon=True)
            self._thread.start()

    def _run(self, cache_key: CacheKey, entry: Entry, write: Write) -> None:
        """Write an entry, in the thread."""
        try:
            write(cache_key, entry)
        finally:
            with self._lock:
                if self.has(cache_key, entry):
                    del self._entries[cache_key]
                self._bytes -= entry.size
                entry.close()

    def _warn(self) -> None:
        now = time.monotonic()
        if now >= self._warned + WARNING_INTERVAL:
            self._warned = now
            log.warning("the cache's disk does not keep up: some pictures are not stored")


def _work(jobs: queue.SimpleQueue[Job | None]) -> None:
    """Be the thread."""
    while job := jobs.get():
        try:
            job()
        except Exception:  # a fault of ours, after which this must go on
            log.exception("an entry of the cache could not be stored")
        del job  # what it had is not held until the next one comes

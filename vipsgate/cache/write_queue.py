"""A queue of entries to be written to the disk, and the one thread that writes them in order.

Writing a file takes several system calls that may wait for the disk, so the event loop does not
make them. A pool of threads reports every entry back to the loop, and several of its threads wait
for the GIL; this thread reports nothing, and takes a tenth less of the front's CPU
(bench/README.md, "What it costs to keep a picture").

The queue is bounded: if the disk is too slow, further entries are not stored. Waiting entries can
be read from the queue.
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

MAX_BYTES, MAX_ENTRIES = 16 << 20, 1024  # the most that wait
WARNING_INTERVAL = 60.0  # seconds between two warnings that the disk is too slow
log = logging.getLogger(__name__)

Job = Callable[[], None]
Write = Callable[[CacheKey, Entry], None]


class WriteQueue:
    """The entries that wait to be written, by cache key.

    Args:
        max_bytes: The most bytes of bodies that may wait.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._entries: dict[CacheKey, Entry] = {}
        self._lock = threading.Lock()  # so that no descriptor is closed while it is duplicated
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._warned = -WARNING_INTERVAL
        weakref.finalize(self, self._jobs.put, None)  # the thread refers only to the queue

    def add(self, cache_key: CacheKey, entry: Entry, write: Write) -> bool:
        """Queue an entry, if there is room, and return whether there is.

        Args:
            cache_key: Its name.
            entry: The entry, which is closed after it was written; without room, the caller still
                has to close it.
            write: Called in the thread to write it.
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
        """Return a copy of a waiting entry, for the caller to close, or ``None``."""
        if not self._entries:
            return None
        with self._lock:
            entry = self._entries.get(cache_key)
            return entry.dup() if entry else None

    def has(self, cache_key: CacheKey, entry: Entry) -> bool:
        """Return whether this entry is still to be written, and was not dropped or replaced."""
        return self._entries.get(cache_key) is entry

    def forget(self, bucket: str, key: str) -> None:
        """Drop all waiting entries of an object."""
        with self._lock:
            for cache_key in [each for each in self._entries if each[:2] == (bucket, key)]:
                del self._entries[cache_key]  # the thread closes it when it gets there

    async def flush(self) -> None:
        """Wait until all entries that wait now are written."""
        if self._thread is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
                loop.call_soon_threadsafe(done.set)

        self._submit(tell)
        await done.wait()

    def stop(self) -> None:
        """End the thread once it has written what waits now; another entry starts a new one."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

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
    """Do the jobs in order; this is the thread's function."""
    while job := jobs.get():
        try:
            job()
        except Exception:  # a bug must not end the thread
            log.exception("an entry of the cache could not be stored")
        del job  # or its entry would be held until the next job comes

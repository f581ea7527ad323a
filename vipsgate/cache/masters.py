"""Masters of large sources: files within a budget of their own, that several processes may share.

The path is ``FOLDER/<boot of the machine>/<bucket>/<hash of the key>/<variant>``, so one removal of
a folder purges a source. A master is larger than the pictures made of it, and can be made again, so
it is kept more simply than other entries: never in memory, and without a checksum. Nothing is
flushed to the disk, and a crash of the machine may truncate files, so masters are discarded when
the machine has been started again. The reader of a master checks its size.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path

from aiofiles.os import wrap

from . import budget as budgets
from .entry import CacheKey

BOOT = Path("/proc/sys/kernel/random/boot_id")
NEW = ".new"  # suffix of a file that is being written
MAX_SHARE = 4  # one master takes at most 1/4 of the budget
FOLDER, FILE = 0o700, 0o600  # modes: some pictures are not public
STALE = 600.0  # seconds after which an unfinished file is taken to be abandoned
WRITE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC


class Masters:
    """Files by cache key.

    Args:
        folder: Created if missing.
        budget: Bytes that all files in it may have.

    Attributes:
        stored: Number of masters that this process has stored.

    Raises:
        OSError: The folder cannot be created or used.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        now = BOOT.read_text().strip()
        self._folder, self._budget = f"{folder}/{now}", budget
        self._written = budget  # since the last scan; the first is due at once
        self._storing: dict[CacheKey, list[int]] = {}  # being written: each a list of its memfd
        self._tasks: set[asyncio.Task[None]] = set()
        self._scanning = False
        self.stored = 0
        os.makedirs(folder.parent, exist_ok=True)
        for path in (folder, Path(self._folder)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, FOLDER)
        for name in os.listdir(folder):
            if name != now:
                shutil.rmtree(folder / name, ignore_errors=True)

    def open(self, cache_key: CacheKey) -> int | None:
        """Return a master's descriptor, for the caller to close, or ``None``."""
        if (storing := self._storing.get(cache_key)) is not None:
            return os.dup(storing[0])
        try:
            descriptor = os.open(self._path(cache_key), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # the file belongs to another user
            budgets.touch(descriptor, os.fstat(descriptor))
        return descriptor

    def keep(self, cache_key: CacheKey, descriptor: int) -> None:
        """Store a master in the background; its descriptor is closed here.

        It is not stored if it is too large for the budget, if a renderer could still truncate it,
        or if the folder cannot be written.
        """
        size = os.fstat(descriptor).st_size
        fits = size * MAX_SHARE <= self._budget and _is_sealed(descriptor)
        if cache_key in self._storing or not fits:
            os.close(descriptor)
            return
        storing = self._storing[cache_key] = [descriptor]
        task = asyncio.create_task(self._store(cache_key, storing, size))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def purge(self, bucket: str, key: str) -> None:
        """Remove all masters of an object."""
        for cache_key in list(self._storing):
            if (cache_key.bucket, cache_key.key) == (bucket, key):
                os.close(self._storing.pop(cache_key)[0])  # the writer has its own
        await wrap(shutil.rmtree)(self._source(CacheKey(bucket, key, "")), ignore_errors=True)

    async def close(self) -> None:
        """Wait until all masters are stored."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _store(self, cache_key: CacheKey, storing: list[int], size: int) -> None:
        if self._storing.get(cache_key) is not storing:
            return
        own = os.dup(storing[0])
        path = self._path(cache_key)
        temporary = f"{self._folder}/{secrets.token_hex(16)}{NEW}"
        try:
            with contextlib.suppress(OSError):
                await wrap(self._write)(own, temporary, size)
                if self._storing.get(cache_key) is storing:  # not purged meanwhile
                    for folder in (f"{self._folder}/{cache_key.bucket}", os.path.dirname(path)):
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(folder, FOLDER)
                    os.rename(temporary, path)
                    self._written += size
                    self.stored += 1
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            os.close(own)
            if self._storing.get(cache_key) is storing:
                os.close(self._storing.pop(cache_key)[0])
        if self._written >= budgets.scan_interval(self._budget) and not self._scanning:
            self._written, self._scanning = 0, True
            try:
                await wrap(self._tidy)()
            finally:
                self._scanning = False

    @staticmethod
    def _write(memory: int, path: str, size: int) -> None:
        descriptor = os.open(path, WRITE, FILE)
        try:
            sent = 0
            while sent < size:
                if not (count := os.sendfile(descriptor, memory, sent, size - sent)):
                    raise OSError("a master has been cut while it was written")
                sent += count
        finally:
            os.close(descriptor)

    def _source(self, cache_key: CacheKey) -> str:
        return f"{self._folder}/{cache_key.bucket}/{cache_key.source}"

    def _path(self, cache_key: CacheKey) -> str:
        return f"{self._source(cache_key)}/{cache_key.variant}"

    def _tidy(self) -> None:
        """Remove the least recently used files until the budget is kept."""
        now = time.time()
        files: list[budgets.File] = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = f"{folder}/{name}"
                with contextlib.suppress(OSError):  # removed by another process
                    facts = os.stat(path)
                    if not name.endswith(NEW):
                        files.append((facts.st_mtime, facts.st_size, path))
                    elif facts.st_mtime < now - STALE:
                        os.unlink(path)
        for path in budgets.excess(files, self._budget):
            with contextlib.suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def _is_sealed(descriptor: int) -> bool:
    try:
        return bool(fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # not a memfd
        return False

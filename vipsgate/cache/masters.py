"""Masters of large sources: files within a budget of their own, that several processes may share.

The path is ``FOLDER/<boot of the machine>/<bucket>/<hash of the key>/<variant>``, so one removal of
a folder purges a source. A master is larger than the pictures made of it, and can be made again, so
it is kept more simply than other entries: never in memory, and without a checksum. Nothing is
flushed to the disk, and a crash of the machine may truncate files, so masters are discarded when
the machine has been started again. The reader of a master checks its size.

A renderer writes a master directly into a file without a name, so that it is not copied: a copy
would take the front half as long as making a picture from the master. The file is given its name
when the kernel confirms that no process has it open for writing (by a lease, fcntl(2)). So a
renderer that a malicious source has taken over cannot change or truncate what others read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

from aiofiles.os import wrap

from . import budget as budgets
from .entry import CacheKey
from .shortage import Shortage

BOOT = Path("/proc/sys/kernel/random/boot_id")
MAX_SHARE = 4  # one master takes at most 1/4 of the budget
FOLDER, FILE = 0o700, 0o600  # modes: some pictures are not public
READ = os.O_RDONLY | os.O_CLOEXEC
# seconds between checks whether a new master is still open for writing: jobs of the same batch, or
# that were lent to another front, have it open until their own results are there
WAITS = (0.02, 0.1, 0.5, 2.0, 8.0)


class Masters:
    """Files by cache key.

    Args:
        folder: Created if missing.
        budget: Bytes that all files in it may have.

    Attributes:
        stored: Number of masters that this process has stored.

    Raises:
        OSError: The folder cannot be created or used, or its file system does not support files
            without a name, or leases.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        now = BOOT.read_text().strip()
        self._folder, self._budget = f"{folder}/{now}", budget
        self._written = budget  # since the last scan; the first is due at once
        self._tasks: dict[CacheKey, asyncio.Task[None]] = {}  # each waits until one may be named
        self._shortage = Shortage("cache.master_bytes")
        self._scan: asyncio.Task[None] | None = None
        self.stored = 0
        os.makedirs(folder.parent, exist_ok=True)
        for path in (folder, Path(self._folder)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, FOLDER)
        for name in os.listdir(folder):
            if name != now:
                shutil.rmtree(folder / name, ignore_errors=True)
        writing, reading = self._blank()
        os.close(writing)
        try:
            _check_unwritten(reading)
        finally:
            os.close(reading)

    def open(self, cache_key: CacheKey) -> int | None:
        """Return a master's descriptor, for the caller to close, or ``None``."""
        try:
            descriptor = os.open(self._path(cache_key), READ)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # the file belongs to another user
            budgets.touch(descriptor, os.fstat(descriptor))
        return descriptor

    def blank(self) -> tuple[int, int] | None:
        """Return two descriptors of a new file, to write and to read it, for the caller to close.

        The file has no name, so it is removed when all its descriptors are closed. ``None`` if it
        cannot be created.
        """
        try:
            return self._blank()
        except OSError as error:
            self._lacked(error, 1)
            return None

    def lacked(self, size: int) -> None:
        """Have the least recently used masters removed, as the disk had no room for a new one.

        Args:
            size: Its bytes.
        """
        if size * MAX_SHARE <= self._budget:
            self._lacked(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), size)

    def _lacked(self, error: OSError, size: int) -> None:
        if self._shortage.note(error, size):
            self._scan_if_due()

    def keep(self, cache_key: CacheKey, descriptor: int) -> None:
        """Store a master that was written to a file of :meth:`blank`, now or in the background.

        It is not stored if it is too large for the budget, if it has a name already, if a process
        still has it open for writing after about 10 s, or if the folder cannot be written.

        Args:
            cache_key: Its name.
            descriptor: The descriptor that reads it, which is closed here.
        """
        facts = os.fstat(descriptor)
        fits = stat.S_ISREG(facts.st_mode) and not facts.st_nlink
        if cache_key in self._tasks or not fits or facts.st_size * MAX_SHARE > self._budget:
            os.close(descriptor)
            return
        if self._stored(cache_key, descriptor, facts.st_size):
            os.close(descriptor)
            return
        waiting = self._wait(cache_key, descriptor, facts.st_size)
        task = self._tasks[cache_key] = asyncio.create_task(waiting)

        def done(_: asyncio.Task[None]) -> None:
            os.close(descriptor)
            del self._tasks[cache_key]

        task.add_done_callback(done)

    async def purge(self, bucket: str, key: str) -> None:
        """Remove all masters of an object."""
        for cache_key, task in self._tasks.items():
            if (cache_key.bucket, cache_key.key) == (bucket, key):
                task.cancel()
        await wrap(shutil.rmtree)(self._source(CacheKey(bucket, key, "")), ignore_errors=True)

    async def close(self) -> None:
        """Discard masters that are not stored yet, and wait for a running scan."""
        tasks = [*self._tasks.values(), *([self._scan] if self._scan else [])]
        for task in self._tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _wait(self, cache_key: CacheKey, descriptor: int, size: int) -> None:
        for seconds in WAITS:
            await asyncio.sleep(seconds)
            if self._stored(cache_key, descriptor, size):
                break

    def _stored(self, cache_key: CacheKey, descriptor: int, size: int) -> bool:
        """Name a file, unless it is still open for writing; return whether that is settled."""
        try:
            _check_unwritten(descriptor)
            self._name(cache_key, descriptor, size)
        except BlockingIOError:
            return False
        except OSError as error:  # there is a master of that name, or no room
            self._lacked(error, size)
        return True

    def _name(self, cache_key: CacheKey, descriptor: int, size: int) -> None:
        """Give a file its name.

        Raises:
            OSError: The folder cannot be written, or another file has that name.
        """
        path = self._path(cache_key)
        for folder in (f"{self._folder}/{cache_key.bucket}", os.path.dirname(path)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, FOLDER)
        # ``src_dir_fd`` selects linkat(2); it has no other effect, as the path is absolute
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
        self.stored += 1
        self._written += size
        self._scan_if_due()

    def _scan_if_due(self) -> None:
        due = self._written >= budgets.scan_interval(self._budget) or self._shortage.due()
        if due and not self._scan:
            self._written = 0
            self._scan = asyncio.create_task(self._tidied())

    async def _tidied(self) -> None:
        lacking = self._shortage.due()
        try:
            await wrap(self._tidy)(lacking)
        finally:
            self._scan = None
        if lacking:
            self._shortage.met()

    def _blank(self) -> tuple[int, int]:
        writing = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE)
        try:
            return writing, os.open(f"/proc/self/fd/{writing}", READ)
        except OSError:
            os.close(writing)
            raise

    def _source(self, cache_key: CacheKey) -> str:
        return f"{self._folder}/{cache_key.bucket}/{cache_key.source}"

    def _path(self, cache_key: CacheKey) -> str:
        return f"{self._source(cache_key)}/{cache_key.variant}"

    def _tidy(self, lacking: int = 0) -> None:
        """Remove the least recently used files until the budget is kept.

        Args:
            lacking: Bytes of a file for which the disk had no room; 0 if it has had room.
        """
        now = time.time()
        files: list[budgets.File] = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = f"{folder}/{name}"
                with contextlib.suppress(OSError):  # removed by another process
                    facts = os.stat(path)
                    used = budgets.last_use(path, facts, now)
                    files.append((used, facts.st_size, path))
        for path in budgets.excess(files, self._budget, lacking):
            with contextlib.suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def _check_unwritten(descriptor: int) -> None:
    """Check that no process has a file open for writing.

    Args:
        descriptor: A descriptor of the file, open for reading only.

    Raises:
        BlockingIOError: A process has it open for writing.
        OSError: The file system does not support leases.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

"""Masters of large sources: files within a budget of their own, that several processes may share.

``FOLDER/<start of the machine>/<bucket>/<hash of the key>/<variant>``: the folder of a source makes
forgetting it one removal. They are larger than what is made of them, and losing one costs no more
than the time to make it, so there is less to them than to other entries: they are never in memory,
have no checksum, and end with the start of the machine, because nothing is flushed to the disk and
a crash may cut a file. Who reads one checks its size.

A renderer writes one itself, into a file without a name, which spares a copy of it: that would take
the front half as long as a picture takes that is made of it. It gets its name once the kernel says
that nobody has it open for writing any more (a lease, fcntl(2)); so no renderer, whatever it has
been given to decode, changes or cuts what others read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

from aiofiles.os import wrap

from . import budget as budgets
from .entry import CacheKey

BOOT = Path("/proc/sys/kernel/random/boot_id")
MAX_SHARE = 4  # one master takes at most this part of the budget
FOLDER, FILE = 0o700, 0o600  # modes: in them is what not everybody may see
READ = os.O_RDONLY | os.O_CLOEXEC
# seconds between looks whether a new one is still open for writing: what came with the same batch
# of pictures, or was lent to another front, has it open until its own answer is there
WAITS = (0.02, 0.1, 0.5, 2.0, 8.0)


class Masters:
    """Files by cache key.

    Args:
        folder: Created if missing.
        budget: Bytes that all files in it may have.

    Attributes:
        stored: Number of masters that this process has stored.

    Raises:
        OSError: The folder cannot be had, or its file system has no files without a name, or no
            leases.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        now = BOOT.read_text().strip()
        self._folder, self._budget = f"{folder}/{now}", budget
        self._written = budget  # since the last scan; the first is due at once
        self._tasks: dict[CacheKey, asyncio.Task[None]] = {}  # that wait for those to be written
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
        """Return a master's descriptor, for the caller to close; ``None`` where there is none."""
        try:
            descriptor = os.open(self._path(cache_key), READ)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # the file belongs to another user
            budgets.touch(descriptor, os.fstat(descriptor))
        return descriptor

    def blank(self) -> tuple[int, int] | None:
        """Return descriptors of an empty file, to write and to read it, for the caller to close.

        It has no name, and is gone with its descriptors. ``None`` where there is no folder.
        """
        try:
            return self._blank()
        except OSError:
            return None

    def keep(self, cache_key: CacheKey, descriptor: int) -> None:
        """Store a master that was written to a file of :meth:`blank`, beside the answer.

        One that is too large for the budget is not stored, nor is one that somebody can still
        write, nor one that has a name, nor anything in a folder that cannot be written.

        Args:
            cache_key: Its name.
            descriptor: To read it; is closed here.
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
        """Wait for no more of them."""
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
        """Name a file, where nobody can write it any more; is there nothing left to be done?"""
        try:
            _check_unwritten(descriptor)
            self._name(cache_key, descriptor, size)
        except BlockingIOError:
            return False
        except OSError:  # it has its name, or there is no room
            pass
        return True

    def _name(self, cache_key: CacheKey, descriptor: int, size: int) -> None:
        """Give a file its name.

        Raises:
            OSError: It cannot be, or another one has that name.
        """
        path = self._path(cache_key)
        for folder in (f"{self._folder}/{cache_key.bucket}", os.path.dirname(path)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, FOLDER)
        # with a folder's descriptor, which an absolute path does without, it is linkat(2)
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
        self.stored += 1
        self._written += size
        if self._written >= budgets.scan_interval(self._budget) and not self._scan:
            self._written = 0
            self._scan = asyncio.create_task(self._tidied())

    async def _tidied(self) -> None:
        try:
            await wrap(self._tidy)()
        finally:
            self._scan = None

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

    def _tidy(self) -> None:
        """Take away what was not used for longest, until there is room again."""
        now = time.time()
        files: list[budgets.File] = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = f"{folder}/{name}"
                with contextlib.suppress(OSError):  # removed by another process
                    facts = os.stat(path)
                    used = budgets.last_use(path, facts, now)
                    files.append((used, facts.st_size, path))
        for path in budgets.excess(files, self._budget):
            with contextlib.suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def _check_unwritten(descriptor: int) -> None:
    """Check that nobody has a file open for writing.

    Args:
        descriptor: Of the file, open for reading alone.

    Raises:
        BlockingIOError: Somebody has.
        OSError: The file system cannot tell.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

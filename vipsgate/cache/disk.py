"""Cache entries as files in a folder, within a budget, that several processes may share.

The path is ``FOLDER/<bucket>/<hash of the key>/<variant>``, so one removal of a folder purges a
source. A file (:mod:`.entry_file`) is written under another name and renamed; its checksum is
checked when a process reads it for the first time. An entry is locked while it is made
(:mod:`.locks`).

A server in front (nginx) can only send whole files. If it does so, a larger body that is requested
again gets a second file, without the metadata: ``<variant>.exact``.

Files and folders are accessible to this user only, whatever the umask, because some pictures are
not public. Those that a server in front has to open are readable by the group of the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
import secrets
import shutil
import stat
import time
from collections import OrderedDict
from pathlib import Path

from aiofiles.os import wrap

from . import budget as budgets
from . import entry_file
from .entry import CacheKey, Entry
from .ledger import Ledger
from .locks import Locks
from .open_files import OpenFiles
from .shortage import Shortage
from .write_queue import Write, WriteQueue

TEMPORARY = ".new"  # the folder of files that are being written; not a valid bucket name
SEEN = 65536  # files remembered as having the right checksum
STALE = 600.0  # seconds after which an unfinished file is taken to be abandoned
LEAST = 1 << 16  # least bytes to write between two scans
EXACT, EXACT_BYTES = ".exact", 1 << 16  # suffix of a file with the body alone; least size of one
SMALL = 1 << 16  # most bytes of a file that is kept open
FILE, FOLDER = 0o600, 0o700  # modes
EXACT_FILE, EXACT_FOLDER = 0o640, 0o750  # modes of files for a server in front, and their folders
WRITE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
LOCKS = ".locks"  # the file of locks
SOURCE = re.compile(r"[0-9a-f]{32}")  # the name of a source's folder
OLD_LOCK = ".lock"  # suffix of lock files of an earlier version
CLOSE_SECONDS = 10.0  # most seconds to wait at the end for files that are not written yet
log = logging.getLogger(__name__)

Seen = tuple[str, int, int]  # name, inode and size of a file


class Disk:
    """Entries by cache key.

    Args:
        folder: Created if missing.
        budget: Bytes that all files in it may have.
        exact: Whether larger bodies get ``.exact`` files for a server in front.
        open_files: Most small files that are kept open for the next hit. Fewer are, if so many that
            another process has removed could exceed what a scan leaves out of account.

    Attributes:
        ledger: The record of purges in the folder.

    Raises:
        OSError: The folder cannot be created or used.
    """

    def __init__(
        self, folder: Path, budget: int, *, exact: bool = False, open_files: int = 0
    ) -> None:
        self._folder, self._budget, self._exact = os.fspath(folder), budget, exact
        most = budgets.scan_interval(budget) // SMALL
        self._open_files = OpenFiles(min(open_files, most))
        self._queue = WriteQueue()
        self._copying: dict[str, asyncio.Task[None]] = {}
        # bytes written by the queue's thread, and for a server in front; and the sum of both at the
        # last scan: the first is due at once
        self._stored, self._copied, self._scanned = 0, 0, -budget
        self._shortage = Shortage("cache.disk_bytes")
        # sizes of the bodies of files whose checksum is right; an inode may be reused, but for a
        # file of another name
        self._seen: OrderedDict[Seen, int] = OrderedDict()
        self._writer = secrets.token_hex(12)  # prefix of this process's temporary files
        self._numbers = itertools.count()
        self._scanning: asyncio.Task[None] | None = None
        self._mode = EXACT_FOLDER if exact else FOLDER
        os.makedirs(os.path.dirname(os.path.abspath(self._folder)), exist_ok=True)
        self._group = -1  # leave the group as it is
        self._make(self._folder, self._mode)
        if exact:
            self._group = os.stat(self._folder).st_gid
        self._close_to_others()
        self._make(f"{self._folder}/{TEMPORARY}", FOLDER)
        self._locks = Locks(f"{self._folder}/{LOCKS}", FILE)
        self.ledger = Ledger(self._folder)

    async def get(self, cache_key: CacheKey) -> Entry | None:
        """Return the entry, or ``None``."""
        return self._queue.get(cache_key) or self._open(cache_key)

    def get_nowait(self, cache_key: CacheKey, most: int) -> Entry | None:
        """Return an entry that was read before or is queued, without waiting and without its type.

        Args:
            cache_key: Its name.
            most: Largest body that is read into memory, in bytes.
        """
        data = self._open_files.read(cache_key)
        if data is not None and len(data) <= most:
            return Entry("", 0, len(data), data)
        if (entry := self._queue.get(cache_key)) is not None:
            return entry
        path = self._path(cache_key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            facts = os.fstat(descriptor)
            size = self._seen.get((cache_key.variant, facts.st_ino, facts.st_size), -1)
            data = os.pread(descriptor, size, 0) if 0 <= size <= most else b""
            budgets.touch(descriptor, facts)
        except OSError:
            size = -1
        if size > most:
            return self._with_file(cache_key, Entry("", 0, size, descriptor=descriptor))
        if 0 <= size <= SMALL:
            self._open_files.keep(cache_key, path, descriptor, size, facts)
        else:
            os.close(descriptor)
        return Entry("", 0, size, data) if size >= 0 else None

    async def put(self, cache_key: CacheKey, entry: Entry) -> None:
        """Store a copy of an entry; nothing is stored if the folder cannot be written."""
        self._put_soon(cache_key, entry, self._store)
        await self._queue.flush()
        self._scan_if_due()

    def put_made(self, cache_key: CacheKey, entry: Entry) -> None:
        """Store a copy of an entry in the background, and then release the lock of :meth:`begin`.

        The lock is released at once if too much waits to be written.
        """
        if not self._put_soon(cache_key, entry, self._store_made):
            self.end(cache_key)
        self._scan_if_due()  # counts what was written before this entry

    async def purge(self, bucket: str, key: str, before: float | None = None) -> None:
        """Remove all entries of an object, or those last used before a time."""
        source = self._source(CacheKey(bucket, key, ""))
        if before is None:
            self.release(bucket, key)
            await wrap(shutil.rmtree)(source, ignore_errors=True)
        else:
            await wrap(_remove_unused)(source, before)

    def release(self, bucket: str, key: str) -> None:
        """Close the open files of an object, and drop its entries that are not written yet."""
        self._open_files.forget(bucket, key)
        self._queue.forget(bucket, key)

    async def begin(self, cache_key: CacheKey) -> bool:
        """Wait until no other process makes this entry, and lock it until :meth:`end`.

        Returns:
            Whether it has waited for another process, which may have stored the entry.
        """
        return await self._locks.acquire(cache_key)

    def end(self, cache_key: CacheKey) -> None:
        """Release the lock of :meth:`begin`."""
        self._locks.release(cache_key)

    async def close(self) -> None:
        """Wait for files that are being written, and for the scan."""
        self._open_files.close()
        with contextlib.suppress(TimeoutError):  # the disk hangs; the exit does not wait
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._queue.flush()
        self._queue.stop()
        if self._scanning:
            await self._scanning
        if self._copying:
            await asyncio.wait(self._copying.values())

    def _source(self, cache_key: CacheKey) -> str:
        return f"{self._folder}/{cache_key.bucket}/{cache_key.source}"

    def _path(self, cache_key: CacheKey) -> str:
        return f"{self._source(cache_key)}/{cache_key.variant}"

    def _open(self, cache_key: CacheKey) -> Entry | None:
        path = self._path(cache_key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            entry = self._read(cache_key.variant, descriptor)
        except (OSError, ValueError):  # truncated, or not ours
            entry = None
        if entry is None:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        return self._with_file(cache_key, entry)

    def _read(self, variant: str, descriptor: int) -> Entry | None:
        facts = os.fstat(descriptor)
        entry, is_right = entry_file.read(descriptor, facts.st_size)
        name = (variant, facts.st_ino, facts.st_size)
        if name not in self._seen:
            if not is_right():
                return None
            self._see(name, entry.size)
        budgets.touch(descriptor, facts)
        return entry

    def _see(self, name: Seen, size: int) -> None:
        """Remember that a file's checksum is right."""
        self._seen[name] = size
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)

    def _with_file(self, cache_key: CacheKey, entry: Entry) -> Entry:
        """Add the name of the ``.exact`` file to an entry; if there is none yet, begin to write it.

        One that another process wrote may have been truncated by a crash, so it is written again.
        """
        if not self._exact or entry.size < EXACT_BYTES:
            return entry
        path = self._path(cache_key) + EXACT
        try:
            facts = os.stat(path)
            name = (cache_key.variant + EXACT, facts.st_ino, facts.st_size)
            if facts.st_size == entry.size and name in self._seen:
                budgets.touch(path, facts)
                return entry._replace(file=path.removeprefix(f"{self._folder}/"))
        except OSError:
            pass
        if path not in self._copying:
            self._copying[path] = asyncio.create_task(self._copy(path, entry.dup()))
        return entry

    async def _copy(self, path: str, entry: Entry) -> None:
        try:
            with contextlib.closing(entry):
                inode, size = await wrap(self._put_exact)(path, entry)
                self._see((os.path.basename(path), inode, size), entry.size)
                self._copied += entry.size
        except OSError as error:
            self._shortage.note(error, entry.size + entry_file.TAIL_BYTES)
        finally:
            del self._copying[path]
        self._scan_if_due()

    def _put_soon(self, cache_key: CacheKey, entry: Entry, write: Write) -> bool:
        """Queue a copy of an entry for writing; return ``False`` if too much waits."""
        own = entry.dup()
        if self._queue.add(cache_key, own, write):
            return True
        own.close()
        return False

    def _store_made(self, cache_key: CacheKey, entry: Entry) -> None:
        """Write an entry, in the queue's thread, and then release its lock."""
        try:
            self._store(cache_key, entry)
        finally:
            self.end(cache_key)

    def _store(self, cache_key: CacheKey, entry: Entry) -> None:
        """Write an entry, in the queue's thread, unless it is purged before or meanwhile."""
        if not self._queue.has(cache_key, entry):
            return
        try:
            inode, size = self._write(cache_key, entry)
            self._see((cache_key.variant, inode, size), entry.size)
            self._stored += size
            if not self._queue.has(cache_key, entry):
                os.unlink(self._path(cache_key))
        except OSError as error:
            self._shortage.note(error, entry.size + entry_file.TAIL_BYTES)

    def _write(self, cache_key: CacheKey, entry: Entry) -> tuple[int, int]:
        """Write the file of an entry, and return its inode and size."""
        return self._put(self._path(cache_key), entry, entry_file.tail(entry))

    def _put_exact(self, path: str, entry: Entry) -> tuple[int, int]:
        """Write an ``.exact`` file, and return its inode and size."""
        self._set_mode(os.path.dirname(path), EXACT_FOLDER)
        return self._put(path, entry, b"", EXACT_FILE)

    def _put(self, path: str, entry: Entry, behind: bytes, mode: int = FILE) -> tuple[int, int]:
        """Write a temporary file and rename it; return its inode and size."""
        temporary = f"{self._folder}/{TEMPORARY}/{self._writer}{next(self._numbers)}"
        try:
            descriptor = os.open(temporary, WRITE, FILE)
            try:
                if mode != FILE:
                    self._set_mode(descriptor, mode)
                entry_file.write(descriptor, entry, behind)
                inode = os.fstat(descriptor).st_ino
            finally:
                os.close(descriptor)
            try:
                os.rename(temporary, path)
            except FileNotFoundError:  # the first picture of its source, or just purged
                self._make_source(os.path.dirname(path))
                os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return inode, entry.size + len(behind)

    def _make_source(self, source: str) -> None:
        """Create the folder of a source, and that of its bucket."""
        for folder in (os.path.dirname(source), source):
            self._make(folder, self._mode)

    def _make(self, folder: str, mode: int) -> None:
        """Create a folder with exactly this mode, if it is missing."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, FOLDER)
            if mode != FOLDER:
                self._set_mode(folder, mode)

    def _set_mode(self, file: str | int, mode: int) -> None:
        """Set a mode whatever the umask, and the group of the cache's folder if files have one."""
        facts = os.stat(file)
        if self._group not in (-1, facts.st_gid):
            with contextlib.suppress(PermissionError):  # this user is not in the group
                os.chown(file, -1, self._group)
        now = stat.S_IMODE(facts.st_mode)
        if now & 0o777 != mode:
            os.chmod(file, now & ~0o777 | mode)

    def _close_to_others(self) -> None:
        """Correct the modes of existing folders, from another version or other settings.

        The mode of the cache's own folder is not changed. If other users may list it, that is
        logged: they see the names of buckets, and no more.
        """
        facts = os.stat(self._folder)
        mode = stat.S_IMODE(facts.st_mode)
        if self._mode != FOLDER and facts.st_uid == os.geteuid():
            os.chmod(self._folder, mode | self._mode & 0o070)
        if mode & 0o027:
            log.warning("others may look into the cache's folder: %s has %o", self._folder, mode)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another user's, or just removed
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if entry.name == TEMPORARY:
                        self._set_mode(entry.path, FOLDER)
                    elif _has_sources(entry.path):
                        self._set_mode(entry.path, self._mode)

    def _scan_if_due(self) -> None:
        written = self._stored + self._copied - self._scanned
        due = written >= max(LEAST, budgets.scan_interval(self._budget)) or self._shortage.due()
        if due and not self._scanning:
            self._scanning = asyncio.create_task(self._scan())

    async def _scan(self) -> None:
        self._scanned = self._stored + self._copied
        lacking = self._shortage.due()
        try:
            await self._make_room(lacking)
        finally:
            self._scanning = None
        if lacking:
            self._shortage.met()

    async def make_room(self) -> bool:
        """Remove an eighth of what was not used for longest; return ``False`` if there is nothing.

        It is for what must be written although the disk has no room.
        """
        return await self._make_room(1) > 0

    async def _make_room(self, lacking: int) -> int:
        removed = await wrap(self._tidy)(lacking)
        if lacking:
            self._open_files.close()  # or what was removed of them goes on taking room
        return removed

    def _tidy(self, lacking: int = 0) -> int:
        """Remove the least recently used files until the budget is kept.

        Args:
            lacking: Bytes of a file for which the disk had no room; 0 if it has had room.

        Returns:
            The number of files removed.
        """
        now = time.time()
        files: list[budgets.File] = []
        for folder, folders, names in os.walk(self._folder):
            if folder == self._folder:  # there may be folders here that are not ours
                folders[:] = [name for name in folders if name[0] != "." or name == TEMPORARY]
                names.clear()
            ours = bool(SOURCE.fullmatch(os.path.basename(folder)))
            for name in names:
                path = f"{folder}/{name}"
                with contextlib.suppress(OSError):  # removed by another process
                    facts = os.stat(path)
                    if ours:
                        self._shut(path, facts)
                    used = budgets.last_use(path, facts, now)
                    if folder.endswith(f"/{TEMPORARY}") or name.endswith(OLD_LOCK):
                        if used < now - STALE:
                            os.unlink(path)
                        continue
                    files.append((used, facts.st_size, path))
        removed = 0
        for path in budgets.excess(files, self._budget, lacking):
            with contextlib.suppress(OSError):
                os.unlink(path)
                removed += 1
                os.rmdir(os.path.dirname(path))
        return removed

    def _shut(self, path: str, facts: os.stat_result) -> None:
        """Restrict the mode of a file that an earlier version has written."""
        mode = EXACT_FILE if self._exact and path.endswith(EXACT) else FILE
        if stat.S_IMODE(facts.st_mode) & ~mode:
            os.chmod(path, mode)


def _has_sources(folder: str) -> bool:
    """Return whether a folder is a bucket's, and not one that the cache has not made."""
    with os.scandir(folder) as entries:
        return any(SOURCE.fullmatch(entry.name) for entry in entries)


def _remove_unused(folder: str, since: float) -> None:
    """Remove the files of a folder that were last used before a time, and the folder if empty."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < since:
                        os.unlink(entry.path)
        os.rmdir(folder)

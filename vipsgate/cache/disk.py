"""Files in a folder, within a budget, that several processes may share.

``FOLDER/<bucket>/<hash of the key>/<variant>``: the folder of a source makes forgetting it one
removal. A file is the body and behind it, in JSON, what is said of it with a checksum; so the body
can be sent from the file as it is. Nothing is flushed: what a crash has cut is found by the
checksum, which is looked at when a process sees a file for the first time.

Where a server in front sends files itself, which it can only do to their end, a larger body that is
asked for again gets a file of its own beside the first: ``<variant>.exact``.

Who makes a picture locks one byte of a file that all processes share, at a place that its name
gives; a file for each lock would take six calls of the system in place of two. The kernel takes the
locks of a process that ends.

All of it is for this user alone, whatever his umask: in it are pictures that not everybody may see.
Only what a server in front has to open is for the group of the folder, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import itertools
import logging
import os
import re
import secrets
import shutil
import stat
import struct
import time
import weakref
import zlib
from collections import OrderedDict
from pathlib import Path

import orjson
from aiofiles.os import wrap

from . import budget as budgets
from .entry import CacheKey, Entry
from .ledger import Ledger
from .open_files import OpenFiles
from .write_queue import Write, WriteQueue

TEMPORARY = ".new"  # the folder of files that are being written; no bucket has such a name
TAIL = struct.Struct("<I8s")  # length of the JSON, and a mark
MARK = b"vipsgat1"
TAIL_BYTES = 1024  # read at once; JSON is about 100 bytes, with all notes that there are 300
CHUNK = 1 << 20  # bytes copied at a time
SEEN = 65536  # files whose checksum is known to be right
STALE = 600.0  # seconds after which a file that is being written is nobody's
LEAST = 1 << 16  # bytes between two scans at least
EXACT, EXACT_BYTES = ".exact", 1 << 16  # ending of a file with the body alone; least size of one
SMALL = 1 << 16  # bytes of a file that stays open, at most
FILE, FOLDER = 0o600, 0o700  # modes
EXACT_FILE, EXACT_FOLDER = 0o640, 0o750  # of what a server in front opens, and of the way to it
WRITE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
LOCKS, LOCKING = ".locks", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC  # the file of locks
PLACE_DIGITS = 15  # of a variant, hexadecimal, that are a place in it: 60 bits of an offset's 63
LOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, 0 (fcntl(2))
SOURCE = re.compile(r"[0-9a-f]{32}")  # the name of a source's folder
OLD_LOCK = ".lock"  # ending of a file that an earlier version has left
CLOSE_SECONDS = 10.0  # that are waited for what is not written yet, at the end
POLL = 0.02  # seconds between two looks at work that another process does
log = logging.getLogger(__name__)

Seen = tuple[str, int, int]  # the name of a file, its inode and its bytes


class Disk:
    """Entries by cache key.

    Args:
        folder: Is made if it is not there.
        budget: Bytes of all files in it.
        exact: Whether larger bodies get files of their own.
        open_files: How many small files may stay open for the next hit; fewer where these, which
            another process may have removed, could be more than a scan leaves out of account.

    Attributes:
        ledger: Which purges the folder has seen.

    Raises:
        OSError: The folder cannot be had.
    """

    def __init__(
        self, folder: Path, budget: int, *, exact: bool = False, open_files: int = 0
    ) -> None:
        self._folder, self._budget, self._exact = os.fspath(folder), budget, exact
        most = budgets.scan_interval(budget) // SMALL
        self._open_files = OpenFiles(min(open_files, most))
        self._queue = WriteQueue()
        self._copying: dict[str, asyncio.Task[None]] = {}
        # bytes written by the queue's thread, and for a server in front; and how many of both a
        # scan has seen: the first is due at once
        self._stored, self._copied, self._scanned = 0, 0, -budget
        # files whose checksum is right, and the bytes of their bodies; an inode may come again, for
        # another file, which then has another name
        self._seen: OrderedDict[Seen, int] = OrderedDict()
        self._writer = secrets.token_hex(12)  # begins the names of files that it is writing
        self._numbers = itertools.count()
        self._scanning: asyncio.Task[None] | None = None
        self._making: set[int] = set()  # places of what is made by this process
        self._mode = EXACT_FOLDER if exact else FOLDER
        os.makedirs(os.path.dirname(os.path.abspath(self._folder)), exist_ok=True)
        self._group = -1  # its own
        self._make(self._folder, self._mode)
        if exact:
            self._group = os.stat(self._folder).st_gid
        self._close_to_others()
        self._make(f"{self._folder}/{TEMPORARY}", FOLDER)
        self._locks = os.open(f"{self._folder}/{LOCKS}", LOCKING, FILE)
        weakref.finalize(self, os.close, self._locks)
        self.ledger = Ledger(self._folder)

    async def get(self, cache_key: CacheKey) -> Entry | None:
        """Return the entry."""
        return self._queue.get(cache_key) or self._open(cache_key)

    def get_nowait(self, cache_key: CacheKey, most: int) -> Entry | None:
        """A file that has been seen before, or will be, at once; its type is not told.

        Args:
            cache_key: Its name.
            most: Bytes up to which the body is read into memory.
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
        """Keep it; a folder that cannot be written keeps nothing. The caller's stays open."""
        self._put_soon(cache_key, entry, self._store)
        await self._queue.flush()
        self._scan_if_due()

    def put_made(self, cache_key: CacheKey, entry: Entry) -> None:
        """Keep what has been made, soon, and then :meth:`end` it; the caller's stays open."""
        if not self._put_soon(cache_key, entry, self._store_made):
            self.end(cache_key)
        self._scan_if_due()  # by what has been written before

    async def purge(self, bucket: str, key: str, before: float | None = None) -> None:
        """Remove all entries of an object, or those that nobody has used since a time."""
        source = self._source(CacheKey(bucket, key, ""))
        if before is None:
            self.release(bucket, key)
            await wrap(shutil.rmtree)(source, ignore_errors=True)
        else:
            await wrap(_remove_unused)(source, before)

    def release(self, bucket: str, key: str) -> None:
        """Let go of an object's files that are open, and of those that are not written yet."""
        self._open_files.forget(bucket, key)
        self._queue.forget(bucket, key)

    async def begin(self, cache_key: CacheKey) -> bool:
        """Be the only one of all processes that makes this, until :meth:`end`.

        Returns:
            Whether another one has been waited for, who may have made it.
        """
        place, waited = _place(cache_key), False
        while place in self._making or not self._lock(place, fcntl.F_WRLCK):
            waited = True
            await asyncio.sleep(POLL)
        self._making.add(place)
        return waited

    def end(self, cache_key: CacheKey) -> None:
        """It is made, or will not be."""
        place = _place(cache_key)
        self._lock(place, fcntl.F_UNLCK)
        self._making.discard(place)  # last, or the lock of who begins now, in the loop, is undone

    async def close(self) -> None:
        """Wait for files that are being written, and for a scan that is under way."""
        self._open_files.close()
        with contextlib.suppress(TimeoutError):  # the disk hangs; the thread holds up no exit
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._queue.flush()
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
        except (OSError, ValueError, TypeError, KeyError, struct.error):  # cut, or none of ours
            entry = None
        if entry is None:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        return self._with_file(cache_key, entry)

    def _read(self, variant: str, descriptor: int) -> Entry | None:
        facts = os.fstat(descriptor)
        end = os.pread(descriptor, TAIL_BYTES, max(0, facts.st_size - TAIL_BYTES))
        length, mark = TAIL.unpack(end[-TAIL.size :])
        about = orjson.loads(end[-TAIL.size - length : -TAIL.size])
        entry = Entry(
            about["mime"],
            about["missing"],
            about["size"],
            descriptor=descriptor,
            notes=tuple(about["notes"]),
        )
        if mark != MARK or entry.size + length + TAIL.size != facts.st_size:
            return None
        name = (variant, facts.st_ino, facts.st_size)
        if name not in self._seen:
            if _checksum(entry) != about["crc"]:
                return None
            self._see(name, entry.size)
        budgets.touch(descriptor, facts)
        return entry

    def _see(self, name: Seen, size: int) -> None:
        """Remember that a file is right."""
        self._seen[name] = size
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)

    def _with_file(self, cache_key: CacheKey, entry: Entry) -> Entry:
        """The same, with the name of a file with the body alone; if there is none, one is begun.

        One that this process has not written may have been cut by a crash: it is written anew.
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
            with contextlib.closing(entry), contextlib.suppress(OSError):
                inode, size = await wrap(self._put_exact)(path, entry)
                self._see((os.path.basename(path), inode, size), entry.size)
                self._copied += entry.size
        finally:
            del self._copying[path]
        self._scan_if_due()

    def _put_soon(self, cache_key: CacheKey, entry: Entry, write: Write) -> bool:
        """Have a copy of it written by the queue's thread; ``False`` where too much waits."""
        own = entry.dup()
        if self._queue.add(cache_key, own, write):
            return True
        own.close()
        return False

    def _store_made(self, cache_key: CacheKey, entry: Entry) -> None:
        """Write it, in the queue's thread; other processes that want it wait until then."""
        try:
            self._store(cache_key, entry)
        finally:
            self.end(cache_key)

    def _store(self, cache_key: CacheKey, entry: Entry) -> None:
        """Write it, in the queue's thread, if it is not purged before or meanwhile."""
        if not self._queue.has(cache_key, entry):
            return
        with contextlib.suppress(OSError):
            inode, size = self._write(cache_key, entry)
            self._see((cache_key.variant, inode, size), entry.size)
            self._stored += size
            if not self._queue.has(cache_key, entry):
                os.unlink(self._path(cache_key))

    def _write(self, cache_key: CacheKey, entry: Entry) -> tuple[int, int]:
        """Write a file; its inode and its bytes."""
        about = {"mime": entry.mime, "missing": entry.missing, "size": entry.size}
        text = orjson.dumps({**about, "notes": entry.notes, "crc": _checksum(entry)})
        behind = text + TAIL.pack(len(text), MARK)
        return self._put(self._path(cache_key), entry, behind)

    def _put_exact(self, path: str, entry: Entry) -> tuple[int, int]:
        """Write a file for a server in front; its folder may be from a time without one."""
        self._set_mode(os.path.dirname(path), EXACT_FOLDER)
        return self._put(path, entry, b"", EXACT_FILE)

    def _put(self, path: str, entry: Entry, behind: bytes, mode: int = FILE) -> tuple[int, int]:
        """Write a file beside all others and give it its name; its inode and its bytes."""
        temporary = f"{self._folder}/{TEMPORARY}/{self._writer}{next(self._numbers)}"
        try:
            descriptor = os.open(temporary, WRITE, FILE)
            try:
                if mode != FILE:
                    self._set_mode(descriptor, mode)
                _fill(descriptor, entry, behind)
                inode = os.fstat(descriptor).st_ino
            finally:
                os.close(descriptor)
            try:
                os.rename(temporary, path)
            except FileNotFoundError:  # the first picture of its source, or a purge has come
                self._make_source(os.path.dirname(path))
                os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return inode, entry.size + len(behind)

    def _make_source(self, source: str) -> None:
        """Make the folder of a source, and that of its bucket."""
        for folder in (os.path.dirname(source), source):
            self._make(folder, self._mode)

    def _make(self, folder: str, mode: int) -> None:
        """Make a folder, if it is not there, for those who are to go into it and nobody else."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, FOLDER)
            if mode != FOLDER:
                self._set_mode(folder, mode)

    def _set_mode(self, file: str | int, mode: int) -> None:
        """Whatever the umask says; with the group of the cache's folder, where that counts."""
        facts = os.stat(file)
        if self._group not in (-1, facts.st_gid):
            with contextlib.suppress(PermissionError):  # this user is not in it
                os.chown(file, -1, self._group)
        now = stat.S_IMODE(facts.st_mode)
        if now & 0o777 != mode:
            os.chmod(file, now & ~0o777 | mode)

    def _close_to_others(self) -> None:
        """See to folders from before, with the modes of another version or of other settings.

        The cache's own folder may be anybody's. It is not shut, but it is said what others see: the
        names of buckets, and no more.
        """
        facts = os.stat(self._folder)
        mode = stat.S_IMODE(facts.st_mode)
        if self._mode != FOLDER and facts.st_uid == os.geteuid():
            os.chmod(self._folder, mode | self._mode & 0o070)
        if mode & 0o027:
            log.warning("others may look into the cache's folder: %s has %o", self._folder, mode)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # it is another user's, or goes just now
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if entry.name == TEMPORARY:
                        self._set_mode(entry.path, FOLDER)
                    elif _has_sources(entry.path):
                        self._set_mode(entry.path, self._mode)

    def _lock(self, place: int, kind: int) -> bool:
        """Lock a place, or unlock it; ``False`` while another process has it."""
        try:
            fcntl.fcntl(self._locks, fcntl.F_OFD_SETLK, LOCK.pack(kind, os.SEEK_SET, place, 1, 0))
        except OSError as error:  # a file system without locks holds nobody up
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True

    def _scan_if_due(self) -> None:
        written = self._stored + self._copied - self._scanned
        if written >= max(LEAST, budgets.scan_interval(self._budget)) and not self._scanning:
            self._scanning = asyncio.create_task(self._scan())

    async def _scan(self) -> None:
        self._scanned = self._stored + self._copied
        try:
            await wrap(self._tidy)()
        finally:
            self._scanning = None

    def _tidy(self) -> None:
        """Take away what was not used for longest, until there is room again."""
        now = time.time()
        files: list[budgets.File] = []
        for folder, folders, names in os.walk(self._folder):
            if folder == self._folder:  # others may have folders here, which are no buckets'
                folders[:] = [name for name in folders if name[0] != "." or name == TEMPORARY]
                names.clear()
            ours = bool(SOURCE.fullmatch(os.path.basename(folder)))
            for name in names:
                path = f"{folder}/{name}"
                with contextlib.suppress(OSError):  # another process was faster
                    facts = os.stat(path)
                    if ours:
                        self._shut(path, facts)
                    if folder.endswith(f"/{TEMPORARY}") or name.endswith(OLD_LOCK):
                        if facts.st_mtime < now - STALE:
                            os.unlink(path)
                        continue
                    files.append((facts.st_mtime, facts.st_size, path))
        for path in budgets.excess(files, self._budget):
            with contextlib.suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))

    def _shut(self, path: str, facts: os.stat_result) -> None:
        """Take a file from others that an earlier version has left to them."""
        mode = EXACT_FILE if self._exact and path.endswith(EXACT) else FILE
        if stat.S_IMODE(facts.st_mode) & ~mode:
            os.chmod(path, mode)


def _place(cache_key: CacheKey) -> int:
    """Where the lock of a picture is."""
    return int(cache_key.variant[:PLACE_DIGITS], 16)


def _has_sources(folder: str) -> bool:
    """Is it a bucket's, and not a stranger's in the wrong place?"""
    with os.scandir(folder) as entries:
        return any(SOURCE.fullmatch(entry.name) for entry in entries)


def _remove_unused(folder: str, since: float) -> None:
    """Remove the files of a folder that nobody has used since a time, and the folder if empty."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < since:
                        os.unlink(entry.path)
        os.rmdir(folder)


def _fill(descriptor: int, entry: Entry, behind: bytes) -> None:
    """Write a body and what is behind it, in as few calls as may be.

    Each call lets go of the interpreter, and waits for it behind a loop that is busy.

    Raises:
        OSError: Not all of it can be written.
    """
    end = behind
    if entry.data is not None:
        end = entry.data + behind
    else:
        for start in range(0, entry.size, CHUNK):
            _write(descriptor, os.pread(entry.descriptor, min(CHUNK, entry.size - start), start))
    _write(descriptor, end)


def _write(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, "the disk is full")


def _checksum(entry: Entry) -> int:
    if entry.data is not None:
        return zlib.crc32(entry.data)
    crc = 0
    for start in range(0, entry.size, CHUNK):
        crc = zlib.crc32(os.pread(entry.descriptor, min(CHUNK, entry.size - start), start), crc)
    return crc

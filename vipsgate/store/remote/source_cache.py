"""Local copies of remote objects, within a budget; several processes may share them.

The name of a file is a hash of its object's name, tag, size and time, so no file is ever out of
date. Nothing is flushed to the disk, and a crash of the machine may truncate files, so the copies
are discarded when the machine has been started again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ...cache import budget as budgets
from ...cache.shortage import Shortage, reserve
from ..base import Object
from ..local.draft import apart

BOOT = Path("/proc/sys/kernel/random/boot_id")
NEW = ".new"  # in the name of a file that is being written
MAX_SHARE = 4  # one copy takes at most 1/4 of the budget
PRIVATE = 0o700  # mode of folders: some objects are not public
STALE = 3600.0  # seconds without a write after which such a file was abandoned


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that is being written.

    Attributes:
        descriptor: Its descriptor.
        path: Its path.
    """

    descriptor: int
    path: str


class SourceCache:
    """The copies, as files in a folder.

    Args:
        folder: The folder, which is created if needed.
        budget: Bytes of all files in it.
        store: Identifies the store of the objects.

    Raises:
        OSError: The folder cannot be created or used.
    """

    def __init__(self, folder: Path, budget: int, store: str) -> None:
        now = BOOT.read_text().strip()
        self._folder, self._budget, self._store = f"{folder}/{now}", budget, store
        self._written = budget  # since the last scan; the first is due at once
        self._shortage = Shortage("store.source_cache_bytes")
        os.makedirs(folder.parent.parent, exist_ok=True)
        for path in (folder.parent, folder, Path(self._folder)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, PRIVATE)
        with contextlib.suppress(PermissionError):  # another user's folder
            os.chmod(folder, PRIVATE)  # an earlier version left it readable to others
        for name in os.listdir(folder):
            if name != now:
                shutil.rmtree(f"{folder}/{name}", ignore_errors=True)

    def find(self, path: str, info: Object) -> int | None:
        """Return the descriptor of an object's copy, for the caller to close, or ``None``."""
        try:
            descriptor = os.open(self._place(path, info), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        facts = os.fstat(descriptor)
        if facts.st_size != info.size:  # it was tampered with
            os.close(descriptor)
            return None
        budgets.touch(descriptor, facts)
        return descriptor

    async def begin(self, path: str, info: Object) -> Copy | None:
        """Create a file to write an object into, with the room for it.

        Returns:
            The file; ``None`` if the object is too large, if the disk has no room even after other
            copies were removed, or on another error.
        """
        if info.size * MAX_SHARE > self._budget:
            return None
        return await apart(self._begin, path, info)

    def _begin(self, path: str, info: Object) -> Copy | None:
        temporary = f"{self._place(path, info)}{NEW}{secrets.token_hex(8)}"
        try:
            return _created(temporary, info.size)
        except OSError as error:
            if not (self._shortage.note(error, info.size) and (lacking := self._shortage.due())):
                return None
        self._shortage.met()
        try:
            self._tidy(lacking)
            return _created(temporary, info.size)
        except OSError:
            return None

    async def keep(self, copy: Copy) -> None:
        """Make a copy that is complete available to :meth:`find`."""
        try:
            self._written += os.fstat(copy.descriptor).st_size
            os.rename(copy.path, copy.path.rpartition(NEW)[0])
        except OSError:
            self.drop(copy)
        if self._written >= budgets.scan_interval(self._budget):
            self._written = 0
            with contextlib.suppress(OSError):
                await apart(self._tidy)

    def drop(self, copy: Copy) -> None:
        """Remove a copy that will not be completed; its descriptor stays open."""
        with contextlib.suppress(OSError):
            os.unlink(copy.path)

    def _place(self, path: str, info: Object) -> str:
        fingerprints = f"{self._store} {path} {info.etag} {info.size} {info.modified}"
        return f"{self._folder}/{hashlib.sha256(fingerprints.encode()).hexdigest()[:40]}"

    def _tidy(self, lacking: int = 0) -> None:
        """Remove abandoned files, and the least recently used ones until the budget is kept.

        Args:
            lacking: Bytes of a file for which the disk had no room; 0 if it has had room.
        """
        now = time.time()
        files: list[budgets.File] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process removed it
                    facts = entry.stat()
                    used = budgets.last_use(entry.path, facts, now)
                    if NEW in entry.name and used < now - STALE:
                        os.unlink(entry.path)
                    elif NEW not in entry.name:
                        files.append((used, facts.st_size, entry.path))
        for path in budgets.excess(files, self._budget, lacking):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _created(path: str, size: int) -> Copy:
    """Create a file, and reserve the room for its bytes.

    Raises:
        OSError: It cannot be created, or there is no room.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    copy = Copy(os.open(path, flags, 0o600), path)
    try:
        reserve(copy.descriptor, size)
    except OSError:
        os.close(copy.descriptor)
        os.unlink(path)
        raise
    return copy

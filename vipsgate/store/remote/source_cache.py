"""Local copies of remote objects, within a budget; several processes may share them.

A file is named by all that is known of its object, so that none is ever out of date. Nothing is
flushed to the disk: the folder is that of this start of the machine, and what an earlier one has
left, perhaps cut off, is taken away.
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
from ..base import Object
from ..local.draft import apart

BOOT = Path("/proc/sys/kernel/random/boot_id")
NEW = ".new"  # behind the name of a file that is being written
MAX_SHARE = 4  # one copy takes at most this part of the budget
PRIVATE = 0o700  # mode of folders: in them is what not everybody may see
STALE = 3600.0  # seconds after which a file that is being written is nobody's


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that is being written.

    Attributes:
        descriptor: Of it.
        path: Where it is.
    """

    descriptor: int
    path: str


class SourceCache:
    """Files by the names of objects.

    Args:
        folder: Is made if it is not there.
        budget: Bytes of all files in it.
        store: Names the store that they are of.

    Raises:
        OSError: The folder cannot be had.
    """

    def __init__(self, folder: Path, budget: int, store: str) -> None:
        now = BOOT.read_text().strip()
        self._folder, self._budget, self._store = f"{folder}/{now}", budget, store
        self._written = budget  # since the last scan; the first is due at once
        os.makedirs(folder.parent.parent, exist_ok=True)
        for path in (folder.parent, folder, Path(self._folder)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, PRIVATE)
        with contextlib.suppress(PermissionError):  # another user's; then nothing is copied
            os.chmod(folder, PRIVATE)  # an earlier version has left it to others
        for name in os.listdir(folder):
            if name != now:
                shutil.rmtree(f"{folder}/{name}", ignore_errors=True)

    def find(self, path: str, info: Object) -> int | None:
        """The descriptor of a copy, if there is one."""
        try:
            descriptor = os.open(self._place(path, info), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        facts = os.fstat(descriptor)
        if facts.st_size != info.size:  # somebody has meddled with it
            os.close(descriptor)
            return None
        budgets.touch(descriptor, facts)
        return descriptor

    def begin(self, path: str, info: Object) -> Copy | None:
        """A file to write the object into; ``None`` where it shall not, or cannot, have one."""
        if info.size * MAX_SHARE > self._budget:
            return None
        temporary = f"{self._place(path, info)}{NEW}{secrets.token_hex(8)}"
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            return Copy(os.open(temporary, flags, 0o600), temporary)
        except OSError:
            return None

    async def keep(self, copy: Copy) -> None:
        """It has been written: others may find it."""
        with contextlib.suppress(OSError):
            self._written += os.fstat(copy.descriptor).st_size
            os.rename(copy.path, copy.path.rpartition(NEW)[0])
            if self._written >= budgets.scan_interval(self._budget):
                self._written = 0
                await apart(self._tidy)

    def drop(self, copy: Copy) -> None:
        """It will not be finished; its descriptor stays."""
        with contextlib.suppress(OSError):
            os.unlink(copy.path)

    def _place(self, path: str, info: Object) -> str:
        fingerprints = f"{self._store} {path} {info.etag} {info.size} {info.modified}"
        return f"{self._folder}/{hashlib.sha256(fingerprints.encode()).hexdigest()[:40]}"

    def _tidy(self) -> None:
        """Take away what was not used for longest, until there is room again."""
        now = time.time()
        files: list[budgets.File] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process was faster
                    facts = entry.stat()
                    used = budgets.last_use(entry.path, facts, now)
                    if NEW in entry.name and used < now - STALE:
                        os.unlink(entry.path)
                    elif NEW not in entry.name:
                        files.append((used, facts.st_size, entry.path))
        for path in budgets.excess(files, self._budget):
            with contextlib.suppress(OSError):
                os.unlink(path)

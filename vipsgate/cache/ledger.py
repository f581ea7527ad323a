"""The record of purges in a cache's folder, for all instances that share the folder.

It is in the folder itself, so that entries and purges are only ever removed together. A writer
holds a lock, and renames a new file over the old one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator

from . import purges
from .purges import Numbers, Rule

FOLDER, FILE, LOCK = ".purges", "rules.json", "lock"  # not a valid bucket name
FOLDER_MODE, FILE_MODE = 0o700, 0o600


class Ledger:
    """The record in a folder.

    Args:
        folder: The cache's folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = f"{folder}/{FOLDER}"
        self._stamp = (0, 0)

    def changed(self) -> bool:
        """Return whether the record was written since the last :meth:`exchange`."""
        return self._look() != self._stamp

    def exchange(self, known: Numbers) -> tuple[Numbers, list[Rule]]:
        """Add rules to the record, and read it.

        Returns:
            All rules of the record, and those that were added.

        Raises:
            OSError: The folder cannot be written.
        """
        if not known and self._look() == (0, 0):
            return known, []
        os.makedirs(self._folder, FOLDER_MODE, exist_ok=True)
        with self._alone():
            before = self._read()
            merged = purges.tidied(purges.join(before, known))
            new = [rule for rule, number in merged.items() if before.get(rule, 0) < number]
            if new:
                self._write(purges.write(merged))
            self._stamp = self._look()
        return merged, new

    def _look(self) -> tuple[int, int]:
        try:
            facts = os.stat(f"{self._folder}/{FILE}")
        except OSError:
            return 0, 0
        return facts.st_ino, facts.st_mtime_ns

    def _read(self) -> dict[Rule, int]:
        try:
            with open(f"{self._folder}/{FILE}", "rb") as file:
                return purges.read(file.read())
        except FileNotFoundError:
            return {}

    def _write(self, data: bytes) -> None:
        temporary = f"{self._folder}/{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, f"{self._folder}/{FILE}")
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock for writing."""
        path = f"{self._folder}/{LOCK}"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

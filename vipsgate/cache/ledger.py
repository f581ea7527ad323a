"""The record of purges in a cache's folder, which all instances that share the folder follow.

It is where what it tells of is: who takes the folder away takes both. Whoever writes does so alone,
and renames a whole file over the one before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator

from . import purges
from .purges import Numbers, Rule

FOLDER, FILE, LOCK = ".purges", "rules.json", "lock"  # no bucket has such a name
FOLDER_MODE, FILE_MODE = 0o700, 0o600


class Ledger:
    """The record in a folder.

    Args:
        folder: Of the cache.
    """

    def __init__(self, folder: str) -> None:
        self._folder = f"{folder}/{FOLDER}"
        self._stamp = (0, 0)

    def changed(self) -> bool:
        """Has somebody written since :meth:`exchange`?"""
        return self._look() != self._stamp

    def exchange(self, known: Numbers) -> tuple[Numbers, list[Rule]]:
        """Write down rules that are not there yet.

        Returns:
            All that are there by now, and those that were not.

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
        """Be the only one of all processes that writes."""
        path = f"{self._folder}/{LOCK}"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

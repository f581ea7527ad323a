"""Entries of the cache: the bytes of an answer, in memory or behind a descriptor.

Entries and their keys are named tuples, because a frozen dataclass takes three times as long to
make and to hash, and each request needs several.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import NamedTuple

SOURCES = 4096  # objects whose hash is remembered


class CacheKey(NamedTuple):
    """The name of a derivative.

    Attributes:
        bucket: The bucket of the source.
        key: The key of the source.
        variant: A hash, in hexadecimal digits, of everything that the bytes depend on.
    """

    bucket: str
    key: str
    variant: str

    @property
    def source(self) -> str:
        """A hash of the key, as a name for a folder."""
        return _folder(self.key)


class Entry(NamedTuple):
    """A cached answer; its owner closes it.

    Attributes:
        mime: Content-Type.
        missing: Number of characters of its text that no font has.
        size: Size of the body, in bytes.
        data: The body, if it is in memory.
        descriptor: A file that begins with the body, if it is not in memory; else -1.
        notes: Notes on what was changed or ignored, such as ``limit=source``.
        file: Path below the cache's folder of a file with the body alone; empty if there is none or
            none is wanted.
    """

    mime: str
    missing: int
    size: int
    data: bytes | None = None
    descriptor: int = -1
    file: str = ""
    notes: tuple[str, ...] = ()

    @property
    def body(self) -> bytes | int:
        """The body, or the descriptor of a file that begins with it."""
        return self.descriptor if self.data is None else self.data

    def dup(self) -> Entry:
        """Return a copy for another owner, with its own descriptor."""
        if self.data is not None:
            return self
        return self._replace(descriptor=os.dup(self.descriptor))

    def in_memory(self) -> Entry:
        """Return a copy with the body in memory; this entry stays open."""
        if self.data is not None:
            return self
        data = os.pread(self.descriptor, self.size, 0)
        return self._replace(data=data, descriptor=-1)

    def close(self) -> None:
        """Close the descriptor."""
        if self.data is None:
            os.close(self.descriptor)


@lru_cache(maxsize=SOURCES)
def _folder(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]

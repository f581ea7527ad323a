"""Entries of the cache: the bytes of an answer, in memory or behind a descriptor.

They and their names are named tuples, which take a third of the time of a frozen dataclass to make
and to hash: there are some of them for every picture.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import NamedTuple

SOURCES = 4096  # objects whose folder's name is remembered


class CacheKey(NamedTuple):
    """The name of something that is made of an object.

    Attributes:
        bucket: Of the object.
        key: Of the object.
        variant: Hexadecimal digits that cover all that the bytes depend on.
    """

    bucket: str
    key: str
    variant: str

    @property
    def source(self) -> str:
        """The object in a form that a file's name can have."""
        return _folder(self.key)


class Entry(NamedTuple):
    """An answer, ready to be sent; whoever has one closes it.

    Attributes:
        mime: Content-Type.
        missing: Characters of its text that no font has.
        size: Bytes.
        data: The bytes, where they are in memory.
        descriptor: Of a file that begins with them, where they are not; else -1.
        notes: What of the request was not followed to the letter, ``limit=source``.
        file: Name of a file below the cache's folder that has them and nothing else; empty where
            there is none, or none is wanted.
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
        """The bytes, or the descriptor of a file that begins with them."""
        return self.descriptor if self.data is None else self.data

    def dup(self) -> Entry:
        """The same for somebody else."""
        if self.data is not None:
            return self
        return self._replace(descriptor=os.dup(self.descriptor))

    def in_memory(self) -> Entry:
        """The same with its bytes in memory; this one stays open."""
        if self.data is not None:
            return self
        data = os.pread(self.descriptor, self.size, 0)
        return self._replace(data=data, descriptor=-1)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.data is None:
            os.close(self.descriptor)


@lru_cache(maxsize=SOURCES)
def _folder(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]

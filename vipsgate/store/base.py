"""What a store is: objects by bucket and key, as descriptors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Object:
    """What is known of an object without reading it.

    Attributes:
        size: Bytes.
        etag: Strong entity tag, quoted; another one as soon as the bytes may be others.
        modified: Seconds since the epoch.
    """

    size: int
    etag: str
    modified: float


@dataclass(frozen=True, slots=True)
class Opened:
    """An object with a descriptor of its bytes, which whoever opened it closes."""

    object: Object
    descriptor: int

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


class Store(Protocol):
    """Objects by bucket and key.

    Keys come from :mod:`vipsgate.gate.target`, decoded and checked; a store still has to see to it
    that none leads out of its bucket.
    """

    def has(self, bucket: str) -> bool:
        """Is there such a bucket?"""

    async def stat(self, bucket: str, key: str) -> Object:
        """What is known of the object.

        Raises:
            NoSuchKey: There is none of this name.
        """

    async def open(self, bucket: str, key: str) -> Opened:
        """The object, opened for reading.

        Raises:
            NoSuchKey: There is none of this name.
        """

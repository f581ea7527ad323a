"""Reads a directory of a TIFF as tags by number, and writes the file with another first directory.

Classic TIFF and BigTIFF are read in both byte orders (TIFF 6.0, 2; BigTIFF, Aware Systems). The
only tag that has a meaning here is SamplesPerPixel.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from .ondemand import Data, Parts, joined

SAMPLES = 277
ASCII, SHORT, RATIONAL = 2, 3, 5  # types of values
INTEGERS = {1: "B", SHORT: "H", 4: "I", 13: "I", 16: "Q"}
BYTES = {**{kind: struct.calcsize(code) for kind, code in INTEGERS.items()}, RATIONAL: 8, 7: 1}
MAX_ENTRIES = 65535  # the most that a classic directory can have, and libtiff's limit for BigTIFF
MAX_VALUES = 1 << 20  # values of a tag; the longest list strips or tiles


class Entry(NamedTuple):
    """An entry of a directory: one tag.

    Attributes:
        kind: Number of the type of its values (TIFF 6.0, 2).
        number: How many values it has.
        values: Offset of the values in the file.
        raw: The bytes of the entry.
    """

    kind: int
    number: int
    values: int
    raw: bytes


class Directory:
    """A directory of a file.

    Args:
        data: The file.
        start: Offset of the directory; ``None`` for the first one.

    Attributes:
        data: The file.
        entries: The entries by tag.
        next: Offset of the next directory; 0 for none.

    Raises:
        struct.error: The directory, or the values of a tag, are truncated. Methods that read values
            raise it, too.
    """

    def __init__(self, data: Data, start: int | None = None) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        if start is None:
            (start,) = self._at("Q" if self.big else "I", 8 if self.big else 4)
        (entries,) = self._at("Q" if self.big else "H", start)
        head, step = ("HHQ", 20) if self.big else ("HHI", 12)
        start += 8 if self.big else 2
        if entries > MAX_ENTRIES or start + step * entries > len(data):
            raise struct.error
        self.entries: dict[int, Entry] = {}
        rows = data[start : start + step * entries]
        for at in range(start, start + step * entries, step):
            tag, kind, count = struct.unpack_from(self.order + head, rows, at - start)
            values = at + struct.calcsize(self.order + head)
            if BYTES.get(kind, 1) * count > step - (values - at):
                (values,) = self._at("Q" if self.big else "I", values)
            entry = Entry(kind, count, values, rows[at - start : at - start + step])
            self.entries.setdefault(tag, entry)  # of duplicates libtiff takes the first, too
        end = start + step * entries
        is_whole = end + (8 if self.big else 4) <= len(data)  # libtiff reads on, too
        self.next = self._at("Q" if self.big else "I", end)[0] if is_whole else 0

    def _at(self, code: str, at: int) -> tuple[int, ...]:
        if at > len(self.data):  # a BigTIFF's offset may exceed any file position
            raise struct.error
        code = self.order + code
        return struct.unpack(code, self.data[at : at + struct.calcsize(code)])

    def all(self, tag: int) -> tuple[int, ...]:
        """Return the integers of a tag; empty if it is absent, or has over :data:`MAX_VALUES`."""
        entry = self.entries.get(tag)
        code = INTEGERS.get(entry.kind) if entry else None
        if entry is None or code is None or entry.number > MAX_VALUES:
            return ()
        return self._at(f"{entry.number}{code}", entry.values)

    def count(self, tag: int) -> int:
        """Return how many values a tag has; 0 if it is absent."""
        return self.entries[tag].number if tag in self.entries else 0

    def one(self, tag: int, default: int) -> int:
        """Return the first integer of a tag, or the default."""
        return next(iter(self.all(tag)), default)

    def ratios(self, tag: int, default: Sequence[float]) -> Sequence[float]:
        """Return the fractions of a tag, or the default if it has not as many."""
        entry, count = self.entries.get(tag), len(default)
        if entry is None or entry.kind != RATIONAL or entry.number != count:
            return default
        numbers = self._at(f"{2 * count}I", entry.values)
        return [top / (bottom or 1) for top, bottom in zip(*[iter(numbers)] * 2, strict=True)]

    def text(self, tag: int, size: int = 1) -> bytes:
        """Return the bytes of a tag's values, of ``size`` bytes each; empty if it is absent."""
        entry = self.entries.get(tag)
        return self.data[entry.values : entry.values + size * entry.number] if entry else b""

    def only(self, tag: int, default: int) -> int:
        """Return the value that a tag has for all samples of a pixel, or -1 if they differ.

        Args:
            tag: Its number.
            default: Value if it is absent.
        """
        values = set(self.all(tag)[: self.one(SAMPLES, 1)]) or {default}
        return values.pop() if len(values) == 1 else -1

    def written(
        self,
        tags: Iterable[int],
        changed: dict[int, tuple[int, ...]],
        grain: int,
    ) -> bytes | Parts:
        """Return the file with a new first directory, which is appended to it.

        Args:
            tags: Tags that are copied from this directory.
            changed: Other tags, with SHORTs as values.
            grain: Bytes of the file that are read at a time.
        """
        at, pointer, table = self.behind(tags, changed, {})
        rest = at + len(pointer), len(self.data)
        return joined(self.data, (self.data[:at] + pointer, rest, table), grain)

    def behind(
        self,
        tags: Iterable[int],
        changed: Mapping[int, tuple[int, ...]],
        texts: Mapping[int, bytes],
    ) -> tuple[int, bytes, bytes]:
        """Build a new first directory, without writing it.

        Args:
            tags: Tags that are copied from this directory.
            changed: Other tags, with SHORTs as values.
            texts: Other tags, with ASCII as values.

        Returns:
            The offset of the pointer to the first directory, the new pointer, and the bytes to
            append to the file.
        """
        room, head = (8, "HHQ") if self.big else (4, "HHI")
        rows = {tag: self.entries[tag].raw for tag in tags if tag in self.entries}
        start = len(self.data) + len(self.data) % 2
        packets = {
            tag: (SHORT, len(values), struct.pack(f"{self.order}{len(values)}H", *values))
            for tag, values in changed.items()
        } | {tag: (ASCII, len(text), text) for tag, text in texts.items()}
        number = len(rows | packets)
        size = (8 if self.big else 2) + number * len(next(iter(rows.values()), b"")) + room
        behind = b""
        for tag, (kind, count, packed) in packets.items():
            if len(packed) > room:
                offset = start + size + len(behind)
                behind += packed + bytes(len(packed) % 2)
                packed = struct.pack(self.order + ("Q" if self.big else "I"), offset)
            row = struct.pack(self.order + head, tag, kind, count)
            rows[tag] = row + packed.ljust(room, b"\0")
        table = b"".join(
            (
                bytes(len(self.data) % 2),
                struct.pack(self.order + ("Q" if self.big else "H"), number),
                *(rows[tag] for tag in sorted(rows)),
                bytes(room),  # no further directory
                behind,
            )
        )
        at = 8 if self.big else 4
        return at, struct.pack(self.order + ("Q" if self.big else "I"), start), table


def copy_texts(descriptor: int, exif: bytes) -> None:
    """Add the texts of an EXIF block's first directory to a TIFF that has just been written.

    An EXIF block is a TIFF, and its text tags have the same numbers (Exif 2.32, 4.6.4).
    """
    block = Directory(exif)
    texts = {tag: block.text(tag) for tag, entry in block.entries.items() if entry.kind == ASCII}
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        tags = Directory(cast("bytes", data))  # slices of a mmap are bytes, too
        at, pointer, table = tags.behind(tags.entries, {}, texts)
        end = len(data)
    os.pwrite(descriptor, table, end)
    os.pwrite(descriptor, pointer, at)

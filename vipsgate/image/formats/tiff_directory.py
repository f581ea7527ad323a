"""A TIFF's first directory: its tags by number, and the file with another directory in its place.

Both layouts, of the classic file and of BigTIFF, in both byte orders (TIFF 6.0, 2; BigTIFF, Aware
Systems). Nothing here knows what a tag means, but how many samples a pixel has.
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
MAX_ENTRIES = 65535  # what a classic one can have, and libtiff's limit for a BigTIFF
MAX_VALUES = 1 << 20  # of a tag: strips or tiles


class Entry(NamedTuple):
    """One tag."""

    kind: int
    number: int  # of values
    values: int  # where they are
    raw: bytes  # the entry as it stands in the file


class Directory:
    """A directory of a file.

    Args:
        data: The file.
        start: Where the directory is; ``None`` for the first one.

    Attributes:
        data: The file.
        entries: Tag -> its entry.
        next: Where the next directory is; 0 for none.

    Raises:
        struct.error: It is cut off.
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
            self.entries.setdefault(tag, entry)  # libtiff, too, takes the first
        end = start + step * entries
        is_whole = end + (8 if self.big else 4) <= len(data)  # libtiff, too, does without
        self.next = self._at("Q" if self.big else "I", end)[0] if is_whole else 0

    def _at(self, code: str, at: int) -> tuple[int, ...]:
        if at > len(self.data):  # perhaps more than struct can count
            raise struct.error
        code = self.order + code
        return struct.unpack(code, self.data[at : at + struct.calcsize(code)])

    def all(self, tag: int) -> tuple[int, ...]:
        """A tag's integers; none of a tag that is not here, or of too many."""
        entry = self.entries.get(tag)
        code = INTEGERS.get(entry.kind) if entry else None
        if entry is None or code is None or entry.number > MAX_VALUES:
            return ()
        return self._at(f"{entry.number}{code}", entry.values)

    def count(self, tag: int) -> int:
        """How many values a tag has; 0 for one that is not here."""
        return self.entries[tag].number if tag in self.entries else 0

    def one(self, tag: int, default: int) -> int:
        """A tag's first integer."""
        return next(iter(self.all(tag)), default)

    def ratios(self, tag: int, default: Sequence[float]) -> Sequence[float]:
        """A tag's fractions, as many as the default has."""
        entry, count = self.entries.get(tag), len(default)
        if entry is None or entry.kind != RATIONAL or entry.number != count:
            return default
        numbers = self._at(f"{2 * count}I", entry.values)
        return [top / (bottom or 1) for top, bottom in zip(*[iter(numbers)] * 2, strict=True)]

    def text(self, tag: int, size: int = 1) -> bytes:
        """A tag's bytes, of which each value has so many."""
        entry = self.entries.get(tag)
        return self.data[entry.values : entry.values + size * entry.number] if entry else b""

    def only(self, tag: int, default: int) -> int:
        """The value that a tag has for every sample; -1 where they differ."""
        values = set(self.all(tag)[: self.one(SAMPLES, 1)]) or {default}
        return values.pop() if len(values) == 1 else -1

    def written(
        self,
        tags: Iterable[int],
        changed: dict[int, tuple[int, ...]],
        grain: int,
    ) -> bytes | Parts:
        """The file with a directory of these tags behind it in place of its own.

        Args:
            tags: Those that are as in the file.
            changed: SHORTs of others.
            grain: Bytes that are read of it at a time.
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
        """What makes it so: where the pointer to the directory is, that, and what is appended.

        Args:
            tags: Those that are as in the file.
            changed: SHORTs of others.
            texts: ASCIIs of others.
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
    """Give a TIFF that has just been written the texts of an EXIF block's first directory.

    Both are one kind of directory: what is a tag of the one is the same tag of the other.
    """
    block = Directory(exif)
    texts = {tag: block.text(tag) for tag, entry in block.entries.items() if entry.kind == ASCII}
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        tags = Directory(cast("bytes", data))  # whose slices are bytes, too
        at, pointer, table = tags.behind(tags.entries, {}, texts)
        end = len(data)
    os.pwrite(descriptor, table, end)
    os.pwrite(descriptor, pointer, at)

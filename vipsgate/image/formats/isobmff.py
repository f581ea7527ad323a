"""Reads the table of contents of a HEIC or AVIF before libheif does, to limit its real size.

pillow-heif reads all metadata of all pictures when a file is opened, and items may share their
bytes: 4 MB became 7.6 GB. libheif decodes no more than a picture's own size property says, but a
mask may come without one, and tiles and what is cropped away may be larger than what is shown
(ISO 14496-12, 8.11; ISO 23008-12, 6.5 and 9.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ...errors import ImageDamage
from ..frame import Codes
from .ondemand import File, Memory, Outline

MAX_BOXES = 20_000  # in a row
MAX_ITEMS = 1_000  # libheif's own limits; 200 megapixels of a phone are 768 tiles
MAX_EXTENTS = 32  # pieces of an item
SPARE = 1 << 20  # bytes that all items may have beyond the file's own length
CODED = {b"hvcC", b"av1C"}  # what a picture's own configuration is called
MONOCHROME = 0x10  # in the third byte of an av1C
TURNS = (b"clap", b"irot", b"imir")  # what is done to a decoded picture
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
M = TypeVar("M", bound=Memory)
FULL = (b"meta", b"iref")  # boxes with version and flags in front of those inside them
PIXELS = (b"av01", b"hvc1")  # types of items that are not read before they are decoded


def outline(file: File) -> Outline | None:
    """Return the file without its coded pictures, which is enough to read its header.

    Returns:
        ``None`` if libheif might read another header from it than from the whole file, or if too
        much of the file would be needed.

    Raises:
        ImageDamage: There are too many boxes, or rows of a table.
        ServiceUnavailable: The file cannot be read.
    """
    result, end = Outline(file), 0
    for kind, at, begin, end in _places(file):
        if end > len(file):
            return None
        result.add(at, begin if kind == b"mdat" else end)
    if end < len(file) or result.large:
        return None
    view = memoryview(result.memory)
    kinds = _kinds(view)
    for item, at, size in _extents(view):
        if kinds.get(item) not in PIXELS:
            result.add(at, at + size)
    return None if result.large else result


def coded(data: Memory) -> int:
    """Return the pixels of the largest picture inside, including tiles, masks and cropped parts.

    Raises:
        ImageDamage: Items are longer than the file, or a picture has no size.
    """
    file = memoryview(data)
    sizes = _sizes(file)
    held = sum(sizes.values()) + sum(sizes.get(item, 0) for item in _described(file))
    if held > len(data) + SPARE:
        raise _damaged(f"has items of {held} bytes in a file of {len(data)}")
    return largest(data)


def largest(data: Memory) -> int:
    """Return the pixels of the largest picture, as :func:`coded`, unchecked; 0 if there is none.

    Raises:
        ImageDamage: A picture has no size, or there are too many boxes.
    """
    return max(_areas(memoryview(data)), default=0)


def has_sequence(data: Memory) -> bool:
    """Return whether it has a sequence besides its primary picture (ISO 23008-12, 7).

    Raises:
        ImageDamage: There are too many boxes.
    """
    return any(kind == b"moov" for kind, _ in _boxes(memoryview(data)))


class _Reader:
    """Reads numbers from a box, one after the other; 0 after its end."""

    def __init__(self, data: memoryview | bytes) -> None:
        self.data, self.at = data, 0

    def number(self, size: int) -> int:
        """The next bytes, the highest first."""
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at])

    def rows(self, size: int, most: int) -> range:
        """For the rows whose number stands here."""
        count = self.number(size)
        if count > most:
            raise _damaged(f"has a table of {count} rows; it may have {most}")
        return range(count)


def _places(data: memoryview | File) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield the kind of each box, and the offsets of its start, of its content and of its end."""
    at = 0
    for _ in range(MAX_BOXES):
        front = data[at : at + 16]
        reader = _Reader(front)
        length, kind = reader.number(4), bytes(front[4:8])
        reader.number(4)
        if length == 1:
            length = reader.number(8)
        length = length or len(data) - at  # 0: up to the end
        if at + reader.at > len(data) or length < reader.at:
            return
        yield kind, at, at + reader.at, at + length
        at += length
    raise _damaged(f"has over {MAX_BOXES} boxes")


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the kind and the content of each box."""
    for kind, _, begin, end in _places(data):
        yield kind, data[begin:end]


def _all(data: memoryview, *path: bytes) -> Iterator[memoryview]:
    """Yield the content of every box on a path of kinds, each inside the one before."""
    for kind, body in _boxes(data):
        if kind == path[0]:
            inside = body[4:] if kind in FULL else body
            yield from _all(inside, *path[1:]) if path[1:] else (body,)


def _sizes(file: memoryview) -> dict[int, int]:
    """Return the number of bytes of each item."""
    sizes: dict[int, int] = {}
    for item, _, size in _extents(file):
        sizes[item] = sizes.get(item, 0) + size
    return sizes


def _extents(file: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield the pieces of items: item number, offset and size in bytes (ItemLocationBox)."""
    for body in _all(file, b"meta", b"iloc"):
        reader = _Reader(body)
        version, _, widths, more = (reader.number(size) for size in (1, 3, 1, 1))
        fields = widths >> 4, widths & 15, more >> 4, more & 15
        # other sizes are not valid; for one of 2 libheif reads no bytes
        offset, length, base, index = (size if size in (4, 8) else 0 for size in fields)
        wide = 4 if version == 2 else 2
        for _ in reader.rows(wide, MAX_ITEMS):
            item = reader.number(wide)
            reader.number(4 if version else 2)
            start = reader.number(base)
            for _ in reader.rows(2, MAX_EXTENTS):
                reader.number(index if version else 0)
                at = start + reader.number(offset)
                yield item, at, reader.number(length) or len(file)  # 0: the whole file


def _kinds(file: memoryview) -> dict[int, bytes]:
    """Return the type of each item that has one (ItemInfoBox)."""
    kinds: dict[int, bytes] = {}
    for body in _all(file, b"meta", b"iinf"):
        start = 8 if _Reader(body).number(1) else 6  # after version, flags and count
        for kind, entry in _boxes(body[start:]):
            reader = _Reader(entry)
            version, _ = reader.number(1), reader.number(3)
            if kind == b"infe" and version in (2, 3):
                item, _ = reader.number(2 * version - 2), reader.number(2)
                kinds[item] = bytes(entry[reader.at : reader.at + 4])
    return kinds


def _described(file: memoryview) -> Iterator[int]:
    """Yield each item of metadata, once for every picture it describes (ItemReferenceBox)."""
    for item, others in _referred(file, b"cdsc"):
        yield from (item for _ in others)


def _areas(file: memoryview) -> Iterator[int]:
    """Yield the pixels of every picture (ImageSpatialExtentsProperty)."""
    for inside in _all(file, b"meta", b"iprp"):
        properties = _properties(inside)
        kinds = [kind for kind, _ in properties]
        for body in _all(inside, b"ipma"):
            for _, numbers in _associated(body):
                own = {kinds[number - 1] for number in numbers if 0 < number <= len(kinds)}
                if own & CODED and b"ispe" not in own:
                    raise _damaged("has a picture without a size")
        for kind, body in properties:
            if kind == b"ispe":
                reader = _Reader(body[4:])
                yield reader.number(4) * reader.number(4)


def _properties(inside: memoryview) -> list[tuple[bytes, memoryview]]:
    """Return the kind and content of all properties (ItemPropertyContainerBox).

    The file numbers them from 1.
    """
    return [pair for body in _all(inside, b"ipco") for pair in _boxes(body)]


def _associated(body: memoryview) -> Iterator[tuple[int, list[int]]]:
    """Yield each item with the numbers of its properties (ItemPropertyAssociationBox)."""
    reader = _Reader(body)
    version, flags = reader.number(1), reader.number(3)
    wide, number = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
    for _ in reader.rows(4, MAX_ITEMS):
        item = reader.number(4 if version else 2)
        # the highest bit says that the property is essential
        yield item, [reader.number(wide) & number for _ in reader.rows(1, 255)]


def _own(inside: memoryview, item: int) -> dict[bytes, memoryview]:
    """Return the properties of an item, by kind; of several of one kind, the first.

    The kind of a colr includes its type, because a picture may have one with nclx and one with a
    profile.
    """
    properties, own = _properties(inside), dict[bytes, memoryview]()
    for body in _all(inside, b"ipma"):
        for other, numbers in _associated(body):
            for number in numbers if other == item else ():
                if 0 < number <= len(properties):
                    kind, content = properties[number - 1]
                    kind += content[:4].tobytes() if kind == b"colr" else b""
                    own.setdefault(kind, content)
    return own


def _referred(file: memoryview, wanted: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield each item with references of a kind, and the items referred to (ItemReferenceBox)."""
    for body in _all(file, b"meta", b"iref"):
        wide = 4 if body[0:1].tobytes() == b"\1" else 2
        for kind, reference in _boxes(body[4:]):
            if kind == wanted:
                reader = _Reader(reference)
                item = reader.number(wide)
                yield item, [reader.number(wide) for _ in reader.rows(2, MAX_ITEMS)]


def _primary(file: memoryview) -> int:
    for body in _all(file, b"meta", b"pitm"):
        reader = _Reader(body)
        version, _ = reader.number(1), reader.number(3)
        return reader.number(4 if version else 2)
    return 0


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of the primary picture, by its properties.

    Attributes:
        codes: Primaries and transfer function (ITU-T H.273); 2 if unspecified.
        limited: Whether it is grey, with levels from 16 to 235.
    """

    codes: Codes = (2, 2)
    limited: bool = False


def colours(data: Memory) -> Colours:
    """Return the colours of an AVIF's primary picture.

    See ISO 14496-12, 12.1.5, and AV1 codec ISO media file format, 2.3.

    Raises:
        ImageDamage: There are too many boxes.
    """
    file = memoryview(data)
    item = _primary(file)
    for inside in _all(file, b"meta", b"iprp"):
        own = _own(inside, item)
        if b"av1C" not in own:  # a grid, all of whose tiles have equal properties
            tile = next((to[0] for grid, to in _referred(file, b"dimg") if grid == item and to), 0)
            own = _own(inside, tile) | own
        reader = _Reader(own.get(b"av1C", memoryview(b"")))
        grey = bool(reader.number(3) & MONOCHROME)
        if b"colrnclx" not in own:
            return Colours()
        reader = _Reader(own[b"colrnclx"][4:])
        primaries, transfer, _, full = (reader.number(size) for size in (2, 2, 2, 1))
        return Colours((primaries, transfer), grey and not full >> 7)
    return Colours()


def _damaged(what: str) -> ImageDamage:
    return ImageDamage(f"The image file may be damaged. The HEIC {what}.")


# --- alpha that is not turned


def with_alpha_turned(data: M) -> M | bytes:
    """Return the file with an alpha picture that is cropped and turned like its main picture.

    Older writers did not set this for alpha. The table of contents is written anew at the end of
    the file, so that everything else keeps its position.

    Raises:
        ImageDamage: There are too many boxes.
    """
    file = memoryview(data)
    for inside in _all(file, b"meta", b"iprp"):
        properties = _properties(inside)
        if not any(kind in TURNS for kind, _ in properties):
            return data
        item = _primary(file)
        alphas = {one for one, others in _referred(file, b"auxl") if item in others}
        numbers = {one: own for body in _all(inside, b"ipma") for one, own in _associated(body)}
        turns = _turns(properties, numbers.get(item, []))
        contents = _contents(properties, turns)
        wrong = [
            one
            for one in alphas
            if _is_alpha(properties, numbers.get(one, []))
            and _contents(properties, _turns(properties, numbers.get(one, []))) != contents
        ]
        return _retold(file, wrong, turns, properties) if wrong else data
    return data


def _is_alpha(properties: list[tuple[bytes, memoryview]], numbers: list[int]) -> bool:
    own = (properties[n - 1] for n in numbers if 0 < n <= len(properties))
    return any(kind == b"auxC" and body[4:].tobytes().startswith(ALPHA) for kind, body in own)


def _turns(properties: list[tuple[bytes, memoryview]], numbers: list[int]) -> list[int]:
    return [n for n in numbers if 0 < n <= len(properties) and properties[n - 1][0] in TURNS]


def _contents(properties: list[tuple[bytes, memoryview]], numbers: list[int]) -> list[bytes]:
    return [properties[n - 1][0] + properties[n - 1][1].tobytes() for n in numbers]


def _retold(
    file: memoryview,
    wrong: Collection[int],
    turns: list[int],
    properties: list[tuple[bytes, memoryview]],
) -> bytes:
    """Return the file with a new table of contents at its end; the old one becomes free space.

    Args:
        file: The file.
        wrong: The items of alpha pictures to be turned.
        turns: The numbers of the main picture's properties that turn or crop it.
        properties: All properties.
    """

    def associations(body: memoryview) -> bytes:
        reader = _Reader(body)
        version, flags = reader.number(1), reader.number(3)
        wide, essential = (2, 0x8000) if flags & 1 else (1, 0x80)
        out = bytes(body[:8])
        for _ in reader.rows(4, MAX_ITEMS):
            item = reader.number(4 if version else 2)
            own = [reader.number(wide) for _ in reader.rows(1, 255)]
            if item in wrong:
                others = set(_turns(properties, [n & essential - 1 for n in own]))
                own = [n for n in own if n & essential - 1 not in others | {0}]
                own += [n | essential for n in turns if n < essential]
                if len(own) > 255:
                    raise _damaged("has a picture with over 255 properties")
            out += item.to_bytes(4 if version else 2) + bytes((len(own),))
            out += b"".join(n.to_bytes(wide) for n in own)
        return out

    result, at, new = bytearray(file), 0, b""
    for kind, body in _boxes(file):
        end = at + len(body) + _start(file, at)
        if result[at : at + 4] == bytes(4):  # it extended to the end of the file
            result[at : at + 4] = (len(file) - at).to_bytes(4)
        if kind == b"meta" and not new:
            result[at + 4 : at + 8] = b"free"
            inside = b"".join(
                _box(
                    kind,
                    b"".join(
                        _box(name, associations(part) if name == b"ipma" else part)
                        for name, part in _boxes(one)
                    ),
                )
                if kind == b"iprp"
                else _box(kind, one)
                for kind, one in _boxes(body[4:])
            )
            new = _box(b"meta", bytes(body[:4]) + inside)
        at = end
    return bytes(result) + new


def _start(file: memoryview, at: int) -> int:
    """Return the number of bytes before a box's content."""
    return 16 if file[at : at + 4].tobytes() == b"\0\0\0\1" else 8


def _box(kind: bytes, body: bytes | memoryview) -> bytes:
    return (len(body) + 8).to_bytes(4) + kind + bytes(body)

"""A HEIC's or AVIF's table of contents, read before libheif sees it: how much is really inside?

pillow-heif reads all metadata of all pictures when a file is opened, and items may share their
bytes: 4 MB became 7.6 GB. libheif decodes no more than a picture's own size property says, but a
mask may come without one, and tiles and what is cropped away may be larger than what is shown
(ISO 14496-12, 8.11; ISO 23008-12, 6.5 and 9.3).
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import ImageDamage

MAX_BOXES = 20_000  # in a row
MAX_ITEMS = 1_000  # libheif's own limits; 200 megapixels of a phone are 768 tiles
MAX_EXTENTS = 32  # pieces of an item
SPARE = 1 << 20  # bytes that all items may have beyond the file's own length
CODED = {b"hvcC", b"av1C"}  # what a picture's own configuration is called
FULL = (b"meta", b"iref")  # boxes with version and flags in front of those inside them


def coded(data: bytes) -> int:
    """Pixels of the largest picture inside, be it a tile, a mask, or cropped.

    Raises:
        ImageDamage: Items are longer than the file, or a picture has no size.
    """
    file = memoryview(data)
    sizes = _sizes(file)
    held = sum(sizes.values()) + sum(sizes.get(item, 0) for item in _described(file))
    if held > len(data) + SPARE:
        raise _damaged(f"has items of {held} bytes in a file of {len(data)}")
    return largest(data)


def largest(data: bytes) -> int:
    """Pixels of the largest picture inside, be it a tile, a mask, or cropped; 0 for none.

    Raises:
        ImageDamage: A picture has no size, or there are too many boxes.
    """
    return max(_areas(memoryview(data)), default=0)


class _Reader:
    """Numbers from a box, one behind the other; 0 behind its end."""

    def __init__(self, data: memoryview) -> None:
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


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each box in a row."""
    at = 0
    for _ in range(MAX_BOXES):
        reader = _Reader(data[at : at + 16])
        length, kind = reader.number(4), bytes(data[at + 4 : at + 8])
        reader.number(4)
        if length == 1:
            length = reader.number(8)
        length = length or len(data) - at  # 0: up to the end
        if at + reader.at > len(data) or length < reader.at:
            return
        yield kind, data[at + reader.at : at + length]
        at += length
    raise _damaged(f"has over {MAX_BOXES} boxes")


def _all(data: memoryview, *path: bytes) -> Iterator[memoryview]:
    """The content of every box that is reached by these kinds, one in the other."""
    for kind, body in _boxes(data):
        if kind == path[0]:
            inside = body[4:] if kind in FULL else body
            yield from _all(inside, *path[1:]) if path[1:] else (body,)


def _sizes(file: memoryview) -> dict[int, int]:
    """Bytes of each item (ItemLocationBox)."""
    found: dict[int, int] = {}
    for body in _all(file, b"meta", b"iloc"):
        reader = _Reader(body)
        version, _, widths, more = (reader.number(size) for size in (1, 3, 1, 1))
        offset, length, base, index = widths >> 4, widths & 15, more >> 4, more & 15
        wide = 4 if version == 2 else 2
        for _ in reader.rows(wide, MAX_ITEMS):
            item = reader.number(wide)
            reader.number((4 if version else 2) + base)
            for _ in reader.rows(2, MAX_EXTENTS):
                reader.number((index if version else 0) + offset)
                whole = len(file)  # what a length of 0 means
                found[item] = found.get(item, 0) + (reader.number(length) or whole)
    return found


def _described(file: memoryview) -> Iterator[int]:
    """Each item of metadata, once for every picture that it describes (ItemReferenceBox)."""
    for body in _all(file, b"meta", b"iref"):
        wide = 4 if body[0:1].tobytes() == b"\1" else 2
        for kind, reference in _boxes(body[4:]):
            if kind == b"cdsc":
                reader = _Reader(reference)
                item = reader.number(wide)
                yield from (item for _ in reader.rows(2, MAX_ITEMS))


def _areas(file: memoryview) -> Iterator[int]:
    """Width by height of every picture (ImageSpatialExtentsProperty)."""
    for inside in _all(file, b"meta", b"iprp"):
        properties = [pair for body in _all(inside, b"ipco") for pair in _boxes(body)]
        kinds = [kind for kind, _ in properties]
        for body in _all(inside, b"ipma"):
            for numbers in _associated(body):
                own = {kinds[number - 1] for number in numbers if 0 < number <= len(kinds)}
                if own & CODED and b"ispe" not in own:
                    raise _damaged("has a picture without a size")
        for kind, body in properties:
            if kind == b"ispe":
                reader = _Reader(body[4:])
                yield reader.number(4) * reader.number(4)


def _associated(body: memoryview) -> Iterator[list[int]]:
    """Numbers of the properties that each item has (ItemPropertyAssociationBox)."""
    reader = _Reader(body)
    version, flags = reader.number(1), reader.number(3)
    wide, number = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
    for _ in reader.rows(4, MAX_ITEMS):
        reader.number(4 if version else 2)
        # the highest bit says that the property is essential
        yield [reader.number(wide) & number for _ in reader.rows(1, 255)]


def _damaged(what: str) -> ImageDamage:
    return ImageDamage(f"The image file may be damaged. The HEIC {what}.")

"""libvips calls for watermarks: text, shadows, blocks, tiles, blending.

A mark is a watermark as an 8-bit image in memory with four bands, whose alpha is not premultiplied.
Only the part of the picture that it covers is computed, if the picture can be read more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

CLEAR = [0, 0, 0, 0]
SMALL = 32  # pixels of a tile's side
WORTH = 2  # ratio of the picture's area to the mark's from which only the covered part is computed


def inked(mask: Image, colour: Sequence[int]) -> Image:
    """Return ``colour`` with the mask, 0-255, as its alpha."""
    # in one operation; each further one would take as long as drawing the text
    ink = mask.linear([0, 0, 0, 1], [*colour, 0], uchar=True)
    return ink.copy(interpretation="srgb")


def shaded(line: Image, away: int, percent: int) -> Image:
    """Return the line above its own shadow: black, ``away`` pixels to the right and below."""
    width, height = line.width + away, line.height + away
    # one band, in memory: the blur of four takes four times as long
    shadow = (line[3] * (percent / 100)).rint().cast("uchar").embed(away, away, width, height)
    shadow = shadow.gaussblur(away / 2).copy_memory()
    return inked(shadow, (0, 0, 0)).composite2(line, "over")


def joined(parts: Sequence[Image], interval: int, align: str) -> Image:
    """Join one or two marks side by side, ``interval`` pixels apart.

    Args:
        parts: From left to right.
        interval: Pixels between them.
        align: ``low``, ``centre`` or ``high``: aligns upper edges, middles or lower edges.
    """
    if len(parts) == 1:
        return parts[0]
    return parts[0].join(
        parts[1], "horizontal", expand=True, shim=interval, align=align, background=CLEAR
    )


def faded(mark: Image, percent: int) -> Image:
    """Return the mark with ``percent`` of its opacity."""
    if percent == 100:
        return mark
    alpha = (mark[3] * (percent / 100)).rint().cast("uchar")
    return mark[0:3].bandjoin(alpha)


def tiled(mark: Image, left: int, top: int, gap: tuple[int, int], width: int, height: int) -> Image:
    """Repeat the mark over ``width`` by ``height`` pixels.

    Args:
        mark: The tile.
        left: Column where a tile begins; it may be outside.
        top: Row where a tile begins.
        gap: Pixels between tiles, across and down.
        width: Width of the result.
        height: Height of the result.
    """
    tile = mark.embed(0, 0, mark.width + gap[0], mark.height + gap[1])
    # libvips paints tile by tile
    more = -(-SMALL // tile.width), -(-SMALL // tile.height)
    if more != (1, 1):
        tile = tile.replicate(*more).copy_memory()
    across, down = -left % tile.width, -top % tile.height
    wide, high = -(-(across + width) // tile.width), -(-(down + height) // tile.height)
    return tile.replicate(wide, high).crop(across, down, width, height)


def laid(image: Image, mark: Image, left: int, top: int, *, again: bool) -> Image:
    """Blend the mark over the picture; parts beyond the border are cut off.

    Args:
        image: The picture, in 8 bits.
        mark: The watermark.
        left: Column of the picture where the mark begins; it may be outside.
        top: Row likewise.
        again: Whether rows of the picture may be read more than once. A source that is read from
            top to bottom gives them once, so its picture must not be split and joined.
    """
    x, right = max(0, left), min(left + mark.width, image.width)
    y, bottom = max(0, top), min(top + mark.height, image.height)
    if right <= x or bottom <= y:
        return image
    mark = mark.crop(x - left, y - top, right - x, bottom - y)
    if image.bands < 3:
        image = image.colourspace("srgb")
    if not again or mark.width * mark.height > image.width * image.height / WORTH:
        return _blended(image, mark, x, y)
    part = image.crop(x, y, mark.width, mark.height)
    return image.insert(_blended(part, mark, 0, 0), x, y)


def _blended(image: Image, mark: Image, x: int, y: int) -> Image:
    if image.hasalpha():
        # in floats, because libvips truncates where it should round
        result = image.cast("float").composite2(mark, "over", x=x, y=y)
        return result.rint().cast("uchar")
    alpha, colours = mark[3], mark[0:3]
    if (mark.width, mark.height) != (image.width, image.height):
        alpha, colours = (
            part.copy_memory().embed(x, y, image.width, image.height) for part in (alpha, colours)
        )
    return alpha.ifthenelse(colours, image, blend=True)

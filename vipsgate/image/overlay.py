"""libvips calls that lay one picture on another: lines of ink, blocks, tiles, blending.

A mark is an 8-bit image in memory with four bands, its alpha not multiplied into its colours. Only
the part of the picture that it covers is computed, where the picture can be asked for it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

CLEAR = [0, 0, 0, 0]
SMALL = 32  # pixels of a tile's side
WORTH = 2  # times a mark's pixels that a picture has from which only the mark's place is computed


def inked(mask: Image, colour: Sequence[int]) -> Image:
    """``colour`` as opaque as the mask, 0-255, says."""
    # one operation that makes four bands of one; each more takes as long as drawing the text
    ink = mask.linear([0, 0, 0, 1], [*colour, 0], uchar=True)
    return ink.copy(interpretation="srgb")


def shaded(line: Image, away: int, percent: int) -> Image:
    """The line above its own shadow: black, ``away`` pixels to the right and below."""
    width, height = line.width + away, line.height + away
    # one band, in memory: the blur of four takes four times as long
    shadow = (line[3] * (percent / 100)).rint().cast("uchar").embed(away, away, width, height)
    shadow = shadow.gaussblur(away / 2).copy_memory()
    return inked(shadow, (0, 0, 0)).composite2(line, "over")


def joined(parts: Sequence[Image], interval: int, align: str) -> Image:
    """One or two marks side by side, ``interval`` pixels apart.

    Args:
        parts: From left to right.
        interval: Pixels between them.
        align: ``low``, ``centre`` or ``high``: upper edges, middles or lower edges are level.
    """
    if len(parts) == 1:
        return parts[0]
    return parts[0].join(
        parts[1], "horizontal", expand=True, shim=interval, align=align, background=CLEAR
    )


def faded(mark: Image, percent: int) -> Image:
    """The mark with ``percent`` of its opacity."""
    if percent == 100:
        return mark
    alpha = (mark[3] * (percent / 100)).rint().cast("uchar")
    return mark[0:3].bandjoin(alpha)


def tiled(mark: Image, left: int, top: int, gap: tuple[int, int], width: int, height: int) -> Image:
    """The mark again and again over ``width`` by ``height`` pixels.

    Args:
        mark: The tile.
        left: Column where one tile begins; it may lie outside.
        top: Row where one tile begins.
        gap: Pixels between tiles, across and down.
        width: Of the result.
        height: Of the result.
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
    """The mark on the picture; what reaches over the border is cut.

    Args:
        image: In 8 bits.
        mark: What is laid on it.
        left: Column of the picture where the mark begins; it may lie outside.
        top: Row likewise.
        again: Whether the picture may be asked for its rows again. A source that is read from top
            to bottom can give them only once, so its picture must not be parted and put together.
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
        # in floats, because libvips cuts off what it should round
        result = image.cast("float").composite2(mark, "over", x=x, y=y)
        return result.rint().cast("uchar")
    alpha, colours = mark[3], mark[0:3]
    if (mark.width, mark.height) != (image.width, image.height):
        alpha, colours = (
            part.copy_memory().embed(x, y, image.width, image.height) for part in (alpha, colours)
        )
    return alpha.ifthenelse(colours, image, blend=True)

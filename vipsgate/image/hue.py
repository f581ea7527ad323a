"""``image/average-hue``: the dominant colour of a picture, as JSON.

As OSS's support describes it, this is the mean colour of the pixels whose hue is near the mean hue.
With hues in 256 steps (libvips' HSV), and those within 32 steps of their arithmetic mean, this
gives the guide's answer for the guide's picture: 0x5c783b for example.jpg.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from . import plan, render
from .actions.auto_orient import AutoOrient
from .actions.resize import Resize
from .formats.probe import Source

if TYPE_CHECKING:
    from pyvips import Image

    from .config import Limits, Rendering
    from .frame import Header
    from .prepared import RenderContext

NEAR = 32  # steps of 256, 45 degrees of the circle
SIDE = 512  # pixels; a larger picture is reduced to it first, to save time
SEEN = 128  # least opacity, 0-255, of a pixel that counts


def answer(source: Source, context: RenderContext) -> bytes:
    """Return the body, ``{"RGB": "0xrrggbb"}``; of an animation, for its first frame.

    Raises:
        OssError: The picture is too large, or cannot be decoded.
    """
    result = planned(source.header, context.limits, context.rendering)
    red, green, blue = colour(
        render.picture(replace(source, header=result.header), result, context.watch)
    )
    return json.dumps({"RGB": f"0x{red:02x}{green:02x}{blue:02x}"}).encode()


def planned(header: Header, limits: Limits, rendering: Rendering) -> plan.Plan:
    """Return the plan by which the first frame is reduced.

    Raises:
        ImageTooLarge: The picture is too large.
    """
    actions = AutoOrient(value=0), Resize(w=SIDE, h=SIDE)
    still, fast = replace(header, pages=1), replace(rendering, shrink="fast")
    return plan.make(still, actions, limits, fast, written=False)


def colour(image: Image) -> tuple[int, int, int]:
    """Return the dominant colour, levels 0-255, of an 8-bit sRGB picture with alpha, in memory.

    Transparent pixels do not count. If no hue is near the mean, as with reds on both sides of 0,
    all pixels count.
    """
    colours, seen = image[0:3], image[3] >= SEEN
    if not seen.max():
        seen = seen.invert()
    hue = colours.colourspace("hsv")[0].copy_memory()
    mean = _sums(hue & seen)[0] / _count(seen)
    near = ((hue - mean).abs() <= NEAR) & seen
    chosen = near if near.max() else seen
    count = _count(chosen)
    red, green, blue = (total // count for total in _sums(colours & chosen))
    return red, green, blue


def _sums(image: Image) -> list[int]:
    """Return the exact sum of each band."""
    rows = image.stats().tolist()  # a row for all bands, then one for each
    return [int(row[2]) for row in rows[1:]]


def _count(mask: Image) -> int:
    return _sums(mask)[0] // 255

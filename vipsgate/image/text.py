"""Draws one line of text as a mask, by libvips with Pango and Cairo.

The text itself is escaped; the only markup is the font family and the language, which are ours.
libvips' options to fit a text to a size are not used: they did not end on emoji (libvips#1173).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import pyvips

from ..errors import ImageTooLarge
from .fonts import Run

if TYPE_CHECKING:
    from pyvips import Image

LANGUAGE = "zh-cn"  # selects the shapes of Han characters, in place of the machine's locale
# Pango aligns a line by its first character; after a Han character, it would raise the letters of
# other fonts. This one is invisible, has no direction, and is of a script aligned like Latin.
LEADER = "\u180e"
PIXELS_PER_INCH = 72  # so that a point is a pixel
MEASURED = 64  # size at which a larger text is drawn first; 64 bytes take under 1 ms
SIDE = 30_000  # pixels; Cairo has no picture above 32,767, and the measure is 3 % off


def draw(runs: Sequence[Run], size: int, most: int) -> Image | None:
    """Return the mask of a line in one band, 0-255, in memory; ``None`` if nothing is drawn.

    It has the size of the ink. Its ``xoffset`` and ``yoffset`` are the position of the ink from the
    left end of the line and from the highest ascent of its families.

    Args:
        runs: The line, from :meth:`fonts.Fonts.runs`.
        size: Pixels of the font's em.
        most: Largest number of pixels, 5 bytes each while it is drawn.

    Raises:
        ImageTooLarge: It would have more pixels.
    """
    if not runs:
        return None
    if size > MEASURED:
        small = _ink(runs, MEASURED)
        if small is None:
            return None
        width, height = (side * size // MEASURED for side in (small.width, small.height))
        if width * height > most or max(width, height) > SIDE:
            raise ImageTooLarge(
                f"The text would be {width}x{height} pixels in size {size}; it may have {most} "
                f"pixels, and {SIDE} on a side."
            )
    return _ink(runs, size)


def _ink(runs: Sequence[Run], size: int) -> Image | None:
    markup = LEADER + "".join(
        f'<span font_family="{escape(run.family)}" lang="{LANGUAGE}">{escape(run.text)}</span>'
        for run in runs
    )
    try:
        # the comma ends the name of the family, which may end like a style
        ink = pyvips.Image.text(markup, font=f"{runs[0].family}, {size}", dpi=PIXELS_PER_INCH)
    except pyvips.Error as error:
        if "no text to render" in str(error):
            return None
        raise
    return ink.copy_memory()  # frees Cairo's picture, four times as large

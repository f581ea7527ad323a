"""One line of text as a mask: the ink of its letters, by libvips with Pango and Cairo.

Nothing of a text is markup: only families and language are, which are ours. Every option that
libvips would fit a text with is left alone; fitting is what ran for ever on emoji (libvips#1173).
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

LANGUAGE = "zh-cn"  # decides between shapes of Han signs; else the machine's locale would
# Pango aligns a line by its first sign: behind a Han sign it lifts the letters of other fonts off
# the line. This one is never seen, has no direction, and is of a script that stands as Latin does.
LEADER = "\u180e"
PIXELS_PER_INCH = 72  # so that a point is a pixel
MEASURED = 64  # size at which a larger text is drawn first; 64 bytes take under 1 ms
SIDE = 30_000  # pixels; Cairo has no picture above 32,767, and the measure is 3 % off


def draw(runs: Sequence[Run], size: int, most: int) -> Image | None:
    """The ink of a line in one band, 0-255, in memory; ``None`` where there is no ink.

    It is as large as the ink. Its ``xoffset`` and ``yoffset`` say where that begins from the left
    end of the line, and from the highest ascent of its families.

    Args:
        runs: The line, as :meth:`fonts.Fonts.runs` makes it.
        size: Pixels of the font's em.
        most: Pixels that it may take, 5 bytes each while it is drawn.

    Raises:
        ImageTooLarge: It would take more.
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
    return ink.copy_memory()  # lets go of Cairo's picture, four times as large

"""The histogram of a picture, as JSON: how many pixels have each level of red, green, blue, grey.

No answer of OSS's, so no process text asks for it; the console does, with a job of its own kind. It
is planned and reduced as ``image/average-hue`` is, and costs the same.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from . import hue, render
from .formats.probe import Source

if TYPE_CHECKING:
    from pyvips import Image

    from .prepared import RenderContext

BINS = 64  # of 4 levels each
NAMES = ("red", "green", "blue", "grey")


def answer(source: Source, context: RenderContext) -> bytes:
    """The answer's body, :data:`BINS` numbers for each of :data:`NAMES`; of the first frame.

    Raises:
        OssError: The picture is too large, or cannot be decoded.
    """
    result = hue.planned(source.header, context.limits, context.rendering)
    image = render.picture(replace(source, header=result.header), result, context.watch)
    return json.dumps(dict(zip(NAMES, counts(image), strict=True))).encode()


def counts(image: Image) -> list[list[int]]:
    """Pixels by level, of each band and of its luminance; transparent ones do not count.

    Args:
        image: 8-bit sRGB with alpha, in memory.
    """
    seen = image[3] >= hue.SEEN
    hidden = image.width * image.height - round(seen.avg() * image.width * image.height / 255)
    colours = image[0:3]
    levels = (colours.bandjoin(colours.colourspace("b-w")[0]) & seen).cast("uchar")
    step = 256 // BINS
    result = []
    for band in range(len(NAMES)):
        row = [int(pixel) for pixel in levels[band].hist_find().tolist()[0]]
        row += [0] * (256 - len(row))
        row[0] -= hidden  # what is not seen counts as black in there
        result.append([sum(row[at : at + step]) for at in range(0, 256, step)])
    return result

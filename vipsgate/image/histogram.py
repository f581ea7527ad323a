"""The histogram of a picture, as JSON: the number of pixels by level of red, green, blue and grey.

OSS has no such answer, so no process text requests it; the console does, by its own kind of job. It
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
    """Return the body, :data:`BINS` numbers for each of :data:`NAMES`, of the first frame.

    Raises:
        OSError
    Raises:
        OssError: The picture is too large, or cannot be decoded.
    """
    result = hue.planned(source.header, context.limits, context.rendering)
    image = render.picture(replace(source, header=result.header), result, context.watch)
    return json.dumps(dict(zip(NAMES, counts(image), strict=True))).encode()


def counts(image: Image) -> list[list[int]]:
    """Count pixels by level, of each band and of luminance; transparent ones do not count.

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
        row[0] -= hidden  # transparent pixels were counted as black
        result.append([sum(row[at : at + step]) for at in range(0, 256, step)])
    return result

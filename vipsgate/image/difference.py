"""How far two pictures are from each other: dHash and CIEDE2000, by libvips.

The files may come from anywhere. Each is first made into a PNG by the pipeline, which knows files
by their first bytes and holds their headers to the limits, and only that PNG is compared: with the
files as they came, loaders would be libvips' choice. An animation counts by its first frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import transform
from .config import Limits
from .formats.probe import probe

HASH_SIDE = 8  # of dHash: 8 rows of 8 comparisons of neighbours
PNG = "image/format,png"


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two pictures of one size are from each other.

    Attributes:
        dhash: Bits of 64 in which their difference hashes differ.
        mean: Mean CIEDE2000 over all pixels; below 1 nobody sees a difference.
        max: Greatest CIEDE2000 of a pixel.
    """

    dhash: int
    mean: float
    max: float


def distance(one: bytes, other: bytes, limits: Limits) -> Distance:
    """Compare two files of pictures.

    Raises:
        OssError: One cannot be processed here.
        ValueError: Their sizes differ.
    """
    a, b = _pixels(one, limits), _pixels(other, limits)
    if (a.width, a.height) != (b.width, b.height):
        raise ValueError(f"{a.width}x{a.height} and {b.width}x{b.height}")
    difference = _flat(a).colourspace("lab").dE00(_flat(b).colourspace("lab"))
    bits = sum(x != y for x, y in zip(_dhash(a), _dhash(b), strict=True))
    return Distance(bits, float(difference.avg()), float(difference.max()))


def _pixels(data: bytes, limits: Limits) -> Any:
    import pyvips

    picture = transform.transform(data, PNG, limits=limits)
    return pyvips.Image.pngload_buffer(picture.data).colourspace("srgb")


def _flat(image: Any) -> Any:
    """On white, as most pages are: what is transparent has no colour of its own."""
    return image.flatten(background=255) if image.hasalpha() else image


def _dhash(image: Any) -> list[bool]:
    """Whether each cell of a small grey copy is brighter than the one to its left."""
    side = HASH_SIDE
    grey = _flat(image).colourspace("b-w")
    small = grey.resize((side + 1) / image.width, vscale=side / image.height, kernel="linear")
    small = small.crop(0, 0, min(side + 1, small.width), min(side, small.height))
    rows = small.tolist()
    return [a < b for row in rows for a, b in pairwise(row)]


def describe(data: bytes) -> str:
    """Format and size of a file, ``jpg 400x267``, and how many frames it has where several.

    Raises:
        OssError: It is no picture that can be read here.
    """
    header = probe(data).header
    pages = f"x{header.pages}" if header.pages > 1 else ""
    return f"{header.format} {header.width}x{header.height}{pages}"

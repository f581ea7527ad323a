"""The difference of two pictures: dHash and CIEDE2000, by libvips.

Files are untrusted, and libvips would choose a loader itself. So each is first converted to PNG by
the pipeline, which recognises formats and enforces limits, and the PNGs are compared. Of an
animation, the first frame is compared.
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
    """The difference of two pictures of the same size.

    Attributes:
        dhash: Bits of 64 in which their difference hashes differ.
        mean: Mean CIEDE2000 over all pixels; below 1, a difference is not visible.
        max: Greatest CIEDE2000 of a pixel.
    """

    dhash: int
    mean: float
    max: float


def distance(one: bytes, other: bytes, limits: Limits) -> Distance:
    """Compare two files of pictures.

    Raises:
        OssError: One of them cannot be processed.
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
    """Flatten onto white, because transparent pixels have no visible colour."""
    return image.flatten(background=255) if image.hasalpha() else image


def _dhash(image: Any) -> list[bool]:
    """Return whether each pixel of a small grey copy is brighter than the one to its left."""
    side = HASH_SIDE
    grey = _flat(image).colourspace("b-w")
    small = grey.resize((side + 1) / image.width, vscale=side / image.height, kernel="linear")
    small = small.crop(0, 0, min(side + 1, small.width), min(side, small.height))
    rows = small.tolist()
    return [a < b for row in rows for a, b in pairwise(row)]


def describe(data: bytes) -> str:
    """Return format, size and, if several, frames of a file: ``jpg 400x267``.

    Raises:
        OssError: It is not a picture that can be read.
    """
    header = probe(data).header
    pages = f"x{header.pages}" if header.pages > 1 else ""
    return f"{header.format} {header.width}x{header.height}{pages}"

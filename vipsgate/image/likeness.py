"""The likeness of an encoded picture to the original: an estimate of SSIMULACRA2.

SSIMULACRA2 itself takes seconds, and numpy. It is estimated from two measures of the luma, by
libvips, in some 20 ms a megapixel: the mean squared error, for fine grain, and SSIM at a quarter of
the size, for blocking, banding and lost texture. Their logarithms are weighted as fitted by
bench/goals.py. SSIM at a single size is off by 4 points where this is off by 2; chroma was tried as
well, but grey pictures have none.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

LUMA = [0.299, 0.587, 0.114]  # of red, green and blue (ITU-R BT.601), as JPEG has it
MIDDLE = 128  # the level that shows through what is transparent
LEAST = 64  # pixels of a side; a smaller picture is extended by mirroring
REDUCED = 4  # factor by which the luma is reduced for SSIM
BLOCK = 4  # pixels of its blocks; a window has 2 by 2 of them, and windows overlap by one
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # SSIM's own constants
# Least values of the measures, so that equal pictures have logarithms.
LEAST_ERROR, LEAST_UNLIKE = 1e-2, 1e-4
# Fitted by bench/goals.py: the score at an error and an unlikeness of 1, and the weight of each.
BASE, FINE, COARSE = 42.2, 2.69, 6.6
BEST = 100.0


class Reference:
    """The original that encoded pictures are compared with.

    Args:
        image: In memory, 8 bits.
        tile: Pixels of a side of the tiles that it is joined from, whose borders do not count; 0
            for one piece.
    """

    def __init__(self, image: Image, tile: int = 0) -> None:
        self._tile = tile // (REDUCED * BLOCK)  # in blocks
        self._luma = luma(image).copy_memory()
        self._small = _small(self._luma)
        self._means, self._squares = _means(self._tile, self._small, self._small * self._small)

    def score(self, image: Image) -> float:
        """Return the likeness of an image of the same size: 70 good, 80 very good, 90 looks equal.

        At most 100; as with SSIMULACRA2, it may be below 0.
        """
        return combined(*self.distances(image))

    def distances(self, image: Image) -> tuple[float, float]:
        """Return the mean squared error in levels, and the mean of 1 - SSIM of the reduced luma.

        The latter is a power mean with exponent 4, so that the worst areas count most.
        """
        other = luma(image).copy_memory()
        difference = self._luma - other
        error = float((difference * difference).avg())
        small = _small(other)
        means, squares, products = _means(self._tile, small, small * small, small * self._small)
        away = (
            1 - _ssim(*window)
            for window in zip(self._means, means, self._squares, squares, products, strict=True)
        )
        return error, (math.fsum(value**4 for value in away) / len(means)) ** 0.25


def combined(error: float, unlike: float) -> float:
    """Return the score of a mean squared error in levels and of 1 - SSIM."""
    fine, coarse = math.log(max(error, LEAST_ERROR)), math.log(max(unlike, LEAST_UNLIKE))
    return min(BEST, BASE - FINE * fine - COARSE * coarse)


def luma(image: Image) -> Image:
    """Return the luma in floats, on grey, extended to :data:`LEAST` pixels a side or more."""
    import pyvips

    if image.hasalpha():
        image = image.flatten(background=[MIDDLE] * (image.bands - 1))
    row = pyvips.Image.new_from_array([LUMA])
    single = image.recomb(row) if image.bands > 2 else image.cast("float")
    width, height = max(LEAST, image.width), max(LEAST, image.height)
    if (width, height) != (image.width, image.height):
        single = single.embed(0, 0, width, height, extend="mirror")
    return single


def _small(full: Image) -> Image:
    """Return the reduced luma minus the middle level, as squares of floats are then more exact."""
    return (_reduced(full, REDUCED) - MIDDLE).copy_memory()


def _reduced(image: Image, side: int) -> Image:
    """Return the means of blocks; incomplete ones at the right and bottom are left out."""
    width, height = image.width // side * side, image.height // side * side
    if (width, height) != (image.width, image.height):
        image = image.crop(0, 0, width, height)
    return image.shrink(side, side)


def _means(tile: int, first: Image, *others: Image) -> list[list[float]]:
    """Return the means of each image in windows of 2 by 2 blocks, at steps of one block.

    There are a thousand at most, which take less time in Python than one operation of libvips.

    Args:
        tile: Blocks of a tile's side, near whose border there is no window; 0 for one piece.
        first: An image in floats.
        others: Images of the same size.
    """
    blocks = _reduced(first.bandjoin(list(others)), BLOCK)
    values, bands = array("f", bytes(blocks.write_to_memory())), blocks.bands
    width, result = blocks.width, []
    columns, rows = _within(width, tile), _within(blocks.height, tile)
    starts = [y * width + x for y in rows for x in columns]
    for band in range(bands):
        one = values[band::bands]
        result.append(
            [(one[at] + one[at + 1] + one[at + width] + one[at + width + 1]) / 4 for at in starts]
        )
    return result


def _within(blocks: int, tile: int) -> list[int]:
    """Return where the windows begin along a side.

    Within tiles they keep one block away from the border, because WebP predicts a block from its
    neighbours, which makes those beside a seam worse (10 points in a photograph of 6 megapixels).
    """
    return [at for at in range(blocks - 1) if not tile or 1 <= at % tile <= tile - 3]


def _ssim(one: float, other: float, squares: float, others: float, products: float) -> float:
    """Return the SSIM of a window from its means, and its means of squares and products."""
    spreads = squares - one * one + others - other * other
    covariance = products - one * other
    one, other = one + MIDDLE, other + MIDDLE
    light = (2 * one * other + C1) / (one * one + other * other + C1)
    return light * (2 * covariance + C2) / (spreads + C2)

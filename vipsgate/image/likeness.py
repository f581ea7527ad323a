"""How like a written picture is to the one that was meant: an estimate of SSIMULACRA2.

SSIMULACRA2 takes seconds and numpy. Here two numbers of the luma stand for it, by libvips, in some
20 ms a megapixel: the mean squared error, which tells of fine grain, and SSIM of the luma at a
quarter of its size, which tells of blocks, bands and lost texture. Their logarithms are weighted as
bench/goals.py has fitted them. Compared were also SSIM at one size (off by 4 points where this is
off by 2), and chroma besides, of which a grey picture has none.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

LUMA = [0.299, 0.587, 0.114]  # of red, green and blue (ITU-R BT.601), as JPEG has it
MIDDLE = 128  # the level that shows through what is transparent
LEAST = 64  # pixels of a side; a smaller picture is laid out as mirrored tiles
REDUCED = 4  # times that SSIM's luma is reduced
BLOCK = 4  # pixels of its blocks; a window has 2 by 2 of them, and windows overlap by one
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # SSIM's own constants
# what equal pictures have, or nearly; their logarithms end there
LEAST_ERROR, LEAST_UNLIKE = 1e-2, 1e-4
# fitted by bench/goals.py: the score of an error of 1 and unlikeness of 1, and what each costs
BASE, FINE, COARSE = 42.2, 2.69, 6.6
BEST = 100.0


class Reference:
    """A picture that others are compared with.

    Args:
        image: In memory, 8 bits.
        tile: Pixels of a side of the tiles that it is put together from, whose borders do not
            count; 0 for one piece.
    """

    def __init__(self, image: Image, tile: int = 0) -> None:
        self._tile = tile // (REDUCED * BLOCK)  # in blocks
        self._luma = luma(image).copy_memory()
        self._small = _small(self._luma)
        self._means, self._squares = _means(self._tile, self._small, self._small * self._small)

    def score(self, image: Image) -> float:
        """How like an image of the same size is, 0-100: 70 is good, 80 very good, 90 looks equal.

        It may fall below 0, as SSIMULACRA2 does.
        """
        return combined(*self.distances(image))

    def distances(self, image: Image) -> tuple[float, float]:
        """Mean squared error in levels; 1 less SSIM of the reduced luma, its fourth root mean.

        The fourth root lets the worst places count most.
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
    """The score of a mean squared error in levels, and 1 less SSIM."""
    fine, coarse = math.log(max(error, LEAST_ERROR)), math.log(max(unlike, LEAST_UNLIKE))
    return min(BEST, BASE - FINE * fine - COARSE * coarse)


def luma(image: Image) -> Image:
    """Its luma in floats, at least :data:`LEAST` pixels a side, what is transparent on grey."""
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
    """The reduced luma, less the middle level: the squares of floats lose less then."""
    return (_reduced(full, REDUCED) - MIDDLE).copy_memory()


def _reduced(image: Image, side: int) -> Image:
    """The means of its blocks; what is left over at the right and below does not count."""
    width, height = image.width // side * side, image.height // side * side
    if (width, height) != (image.width, image.height):
        image = image.crop(0, 0, width, height)
    return image.shrink(side, side)


def _means(tile: int, first: Image, *others: Image) -> list[list[float]]:
    """The means of each image in windows of 2 by 2 blocks, each one block beside the next.

    There are a thousand at most: each operation of libvips would take longer than all of them.

    Args:
        tile: Blocks of a tile's side, near whose border no window lies; 0 for one piece.
        first: An image in floats.
        others: Of its size.
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
    """Where the windows begin along a side of so many blocks.

    In tiles they keep one block away from the border: WebP foretells a block from its neighbours,
    and what is beside a seam gets worse by that (10 points of a photograph of 6 megapixels).
    """
    return [at for at in range(blocks - 1) if not tile or 1 <= at % tile <= tile - 3]


def _ssim(one: float, other: float, squares: float, others: float, products: float) -> float:
    """Of a window: its means, means of squares and of products, less the middle level."""
    spreads = squares - one * one + others - other * other
    covariance = products - one * other
    one, other = one + MIDDLE, other + MIDDLE
    light = (2 * one * other + C1) / (one * one + other * other + C1)
    return light * (2 * covariance + C2) / (spreads + C2)

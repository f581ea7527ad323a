"""Brushes of all pictures: gradients, noise, light, perspective, outlines.

Rule: a painting is a float image with three bands in 0..1, lazy until somebody needs its pixels.
Only :func:`printed` and :func:`develop` make 8-bit sRGB of it.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

Point = tuple[float, float]
Stop = tuple[float, str]  # position 0..1, colour "#rrggbb"

RAMP_STEPS = 1024  # entries of a gradient's table: enough that grain hides the steps
WARM = [1.0, 0.78, 0.46]  # RGB of low sunlight


def grid(width: int, height: int) -> tuple[Image, Image]:
    """Return x and y of every pixel's centre, one band each, in picture heights."""
    import pyvips

    xy = pyvips.Image.xyz(width, height)
    return (xy[0] + 0.5) / height, (xy[1] + 0.5) / height


def fbm(
    width: int, height: int, cell: float, seed: int, octaves: int = 6, *, ridged: bool = False
) -> Image:
    """Return fractal noise (one band, about -0.6..0.6); `cell` is the largest feature in pixels."""
    import pyvips

    octaves_of_noise = []
    for i in range(octaves):
        size = max(2, round(cell / 2**i))
        noise = pyvips.Image.perlin(width, height, cell_size=size, seed=seed * 97 + i)
        octaves_of_noise.append((0.36 - 2 * noise.abs() if ridged else noise) * 0.5**i)
    return pyvips.Image.sum(octaves_of_noise)


def rgb(colour: str) -> list[float]:
    """Return red, green and blue of "#rrggbb" in 0..1."""
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


@functools.cache
def _gradient(stops: tuple[Stop, ...]) -> Image:
    """Return the gradient through `stops` as a table of RAMP_STEPS colours in 0..1."""
    import pyvips

    table = array("f")
    for i in range(RAMP_STEPS):
        v = i / (RAMP_STEPS - 1)
        k = max(0, min(len(stops) - 2, sum(at <= v for at, _ in stops) - 1))
        (low, first), (high, second) = stops[k], stops[k + 1]
        f = min(1.0, max(0.0, (v - low) / (high - low)))
        table.extend(a + (b - a) * f for a, b in zip(rgb(first), rgb(second), strict=True))
    return pyvips.Image.new_from_memory(table.tobytes(), RAMP_STEPS, 1, 3, "float")


def ramp(t: Image, *stops: Stop) -> Image:
    """Colour `t` (one band, clamped to 0..1) by the gradient through `stops`: three bands."""
    return (t.clamp() * (RAMP_STEPS - 1)).rint().cast("ushort").maplut(_gradient(stops))


def mix(under: Image, over: Image | list[float], mask: Image) -> Image:
    """Lay `over` upon `under` where `mask` (one band) is 1."""
    return under * (1 - mask) + mask * over


def stand(under: Image, over: Image, depth: Image) -> Image:
    """Put `over` before `under` where `depth`, picture heights below its upper edge, is above 0."""
    return mix(under, over, (depth * under.height).clamp())


def glow(under: Image, light: Image, colour: list[float]) -> Image:
    """Add `light` (one band, 0..1) like a second exposure: never past white."""
    return 1 - (1 - under) * (1 - light * colour)


def step(low: float, high: float, value: Image) -> Image:
    """Return a smooth step from 0 at `low` to 1 at `high` (which may be the lower number)."""
    t = ((value - low) / (high - low)).clamp().copy_memory()
    return t * t * (3 - 2 * t)


def distance(x: Image, y: Image, centre: Point) -> Image:
    """Return how far from `centre` a pixel is; held in memory, as libvips shares no pixels."""
    dx, dy = x - centre[0], y - centre[1]
    return ((dx * dx + dy * dy) ** 0.5).copy_memory()


def shape(width: int, height: int, polygons: Iterable[list[Point]]) -> Image:
    """Return an anti-aliased mask (one band, 0..1) of polygons given in picture heights."""
    import pyvips
    from PIL import Image as Pillow
    from PIL import ImageDraw

    sheet = Pillow.new("L", (width * 2, height * 2))
    pen = ImageDraw.Draw(sheet)
    for polygon in polygons:
        pen.polygon([(x * height * 2, y * height * 2) for x, y in polygon], fill=255)
    mask = pyvips.Image.new_from_memory(sheet.tobytes(), width * 2, height * 2, 1, "uchar")
    return mask.shrink(2, 2) / 255


def skyline(width: int, height: int, cell: float, seed: int, *, ridged: bool = False) -> Image:
    """Return a mountain line, the same in every row (one band, about -0.5..0.5)."""
    band = fbm(width, 64, cell, seed, 8, ridged=ridged)
    return band.crop(0, 37, width, 1).copy_memory().replicate(1, height)


def plane(width: int, height: int, near: Image, seed: int, cell: float) -> Image:
    """Return noise on a plane seen in perspective; `near` is 0 at the horizon, 1 at our feet."""
    side = 1024  # pixels of the noise, mirrored beyond
    noise = fbm(side, side, cell, seed, 5).copy_memory()
    x, _ = grid(width, height)
    depth = 1 / near.clamp(min=0.012)
    across = (x - width / height / 2) * depth * 300 + side / 2
    place = across.bandjoin(depth * 260) % (2 * side - 4)
    return noise.mapim((place - (side - 2)).abs())


def relief(height: Image) -> Image:
    """Return how much a surface turns to a light at its upper right, about -0.3..0.3."""
    slope = [[0.0, 0, 0, 0, 1], [0.0] * 5, [-1.0, 0, 0, 0, 0]]
    return height.conv(slope, precision="float")


def where(condition: Image) -> Image:
    """Turn the 0 and 255 of a comparison into 0 and 1."""
    return condition / 255


def printed(painting: Image) -> Image:
    """Return a painting of three bands, or four with alpha, as 8-bit sRGB."""
    return (painting.clamp() * 255).rint().cast("uchar").copy(interpretation="srgb")


def develop(painting: Image, grain: float = 0.012, seed: int = 1) -> Image:
    """Darken the corners and add film grain (sigma in 0..1): a photograph in 8-bit sRGB."""
    import pyvips

    width, height = painting.width, painting.height
    x, y = grid(width, height)
    corner = distance(x, y, (width / height / 2, 0.5))
    noise = pyvips.Image.gaussnoise(width, height, sigma=grain, mean=0, seed=seed).gaussblur(0.6)
    return printed(painting * (1 - corner * corner * 0.22) + noise * 1.6)


def stars(width: int, height: int, seed: int) -> Image:
    """Return the few highest peaks of white noise, softened (one band)."""
    import pyvips

    noise = pyvips.Image.gaussnoise(width, height, sigma=1, mean=0, seed=seed)
    return ((noise - 3.25).clamp(max=2) * 2.4).gaussblur(0.8) * 2.2

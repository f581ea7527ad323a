"""The demo bucket: sixteen pictures painted by code, so that a stranger has something to resize.

Rule: nothing is downloaded and nothing is left to chance (every noise has a fixed seed). A painting
is a float image with three bands in 0..1, built lazily from a small vocabulary (`_grid`, `_fbm`,
`_ramp`, `_mix`, `_plane`, ...), and only `_develop` or `_paint` makes 8-bit sRGB of it. Points are
measured in picture heights from the top left corner, so that circles are round. pyvips is imported
inside functions: the server reads the table `PICTURES` but must never load libvips itself, which
is why the bucket is made in a child process, `python -m vipsgate.demo FOLDER`.
"""

from __future__ import annotations

import functools
import math
import os
import random
import shutil
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pyvips import Image

Point = tuple[float, float]
Stop = tuple[float, str]  # position 0..1, colour "#rrggbb"

BUCKET = "demo"  # the sub-folder of the made folder, hence the first part of a demo URL
RAMP_STEPS = 1024  # entries of a gradient's table: enough that grain hides the steps
FRAMES = 16  # of each animation
FRAME_MS = 60  # milliseconds a frame is shown
WARM = [1.0, 0.78, 0.46]  # RGB of low sunlight


# --- vocabulary -----------------------------------------------------------------------------------


def _grid(width: int, height: int) -> tuple[Image, Image]:
    """Return x and y of every pixel's centre, one band each, in picture heights."""
    import pyvips

    xy = pyvips.Image.xyz(width, height)
    return (xy[0] + 0.5) / height, (xy[1] + 0.5) / height


def _fbm(
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


def _rgb(colour: str) -> list[float]:
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
        table.extend(a + (b - a) * f for a, b in zip(_rgb(first), _rgb(second), strict=True))
    return pyvips.Image.new_from_memory(table.tobytes(), RAMP_STEPS, 1, 3, "float")


def _ramp(t: Image, *stops: Stop) -> Image:
    """Colour `t` (one band, clamped to 0..1) by the gradient through `stops`: three bands."""
    return (t.clamp() * (RAMP_STEPS - 1)).rint().cast("ushort").maplut(_gradient(stops))


def _mix(under: Image, over: Image | list[float], mask: Image) -> Image:
    """Lay `over` upon `under` where `mask` (one band) is 1."""
    return under * (1 - mask) + mask * over


def _stand(under: Image, over: Image, depth: Image) -> Image:
    """Put `over` before `under` where `depth`, picture heights below its upper edge, is above 0."""
    return _mix(under, over, (depth * under.height).clamp())


def _glow(under: Image, light: Image, colour: list[float]) -> Image:
    """Add `light` (one band, 0..1) like a second exposure: never past white."""
    return 1 - (1 - under) * (1 - light * colour)


def _step(low: float, high: float, value: Image) -> Image:
    """Return a smooth step from 0 at `low` to 1 at `high` (which may be the lower number)."""
    t = ((value - low) / (high - low)).clamp().copy_memory()
    return t * t * (3 - 2 * t)


def _far(x: Image, y: Image, centre: Point) -> Image:
    """Return how far from `centre` a pixel is; held in memory, as libvips shares no pixels."""
    dx, dy = x - centre[0], y - centre[1]
    return ((dx * dx + dy * dy) ** 0.5).copy_memory()


def _shape(width: int, height: int, polygons: Iterable[list[Point]]) -> Image:
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


def _skyline(width: int, height: int, cell: float, seed: int, *, ridged: bool = False) -> Image:
    """Return a mountain line, the same in every row (one band, about -0.5..0.5)."""
    band = _fbm(width, 64, cell, seed, 8, ridged=ridged)
    return band.crop(0, 37, width, 1).copy_memory().replicate(1, height)


def _plane(width: int, height: int, near: Image, seed: int, cell: float) -> Image:
    """Return noise on a plane seen in perspective; `near` is 0 at the horizon, 1 at our feet."""
    side = 1024  # pixels of the noise, mirrored beyond
    noise = _fbm(side, side, cell, seed, 5).copy_memory()
    x, _ = _grid(width, height)
    depth = 1 / near.clamp(min=0.012)
    across = (x - width / height / 2) * depth * 300 + side / 2
    place = across.bandjoin(depth * 260) % (2 * side - 4)
    return noise.mapim((place - (side - 2)).abs())


def _relief(height: Image) -> Image:
    """Return how much a surface turns to a light at its upper right, about -0.3..0.3."""
    slope = [[0.0, 0, 0, 0, 1], [0.0] * 5, [-1.0, 0, 0, 0, 0]]
    return height.conv(slope, precision="float")


def _where(condition: Image) -> Image:
    """Turn the 0 and 255 of a comparison into 0 and 1."""
    return condition / 255


def _paint(painting: Image) -> Image:
    """Return a painting of three bands, or four with alpha, as 8-bit sRGB."""
    return (painting.clamp() * 255).rint().cast("uchar").copy(interpretation="srgb")


def _develop(painting: Image, grain: float = 0.012, seed: int = 1) -> Image:
    """Darken the corners and add film grain (sigma in 0..1): a photograph in 8-bit sRGB."""
    import pyvips

    width, height = painting.width, painting.height
    x, y = _grid(width, height)
    corner = _far(x, y, (width / height / 2, 0.5))
    noise = pyvips.Image.gaussnoise(width, height, sigma=grain, mean=0, seed=seed).gaussblur(0.6)
    return _paint(painting * (1 - corner * corner * 0.22) + noise * 1.6)


def _firs(seed: int, count: int, right: float, ground: float, tall: float) -> list[list[Point]]:
    """Return the polygons of `count` fir trees from x 0 to `right`, taller towards the sides."""
    dice = random.Random(seed)
    trees = []
    for _ in range(count):
        x = dice.uniform(-0.02, right + 0.02)
        side = abs(x / right - 0.5) * 2
        size = tall * dice.uniform(0.35, 1) * (0.3 + 0.7 * side**2)
        foot = ground + 0.05 * (1 - side) + dice.uniform(0, 0.03)
        tree: list[Point] = [(x, foot - size)]
        tiers = 14
        for hand in (1, -1):
            arm = [
                (x + hand * size * 0.20 * (i / tiers) ** 0.9 * grow, foot - size * (1 - i / tiers))
                for i in range(1, tiers)
                for grow in (dice.uniform(0.85, 1.15), 0.5)
            ]
            tree += [*arm, (x + hand * size * 0.02, foot - 0.06 * size)][::hand]
        trees.append(tree)
    return trees


# --- landscapes -----------------------------------------------------------------------------------


def mountains() -> Image:
    """Ridge behind ridge in the morning mist, with firs in front: 2400x1600."""
    width, height = 2400, 1600
    x, y = _grid(width, height)
    sun = _far(x, y, (0.98, 0.30))
    canvas = _ramp(
        y / 0.62,
        (0, "#35588a"), (0.35, "#7d9dbf"), (0.62, "#dfc5b4"), (0.85, "#f7c78d"), (1, "#fbd9a6"),
    )  # fmt: skip
    cloud = _step(0.02, 0.5, _plane(width, height, 1 - y / 0.62, 11, 256)) * _step(0.5, 0.1, y)
    canvas = _mix(canvas, _ramp(sun, (0, "#fff1d6"), (0.5, "#f6dac6"), (1, "#c4cddd")), cloud * 0.6)
    canvas = _glow(canvas, (sun * -3.0).exp() * 0.6 + (sun * -16).exp() * 0.5, WARM)
    canvas = _mix(canvas, [1, 0.985, 0.93], _step(0.036, 0.0335, sun))
    layers = [  # where the mist lies, how high peaks rise above it, feature in pixels, colours
        (0.60, 0.23, 1100, "#a3a3bd", "#f6d5ae"), (0.66, 0.20, 800, "#8690af", "#eecdb0"),
        (0.73, 0.19, 900, "#66789c", "#d8bfb4"), (0.81, 0.19, 700, "#465d84", "#b3a9b4"),
        (0.90, 0.17, 1000, "#2b4266", "#8489a0"), (1.00, 0.17, 800, "#182b45", "#4f5f7a"),
    ]  # fmt: skip
    for i, (base, rise, cell, near, mist) in enumerate(layers):
        top = int((base - rise * 1.1) * height)  # nothing of this layer is above: save the work
        rows = height - top
        down, shine = (band.crop(0, top, width, rows) for band in (y, sun))
        line = base - rise * (0.35 + _skyline(width, rows, cell, 31 + i, ridged=True))
        rough = _fbm(width // 2, rows // 4 + 1, 130, 51 + i, 5, ridged=True).resize(2, vscale=4)
        light = _relief(rough).crop(0, 0, width, rows)
        drift = _fbm(width // 8, rows // 8 + 1, 62, 71 + i, 4).resize(8).crop(0, 0, width, rows)
        fog = _step(base - rise * 0.75, base + 0.03, down + drift * 0.06)
        rock = _ramp(fog, (0, near), (1, mist)) * (1 + light * (1 - fog))
        rock = _glow(rock, (shine * -2.6).exp() * (0.40 - 0.06 * i), WARM)
        canvas = canvas.copy_memory()
        behind = canvas.crop(0, top, width, rows)
        canvas = canvas.insert(_mix(behind, rock, ((down - line) * height).clamp()), 0, top)
    firs = _shape(width, height, _firs(4, 150, 1.5, 1.0, 0.36))
    return _develop(_mix(canvas, _rgb("#0b1826"), firs), 0.014, 5)


def _water(canvas: Image, level: float, rough: float, deep: str, glint: tuple[float, str]) -> Image:
    """Flood `canvas` below `level`: waves up to `rough` high bend the mirror image.

    `glint` is the x of the sun or the moon and the colour of the path it lays upon the waves.
    """
    canvas = canvas.copy_memory()
    width, height = canvas.width, canvas.height
    x, y = _grid(width, height)
    near = ((y - level) / (1 - level)).clamp()
    waves = _plane(width, height, near, 7, 80) * 0.7 + _plane(width, height, near**0.6, 8, 30)
    waves = (waves + _plane(width, height, near**0.8, 9, 14) * 0.5 * near).copy_memory()
    mirrored = (level - (y - level) * 0.8 + waves * rough * (0.1 + near)).clamp(max=level - 0.004)
    there = (x + waves * rough * 0.1).clamp(max=(width - 2) / height).bandjoin(mirrored.clamp())
    mirror = canvas.mapim(there * height, extend="copy")
    seen = _mix(mirror, _rgb(deep), (0.12 + near * 0.5 + waves * 0.25).clamp())
    path = ((x - glint[0]) / (0.05 + near * 0.22)) ** 2 * -1
    seen = _glow(seen, _step(0.12, 0.4, waves) * path.exp() * (1 - near) * 0.9, _rgb(glint[1]))
    return _stand(canvas, seen, y - level)


def sea() -> Image:
    """A sunset over water, its clouds and its waves two planes in perspective: 1600x1067."""
    width, height = 1600, 1067
    x, y = _grid(width, height)
    level = 0.56
    sun = _far(x, y, (0.62, 0.49))
    canvas = _ramp(
        y / level,
        (0, "#27305c"), (0.35, "#6a4a7d"), (0.62, "#c8626a"), (0.84, "#f79a55"), (1, "#ffd183"),
    )  # fmt: skip
    deck = _plane(width, height, ((level - y) / level).clamp() ** 0.9, 23, 200)
    lit = _ramp(sun / 0.9, (0, "#ffe3a3"), (0.3, "#ff9a5e"), (0.65, "#b4506b"), (1, "#4b3a68"))
    canvas = _mix(canvas, lit, _step(-0.06, 0.30, deck) * 0.85 * _step(level, level - 0.12, y))
    canvas = _glow(canvas, (sun * -3.5).exp() * 0.75 + (sun * -14).exp() * 0.5, WARM)
    canvas = _mix(canvas, [1, 0.96, 0.78], _step(0.047, 0.044, sun))
    return _develop(_water(canvas, level, 0.12, "#1f2650", (0.62, "#ffc878")), 0.012, 8)


def bay() -> Image:
    """A moonlit bay: 1280x853."""
    width, height = 1280, 853
    x, y = _grid(width, height)
    level = 0.58
    moon = _far(x, y, (1.06, 0.2))
    canvas = _ramp(y / level, (0, "#081226"), (0.5, "#17335a"), (1, "#4f7fa3"))
    canvas = canvas + _stars(width, height, 41) * _step(level, 0.1, y)
    canvas = _glow(canvas, (moon * -4).exp() * 0.5, [0.75, 0.87, 1])
    maria = 1 + _fbm(width, height, 50, 6, 4) * 0.35
    canvas = _mix(canvas, maria * [0.97, 0.96, 0.9], _step(0.062, 0.059, moon))
    for i, (rise, cell, colour) in enumerate(
        [(0.30, 700, "#2f5576"), (0.24, 520, "#1d3c59"), (0.15, 600, "#10253b")]
    ):
        line = level - rise * (0.3 + _skyline(width, height, cell, 62 + i, ridged=True))
        haze = _ramp((y - line) / 0.3, (0, colour), (1, "#4a7898"))
        canvas = _stand(canvas, haze, y - line)
    return _develop(_water(canvas, level, 0.10, "#06101f", (1.06, "#bcd4ec")), 0.012, 9)


def _stars(width: int, height: int, seed: int) -> Image:
    """Return the few highest peaks of white noise, softened (one band)."""
    import pyvips

    noise = pyvips.Image.gaussnoise(width, height, sigma=1, mean=0, seed=seed)
    return ((noise - 3.25).clamp(max=2) * 2.4).gaussblur(0.8) * 2.2


def lake() -> Image:
    """The West Lake of Hangzhou at sunrise, with a pagoda upon its shore: 1500x1000."""
    width, height = 1500, 1000
    x, y = _grid(width, height)
    level = 0.62
    sun = _far(x, y, (0.47, 0.44))
    canvas = _ramp(y / level, (0, "#8fb0c9"), (0.45, "#e8cdc6"), (0.8, "#fbc9a4"), (1, "#ffe0b3"))
    canvas = _glow(canvas, (sun * -3.5).exp() * 0.6, WARM)
    canvas = _mix(canvas, [1, 0.62, 0.40], _step(0.042, 0.040, sun) * 0.85)
    for i, (rise, cell, colour) in enumerate(
        [(0.20, 1100, "#c3a9b0"), (0.16, 900, "#a08fa3"), (0.11, 1000, "#746f88")]
    ):
        line = level - rise * (0.55 + 1.2 * _skyline(width, height, cell, 85 + i))
        hill = _ramp(_step(0, rise * 0.9, y - line), (0, colour), (1, "#f3cdb2"))
        canvas = _stand(canvas, hill, y - line)
    shore = level + 0.012 - _step(0.85, 1.25, x) * 0.075 + _skyline(width, height, 50, 93) * 0.02
    bank = ((y - shore) * height).clamp() + _shape(width, height, _pagoda(1.22, level - 0.05, 0.30))
    canvas = _mix(canvas, _rgb("#3d3446"), bank.clamp())
    return _develop(_water(canvas, level, 0.07, "#7d7690", (0.47, "#ff9a66")), 0.010, 10)


def _pagoda(x: float, foot: float, tall: float) -> list[list[Point]]:
    """Return a five-storeyed tower standing at `x`, `foot`: a spire, walls and swung eaves."""
    halves = [[(0.003, foot - tall * 0.75), (0.0, foot - tall)]]
    storey = tall * 0.16
    for i in range(5):
        top, half = foot - storey * (i + 1), tall * (0.125 - 0.015 * i)
        halves.append([(half, top + storey), (half * 0.9, top)])
        eave = [(1.3, 0.42), (2.0, 0.06), (1.4, 0.2), (0.6, -0.14)]  # half walls, storeys
        halves.append([(half * a, top + storey * b) for a, b in eave])
    return [[(x + a, b) for a, b in h] + [(x - a, b) for a, b in h[::-1]] for h in halves]


def aurora() -> Image:
    """Three curtains of northern light above snow: 1200x800."""
    width, height = 1200, 800
    _, y = _grid(width, height)
    canvas = _ramp(y / 0.8, (0, "#050a1c"), (0.6, "#0a2338"), (1, "#174a55"))
    canvas = canvas + _stars(width, height, 43)
    for i, (base, sway, tall, power) in enumerate(
        [(0.30, 0.16, 0.20, 0.55), (0.46, 0.20, 0.30, 0.95), (0.60, 0.10, 0.16, 0.5)]
    ):
        foot = base + sway * (2.2 * _skyline(width, height, 900, 101 + i))
        rise = foot - y + _skyline(width, height, 160, 111 + i) * 0.06
        rays = 1 + 1.6 * _skyline(width, height, 46, 121 + i)
        rays = rays * (1 + 1.2 * _skyline(width, height, 400, 131 + i))
        light = _step(-0.03, 0.03, rise) * ((rise.clamp(min=0) / tall) * -1.6).exp() * rays * power
        high = rise / tall / 2
        hue = _ramp(high, (0, "#40ffb0"), (0.3, "#00ff70"), (0.65, "#20a0ff"), (1, "#d020ff"))
        canvas = 1 - (1 - canvas) * (1 - hue * light.clamp())
    snow = 0.83 + _skyline(width, height, 700, 141) * 0.10
    ground = _ramp((y - snow) / 0.2, (0, "#5fb9a8"), (0.5, "#2a6a78"), (1, "#123448"))
    canvas = _stand(canvas, ground, y - snow)
    canvas = _mix(canvas, _rgb("#03090f"), _shape(width, height, _firs(9, 46, 1.5, 0.9, 0.42)))
    return _develop(canvas, 0.010, 11)


def dunes() -> Image:
    """Sand with ripples on its lit sides, its steep sides in shadow: 1200x800."""
    width, height = 1200, 800
    x, y = _grid(width, height)
    canvas = _ramp(y / 0.4, (0, "#4f93c4"), (1, "#f6dfc0"))
    canvas = _glow(canvas, (_far(x, y, (0.1, 0.3)) * -2.5).exp() * 0.6, WARM)
    layers = [(0.37, 0.09, 0.7), (0.45, 0.16, 0.95), (0.60, 0.26, 1.3), (0.86, 0.34, 1.9)]
    for i, (base, rise, wide) in enumerate(layers):
        phase = (x / wide + (0.31, 0.75, 0.22, 0.62)[i]) % 1
        lean = (phase / 0.62).clamp() * ((1 - phase) / 0.38).clamp()  # a slow and a steep side
        crest = base - rise * _step(0, 1.0, lean) - _skyline(width, height, 500, 151 + i) * 0.03
        depth = y - crest
        edge = phase - 0.62 + (depth * 500).sin() * 0.02 - depth * 0.75 / wide
        shade = _step(-0.004, 0.006 + i * 0.002, edge) * _step(0.97, 0.70, phase)
        drift = _fbm(width, height, 220, 161 + i, 3) * 0.30
        ripple = ((y * 3.2 + x * 0.5 + drift) * 5200).sin()  # of degrees, as libvips counts
        sand = _ramp(depth / 0.5, (0, "#f3bd74"), (0.4, "#dd9350"), (1, "#a85f35"))
        sand = sand * (1 + ripple * 0.018 * i)
        sand = _mix(sand, _ramp(depth / 0.4, (0, "#6b3a35"), (1, "#94553c")), shade * 0.9)
        sand = _mix(sand, _rgb("#f6dfc0"), x * 0 + (0.55, 0.3, 0.1, 0)[i])
        canvas = _stand(canvas, sand, depth)
    return _develop(canvas, 0.014, 12)


def _iron(x: float) -> list[list[Point]]:
    """Return the roof, the posts and the gallery of a lantern room that stands at `x`."""
    parts = [
        [(-0.056, 0.296), (0.056, 0.296), (0.056, 0.306), (-0.056, 0.306)],
        [(-0.030, 0.228), (0.030, 0.228), (0.016, 0.205), (0.0, 0.190), (-0.016, 0.205)],
        *([(a, 0.226), (a + 0.004, 0.226), (a + 0.004, 0.3), (a, 0.3)] for a in (-0.026, 0.022)),
        *([(a, 0.280), (a + 0.002, 0.280), (a + 0.002, 0.3), (a, 0.3)] for a in (-0.055, 0.053)),
        [(-0.055, 0.279), (0.055, 0.279), (0.055, 0.282), (-0.055, 0.282)],
    ]
    return [[(x + a, b) for a, b in part] for part in parts]


def lighthouse() -> Image:
    """A lighthouse at dusk, with an up and a down nobody can mistake: 900x1200."""
    width, height = 900, 1200
    x, y = _grid(width, height)
    level = 0.80
    canvas = _ramp(
        y / level,
        (0, "#0d1738"), (0.45, "#2b3f73"), (0.75, "#8a6a94"), (0.92, "#e59a86"), (1, "#f8c795"),
    )  # fmt: skip
    canvas = canvas + _stars(width, height, 44) * _step(0.5, 0.0, y)
    lamp = (0.42, 0.262)
    far = _far(x, y, lamp)
    for slope, flip in ((-0.16, 1), (-0.16, -1)):
        ahead = (x - lamp[0]) * flip
        wide = 0.004 + ahead.abs() * 0.11
        off = (y - lamp[1] - (x - lamp[0]) * slope).abs() / wide
        beam = _step(1.0, 0.2, off) * _where(ahead > 0) * (far * -1.9).exp()
        canvas = _glow(canvas, beam * 0.75, [1, 0.93, 0.7])
    sea = _ramp((y - level) / 0.2, (0, "#c99a92"), (0.2, "#5d5f86"), (1, "#131d3d"))
    sea = sea * (1 + _plane(width, height, ((y - level) / 0.2).clamp(), 171, 60) * 0.7)
    canvas = _stand(canvas, sea, y - level)
    rock = 0.95 - _step(0.40, 0.05, (x - 0.40).abs()) * 0.20
    rock = rock + _skyline(width, height, 260, 181) * 0.11
    stone = _ramp((y - rock) / 0.25, (0, "#3b3549"), (0.25, "#221f33"), (1, "#0a0c1a"))
    stone = stone * (1 + _relief(_fbm(width, height // 2, 130, 182).resize(1, vscale=2)) * -4)
    tower = [(-0.058, 0.76), (-0.038, 0.30), (0.038, 0.30), (0.058, 0.76)]
    body = _shape(width, height, [[(lamp[0] + a, b) for a, b in tower]])
    side = (x - lamp[0]) / (0.038 + (y - 0.30) * 0.0435)  # -1 left edge .. 1 right edge
    bands = _step(-0.06, 0.06, ((y - 0.30) / 0.092 * 180).sin() * -1)
    paint = _mix(bands * 0 + _rgb("#f3e9df"), _rgb("#c5392f"), bands)
    paint = paint * (1.02 - _step(-0.7, 1.0, side) * 0.68) * (0.75 + 0.25 * (far * -3).exp())
    canvas = _mix(canvas, paint, body)
    canvas = _glow(canvas, (far * -9).exp() * 0.6 + _step(0.026, 0.012, far), [1, 0.92, 0.66])
    canvas = _mix(canvas, _rgb("#161829"), _shape(width, height, _iron(lamp[0])))
    return _develop(_stand(canvas, stone, y - rock), 0.014, 13)


def moon() -> Image:
    """The moon: one band of 16 bits, 640x640."""
    import pyvips

    side = 640
    x, y = _grid(side, side)
    a, b = (x - 0.5) / 0.44, (y - 0.5) / 0.44
    out = (a * a + b * b) ** 0.5
    lift = _fbm(side, side, 130, 191, 7) * 0.16
    for i in range(5):
        cell = 150 / 1.75**i
        r = pyvips.Image.worley(side, side, cell_size=round(cell), seed=195 + i) / (cell * 0.18)
        bowl = (r * r - 1).clamp(min=-1, max=0) * 0.7 + (((r - 1) * 4.5) ** 2 * -1).exp() * 0.35
        lift = lift + bowl * cell / 150 * 0.6
    slope = _relief(lift.gaussblur(0.8)) * -2.5
    globe = (1 - (out * out).clamp()) ** 0.5
    sun = (a * -0.50 + b * -0.26 + globe * 0.83).clamp()
    maria = 0.62 + _step(-0.12, 0.18, _fbm(side, side, 240, 199, 5)) * 0.33
    light = (sun**0.6 * maria * (1 - slope * 0.55)).clamp() * _step(1.0, 0.992, out)
    noise = pyvips.Image.gaussnoise(side, side, sigma=0.002, mean=0.004, seed=14)
    return ((light + noise).clamp() * 65535).rint().cast("ushort").copy(interpretation="grey16")


# --- things ---------------------------------------------------------------------------------------


def _lights(width: int, height: int) -> Image:
    """Return a meadow out of focus: round spots of light on greens."""
    dice = random.Random(21)
    x, y = _grid(width // 4, height // 4)  # sharpness would be wasted on it
    shade = y + _fbm(width // 4, height // 4, 100, 201, 3) * 0.6
    back = _ramp(shade, (0, "#9dbb6a"), (1, "#1d3a24"))
    for _ in range(44):
        spot, size = (dice.uniform(0, 1.33), dice.uniform(0, 1)), dice.uniform(0.03, 0.085)
        glass = dice.choice(["#ffe08a", "#ff9fb0", "#d8f0a0", "#ffd0e0", "#b06fd0"])
        far = _far(x, y, spot)
        disc = _step(size, size * 0.93, far) * (0.6 + 0.4 * far / size)
        back = _glow(back, disc * dice.uniform(0.08, 0.34), _rgb(glass))
    return back.resize(4, kernel="cubic").gaussblur(2)


def _petal(long: float, wide: float, reach: float, angle: float) -> list[Point]:
    """Return the outline of a petal pointing away from the origin, `reach` away from it."""
    c, s = math.cos(angle), math.sin(angle)
    outline = []
    for degrees in range(0, 360, 15):
        t = math.radians(degrees)
        along = reach + math.cos(t) * long
        across = math.sin(t) * wide * (1 - 0.35 * math.cos(t))  # pointed at the outer end
        outline.append((along * c - across * s, along * s + across * c))
    return outline


def garden() -> Image:
    """A dahlia, its petals laid from the rim inwards by the golden angle: 1200x900."""
    import pyvips
    from PIL import Image as Pillow
    from PIL import ImageDraw

    width, height, centre = 1200, 900, (0.62, 0.5)
    petals, heart, rim = 260, (255, 190, 90), (226, 52, 106)  # colours 0..255
    sheet = Pillow.new("RGBA", (width * 2, height * 2))  # halved at the end for smooth edges
    pen = ImageDraw.Draw(sheet)
    dice = random.Random(22)
    for i in range(petals, 0, -1):
        f = i / petals
        long, wide = 0.04 + 0.10 * f, 0.012 + 0.028 * f
        tone = dice.uniform(0.92, 1.04) * (0.8 + 0.2 * f)
        hue = [(1 - f) * a + f * b for a, b in zip(heart, rim, strict=True)]
        for inner in range(5):  # from the dark rim of a petal to its light middle
            part = 1 - inner * 2 / 11
            light = tone * (0.55 + 0.60 * (inner / 4) ** 0.8)
            reach = 0.40 * f**0.62 - long * 0.35
            outline = _petal(long * part, wide * part, reach, i * math.pi * (3 - math.sqrt(5)))
            (cx, cy), size = centre, height * 2
            ring = [((cx + a) * size, (cy + b) * size) for a, b in outline]
            red, green, blue = (min(255, round(c * light)) for c in hue)
            pen.polygon(ring, fill=(red, green, blue, 255))
    flower = pyvips.Image.new_from_memory(sheet.tobytes(), *sheet.size, 4, "uchar").shrink(2, 2)
    shadow = flower[3].gaussblur(18).wrap(x=-14, y=-22) / 255
    canvas = _mix(_lights(width, height), _rgb("#10220f"), shadow * 0.55)
    return _develop(_mix(canvas, flower[:3] / 255, flower[3] / 255), 0.012, 22)


def logo() -> Image:
    """A gate of three arches; within the innermost stands what the gate serves, a picture."""
    x, y = _grid(480, 480)
    dx, dy = (x - 0.5).abs(), y - 0.46
    edge = 480  # pixels of a picture height: an edge is one pixel soft

    def arch(half: float) -> Image:
        return (half - (dx**2 + dy.clamp(min=-9, max=0) ** 2) ** 0.5).clamp(min=-1)

    foot = ((0.94 - y) * edge + 0.5).clamp()
    inside = [(arch(half) * edge + 0.5).clamp() * foot for half in (0.42, 0.335, 0.29, 0.205, 0.16)]
    t = (y - 0.04) / 0.9 + (x - 0.5) * 0.25
    outer = _ramp(t, (0, "#6a5cff"), (0.5, "#3d7bff"), (1, "#12b5cb"))
    inner = _ramp(t, (0, "#b06bff"), (0.5, "#6f8bff"), (1, "#35d0c8"))
    view = _ramp((y - 0.3) / 0.64, (0, "#ff8a5c"), (0.45, "#ffc46b"), (1, "#ffe9b8"))
    view = _mix(view, [1, 0.97, 0.88], ((0.055 - _far(x, y, (0.545, 0.47))) * edge + 0.5).clamp())
    for peak, top, colour in ((0.58, 0.62, "#7a5bd6"), (0.43, 0.68, "#3b3f9e")):
        view = _mix(view, _rgb(colour), ((y - top - (x - peak).abs() * 0.9) * edge * 0.75).clamp())
    solid = _mix(_mix(outer, inner, inside[2]), view, inside[4])
    alpha = (inside[0] - inside[1]) + (inside[2] - inside[3]) + inside[4]
    return _paint(solid.bandjoin(alpha))


def leaf() -> Image:
    """Three leaves lying on nothing: half-transparent shadows fall through the alpha band."""
    width, height = 1024, 768
    x, y = _grid(width, height)
    layers = []
    for at, angle, size, stops in [
        ((0.40, 0.40), 152, 0.62, ("#f2c14e", "#d98324", "#8f3f1a")),
        ((0.99, 0.40), 28, 0.64, ("#d8434e", "#a8242f", "#5c1020")),
        ((0.68, 0.53), 268, 0.64, ("#9ac25b", "#4f8f3a", "#1f4f2a")),
    ]:
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        u = ((x - at[0]) * c + (y - at[1]) * s) / size + 0.5  # 0 at the stalk, 1 at the tip
        v = ((y - at[1]) * c - (x - at[0]) * s) / size
        v = v + ((u - 0.5) ** 2) * 0.12  # a leaf is never straight
        along = u.clamp()
        teeth = ((u * 34 + v.abs() * 40) % 1 - 0.5).abs() * 0.016
        half = 0.52 * (along**0.75) * (1 - along) ** 0.85 + teeth * (along * (1 - along) * 4)
        blade = ((half - v.abs()) * size * height).clamp() * _where(u > 0) * _where(u < 1)
        stalk = ((0.011 - v.abs() - (u + 0.16) * 0.006) * size * height).clamp()
        stalk = stalk * _where(u > -0.16) * _where(u < 0.9)
        side = ((u - v.abs() * 0.95) * 11) % 1  # side veins run forward from the middle one
        rib = ((side - 0.5).abs() * -26 + 1.0).clamp() * _where(along < 0.95) * 0.55
        cup = _step(0, 1, side) * (1 - side)  # each field between veins bulges
        tone = v.abs() / half.clamp(min=0.01) * 0.75 + _fbm(width, height, 160, angle, 5) * 0.5
        colour = _ramp(tone, (0, stops[0]), (0.5, stops[1]), (1, stops[2]))
        colour = colour * (0.92 + cup * 0.35) * (1 + _step(-0.01, 0.01, v) * 0.14)
        colour = _mix(colour, [min(1.0, a * 1.15 + 0.08) for a in _rgb(stops[0])], rib.clamp())
        colour = _mix(colour, [a * 0.85 + 0.1 for a in _rgb(stops[0])], stalk)
        alpha = (blade + stalk).clamp()
        shadow = alpha.gaussblur(16).wrap(x=-16, y=-26) * 0.42
        dark = (colour * 0 + _rgb("#1a120c")).bandjoin(shadow)
        layers += [_paint(dark), _paint(colour.bandjoin(alpha))]
    return layers[0].composite(layers[1:], "over")


def palette() -> Image:
    """A hiking map: flat tints of height between brown contour lines."""
    width, height = 900, 675
    x, y = _grid(width, height)
    rise = _fbm(width, height, 420, 224, 5).gaussblur(2) * 1.25
    rise = (rise + 0.42 - _far(x, y, (0.75, 0.45)) * 0.35).copy_memory()
    tints = ["#5a9fc4", "#84bcd6", "#b4d9e4", "#b9d69b", "#cfe0a8", "#e6e6b0", "#efd99a", "#e3bd7c",
             "#cf9c63", "#b98256", "#d9c8bc", "#f7f4f0"]  # fmt: skip
    band = (rise.clamp(min=0, max=0.999) * len(tints)).floor()
    last = len(tints) - 1
    flat = _ramp(band / last, *((i / last, tint) for i, tint in enumerate(tints)))
    fine = rise * len(tints) * 2
    steep = ((fine - fine.copy_memory().wrap(x=1)) ** 2 + (fine - fine.wrap(y=1)) ** 2) ** 0.5
    line = ((fine - fine.rint()).abs() / steep.clamp(min=0.03) * -1 + 1.1).clamp()
    line = line * _where(rise > 0.25) * (0.35 + _where(fine.rint() % 4 < 1) * 0.45)
    return _paint(_mix(flat, _rgb("#6b4a2f"), line.clamp()))


def chart() -> Image:
    """Bars and a line on a dark card: no letters, so no font is needed."""
    width, height = 800, 500
    x, y = _grid(width, height)
    canvas = _ramp(y + x * 0.2, (0, "#1b2036"), (1, "#12152a"))
    canvas = _mix(canvas, _rgb("#39405f"), _where((y * 8) % 1 < 0.025) * _where(y > 0.1))
    dice = random.Random(31)
    tops = [0.78 - 0.042 * i - dice.uniform(-0.06, 0.06) for i in range(12)]
    lefts = [0.13 + 0.115 * i for i in range(12)]
    outline = [(0, 0), (0.008, -0.008), (0.062, -0.008), (0.07, 0)]
    bars = [
        [(a, 0.9), *((a + dx, t + dy) for dx, dy in outline), (a + 0.07, 0.9)]
        for a, t in zip(lefts, tops, strict=True)
    ]
    tint = _ramp((y - 0.2) / 0.7, (0, "#ff7eb6"), (0.45, "#a56eff"), (1, "#33b1ff"))
    canvas = _mix(canvas, tint, _shape(width, height, bars))
    dots = [(a + 0.035, t - dice.uniform(0.09, 0.14)) for a, t in zip(lefts, tops, strict=True)]
    line = [(a, b - 0.004) for a, b in dots] + [(a, b + 0.004) for a, b in reversed(dots)]
    canvas = _mix(canvas, _rgb("#ffd479"), _shape(width, height, [line]))
    for dot in dots:
        canvas = _mix(canvas, _rgb("#fff3d0"), ((0.013 - _far(x, y, dot)) * height + 0.5).clamp())
    return _paint(canvas)


# --- animations -----------------------------------------------------------------------------------


def _reel(width: int, height: int) -> tuple[Image, Image, Image]:
    """Return x, y (in heights of a frame) and the time 0..1 of every pixel of all frames.

    Frames lie one below another, as libvips holds an animation, and are painted in one pass.
    """
    x, down = _grid(width, height * FRAMES)
    down = down * FRAMES
    return x * FRAMES, down % 1, down.floor() / FRAMES


def _film(painting: Image) -> Image:
    """Return the frames of `_reel` as 8-bit sRGB that knows it is an animation."""
    import pyvips

    film = _paint(painting)
    film.set_type(pyvips.GValue.gint_type, "page-height", film.height // FRAMES)
    film.set_type(pyvips.GValue.gint_type, "loop", 0)  # for ever
    film.set_type(pyvips.GValue.array_int_type, "delay", [FRAME_MS] * FRAMES)
    return film


def spinner() -> Image:
    """Twelve beads, the largest of which runs round; the ground is transparent."""
    side, beads = 240, 12
    x, y, time = _reel(side, side)
    colour = _ramp((x + y) / 2, (0.1, "#6a5cff"), (0.5, "#3d7bff"), (0.9, "#12b5cb"))
    alpha = x * 0
    for bead in range(beads):
        turn = bead / beads * 2 * math.pi
        young = 1 - (time - bead / beads + 1) % 1  # 1: the largest just now
        spot = (0.5 + 0.36 * math.sin(turn), 0.5 - 0.36 * math.cos(turn))
        alpha = alpha + ((0.022 + young * young * 0.05 - _far(x, y, spot)) * side + 0.5).clamp()
    return _film(colour.bandjoin(_where(alpha > 0.5)))  # GIF knows no half-transparent pixel


def waves() -> Image:
    """A rolling sea in five cut papers; each moves by a whole number of waves, so it loops."""
    width, height = 480, 320
    x, y, time = _reel(width, height)
    canvas = _ramp(y / 0.7, (0, "#2d2a5e"), (0.5, "#a4508b"), (1, "#ffb88c"))
    canvas = _mix(canvas, [1, 0.91, 0.72], _step(0.132, 0.128, _far(x, y, (0.95, 0.42))))
    turn = time * 360  # degrees, as libvips counts
    for i, colour in enumerate(["#6d4c91", "#4f4a93", "#35478a", "#203a74", "#10264f"]):
        swell = (x * (190 + 40 * i) + turn * (-1) ** i + 70 * i).sin() * (0.026 + 0.006 * i)
        swell = swell + (x * 410 - turn + 130 * i).sin() * 0.012 + (turn + 80 * i).sin() * 0.012
        depth = (y - (0.50 + 0.105 * i) - swell).copy_memory()
        canvas = canvas * (1 - (depth / 0.03 + 1).clamp() * 0.14)  # the shadow on the paper behind
        paper = _ramp(depth / 0.3, (0, colour), (1, "#0b1a3a"))
        paper = _mix(paper, [1, 1, 1], _step(0.02, 0, depth) * 0.16)
        canvas = _mix(canvas, paper, (depth * height + 0.5).clamp())
    return _film(canvas)


# --- the bucket -----------------------------------------------------------------------------------


def phone() -> Image:
    """The lighthouse as a phone held upright stores it: on its side, with a note which side."""
    import pyvips
    from PIL import Image as Pillow
    from PIL.ExifTags import GPS, IFD, Base

    exif = Pillow.Exif()
    exif[Base.Make], exif[Base.Model] = "Vipsgate", "Demo Phone"
    exif[Base.DateTime] = "2024:06:21 21:47:00"
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = exif[Base.DateTime]
    place = exif.get_ifd(IFD.GPSInfo)  # Peggys Cove, Nova Scotia; degrees, minutes, seconds
    place[GPS.GPSLatitudeRef], place[GPS.GPSLatitude] = "N", (44.0, 29.0, 30.5)
    place[GPS.GPSLongitudeRef], place[GPS.GPSLongitude] = "W", (63.0, 55.0, 6.6)
    sideways = lighthouse().rot270()
    sideways.set_type(pyvips.GValue.blob_type, "exif-data", exif.tobytes())
    sideways.set_type(pyvips.GValue.gint_type, "orientation", 6)  # turn right by 90 degrees
    return sideways


def wide() -> Image:
    """The aurora's numbers read as Display P3: greens that sRGB cannot say."""
    import pyvips

    picture = aurora()
    profile = pyvips.Image.profile_load("p3")
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return picture


def cmyk() -> Image:
    """The dunes as a printer sends them: four bands of ink and their profile."""
    return dunes().icc_transform("cmyk", input_profile="srgb", intent="perceptual")


def notes() -> str:
    """The text of a file that is no picture."""
    return (
        "This is not a picture.\n\n"
        "Fetched plainly, a file like this one is served as it is.\n"
        "Asked to become a thumbnail, it is refused, and the answer says why.\n"
    )


class Picture(NamedTuple):
    """A row of the table: what a stranger reads, how it is made, how libvips writes it."""

    line: str
    paint: Callable[[], Image | str]
    options: str = ""  # of libvips' saver for the key's suffix


PICTURES: dict[str, Picture] = {
    "mountains.jpg": Picture("ridges in the morning mist, 2400x1600", mountains, "[Q=90]"),
    "sea.jpg": Picture("sunset over water, progressive JPEG", sea, "[Q=85,interlace=true]"),
    "portrait-phone.jpg": Picture("a lighthouse on its side, EXIF and GPS", phone, "[Q=85]"),
    "logo.png": Picture("the gate, PNG with smooth edges in its alpha", logo),
    "leaf.png": Picture("three leaves with half-transparent shadows", leaf),
    "palette.png": Picture("a hiking map, 8-bit palette PNG", palette, "[palette=true,dither=0]"),
    "wide-gamut.jpg": Picture("an aurora in Display P3", wide, "[Q=85]"),
    "cmyk.jpg": Picture("dunes in CMYK, as printers send them", cmyk, "[Q=80]"),
    "spinner.gif": Picture("16 transparent frames, GIF", spinner, "[dither=0,effort=3]"),
    "waves.webp": Picture("16 looping frames, WebP", waves, "[Q=70,effort=2]"),
    "bay.webp": Picture("a moonlit bay, WebP", bay, "[Q=80,effort=2]"),
    "chart.bmp": Picture("bars and a line, uncompressed BMP", chart),
    "scan.tiff": Picture(
        "the moon in 16-bit grey, TIFF with LZW", moon, "[compression=lzw,predictor=horizontal]"
    ),
    "garden.avif": Picture("a dahlia before lights out of focus, AVIF", garden, "[Q=60,effort=1]"),
    "notes.txt": Picture("not a picture at all", notes),
    "travel/西湖 sunrise.jpg": Picture("a key with a space and Chinese", lake, "[Q=85]"),
}


def _write(bucket: Path, key: str) -> None:
    from PIL import Image as Pillow

    picture, path = PICTURES[key], bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    made = picture.paint()
    if isinstance(made, str):
        path.write_text(made, encoding="utf-8")
    elif path.suffix == ".bmp":  # libvips has no BMP saver
        size = (made.width, made.height)
        Pillow.frombytes("RGB", size, made.write_to_memory()).save(path)
    else:
        made.write_to_file(f"{path}{picture.options}")


def make(folder: Path) -> None:
    """Make `folder` with the bucket in it, whole or not at all; leave it alone if it exists.

    The work is done in a hidden sibling which is renamed at the end. A killed run leaves only such
    a sibling behind; the next run does not touch it, as it might belong to a run still going on.
    """
    if folder.exists():
        return
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        with ThreadPoolExecutor(2) as pool:  # libvips works outside Python's lock
            list(pool.map(functools.partial(_write, building / BUCKET), PICTURES))
        building.chmod(0o755)  # mkdtemp makes it private
        os.rename(building, folder)
    except OSError:
        if not (folder / BUCKET).exists():  # if it does, another run was faster: as good
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]))

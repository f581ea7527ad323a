"""Paints a landscape for every seed, which takes as much to decode and encode as a photograph.

It has detail at all scales, and grain.

Strategy: large shapes are painted in a small picture. A field has the vertical position of each
pixel, with noise added. It is enlarged by a power of two, gets finer noise from a tile, and is
mapped to colours by a table. A jump in the table is a ridge, which is sharp at every size. So each
pixel takes one interpolation, two tiles and a look-up, however large the picture is.

Rule: pixels are equal on every machine. Random numbers come from seeds, arithmetic is limited to
what IEEE 754 defines to the last bit (no powers, no sines), and no pixel depends on how libvips
divides the work.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from ..formats.codecs import CODECS
from .scene import Scene

if TYPE_CHECKING:
    from pyvips import Image

SIDE = 512  # side of a tile of noise in pixels; tiles join without a visible seam
COARSE = 256  # longest side of the small picture, in pixels, before it is enlarged
UNITS = 2048  # values of the field from top to bottom, and entries of the table of colours
LARGE = (128, 64, 32, 16, 8, 4, 2, 1)  # wavelengths of noise for shapes, in pixels
SMALL = (32, 16, 8, 4, 2, 1)  # likewise, for surfaces
PAN = 4  # an animation moves by a quarter of its width, and back
DELAY = 60  # milliseconds for which a frame is shown
SHADES = 6  # the product of roughness and shade is divided by 2**6

Colour = tuple[float, ...]  # red, green, blue, and roughness of the surface, all 0-255
Stop = tuple[float, Colour]  # a position in the field, 0-1, and its colour
# colours of zenith, sky, horizon, mist and near ground
PALETTES = (
    ("2b4c7e", "7fa3c7", "f3d9b1", "c9c3bd", "26331f"),  # a clear morning
    ("1b2a49", "b5546a", "ffc98b", "b98a8f", "1d1522"),  # the sun has just gone
    ("3a7bd5", "8fc1ea", "e8f3fa", "a9c4d4", "2d4a22"),  # noon
    ("5f7d95", "a7b8c2", "dfe3e2", "b4bcbd", "2a3336"),  # rain
    ("0d1b3e", "28477f", "7d9cc0", "3f5c86", "060d18"),  # a moonlit night
    ("7a4b2a", "d89a5b", "ffe3b0", "d9a878", "3d2417"),  # dust
    ("27496d", "e88d67", "ffe0a3", "a9798a", "182436"),  # evening
    ("4a8fa8", "a5d5d0", "fdf6e3", "9fbfae", "123b33"),  # woods by the sea
)


def paint(scene: Scene, descriptor: int, watch: Callable[[Image], None]) -> str:
    """Paint a picture and write it to an empty file. Return its MIME type.

    Args:
        scene: The picture.
        descriptor: Descriptor of the file, which must be seekable and readable for some encoders.
        watch: Called with each image before it is computed, so that the work can be cancelled.
    """
    image = _animation(scene, watch) if scene.frames > 1 else _still(scene)
    codec = CODECS[scene.format]
    watch(image)
    codec.save(image, descriptor, scene.frame)
    return codec.mime


def _still(scene: Scene) -> Image:
    image = _land(scene.width, scene.height, scene.seed)
    return image.bandjoin(_petals(scene)) if scene.frame.alpha else image


def _animation(scene: Scene, watch: Callable[[Image], None]) -> Image:
    """Return all frames, one below the other: a window that moves over a wider picture and back."""
    import pyvips

    width, height, frames = scene.width, scene.height, scene.frames
    way = max(width // PAN, frames)
    wide = _land(width + way, height, scene.seed)
    watch(wide)
    wide = wide.copy_memory()
    # the window moves forth in one half of the time, back in the other, and has no position twice,
    # because an encoder would join two equal frames
    times = [4 * number + 1 for number in range(frames)]
    places = [way * min(time, 4 * frames - time) // (2 * frames) for time in times]
    animation = pyvips.Image.arrayjoin(
        [wide.crop(place, 0, width, height) for place in places], across=1
    ).copy()
    animation.set_type(pyvips.GValue.gint_type, "page-height", height)
    animation.set_type(pyvips.GValue.gint_type, "loop", 0)  # for ever
    animation.set_type(pyvips.GValue.array_int_type, "delay", [DELAY] * frames)
    return animation


def _land(width: int, height: int, seed: int) -> Image:
    """Return a landscape of sky, clouds, sun and ridges: 8-bit sRGB, not computed yet."""
    import pyvips

    chance = random.Random(seed).random
    scale = _scale(width, height)
    across, down = -(-width // scale) + 2, -(-height // scale) + 2
    rough = UNITS * (0.05 + 0.09 * chance())

    here = pyvips.Image.xyz(across, down)
    shapes = _tiled(_shapes(), across, down // 2 + 2, chance)
    shapes = shapes.affine([1, 0, 0, 2], interpolate=_interpolator()).crop(0, 0, across, down)
    field = here[1] * (UNITS * scale / height) + shapes * rough
    sun = 0.15 + 0.7 * chance(), 0.08 + 0.14 * chance()
    x, y = ((here[i] * scale - [width, height][i] * sun[i]) / height for i in (0, 1))
    far = (x * x + y * y) * (60 + 240 * chance())
    shade = _tiled(_shapes(), across, down, chance) * 40 + 420 / (1 + far * far)
    coarse = _enlarged(field.bandjoin(shade), scale, width, height)

    fine = (_shapes() * (0.6 * rough / scale)).rint().cast("short").copy_memory()
    field = (coarse[0] + _tiled(fine, width, height, chance)).cast("ushort")
    colours = field.maplut(_colours(chance))
    grain = (coarse[1] + _tiled(_surfaces(), width, height, chance)).cast("short")
    lit = colours.extract_band(0, n=3) + ((colours[3] * grain) >> SHADES)
    return lit.cast("uchar").copy(interpretation="srgb")


def _petals(scene: Scene) -> Image:
    """Return a mask of one band: five petals that fill the picture, with a soft shadow."""
    import pyvips

    width, height = scene.width, scene.height
    scale = _scale(width, height)
    here = pyvips.Image.xyz(-(-width // scale) + 2, -(-height // scale) + 2)
    # coordinates from -1 to 1 across the picture
    x, y = ((here[i] + 0.5 / scale) * (2 * scale / [width, height][i]) - 1 for i in (0, 1))
    xx, yy = x * x, y * y
    square = xx + yy + 1e-6
    # the cosine of five times the angle, from the real part of a fifth power, times the distance
    turned = (xx * xx - 10 * xx * yy + 5 * yy * yy) * x / (square * square)
    far = square / (1 + turned * 0.3) * 400  # square of the distance, 400 at the border
    steps = [(0.0, 255), (200.0, 255), (200.0 + max(4.0, 1600 / min(width, height)), 110)]
    table = _table([(at / 1024, (value,)) for at, value in [*steps, (420.0, 0)]], 1024)
    return _enlarged(far, scale, width, height).cast("ushort").maplut(table)


def _colours(chance: Callable[[], float]) -> Image:
    """Return the table from the field to colour and roughness, in four bands."""
    names = PALETTES[int(chance() * len(PALETTES))]
    zenith, middle, horizon, mist, near = (
        tuple(float(int(name[i : i + 2], 16)) for i in (0, 2, 4)) for name in names
    )
    white, skyline = (255.0, 250.0, 244.0), 0.34 + 0.18 * chance()

    def sky(part: float) -> Colour:
        return (
            _mixed(zenith, middle, part * 2)
            if part < 0.5
            else _mixed(middle, horizon, part * 2 - 1)
        )

    stops: list[Stop] = [(0.0, (*zenith, 8))]
    part = 0.05 + 0.1 * chance()
    while part < 0.85:  # veils of cloud
        width, light = 0.1 + 0.2 * chance(), 0.1 + 0.25 * chance()
        stops.append((part * skyline, (*sky(part), 8)))
        middle_of = part + width / 2
        stops.append((middle_of * skyline, (*_mixed(sky(min(1, middle_of)), white, light), 12)))
        part += width
        stops.append((part * skyline, (*sky(min(1, part)), 8)))
        part += 0.02 + 0.1 * chance()
    at, count = skyline, 4 + int(3 * chance())
    stops.append((at, (*horizon, 8)))
    for number in range(1, count + 1):  # ridges, the far ones in the mist
        part = number / count
        edge, rough = _mixed(mist, near, part * (0.5 + 0.45 * part)), 16 + 28 * part
        stops.append((at, (*edge, rough)))
        at += (1 - skyline) * part * 2 / count
        stops.append((at, (*_mixed(edge, mist, 0.5 - 0.25 * part), rough * 0.8)))
    return _table(stops, UNITS)


def _mixed(one: Colour, other: Colour, part: float) -> Colour:
    return tuple(a + (b - a) * part for a, b in zip(one, other, strict=True))


def _table(stops: Sequence[Stop], entries: int) -> Image:
    """Return a table that is linear between stops, and jumps where two have the same position."""
    import pyvips

    bands = len(stops[0][1])
    result = bytearray(entries * bands)
    for (low, first), (high, second) in pairwise([*stops, (2.0, stops[-1][1])]):
        begin, end = (min(entries, math.ceil(at * entries)) for at in (low, high))
        for band, (one, other) in enumerate(zip(first, second, strict=True)):
            if begin < end:
                step = (other - one) / ((high - low) * entries)
                values = [int(one + step * (at - low * entries)) for at in range(begin, end)]
                result[begin * bands + band : end * bands : bands] = bytes(values)
    return pyvips.Image.new_from_memory(bytes(result), entries, 1, bands, "uchar")


# -- noise -----------------------------------------------------------------------------------------


@cache
def _shapes() -> Image:
    """Return a tile of noise, about -1 to 1, whose amplitude is proportional to the wavelength."""
    return _noise(1, ((wave, wave / LARGE[0]) for wave in LARGE))


@cache
def _surfaces() -> Image:
    """Return a tile of noise for surfaces, in which all wavelengths have similar amplitudes."""
    return (
        _noise(2, ((wave, 24.0 if wave < 4 else 17.0) for wave in SMALL))
        .rint()
        .cast("short")
        .copy_memory()
    )


def _noise(seed: int, waves: Iterable[tuple[int, float]]) -> Image:
    import pyvips

    return pyvips.Image.sum([_wave(wave, seed) * high for wave, high in waves]).copy_memory()


def _wave(wave: int, seed: int) -> Image:
    """Return noise of one wavelength, a power of two; its nodes have a standard deviation of 1."""
    import pyvips

    count, margin = SIDE // wave, 2
    noise = pyvips.Image.gaussnoise(count, count, mean=0, sigma=1, seed=seed * 1000 + wave)
    if wave == 1:
        return noise
    around = noise.copy_memory().replicate(3, 3)
    start, side = count - margin, count + 2 * margin
    around = around.crop(start, start, side, side).copy_memory()
    smooth = around.affine([wave, 0, 0, wave], interpolate=_interpolator("bicubic"))
    return smooth.crop(margin * wave, margin * wave, SIDE, SIDE)


def _tiled(tile: Image, width: int, height: int, chance: Callable[[], float]) -> Image:
    """Return a picture that is filled with a tile, from a random position of the tile on."""
    x, y = int(chance() * SIDE), int(chance() * SIDE)
    many = tile.replicate((x + width) // SIDE + 1, (y + height) // SIDE + 1)
    return many.crop(x, y, width, height)


def _scale(width: int, height: int) -> int:
    """Return how much smaller a picture is painted: a power of two, so positions are exact."""
    scale = 1
    while max(width, height) > COARSE * scale:
        scale *= 2
    return scale


def _enlarged(image: Image, scale: int, width: int, height: int) -> Image:
    held = image.cast("float").copy_memory()
    if scale > 1:
        held = held.affine([scale, 0, 0, scale], interpolate=_interpolator())
    return held.crop(0, 0, width, height)


def _interpolator(name: str = "bilinear") -> object:
    import pyvips

    return pyvips.Interpolate.new(name)

"""Pictures of the water: sea, bay, lake and lighthouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .brush import (
    WARM,
    Point,
    develop,
    distance,
    fbm,
    glow,
    grid,
    mix,
    plane,
    ramp,
    relief,
    rgb,
    shape,
    skyline,
    stand,
    stars,
    step,
    where,
)

if TYPE_CHECKING:
    from pyvips import Image


def _water(canvas: Image, level: float, rough: float, deep: str, glint: tuple[float, str]) -> Image:
    """Flood `canvas` below `level`: waves up to `rough` high bend the mirror image.

    `glint` is the x of the sun or the moon and the colour of the path it lays upon the waves.
    """
    canvas = canvas.copy_memory()
    width, height = canvas.width, canvas.height
    x, y = grid(width, height)
    near = ((y - level) / (1 - level)).clamp()
    waves = plane(width, height, near, 7, 80) * 0.7 + plane(width, height, near**0.6, 8, 30)
    waves = (waves + plane(width, height, near**0.8, 9, 14) * 0.5 * near).copy_memory()
    mirrored = (level - (y - level) * 0.8 + waves * rough * (0.1 + near)).clamp(max=level - 0.004)
    there = (x + waves * rough * 0.1).clamp(max=(width - 2) / height).bandjoin(mirrored.clamp())
    mirror = canvas.mapim(there * height, extend="copy")
    seen = mix(mirror, rgb(deep), (0.12 + near * 0.5 + waves * 0.25).clamp())
    path = ((x - glint[0]) / (0.05 + near * 0.22)) ** 2 * -1
    seen = glow(seen, step(0.12, 0.4, waves) * path.exp() * (1 - near) * 0.9, rgb(glint[1]))
    return stand(canvas, seen, y - level)


def sea() -> Image:
    """A sunset over water, its clouds and its waves two planes in perspective: 1600x1067."""
    width, height = 1600, 1067
    x, y = grid(width, height)
    level = 0.56
    sun = distance(x, y, (0.62, 0.49))
    canvas = ramp(
        y / level,
        (0, "#27305c"), (0.35, "#6a4a7d"), (0.62, "#c8626a"), (0.84, "#f79a55"), (1, "#ffd183"),
    )  # fmt: skip
    deck = plane(width, height, ((level - y) / level).clamp() ** 0.9, 23, 200)
    lit = ramp(sun / 0.9, (0, "#ffe3a3"), (0.3, "#ff9a5e"), (0.65, "#b4506b"), (1, "#4b3a68"))
    canvas = mix(canvas, lit, step(-0.06, 0.30, deck) * 0.85 * step(level, level - 0.12, y))
    canvas = glow(canvas, (sun * -3.5).exp() * 0.75 + (sun * -14).exp() * 0.5, WARM)
    canvas = mix(canvas, [1, 0.96, 0.78], step(0.047, 0.044, sun))
    return develop(_water(canvas, level, 0.12, "#1f2650", (0.62, "#ffc878")), 0.012, 8)


def bay() -> Image:
    """A moonlit bay: 1280x853."""
    width, height = 1280, 853
    x, y = grid(width, height)
    level = 0.58
    moon = distance(x, y, (1.06, 0.2))
    canvas = ramp(y / level, (0, "#081226"), (0.5, "#17335a"), (1, "#4f7fa3"))
    canvas = canvas + stars(width, height, 41) * step(level, 0.1, y)
    canvas = glow(canvas, (moon * -4).exp() * 0.5, [0.75, 0.87, 1])
    maria = 1 + fbm(width, height, 50, 6, 4) * 0.35
    canvas = mix(canvas, maria * [0.97, 0.96, 0.9], step(0.062, 0.059, moon))
    for i, (rise, cell, colour) in enumerate(
        [(0.30, 700, "#2f5576"), (0.24, 520, "#1d3c59"), (0.15, 600, "#10253b")]
    ):
        line = level - rise * (0.3 + skyline(width, height, cell, 62 + i, ridged=True))
        haze = ramp((y - line) / 0.3, (0, colour), (1, "#4a7898"))
        canvas = stand(canvas, haze, y - line)
    return develop(_water(canvas, level, 0.10, "#06101f", (1.06, "#bcd4ec")), 0.012, 9)


def lake() -> Image:
    """The West Lake of Hangzhou at sunrise, with a pagoda upon its shore: 1500x1000."""
    width, height = 1500, 1000
    x, y = grid(width, height)
    level = 0.62
    sun = distance(x, y, (0.47, 0.44))
    canvas = ramp(y / level, (0, "#8fb0c9"), (0.45, "#e8cdc6"), (0.8, "#fbc9a4"), (1, "#ffe0b3"))
    canvas = glow(canvas, (sun * -3.5).exp() * 0.6, WARM)
    canvas = mix(canvas, [1, 0.62, 0.40], step(0.042, 0.040, sun) * 0.85)
    for i, (rise, cell, colour) in enumerate(
        [(0.20, 1100, "#c3a9b0"), (0.16, 900, "#a08fa3"), (0.11, 1000, "#746f88")]
    ):
        line = level - rise * (0.55 + 1.2 * skyline(width, height, cell, 85 + i))
        hill = ramp(step(0, rise * 0.9, y - line), (0, colour), (1, "#f3cdb2"))
        canvas = stand(canvas, hill, y - line)
    shore = level + 0.012 - step(0.85, 1.25, x) * 0.075 + skyline(width, height, 50, 93) * 0.02
    bank = ((y - shore) * height).clamp() + shape(width, height, _pagoda(1.22, level - 0.05, 0.30))
    canvas = mix(canvas, rgb("#3d3446"), bank.clamp())
    return develop(_water(canvas, level, 0.07, "#7d7690", (0.47, "#ff9a66")), 0.010, 10)


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
    x, y = grid(width, height)
    level = 0.80
    canvas = ramp(
        y / level,
        (0, "#0d1738"), (0.45, "#2b3f73"), (0.75, "#8a6a94"), (0.92, "#e59a86"), (1, "#f8c795"),
    )  # fmt: skip
    canvas = canvas + stars(width, height, 44) * step(0.5, 0.0, y)
    lamp = (0.42, 0.262)
    far = distance(x, y, lamp)
    for slope, flip in ((-0.16, 1), (-0.16, -1)):
        ahead = (x - lamp[0]) * flip
        wide = 0.004 + ahead.abs() * 0.11
        off = (y - lamp[1] - (x - lamp[0]) * slope).abs() / wide
        beam = step(1.0, 0.2, off) * where(ahead > 0) * (far * -1.9).exp()
        canvas = glow(canvas, beam * 0.75, [1, 0.93, 0.7])
    sea = ramp((y - level) / 0.2, (0, "#c99a92"), (0.2, "#5d5f86"), (1, "#131d3d"))
    sea = sea * (1 + plane(width, height, ((y - level) / 0.2).clamp(), 171, 60) * 0.7)
    canvas = stand(canvas, sea, y - level)
    rock = 0.95 - step(0.40, 0.05, (x - 0.40).abs()) * 0.20
    rock = rock + skyline(width, height, 260, 181) * 0.11
    stone = ramp((y - rock) / 0.25, (0, "#3b3549"), (0.25, "#221f33"), (1, "#0a0c1a"))
    stone = stone * (1 + relief(fbm(width, height // 2, 130, 182).resize(1, vscale=2)) * -4)
    tower = [(-0.058, 0.76), (-0.038, 0.30), (0.038, 0.30), (0.058, 0.76)]
    body = shape(width, height, [[(lamp[0] + a, b) for a, b in tower]])
    side = (x - lamp[0]) / (0.038 + (y - 0.30) * 0.0435)  # -1 left edge .. 1 right edge
    bands = step(-0.06, 0.06, ((y - 0.30) / 0.092 * 180).sin() * -1)
    paint = mix(bands * 0 + rgb("#f3e9df"), rgb("#c5392f"), bands)
    paint = paint * (1.02 - step(-0.7, 1.0, side) * 0.68) * (0.75 + 0.25 * (far * -3).exp())
    canvas = mix(canvas, paint, body)
    canvas = glow(canvas, (far * -9).exp() * 0.6 + step(0.026, 0.012, far), [1, 0.92, 0.66])
    canvas = mix(canvas, rgb("#161829"), shape(width, height, _iron(lamp[0])))
    return develop(stand(canvas, stone, y - rock), 0.014, 13)

"""Dry land, its sky and the moon above it."""

from __future__ import annotations

import random
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
)

if TYPE_CHECKING:
    from pyvips import Image


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


def mountains() -> Image:
    """Ridge behind ridge in the morning mist, with firs in front: 2400x1600."""
    width, height = 2400, 1600
    x, y = grid(width, height)
    sun = distance(x, y, (0.98, 0.30))
    canvas = ramp(
        y / 0.62,
        (0, "#35588a"), (0.35, "#7d9dbf"), (0.62, "#dfc5b4"), (0.85, "#f7c78d"), (1, "#fbd9a6"),
    )  # fmt: skip
    cloud = step(0.02, 0.5, plane(width, height, 1 - y / 0.62, 11, 256)) * step(0.5, 0.1, y)
    canvas = mix(canvas, ramp(sun, (0, "#fff1d6"), (0.5, "#f6dac6"), (1, "#c4cddd")), cloud * 0.6)
    canvas = glow(canvas, (sun * -3.0).exp() * 0.6 + (sun * -16).exp() * 0.5, WARM)
    canvas = mix(canvas, [1, 0.985, 0.93], step(0.036, 0.0335, sun))
    layers = [  # where the mist lies, how high peaks rise above it, feature in pixels, colours
        (0.60, 0.23, 1100, "#a3a3bd", "#f6d5ae"), (0.66, 0.20, 800, "#8690af", "#eecdb0"),
        (0.73, 0.19, 900, "#66789c", "#d8bfb4"), (0.81, 0.19, 700, "#465d84", "#b3a9b4"),
        (0.90, 0.17, 1000, "#2b4266", "#8489a0"), (1.00, 0.17, 800, "#182b45", "#4f5f7a"),
    ]  # fmt: skip
    for i, (base, rise, cell, near, mist) in enumerate(layers):
        top = int((base - rise * 1.1) * height)  # nothing of this layer is above: save the work
        rows = height - top
        down, shine = (band.crop(0, top, width, rows) for band in (y, sun))
        line = base - rise * (0.35 + skyline(width, rows, cell, 31 + i, ridged=True))
        rough = fbm(width // 2, rows // 4 + 1, 130, 51 + i, 5, ridged=True).resize(2, vscale=4)
        light = relief(rough).crop(0, 0, width, rows)
        drift = fbm(width // 8, rows // 8 + 1, 62, 71 + i, 4).resize(8).crop(0, 0, width, rows)
        fog = step(base - rise * 0.75, base + 0.03, down + drift * 0.06)
        rock = ramp(fog, (0, near), (1, mist)) * (1 + light * (1 - fog))
        rock = glow(rock, (shine * -2.6).exp() * (0.40 - 0.06 * i), WARM)
        canvas = canvas.copy_memory()
        behind = canvas.crop(0, top, width, rows)
        canvas = canvas.insert(mix(behind, rock, ((down - line) * height).clamp()), 0, top)
    firs = shape(width, height, _firs(4, 150, 1.5, 1.0, 0.36))
    return develop(mix(canvas, rgb("#0b1826"), firs), 0.014, 5)


def aurora() -> Image:
    """Three curtains of northern light above snow: 1200x800."""
    width, height = 1200, 800
    _, y = grid(width, height)
    canvas = ramp(y / 0.8, (0, "#050a1c"), (0.6, "#0a2338"), (1, "#174a55"))
    canvas = canvas + stars(width, height, 43)
    for i, (base, sway, tall, power) in enumerate(
        [(0.30, 0.16, 0.20, 0.55), (0.46, 0.20, 0.30, 0.95), (0.60, 0.10, 0.16, 0.5)]
    ):
        foot = base + sway * (2.2 * skyline(width, height, 900, 101 + i))
        rise = foot - y + skyline(width, height, 160, 111 + i) * 0.06
        rays = 1 + 1.6 * skyline(width, height, 46, 121 + i)
        rays = rays * (1 + 1.2 * skyline(width, height, 400, 131 + i))
        light = step(-0.03, 0.03, rise) * ((rise.clamp(min=0) / tall) * -1.6).exp() * rays * power
        high = rise / tall / 2
        hue = ramp(high, (0, "#40ffb0"), (0.3, "#00ff70"), (0.65, "#20a0ff"), (1, "#d020ff"))
        canvas = 1 - (1 - canvas) * (1 - hue * light.clamp())
    snow = 0.83 + skyline(width, height, 700, 141) * 0.10
    ground = ramp((y - snow) / 0.2, (0, "#5fb9a8"), (0.5, "#2a6a78"), (1, "#123448"))
    canvas = stand(canvas, ground, y - snow)
    canvas = mix(canvas, rgb("#03090f"), shape(width, height, _firs(9, 46, 1.5, 0.9, 0.42)))
    return develop(canvas, 0.010, 11)


def dunes() -> Image:
    """Sand with ripples on its lit sides, its steep sides in shadow: 1200x800."""
    width, height = 1200, 800
    x, y = grid(width, height)
    canvas = ramp(y / 0.4, (0, "#4f93c4"), (1, "#f6dfc0"))
    canvas = glow(canvas, (distance(x, y, (0.1, 0.3)) * -2.5).exp() * 0.6, WARM)
    layers = [(0.37, 0.09, 0.7), (0.45, 0.16, 0.95), (0.60, 0.26, 1.3), (0.86, 0.34, 1.9)]
    for i, (base, rise, wide) in enumerate(layers):
        phase = (x / wide + (0.31, 0.75, 0.22, 0.62)[i]) % 1
        lean = (phase / 0.62).clamp() * ((1 - phase) / 0.38).clamp()  # a slow and a steep side
        crest = base - rise * step(0, 1.0, lean) - skyline(width, height, 500, 151 + i) * 0.03
        depth = y - crest
        edge = phase - 0.62 + (depth * 500).sin() * 0.02 - depth * 0.75 / wide
        shade = step(-0.004, 0.006 + i * 0.002, edge) * step(0.97, 0.70, phase)
        drift = fbm(width, height, 220, 161 + i, 3) * 0.30
        ripple = ((y * 3.2 + x * 0.5 + drift) * 5200).sin()  # of degrees, as libvips counts
        sand = ramp(depth / 0.5, (0, "#f3bd74"), (0.4, "#dd9350"), (1, "#a85f35"))
        sand = sand * (1 + ripple * 0.018 * i)
        sand = mix(sand, ramp(depth / 0.4, (0, "#6b3a35"), (1, "#94553c")), shade * 0.9)
        sand = mix(sand, rgb("#f6dfc0"), x * 0 + (0.55, 0.3, 0.1, 0)[i])
        canvas = stand(canvas, sand, depth)
    return develop(canvas, 0.014, 12)


def moon() -> Image:
    """The moon: one band of 16 bits, 640x640."""
    import pyvips

    side = 640
    x, y = grid(side, side)
    a, b = (x - 0.5) / 0.44, (y - 0.5) / 0.44
    out = (a * a + b * b) ** 0.5
    lift = fbm(side, side, 130, 191, 7) * 0.16
    for i in range(5):
        cell = 150 / 1.75**i
        r = pyvips.Image.worley(side, side, cell_size=round(cell), seed=195 + i) / (cell * 0.18)
        bowl = (r * r - 1).clamp(min=-1, max=0) * 0.7 + (((r - 1) * 4.5) ** 2 * -1).exp() * 0.35
        lift = lift + bowl * cell / 150 * 0.6
    slope = relief(lift.gaussblur(0.8)) * -2.5
    globe = (1 - (out * out).clamp()) ** 0.5
    sun = (a * -0.50 + b * -0.26 + globe * 0.83).clamp()
    maria = 0.62 + step(-0.12, 0.18, fbm(side, side, 240, 199, 5)) * 0.33
    light = (sun**0.6 * maria * (1 - slope * 0.55)).clamp() * step(1.0, 0.992, out)
    noise = pyvips.Image.gaussnoise(side, side, sigma=0.002, mean=0.004, seed=14)
    return ((light + noise).clamp() * 65535).rint().cast("ushort").copy(interpretation="grey16")

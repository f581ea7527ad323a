"""Things, drawn rather than seen: flower, sign, leaves, map and chart."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from .brush import (
    Point,
    develop,
    distance,
    fbm,
    glow,
    grid,
    mix,
    printed,
    ramp,
    rgb,
    shape,
    step,
    where,
)

if TYPE_CHECKING:
    from pyvips import Image


def _lights(width: int, height: int) -> Image:
    """Return a meadow out of focus: round spots of light on greens."""
    dice = random.Random(21)
    x, y = grid(width // 4, height // 4)  # sharpness would be wasted on it
    shade = y + fbm(width // 4, height // 4, 100, 201, 3) * 0.6
    back = ramp(shade, (0, "#9dbb6a"), (1, "#1d3a24"))
    for _ in range(44):
        spot, size = (dice.uniform(0, 1.33), dice.uniform(0, 1)), dice.uniform(0.03, 0.085)
        glass = dice.choice(["#ffe08a", "#ff9fb0", "#d8f0a0", "#ffd0e0", "#b06fd0"])
        far = distance(x, y, spot)
        disc = step(size, size * 0.93, far) * (0.6 + 0.4 * far / size)
        back = glow(back, disc * dice.uniform(0.08, 0.34), rgb(glass))
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
    canvas = mix(_lights(width, height), rgb("#10220f"), shadow * 0.55)
    return develop(mix(canvas, flower[:3] / 255, flower[3] / 255), 0.012, 22)


def logo() -> Image:
    """A gate of three arches; within the innermost stands what the gate serves, a picture."""
    x, y = grid(480, 480)
    dx, dy = (x - 0.5).abs(), y - 0.46
    edge = 480  # pixels of a picture height: an edge is one pixel soft

    def arch(half: float) -> Image:
        return (half - (dx**2 + dy.clamp(min=-9, max=0) ** 2) ** 0.5).clamp(min=-1)

    foot = ((0.94 - y) * edge + 0.5).clamp()
    inside = [(arch(half) * edge + 0.5).clamp() * foot for half in (0.42, 0.335, 0.29, 0.205, 0.16)]
    t = (y - 0.04) / 0.9 + (x - 0.5) * 0.25
    outer = ramp(t, (0, "#6a5cff"), (0.5, "#3d7bff"), (1, "#12b5cb"))
    inner = ramp(t, (0, "#b06bff"), (0.5, "#6f8bff"), (1, "#35d0c8"))
    view = ramp((y - 0.3) / 0.64, (0, "#ff8a5c"), (0.45, "#ffc46b"), (1, "#ffe9b8"))
    view = mix(
        view, [1, 0.97, 0.88], ((0.055 - distance(x, y, (0.545, 0.47))) * edge + 0.5).clamp()
    )
    for peak, top, colour in ((0.58, 0.62, "#7a5bd6"), (0.43, 0.68, "#3b3f9e")):
        view = mix(view, rgb(colour), ((y - top - (x - peak).abs() * 0.9) * edge * 0.75).clamp())
    solid = mix(mix(outer, inner, inside[2]), view, inside[4])
    alpha = (inside[0] - inside[1]) + (inside[2] - inside[3]) + inside[4]
    return printed(solid.bandjoin(alpha))


def leaf() -> Image:
    """Three leaves lying on nothing: half-transparent shadows fall through the alpha band."""
    width, height = 1024, 768
    x, y = grid(width, height)
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
        blade = ((half - v.abs()) * size * height).clamp() * where(u > 0) * where(u < 1)
        stalk = ((0.011 - v.abs() - (u + 0.16) * 0.006) * size * height).clamp()
        stalk = stalk * where(u > -0.16) * where(u < 0.9)
        side = ((u - v.abs() * 0.95) * 11) % 1  # side veins run forward from the middle one
        rib = ((side - 0.5).abs() * -26 + 1.0).clamp() * where(along < 0.95) * 0.55
        cup = step(0, 1, side) * (1 - side)  # each field between veins bulges
        tone = v.abs() / half.clamp(min=0.01) * 0.75 + fbm(width, height, 160, angle, 5) * 0.5
        colour = ramp(tone, (0, stops[0]), (0.5, stops[1]), (1, stops[2]))
        colour = colour * (0.92 + cup * 0.35) * (1 + step(-0.01, 0.01, v) * 0.14)
        colour = mix(colour, [min(1.0, a * 1.15 + 0.08) for a in rgb(stops[0])], rib.clamp())
        colour = mix(colour, [a * 0.85 + 0.1 for a in rgb(stops[0])], stalk)
        alpha = (blade + stalk).clamp()
        shadow = alpha.gaussblur(16).wrap(x=-16, y=-26) * 0.42
        dark = (colour * 0 + rgb("#1a120c")).bandjoin(shadow)
        layers += [printed(dark), printed(colour.bandjoin(alpha))]
    return layers[0].composite(layers[1:], "over")


def palette() -> Image:
    """A hiking map: flat tints of height between brown contour lines."""
    width, height = 900, 675
    x, y = grid(width, height)
    rise = fbm(width, height, 420, 224, 5).gaussblur(2) * 1.25
    rise = (rise + 0.42 - distance(x, y, (0.75, 0.45)) * 0.35).copy_memory()
    tints = ["#5a9fc4", "#84bcd6", "#b4d9e4", "#b9d69b", "#cfe0a8", "#e6e6b0", "#efd99a", "#e3bd7c",
             "#cf9c63", "#b98256", "#d9c8bc", "#f7f4f0"]  # fmt: skip
    band = (rise.clamp(min=0, max=0.999) * len(tints)).floor()
    last = len(tints) - 1
    flat = ramp(band / last, *((i / last, tint) for i, tint in enumerate(tints)))
    fine = rise * len(tints) * 2
    steep = ((fine - fine.copy_memory().wrap(x=1)) ** 2 + (fine - fine.wrap(y=1)) ** 2) ** 0.5
    line = ((fine - fine.rint()).abs() / steep.clamp(min=0.03) * -1 + 1.1).clamp()
    line = line * where(rise > 0.25) * (0.35 + where(fine.rint() % 4 < 1) * 0.45)
    return printed(mix(flat, rgb("#6b4a2f"), line.clamp()))


def chart() -> Image:
    """Bars and a line on a dark card: no letters, so no font is needed."""
    width, height = 800, 500
    x, y = grid(width, height)
    canvas = ramp(y + x * 0.2, (0, "#1b2036"), (1, "#12152a"))
    canvas = mix(canvas, rgb("#39405f"), where((y * 8) % 1 < 0.025) * where(y > 0.1))
    dice = random.Random(31)
    tops = [0.78 - 0.042 * i - dice.uniform(-0.06, 0.06) for i in range(12)]
    lefts = [0.13 + 0.115 * i for i in range(12)]
    outline = [(0, 0), (0.008, -0.008), (0.062, -0.008), (0.07, 0)]
    bars = [
        [(a, 0.9), *((a + dx, t + dy) for dx, dy in outline), (a + 0.07, 0.9)]
        for a, t in zip(lefts, tops, strict=True)
    ]
    tint = ramp((y - 0.2) / 0.7, (0, "#ff7eb6"), (0.45, "#a56eff"), (1, "#33b1ff"))
    canvas = mix(canvas, tint, shape(width, height, bars))
    dots = [(a + 0.035, t - dice.uniform(0.09, 0.14)) for a, t in zip(lefts, tops, strict=True)]
    line = [(a, b - 0.004) for a, b in dots] + [(a, b + 0.004) for a, b in reversed(dots)]
    canvas = mix(canvas, rgb("#ffd479"), shape(width, height, [line]))
    for dot in dots:
        canvas = mix(canvas, rgb("#fff3d0"), ((0.013 - distance(x, y, dot)) * height + 0.5).clamp())
    return printed(canvas)

"""BlurHash: a blurred picture as a text of 6 to 166 characters.

The result is that of Wolt's encoders in C and Swift (github.com/woltapp/blurhash, Algorithm.md).
The encoder in TypeScript scales by the highest component, not the strongest, and clips others.
"""

from __future__ import annotations

from math import copysign, floor, sqrt

from . import cosines

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
LIGHT = [
    v / 12.92 if (v := level / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
    for level in range(256)
]  # of sRGB's levels, 0-1


def encode(width: int, height: int, pixels: bytes, across: int, down: int) -> str:
    """The hash of a picture.

    Args:
        width: Pixels.
        height: Pixels.
        pixels: Red, green and blue of each, 0-255, row by row.
        across: Components, 1 to 9.
        down: Components, 1 to 9.
    """
    tables = [
        cosines.sums(
            [
                [LIGHT[level] for level in pixels[at + band : at + 3 * width : 3]]
                for at in range(0, len(pixels), 3 * width)
            ],
            cosines.waves(across, width, 0),
            cosines.waves(down, height, 0),
        )
        for band in range(3)
    ]
    mean, *rest = zip(*([mean for row in table for mean in row] for table in tables), strict=True)
    waves = [[2 * value for value in colours] for colours in rest]
    strongest = max((abs(value) for wave in waves for value in wave), default=0.0)
    scale = max(0, min(82, floor(strongest * 166 - 0.5)))
    text = _digits(across - 1 + (down - 1) * 9, 1) + _digits(scale, 1)
    red, green, blue = map(_level, mean)
    text += _digits(red << 16 | green << 8 | blue, 4)
    for wave in waves:
        red, green, blue = (_step(value * 166 / (scale + 1)) for value in wave)
        text += _digits((red * 19 + green) * 19 + blue, 2)
    return text


def _step(value: float) -> int:
    """Quantise -1 to 1 as 0-18, finer around 0."""
    return max(0, min(18, floor(copysign(sqrt(abs(value)), value) * 9 + 9.5)))


def _level(light: float) -> int:
    """Return the sRGB level, 0-255, of linear light 0-1."""
    light = max(0.0, min(1.0, light))
    value = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return int(value * 255 + 0.5)


def _digits(value: int, length: int) -> str:
    """Return a number in base 83."""
    return "".join(DIGITS[value // 83**place % 83] for place in reversed(range(length)))

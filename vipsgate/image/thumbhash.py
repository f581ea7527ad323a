"""ThumbHash: a small picture with its proportions and transparency in at most 25 bytes.

The result is that of the author's encoder in JavaScript (evanw.github.io/thumbhash), with one
difference: of a flat channel, components that are only rounding errors are written as 0. They have
no effect, as their scale is 0, and differ between implementations.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from typing import NamedTuple

from . import cosines

MAX_SIDE = 100  # pixels of what is encoded
NOISE = 1e-9  # of a channel's range; a step of the smallest scale is 1/63


class Waves(NamedTuple):
    """A channel: its mean, its components as 0-1, and their scale."""

    mean: float
    waves: list[float]
    scale: float


def encode(width: int, height: int, pixels: bytes) -> bytes:
    """Return the hash of a picture.

    Args:
        width: Pixels, 1 to 100.
        height: Pixels, 1 to 100.
        pixels: Red, green, blue and opacity of each, 0-255, row by row; not premultiplied.
    """
    red, green, blue, alpha = _channels(pixels)
    transparent = min(pixels[3::4]) < 255
    longest, most = max(width, height), 5 if transparent else 7
    across, down = (max(1, _round(most * side / longest)) for side in (width, height))
    light = [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)]
    yellow = [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)]
    redness = [r - g for r, g in zip(red, green, strict=True)]
    luminance = _waves(light, width, height, max(3, across), max(3, down))
    first, second = (_waves(channel, width, height, 3, 3) for channel in (yellow, redness))
    parts, wide = [luminance, first, second], width > height
    head = (
        _round(63 * luminance.mean)
        | _round(31.5 + 31.5 * first.mean) << 6
        | _round(31.5 + 31.5 * second.mean) << 12
        | _round(31 * luminance.scale) << 18
        | transparent << 23
    ).to_bytes(3, "little")
    head += (
        (down if wide else across)
        | _round(63 * first.scale) << 3
        | _round(63 * second.scale) << 9
        | wide << 15
    ).to_bytes(2, "little")
    if transparent:
        opacity = _waves(alpha, width, height, 5, 5)
        head += bytes((_round(15 * opacity.mean) | _round(15 * opacity.scale) << 4,))
        parts.append(opacity)
    steps = [_round(15 * wave) for part in parts for wave in part.waves]
    steps += [0] * (len(steps) % 2)
    return head + bytes(low | high << 4 for low, high in zip(*[iter(steps)] * 2, strict=True))


def _channels(pixels: bytes) -> Iterator[list[float]]:
    """Yield red, green and blue, 0-1, on the mean visible colour; and opacity."""
    alpha = [level / 255 for level in pixels[3::4]]
    total = sum(alpha)
    for band in range(3):
        levels = pixels[band::4]
        if total == len(alpha):
            yield [level / 255 for level in levels]
            continue
        weighed = [a / 255 * level for a, level in zip(alpha, levels, strict=True)]
        mean = sum(weighed) / total if total else 0.0
        yield [mean * (1 - a) + level for a, level in zip(alpha, weighed, strict=True)]
    yield alpha


def _waves(channel: list[float], width: int, height: int, across: int, down: int) -> Waves:
    rows = [channel[at : at + width] for at in range(0, len(channel), width)]
    table = cosines.sums(rows, cosines.waves(across, width, 0.5), cosines.waves(down, height, 0.5))
    # those below the diagonal of the table
    mean, *waves = (
        table[y][x] for y in range(down) for x in range(across) if x * down < across * (down - y)
    )
    scale = max(map(abs, waves))
    if scale < NOISE:
        return Waves(mean, [0.0] * len(waves), 0.0)
    return Waves(mean, [0.5 + 0.5 / scale * wave for wave in waves], scale)


def _round(value: float) -> int:
    """Round half up, as JavaScript does."""
    return floor(value + 0.5)

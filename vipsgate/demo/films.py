"""Animations: all frames of one are painted in one pass, one below another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .brush import distance, grid, mix, printed, ramp, step, where

if TYPE_CHECKING:
    from pyvips import Image

FRAMES = 16  # of each animation
FRAME_MS = 60  # milliseconds a frame is shown


def _reel(width: int, height: int) -> tuple[Image, Image, Image]:
    """Return x, y (in heights of a frame) and the time 0..1 of every pixel of all frames.

    Frames lie one below another, as libvips holds an animation, and are painted in one pass.
    """
    x, down = grid(width, height * FRAMES)
    down = down * FRAMES
    return x * FRAMES, down % 1, down.floor() / FRAMES


def _film(painting: Image) -> Image:
    """Return the frames of `_reel` as 8-bit sRGB that knows it is an animation."""
    import pyvips

    animation = printed(painting)
    animation.set_type(pyvips.GValue.gint_type, "page-height", animation.height // FRAMES)
    animation.set_type(pyvips.GValue.gint_type, "loop", 0)  # for ever
    animation.set_type(pyvips.GValue.array_int_type, "delay", [FRAME_MS] * FRAMES)
    return animation


def spinner() -> Image:
    """Twelve beads, the largest of which runs round; the ground is transparent."""
    side, beads = 240, 12
    x, y, time = _reel(side, side)
    colour = ramp((x + y) / 2, (0.1, "#6a5cff"), (0.5, "#3d7bff"), (0.9, "#12b5cb"))
    alpha = x * 0
    for bead in range(beads):
        turn = bead / beads * 2 * math.pi
        young = 1 - (time - bead / beads + 1) % 1  # 1: the largest just now
        spot = (0.5 + 0.36 * math.sin(turn), 0.5 - 0.36 * math.cos(turn))
        alpha = alpha + ((0.022 + young * young * 0.05 - distance(x, y, spot)) * side + 0.5).clamp()
    return _film(colour.bandjoin(where(alpha > 0.5)))  # GIF knows no half-transparent pixel


def waves() -> Image:
    """A rolling sea in five cut papers; each moves by a whole number of waves, so it loops."""
    width, height = 480, 320
    x, y, time = _reel(width, height)
    canvas = ramp(y / 0.7, (0, "#2d2a5e"), (0.5, "#a4508b"), (1, "#ffb88c"))
    canvas = mix(canvas, [1, 0.91, 0.72], step(0.132, 0.128, distance(x, y, (0.95, 0.42))))
    turn = time * 360  # degrees, as libvips counts
    for i, colour in enumerate(["#6d4c91", "#4f4a93", "#35478a", "#203a74", "#10264f"]):
        swell = (x * (190 + 40 * i) + turn * (-1) ** i + 70 * i).sin() * (0.026 + 0.006 * i)
        swell = swell + (x * 410 - turn + 130 * i).sin() * 0.012 + (turn + 80 * i).sin() * 0.012
        depth = (y - (0.50 + 0.105 * i) - swell).copy_memory()
        canvas = canvas * (1 - (depth / 0.03 + 1).clamp() * 0.14)  # the shadow on the paper behind
        paper = ramp(depth / 0.3, (0, colour), (1, "#0b1a3a"))
        paper = mix(paper, [1, 1, 1], step(0.02, 0, depth) * 0.16)
        canvas = mix(canvas, paper, (depth * height + 0.5).clamp())
    return _film(canvas)

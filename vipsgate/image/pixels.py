"""libvips calls that several actions share: scaling, canvases and turning, with alpha done right.

Colours are mixed by weight of their opacity, so a picture with alpha is premultiplied before its
pixels are averaged and put back after; one without alpha is never touched.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyvips import Image


def scaled(image: Image, width: int, height: int) -> Image:
    """The picture at exactly ``width`` by ``height`` pixels, Lanczos 3."""
    if (image.width, image.height) == (width, height):
        return image
    across, down = width / image.width, height / image.height
    return _weighted(image, lambda part: part.resize(across, vscale=down))


def on_canvas(image: Image, width: int, height: int, colour: list[int]) -> Image:
    """The picture in the middle of an opaque canvas; its own transparency shows the canvas."""
    if image.bands < 3 and len(set(colour)) > 1:
        image = image.colourspace("srgb")
    background = colour if image.bands > 2 else colour[:1]
    if image.hasalpha():
        image = image.flatten(background=background)
    left, top = (width - image.width) // 2, (height - image.height) // 2
    return image.embed(left, top, width, height, extend="background", background=background)


def turned(image: Image, angle: float, width: int, height: int) -> Image:
    """Turned clockwise by ``angle`` degrees around its middle, on a transparent canvas."""
    import pyvips  # only a renderer gets here; planning must do without

    if not image.hasalpha():
        image = image.addalpha()
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return _weighted(
        image,
        lambda part: part.affine(
            [cos, -sin, sin, cos],
            interpolate=pyvips.Interpolate.new("bicubic"),
            oarea=[0, 0, width, height],
            premultiplied=True,
            # libvips counts pixel middles as whole numbers
            idx=(1 - image.width) / 2,
            idy=(1 - image.height) / 2,
            odx=(width - 1) / 2,
            ody=(height - 1) / 2,
        ),
    )


def _weighted(image: Image, change: Callable[[Image], Image]) -> Image:
    """``change`` on colours weighed by opacity, in 8 bits on both sides."""
    if not image.hasalpha():
        return change(image)
    return change(image.premultiply().cast("uchar")).unpremultiply().cast("uchar")

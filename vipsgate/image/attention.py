"""Detects the focus of a picture: its faces, or its most salient point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pyvips

from . import faces, plan, render
from .gravity import FACE, MAX_AREAS, WHOLE, Area, Focus
from .look import Look

if TYPE_CHECKING:
    from .config import Limits
    from .formats.probe import Source

GREY = [128, 128, 128]  # behind transparency, so that dark and bright areas both stand out


def find(
    source: Source, look: Look, limits: Limits, watch: Callable[[pyvips.Image], None]
) -> Focus:
    """Return the focus of a picture.

    Args:
        source: The file.
        look: What to detect, and the actions to apply before.
        limits: The limits of every picture.
        watch: Called with each image before it is computed.

    Raises:
        ImageTooLarge: The picture is too large, or takes too much memory.
        ImageDamage: The file cannot be decoded.
    """
    planned = look.planned(source.header, limits)
    plan.check_memory(source.header, look.cost(planned).memory, limits)
    still = replace(source, header=planned.header)
    image = render.picture(still, planned, watch).flatten(background=GREY).copy_memory()
    with render.Decoding():
        areas = _faces(image) if look.kind == FACE else ()
        return areas or (_point(image),)


def _point(image: pyvips.Image) -> Area:
    """Return the middle of the area that libvips' attention prefers.

    Args:
        image: 8-bit sRGB, in memory.
    """
    _, attention = image.smartcrop(
        image.width,
        image.height,
        interesting="attention",
        attention_x=True,
        attention_y=True,
    )
    across = _whole(2 * attention["attention_x"] + 1, 2 * image.width)
    down = _whole(2 * attention["attention_y"] + 1, 2 * image.height)
    return across, down, across, down


def _faces(image: pyvips.Image) -> Focus:
    """Return the areas of the largest faces of an image, likewise."""
    pixels = bytes(image[2].bandjoin([image[1], image[0]]).write_to_memory())
    size = image.width, image.height
    return tuple(
        (
            _whole(left, size[0]),
            _whole(top, size[1]),
            _whole(left + width, size[0]),
            _whole(top + height, size[1]),
        )
        for left, top, width, height in faces.detect(pixels, *size)[:MAX_AREAS]
    )


def _whole(part: int, side: int) -> int:
    """Convert a coordinate from pixels to that of a focus, clamped to the picture."""
    return min(max(0, part * WHOLE // side), WHOLE)

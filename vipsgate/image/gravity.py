"""The position of a window in a picture: OSS's nine, and ours that depend on the content.

``nw`` is upper left, ``south`` lower middle, on a grid of thirds. With ``auto``, ``face`` and
``fp`` the window is placed around a focus: ``fp`` gives it, the others detect it (:mod:`.look`). A
focus is a few areas of the picture, the most important first, in ten-thousandths of its sides. So
it applies to any size, and whole numbers are the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .params import integer

# name -> (across, down); 0 start, 1 middle, 2 end
ANCHORS: dict[str, tuple[int, int]] = {
    "nw": (0, 0),
    "north": (1, 0),
    "ne": (2, 0),
    "west": (0, 1),
    "center": (1, 1),
    "east": (2, 1),
    "sw": (0, 2),
    "south": (1, 2),
    "se": (2, 2),
}
AUTO, FACE, POINT = "auto", "face", "fp"
LOOKS = (AUTO, FACE)  # the values that detect a focus
SMART = (*LOOKS, POINT)

Area = tuple[int, int, int, int]  # left, top, right, bottom, in parts of WHOLE
Focus = tuple[Area, ...]

WHOLE = 10_000  # parts of a side
MAX_AREAS = 8  # of a focus; of more faces, the first ones are used
HALF = WHOLE // 2
CENTRE = 500  # thousandths
MIDDLE: Focus = ((HALF, HALF, HALF, HALF),)


def coordinate() -> Any:
    """Return a parameter for a coordinate of a focal point, in thousandths of a side."""
    return integer(0, 1000, default=CENTRE)


def point(x: int, y: int) -> Focus:
    """Return the focus of one point, in thousandths of the sides."""
    x, y = x * WHOLE // 1000, y * WHOLE // 1000
    return ((x, y, x, y),)


def unused(gravity: str, x: int, y: int) -> tuple[str, ...]:
    """Return the coordinates that are given and have no effect, as ``gravity`` is not ``fp``."""
    given = (("fx", x), ("fy", y))
    return () if gravity == POINT else tuple(name for name, value in given if value != CENTRE)


def corner(focus: Focus, size: tuple[int, int], part: tuple[int, int]) -> tuple[int, int]:
    """Return where a window begins, in pixels from the picture's upper left.

    It is centred on the first area and on as many of the next ones as fit into it together, and
    never exceeds the border.

    Args:
        focus: One area or more.
        size: Size of the picture.
        part: Size of the window; no side is longer than the picture's.
    """
    left, top, right, bottom = focus[0]
    for area in focus[1:]:
        wider = min(left, area[0]), min(top, area[1]), max(right, area[2]), max(bottom, area[3])
        across, down = wider[2] - wider[0], wider[3] - wider[1]
        if across * size[0] <= part[0] * WHOLE and down * size[1] <= part[1] * WHOLE:
            left, top, right, bottom = wider
    return _start(left + right, size[0], part[0]), _start(top + bottom, size[1], part[1])


def _start(ends: int, side: int, part: int) -> int:
    """Return the begin of ``part`` pixels centred between two ``ends``, given as their sum."""
    return min(max(0, (ends * side - WHOLE * part) // (2 * WHOLE)), side - part)


def dump(focus: Focus) -> bytes:
    """Return the focus as JSON."""
    return json.dumps(focus).encode()


def load(text: bytes) -> Focus:
    """Read what :func:`dump` has written, perhaps in another process.

    Raises:
        ValueError: It is not a focus.
    """
    return read(json.loads(text))


def read(values: object) -> Focus:
    """Read a focus from lists, as decoded from JSON.

    Raises:
        ValueError: It is not a focus.
    """
    if not isinstance(values, Sequence) or not 0 < len(values) <= MAX_AREAS:
        raise ValueError("not a focus")
    return tuple(_area(area) for area in values)


def _area(values: object) -> Area:
    if not isinstance(values, Sequence) or [type(value) for value in values] != [int] * 4:
        raise ValueError("not an area")
    left, top, right, bottom = values
    if not (0 <= left <= right <= WHOLE and 0 <= top <= bottom <= WHOLE):
        raise ValueError("not an area of a picture")
    return left, top, right, bottom

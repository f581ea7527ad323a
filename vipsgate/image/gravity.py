"""The nine positions of OSS, on a grid of thirds: ``nw`` is upper left, ``south`` lower middle."""

from __future__ import annotations

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

"""Small line charts as SVG paths; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320.0, 72.0  # size of the drawing
EDGE = 3.0  # free space above and below the line


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        key: Key of its name in the catalogue.
        lines: The attribute ``d`` of a path for each line.
        top: The value at its upper edge.
        last: The newest value of the first line; ``None`` for none.
    """

    key: str
    lines: tuple[str, ...]
    top: float
    last: float | None


def draw(key: str, times: Sequence[float], *lines: Sequence[float | None], top: float = 0) -> Chart:
    """Return a chart of values over time.

    Args:
        key: Key of its name in the catalogue.
        times: Seconds, ascending.
        lines: Values of each line at these times; ``None`` interrupts the line.
        top: Least value of the upper edge.
    """
    values = [value for line in lines for value in line if value is not None]
    highest = max([top, *values]) or 1.0
    last = next((value for value in reversed(lines[0]) if value is not None), None)
    return Chart(key, tuple(_path(times, line, highest) for line in lines), highest, last)


def _path(times: Sequence[float], line: Sequence[float | None], highest: float) -> str:
    if not times:
        return ""
    span = (times[-1] - times[0]) or 1.0
    parts, begun = [], False
    for time, value in zip(times, line, strict=True):
        if value is None:
            begun = False
            continue
        x = WIDTH * (time - times[0]) / span
        y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * value / highest
        parts.append(f"{'L' if begun else 'M'}{x:.1f} {y:.1f}")
        if not begun:
            parts.append("h0.01")  # so that a single point is visible
        begun = True
    return "".join(parts)

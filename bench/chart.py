"""Draw what a script has found: bars for runs, lines for courses, the machine small below.

Rule: one picture answers one question and is read at 900 pixels of width. A bar is a median, its
whisker the lowest and the highest run, as in :func:`report.cell`. matplotlib (extra ``bench``) is
loaded when something is drawn and not before: the scripts start themselves anew as what they
measure.
"""

from __future__ import annotations

import argparse
import statistics
import textwrap
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import report

WIDTH, DPI = 9.0, 150  # inches; 1350 pixels, sharp at 900
BAR, GAP = 0.24, 0.17  # inches of a bar, and between two groups of them
TITLE, LEGEND = 0.22, 0.36  # inches of a line of the title, and of the names below it
BOTTOM = 0.95  # inches for the axis, the note and the machine
COLOURS = ("#1b5e8c", "#e0913a", "#6a9f58", "#9a9a9a", "#a8577e", "#3fa7a0", "#c9b13b", "#5b5b5b")
INK, FAINT, RULE = "#222222", "#6b6b6b", "#e4e4e4"
SMALL, NORMAL, LARGE = 7, 9.5, 12.5  # points
COLUMNS = 5  # of the names of series
LETTERS = {LARGE: 76, SMALL: 165}  # that fit into a line


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--chart FILE``; refused at once where nothing can be drawn."""
    parser.add_argument("--chart", type=_file, metavar="FILE", help="draw the result here, as PNG")


def _file(text: str) -> Path:
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("matplotlib is missing: pip install '.[bench]'")
    return Path(text)


def bars(
    file: Path,
    title: str,
    unit: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Sequence[float]]],
    note: str = "",
    log: bool = False,
) -> None:
    """Draw grouped horizontal bars.

    Args:
        file: PNG to write.
        title: What is shown.
        unit: Of the values, below the axis.
        groups: Names, from top to bottom.
        series: Name -> for each group its runs; no runs, no bar.
        note: A sentence below, for the aim.
        log: Scale by powers of ten, from below the smallest value; all are above 0.
    """
    slot = BAR * len(series) + GAP
    figure, axes = _figure(title, list(series), slot * len(groups))
    longest = max((max(runs) for row in series.values() for runs in row if runs), default=1.0)
    for turn, (name, row) in enumerate(series.items()):
        shown = [(at, runs) for at, runs in enumerate(row) if runs]
        middles = [statistics.median(runs) for _, runs in shown]
        places = [at * slot + (GAP + BAR) / 2 + BAR * turn for at, _ in shown]
        ends = [
            [middle - min(runs) for middle, (_, runs) in zip(middles, shown, strict=True)],
            [max(runs) - middle for middle, (_, runs) in zip(middles, shown, strict=True)],
        ]
        axes.barh(
            places,
            middles,
            BAR * 0.86,
            label=name,
            color=COLOURS[turn % len(COLOURS)],
            xerr=ends,
            error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 0},
        )
        for place, middle, (_, runs) in zip(places, middles, shown, strict=True):
            axes.annotate(
                number(middle),
                (max(runs), place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=NORMAL - 1,
                color=INK,
            )
    axes.set_yticks([(at + 0.5) * slot for at in range(len(groups))], groups)
    axes.set_ylim(slot * len(groups), 0)
    if log:
        shortest = min(min(runs) for row in series.values() for runs in row if runs)
        _scale(axes, "x", log)
        axes.set_xlim(shortest / 2, longest * (longest / shortest) ** 0.09)
    else:
        axes.set_xlim(0, longest * 1.09)
        _scale(axes, "x", log)
    axes.set_xlabel(unit)
    _finish(file, figure, axes, note)


def lines(
    file: Path,
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Draw one line for each series.

    Args:
        file: PNG to write.
        title: What is shown.
        x_label: What is across, with its unit.
        y_label: What is up, with its unit.
        series: Name -> points, in order of x.
        log_x: Scale across by powers of ten.
        log_y: Scale up by powers of ten.
    """
    figure, axes = _figure(title, list(series), 4.0)
    for turn, (name, points) in enumerate(series.items()):
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=name,
            color=COLOURS[turn % len(COLOURS)],
            linewidth=1.8,
            marker="o" if len(points) <= 30 else None,
            markersize=4,
        )
    _scale(axes, "x", log_x)
    _scale(axes, "y", log_y)
    if not log_y:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    _finish(file, figure, axes, "")


def number(value: float, *, short: bool = False) -> str:
    """``1,234``, ``12.3``, ``1.23`` or ``0.012``: three digits say enough.

    Args:
        value: What is written.
        short: Without zeros behind the point, for an axis.
    """
    size = abs(value)
    digits = 0 if size >= 100 or not size else 1 if size >= 10 else 2 if size >= 0.1 else 3
    written = f"{value:,.{digits}f}"
    return written.rstrip("0").rstrip(".") if short and digits else written


def _figure(title: str, names: list[str], height: float) -> tuple[Any, Any]:
    """A figure with axes of so many inches, its title, and the names of its series below that."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window, no display
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    title = textwrap.fill(title, LETTERS[LARGE])
    top = 0.22 + TITLE * (title.count("\n") + 1)
    legend = LEGEND * ceil(len(names) / COLUMNS) if len(names) > 1 else 0.0
    whole = height + top + legend + BOTTOM
    figure = Figure(figsize=(WIDTH, whole), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, BOTTOM / whole, 0.87, height / whole))
    axes.set_axisbelow(True)
    figure.text(0.02, 1 - 0.14 / whole, title, fontsize=LARGE, weight="bold", color=INK, va="top")
    if legend:
        figure.legend(
            [Patch(color=COLOURS[turn % len(COLOURS)]) for turn in range(len(names))],
            names,
            loc="upper left",
            bbox_to_anchor=(0.012, 1 - (top - 0.06) / whole),
            ncols=COLUMNS,
            frameon=False,
            fontsize=NORMAL,
            labelcolor=INK,
            handlelength=1.0,
            handleheight=0.8,
            columnspacing=1.6,
        )
    return figure, axes


def _scale(axes: Any, which: str, log: bool) -> None:
    """Rules and their numbers: of powers of ten at 1, 2 and 5 where there are few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    if log:
        axes.set(**{f"{which}scale": "log"})
        low, high = axis.get_data_interval()
        few = 0 < low < high < 300 * low
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda value, _: number(value, short=True))
    axis.grid(True, color=RULE)


def _finish(file: Path, figure: Any, axes: Any, note: str) -> None:
    """The note, the machine, room for the names at the left; and write it."""
    height = figure.get_figheight()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(which="both", length=0, labelsize=NORMAL, colors=INK)
    axes.xaxis.label.set(fontsize=NORMAL, color=FAINT)
    axes.yaxis.label.set(fontsize=NORMAL, color=FAINT)
    facts = ", ".join(f"{name} {value}" for name, value in report.machine().items())
    machine = textwrap.fill(f"{time.strftime('%Y-%m-%d')}; {facts}", LETTERS[SMALL])
    figure.text(0.02, 0.07 / height, machine, fontsize=SMALL, color=FAINT, va="bottom")
    if note:
        figure.text(0.02, 0.36 / height, note, fontsize=NORMAL - 1, color=INK, va="bottom")
    figure.canvas.draw()  # only now is known how wide the names are
    left = axes.yaxis.get_tightbbox(figure.canvas.get_renderer()).width / DPI / WIDTH + 0.025
    place = axes.get_position()
    axes.set_position((left, place.y0, 0.975 - left, place.height))
    figure.savefig(file)

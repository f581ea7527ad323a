"""Optimises steps: reorders and joins them, and lets the loader shrink the source.

Sizes and limits are decided by the chain as written; the steps that are run instead map every
corner of the result to the same point of the source. Neighbours are rewritten by :data:`RULES`
until no rule applies: turns are moved behind steps that reduce, cuts before turns, and equal steps
are joined. A step without a rule keeps its place, and no other step is moved across it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from . import pixels
from .steps import Cut, Levels, Scale, Shift, Size, Step, Turn

LARGE = 4_000_000  # pixels of a source that takes 20 times as long to decode as to shift
LEAST_SHIFT = 1 / 20  # pixels of the result; a photograph loses half a point of SSIMULACRA2 by that
LEAST_SHIFT_OF_SMALL = 1 / 7  # likewise, of sources that are not large; by that, one point
HALF = 0.5  # pixels of the scaled picture by which each side of a cut before it may be off

# --- rules: size, a step and the next one -> equivalent steps, or None


def _turns(size: Size, first: Turn, second: Turn) -> tuple[Step, ...]:
    return (first.then(second),)


def _cuts(size: Size, first: Cut, second: Cut) -> tuple[Step, ...]:
    left, top = first.left + second.left, first.top + second.top
    return (replace(second, left=left, top=top),)


def _turn_cut(size: Size, turn: Turn, cut: Cut) -> tuple[Step, ...]:
    return turn.back.cut(cut, turn.sides(size)), turn


def _turn_scale(size: Size, turn: Turn, scale: Scale) -> tuple[Step, ...] | None:
    return None if _grows(size, scale) else (turn.back.scale(scale), turn)


def _scale_turn(size: Size, scale: Scale, turn: Turn) -> tuple[Step, ...] | None:
    return (turn, turn.scale(scale)) if _grows(size, scale) else None


def _grows(size: Size, scale: Scale) -> bool:
    """Return whether a scaling enlarges, so that a turn, which needs memory, goes before it."""
    return scale.width * scale.height > size[0] * size[1]


def _scales(size: Size, first: Scale, second: Scale) -> tuple[Step, ...] | None:
    if second.width > first.width or second.height > first.height:
        return None  # joined, they would restore pixels that the first one has removed
    return (replace(second, size=first.size, ratio=first.ratio * second.ratio),)


def _swapped(size: Size, first: Step, second: Step) -> tuple[Step, ...]:
    return second, first


def _levels(size: Size, first: Levels, second: Levels) -> tuple[Step, ...]:
    return (Levels(first.table.translate(second.table)),)


Rule = Callable[[Size, Any, Any], tuple[Step, ...] | None]
RULES: dict[tuple[type[Step], type[Step]], Rule] = {
    (Turn, Turn): _turns,
    (Turn, Cut): _turn_cut,
    (Turn, Scale): _turn_scale,
    (Turn, Levels): _swapped,
    (Scale, Turn): _scale_turn,
    (Scale, Scale): _scales,
    (Cut, Cut): _cuts,
    (Levels, Cut): _swapped,
    (Levels, Levels): _levels,
}


def fused(steps: Iterable[Step], size: Size) -> tuple[Step, ...]:
    """Return equivalent steps for a picture of this size, with less work."""
    done: list[Step] = []  # steps to whose neighbours no rule applies
    sizes = [size]  # before each of them, and after the last
    left = [*steps][::-1]
    while left:
        step = left.pop()
        if step.idle(sizes[-1]):
            continue
        rule = RULES.get((type(done[-1]), type(step))) if done else None
        result = rule(sizes[-2], done[-1], step) if rule else None
        if result is None:
            done.append(step)
            sizes.append(step.sides(sizes[-1]))
        else:
            done.pop()
            sizes.pop()
            left.extend(reversed(result))
    return tuple(done)


# --- the loader's shrink


def lead(steps: Sequence[Step]) -> tuple[Cut | None, Scale | None]:
    """Return the first scaling, if no step before it needs every pixel, and the cut before it.

    The steps are fused, so there is one cut at most. Levels apply at any size.
    """
    cut = None
    for step in steps:
        if isinstance(step, Scale):
            return cut, step
        if isinstance(step, Cut):
            cut = step
        elif not isinstance(step, Levels):
            break
    return None, None


def shrunk(
    steps: Sequence[Step], shrink: tuple[float, float], size: Size
) -> tuple[Step, ...] | None:
    """Return the steps for a source that the loader has reduced.

    Args:
        steps: Fused steps, for a picture of ``size``.
        shrink: The exact reduction of width and height, 1.0 or more.
        size: Size of the source.

    Returns:
        Steps with cuts in whole pixels of the reduced picture, and a shift by what these are off in
        the middle, for libvips scales around that; ``None`` if a side of a cut would be off by more
        than :data:`HALF` without the shift. If unscaled pixels are within that, scaling is omitted:
        it would take half as much work again, and blur more than it moves.
    """
    cut, scale = lead(steps)
    if scale is None:
        return None
    wide, high = cut.sides(size) if cut else size
    true = wide / shrink[0], high / shrink[1]
    whole = whole_sides(size, shrink)
    begin = (cut.left / shrink[0], cut.top / shrink[1]) if cut else (0.0, 0.0)
    least = least_shift(size)
    if window := _as_it_is(begin, true, whole, scale):
        moved: tuple[Step, ...] = window, _shift(begin, true, window, scale, least)
        rest = [() if step is cut else moved if step is scale else (step,) for step in steps]
        return fused(chain.from_iterable(rest), whole)
    window = Cut(0, 0, *whole)
    if cut:
        across = _window(begin[0], true[0], whole[0], scale.width)
        down = _window(begin[1], true[1], whole[1], scale.height)
        if across is None or down is None:
            return None
        window = Cut(across[0], down[0], across[1] - across[0], down[1] - down[0])
    shift = _shift(begin, true, window, scale, least)
    scaled = replace(scale, size=true)
    moved = (scaled,) if shift.idle(whole) else (scaled, shift)
    rest = [(window,) if step is cut else moved if step is scale else (step,) for step in steps]
    return tuple(chain.from_iterable(rest))


def least_shift(size: Size) -> float:
    """Return the least shift that is worth its time for a source of this size, in pixels."""
    return LEAST_SHIFT if math.prod(size) >= LARGE else LEAST_SHIFT_OF_SMALL


def _shift(
    begin: tuple[float, float],
    length: tuple[float, float],
    window: Cut,
    scale: Scale,
    least: float,
) -> Shift:
    """Return by how much the scaled window is to be moved: by nothing if that is very little.

    Args:
        begin: Where the scaled picture should begin, in pixels of the reduced one.
        length: Its sides, likewise.
        window: What is scaled.
        scale: The scaling.
        least: The least shift, in pixels of the result.
    """
    right = window.left + window.width / 2 - begin[0] - length[0] / 2
    down = window.top + window.height / 2 - begin[1] - length[1] / 2
    right *= _factor(window.width, scale.width, length[0])
    down *= _factor(window.height, scale.height, length[1])
    return Shift(right, down) if max(abs(right), abs(down)) >= least else Shift(0.0, 0.0)


def whole_sides(size: Size, shrink: tuple[float, float]) -> Size:
    """Return the sides of a reduced picture, rounded half up as OSS does."""
    width, height = size
    return math.floor(width / shrink[0] + 0.5), math.floor(height / shrink[1] + 0.5)


def _as_it_is(
    begin: tuple[float, float], length: tuple[float, float], most: Size, scale: Scale
) -> Cut | None:
    """Return the cut of a reduced picture that needs no scaling, or ``None``.

    Args:
        begin: Where it should begin, in pixels of the reduced picture.
        length: Its sides, likewise.
        most: Sides of the reduced picture.
        scale: The scaling to the wanted sides.
    """
    left = _first(begin[0], length[0], most[0], scale.width)
    top = _first(begin[1], length[1], most[1], scale.height)
    if left is None or top is None:
        return None
    return Cut(left, top, scale.width, scale.height)


def _first(begin: float, length: float, most: int, wanted: int) -> int | None:
    """Return where ``wanted`` pixels begin, equally off at both ends by up to :data:`HALF`."""
    middle = max(0.0, begin + (length - wanted) / 2)
    first = min(math.floor(middle + HALF), most - wanted)
    off = max(abs(first - begin), abs(first + wanted - begin - length))
    return first if first >= 0 and off <= HALF else None


def _window(begin: float, length: float, most: int, wanted: int) -> tuple[int, int] | None:
    """Return the whole pixels that best show ``length`` from ``begin`` when they are scaled.

    Args:
        begin: Pixels of the reduced picture.
        length: Pixels of the reduced picture.
        most: Size of the reduced picture in pixels.
        wanted: Pixels of the scaled picture.

    Returns:
        Where they begin and end; ``None`` if none are within :data:`HALF`.
    """
    end = begin + length
    windows = (
        (low, high)
        for low in {math.floor(begin), math.ceil(begin)}
        for high in {math.floor(end), math.ceil(end)}
        if low < high <= most
    )
    best = min(((_off(begin, length, *window, wanted), window) for window in windows), default=None)
    return best[1] if best and best[0] <= HALF else None


def _off(begin: float, length: float, low: int, high: int, wanted: int) -> float:
    """Return how far the borders of a scaled window are off, in pixels of the result."""
    side = high - low
    reach = wanted / _factor(side, wanted, length) / 2
    middle = (low + high) / 2  # scaled around it
    off = max(abs(middle - reach - begin), abs(middle + reach - begin - length))
    return off * wanted / length


def _factor(side: int, wanted: int, length: float) -> float:
    """Return the factor by which a window is scaled."""
    return 1.0 if side == wanted else pixels.factor(side, wanted, length)

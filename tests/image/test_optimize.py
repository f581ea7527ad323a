"""The same picture with less work: every rule, and every corner where the written chain has it."""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.image import optimize
from vipsgate.image.steps import Canvas, Cut, Levels, Scale, Shift, Step, Turn

# --- turns: all eight, against numpy

TURNS = [Turn(quarters, mirror) for quarters in range(4) for mirror in (False, True)]
PICTURE = np.arange(5 * 3).reshape(3, 5)


def turned(values, turn):
    values = np.rot90(values, -turn.quarters)
    return np.fliplr(values) if turn.mirror else values


def cropped(values, cut):
    return values[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_turn(turn):
    whole = turned(PICTURE, turn)
    assert turn.sides((5, 3)) == whole.shape[::-1]
    assert turn.idle((5, 3)) == np.array_equal(whole, PICTURE)
    assert np.array_equal(turned(whole, turn.back), PICTURE)
    for other in TURNS:
        assert np.array_equal(turned(PICTURE, turn.then(other)), turned(whole, other))
    for left, top, right, low in product(range(5), range(3), range(1, 6), range(1, 4)):
        if left < right and top < low:
            cut = Cut(left, top, right - left, low - top)
            after = turn.cut(cut, (5, 3))
            assert np.array_equal(cropped(whole, after), turned(cropped(PICTURE, cut), turn))


# --- rules


@dataclass(frozen=True, slots=True)
class Other(Step):
    """Something of its own."""

    def __str__(self):
        return "other"


def scale(before, width, height):
    return Scale(before, width, height, min(before[0] / width, before[1] / height))


OTHER, QUARTER, HALF_TURN, MIRROR = Other(), Turn(1), Turn(2), Turn(0, True)
BRIGHT, DARK = (
    Levels(bytes(min(255, old + 9) for old in range(256))),
    Levels(bytes(range(256))[::-1]),
)
SMALL, TALL, LARGE = scale((80, 60), 8, 6), scale((60, 80), 6, 8), scale((60, 80), 90, 120)
CANVAS, MIDDLE = Canvas(90, 90, (1, 2, 3)), Cut(10, 20, 40, 30)

ROWS = {
    # of a picture of 80x60
    (QUARTER, QUARTER): "turn 180",
    (QUARTER, HALF_TURN, QUARTER): "",
    (QUARTER, MIRROR, QUARTER): "turn 0 and mirror",
    (Cut(1, 2, 50, 40), Cut(3, 4, 9, 9)): "cut 9x9+4+6",
    (Cut(0, 0, 80, 60), scale((80, 60), 80, 60), Turn(0)): "",
    # turns go behind what makes smaller
    (QUARTER, Cut(0, 0, 20, 10)): "cut 10x20+0+40, turn 90",
    (QUARTER, TALL): "scale 8x6, turn 90",
    (QUARTER, TALL, Cut(1, 1, 2, 3)): "scale 8x6, cut 3x2+1+3, turn 90",
    (QUARTER, TALL, HALF_TURN): "scale 8x6, turn 270",
    (QUARTER, scale((60, 80), 60, 80), QUARTER): "turn 180",
    # and stay before what makes larger, or go there
    (QUARTER, LARGE): "turn 90, scale 90x120",
    (QUARTER, LARGE, Cut(1, 1, 2, 3)): "turn 90, scale 90x120, cut 2x3+1+1",
    (scale((80, 60), 120, 90), QUARTER): "turn 90, scale 90x120",
    (QUARTER, LARGE, QUARTER): "turn 180, scale 120x90",
    # a reduction keeps what it has lost
    (scale((80, 60), 40, 30), scale((40, 30), 20, 15)): "scale 20x15",
    (scale((80, 60), 160, 120), scale((160, 120), 20, 15)): "scale 20x15",
    (scale((80, 60), 160, 120), scale((160, 120), 80, 60)): "",
    (scale((80, 60), 40, 30), scale((40, 30), 80, 60)): "scale 40x30, scale 80x60",
    (scale((80, 60), 40, 30), scale((40, 30), 20, 40)): "scale 40x30, scale 20x40",
    (scale((80, 60), 40, 30), MIRROR, scale((40, 30), 20, 15)): "scale 20x15, turn 0 and mirror",
    # levels know no place
    (BRIGHT, DARK): "levels",
    (QUARTER, BRIGHT, HALF_TURN): "levels, turn 270",
    (BRIGHT, MIDDLE): "cut 40x30+10+20, levels",
    (BRIGHT, SMALL): "levels, scale 8x6",
    (SMALL, BRIGHT): "scale 8x6, levels",
    # what is left as it is
    (MIDDLE, scale((40, 30), 4, 3)): "cut 40x30+10+20, scale 4x3",
    (SMALL, Cut(1, 1, 2, 2)): "scale 8x6, cut 2x2+1+1",
    (QUARTER, CANVAS, QUARTER): "turn 90, canvas 90x90, turn 90",
    (QUARTER, OTHER, TALL): "turn 90, other, scale 6x8",
    (SMALL, OTHER, scale((8, 6), 4, 3)): "scale 8x6, other, scale 4x3",
    (QUARTER, OTHER, Turn(3)): "turn 90, other, turn 270",
    (OTHER, OTHER): "other, other",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ", ".join(map(str, row)))
def test_rules(row):
    assert ", ".join(map(str, optimize.fused(row, (80, 60)))) == ROWS[row]


def test_every_rule_has_a_row():
    """And changes what is run there."""
    for pair in optimize.RULES:
        rows = [row for row in ROWS if pair in pairwise(map(type, row))]
        assert any(", ".join(map(str, row)) != ROWS[row] for row in rows), pair


def test_levels_after_levels():
    (both,) = optimize.fused((BRIGHT, DARK), (80, 60))
    assert [*both.table] == [255 - min(255, old + 9) for old in range(256)]


# --- corners


@st.composite
def chains(draw, kinds="stcllo"):
    """A size, and steps that fit it."""
    size = begin = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    made = []
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=7)):
        if kind == "s":
            sides = [draw(st.integers(1, 2 * side)) for side in size]
            step = scale(size, *sides)
        elif kind == "c":
            left, top = (draw(st.integers(0, side - 1)) for side in size)
            width, height = (
                draw(st.integers(1, size[0] - left)),
                draw(st.integers(1, size[1] - top)),
            )
            step = Cut(left, top, width, height)
        else:
            step = {"t": draw(st.sampled_from(TURNS)), "l": BRIGHT, "o": OTHER}[kind]
        made.append(step)
        size = step.sides(size)
    return begin, tuple(made)


def source(point, run, size):
    """Where a point of the result was in the picture, of that size, that went in."""
    sizes = [size]
    for step in run:
        sizes.append(step.sides(sizes[-1]))
    x, y = point
    for step, (wide, high) in zip(reversed(run), sizes[-2::-1], strict=True):
        if isinstance(step, Cut):
            x, y = x + step.left, y + step.top
        elif isinstance(step, Scale):
            x = axis(x, wide, step.width, step.size[0])
            y = axis(y, high, step.height, step.size[1])
        elif isinstance(step, Shift):
            x, y = x - step.right, y - step.down
        elif isinstance(step, Turn):
            wide, high = step.sides((wide, high))
            x = wide - x if step.mirror else x
            for _ in range(step.quarters):
                x, y, wide, high = y, wide - x, high, wide
    return x, y


def axis(x, side, wanted, true):
    """libvips scales around the middle; how many pixels come out it rounds."""
    near = abs(side * wanted / true - wanted) < 0.49
    factor = wanted / true if near else wanted / side
    return side / 2 + (x - wanted / 2) / factor


def corners(size):
    return [(x, y) for x in (0, size[0] / 3, size[0]) for y in (0, size[1] / 3, size[1])]


def sections(run, size):
    """Between what is of its own: the size in front, the steps, the size behind."""
    made, at = [], size
    begin, part = size, []
    for step in [*run, OTHER]:
        if step is OTHER:
            made.append((begin, tuple(part), at))
            begin, part = at, []
        else:
            part.append(step)
            at = step.sides(at)
    return made


@settings(deadline=None, max_examples=times(500))
@given(chains())
def test_every_corner_stays(chain):
    size, written = chain
    run = optimize.fused(written, size)
    wanted, got = sections(written, size), sections(run, size)
    assert len(wanted) == len(got)
    for (before, old, after), (also_before, new, also_after) in zip(wanted, got, strict=True):
        assert (before, after) == (also_before, also_after)
        assert len(new) <= len(old)
        for point in corners(after):
            assert np.allclose(source(point, new, before), source(point, old, before), atol=1e-6)
    assert optimize.fused(run, size) == run
    held = [
        sum(
            at[0] * at[1]
            for at, step in zip(sizes(some, size), some, strict=False)
            if not step.streams
        )
        for some in (run, written)
    ]
    assert held[0] <= held[1]  # pixels in memory


def sizes(run, size):
    made = [size]
    for step in run:
        made.append(step.sides(made[-1]))
    return made


@settings(deadline=None, max_examples=times(700))
@given(
    st.tuples(*[st.integers(1, 3000)] * 2),
    st.data(),
    st.sampled_from([2.0, 4.0, 8.0]) | st.floats(1.01, 20),
)
def test_a_cut_in_a_reduced_picture(size, data, shrink):
    """Its middle is where it was, and none of its sides half a pixel of the scaled picture off."""
    left, top = (data.draw(st.integers(0, side - 1)) for side in size)
    wide, high = (
        data.draw(st.integers(1, side - at)) for side, at in zip(size, (left, top), strict=True)
    )
    width, height = (
        data.draw(st.integers(1, max(1, int(1.5 * side / shrink)))) for side in (wide, high)
    )
    cut, scaling = Cut(left, top, wide, high), scale((wide, high), width, height)
    made = optimize.shrunk((cut, BRIGHT, scaling, OTHER), (shrink, shrink), size)
    if made is None:
        event("exact")
        return
    event("shrunk")
    reduced = optimize.whole_sides(size, (shrink, shrink))
    window = made[0] if isinstance(made[0], Cut) else Cut(0, 0, *reduced)
    scaled = next((step for step in made if isinstance(step, Scale)), None)
    moved = next((step for step in made if isinstance(step, Shift)), Shift(0, 0))
    across, down = wide / width, high / height  # a pixel of the result, in those of the source
    if scaled is None:  # its pixels are the reduced picture's
        event("not scaled")
        across = down = shrink
        scaled = scale((window.width, window.height), window.width, window.height)
    assert [step for step in made if step not in (window, scaled, moved)] == [BRIGHT, OTHER]
    assert -0.5 <= min(moved.right, moved.down) <= max(moved.right, moved.down) <= 0.5
    assert scaled.sides(size) == (width, height)
    assert 0 <= window.left < window.left + window.width <= reduced[0]
    assert 0 <= window.top < window.top + window.height <= reduced[1]
    for x, y in ((0, 0), (width, height)):
        got_x, got_y = source((x, y), (window, scaled, moved), reduced)
        want_x, want_y = source((x, y), (cut, scaling), size)
        assert abs(got_x * shrink - want_x) <= (optimize.HALF + 1e-6) * across
        assert abs(got_y * shrink - want_y) <= (optimize.HALF + 1e-6) * down
    got_x, got_y = source((width / 2, height / 2), (window, scaled, moved), reduced)
    across, down = (
        max(across, shrink * window.width / width),
        max(down, shrink * window.height / height),
    )
    least = optimize.least_shift(size) + 1e-6
    assert abs(got_x * shrink - left - wide / 2) <= least * across
    assert abs(got_y * shrink - top - high / 2) <= least * down


def test_the_first_scaling_and_its_cut():
    """The first scaling, if nothing in front of it needs every pixel."""
    inner = scale((40, 30), 4, 3)
    for run, want in {
        (SMALL,): (None, SMALL),
        (MIDDLE, inner, OTHER): (MIDDLE, inner),
        (MIDDLE, BRIGHT, inner, Turn(1)): (MIDDLE, inner),
        (MIDDLE,): (None, None),
        (OTHER, SMALL): (None, None),
        (CANVAS, SMALL): (None, None),
        (QUARTER, LARGE): (None, None),
        (): (None, None),
    }.items():
        assert optimize.lead(run) == want
        if want == (None, None):
            assert optimize.shrunk(run, (2, 2), (80, 60)) is None
        else:
            assert optimize.shrunk(run, (1, 1), (80, 60)) == run


# by which the loader reduces, sides of the source, the cut before a scaling, its result -> what is
# run for both then: pixels of the loader are 2, 4 or 8 of the source, from its corner on
SHIFTS_OF_LARGE = {
    (4, (1600, 1200), None, (200, 150)): "scale 200x150",
    # 200.25 pixels are scaled as the middle ones of 200, 200.75 as those of 201
    (8, (1602, 1600), None, (80, 80)): "scale 80x80",  # by 0.05 pixels of the result, too little
    (8, (1603, 1602), None, (100, 100)): "scale 100x100, shift -0.09-0.06",
    (8, (1606, 1605), None, (100, 100)): "scale 100x100, shift +0.06+0.09",
    (4, (1602, 1600), None, (200, 200)): "scale 200x200, shift +0.12+0.00",
    (2, (801, 799), None, (100, 200)): "scale 100x200, shift +0.06+0.13",
    (2, (801, 801), None, (300, 300)): "scale 300x300, shift +0.19+0.19",
    # cut at 10.5 and 10.25
    (2, (800, 800), Cut(21, 20, 400, 400), (80, 50)): "cut 201x200+10+10, scale 80x50",
    (2, (800, 800), Cut(21, 20, 400, 400), (100, 50)): "cut 200x200+10+10, scale 100x50, "
    "shift -0.25+0.00",
    (4, (800, 800), Cut(41, 40, 400, 400), (50, 25)): "cut 100x100+10+10, scale 50x25, "
    "shift -0.12+0.00",
    # as they are: the first or last half of a pixel is missing, and what is seen is stretched
    (2, (801, 800), None, (400, 400)): "cut 400x400+0+0, shift -0.25+0.00",
    (2, (799, 800), None, (400, 400)): "shift +0.25+0.00",
    (2, (800, 800), Cut(101, 100, 200, 200), (100, 100)): "cut 100x100+51+50, shift +0.50+0.00",
}


@pytest.mark.parametrize("row", SHIFTS_OF_LARGE, ids=str)
def test_what_lies_between_pixels_of_the_loader_is_shifted(row, monkeypatch):
    monkeypatch.setattr(optimize, "LARGE", 0)
    shrink, size, cut, result = row
    steps = (*([cut] if cut else ()), scale(cut.sides(size) if cut else size, *result), OTHER)
    made = optimize.shrunk(steps, (shrink, shrink), size)
    assert ", ".join(map(str, made)) == f"{SHIFTS_OF_LARGE[row]}, other"


# sides of the source, which the loader halves, its result -> what is run
SHIFTS = {
    ((2001, 1999), (250, 500)): "scale 250x500",  # a pixel less than a large one
    ((2001, 2001), (250, 500)): "scale 250x500, shift +0.06+0.12",
    ((1801, 1799), (250, 500)): "scale 250x500",
    ((1801, 1801), (250, 600)): "scale 250x600, shift +0.07+0.17",
}


@pytest.mark.parametrize("row", SHIFTS, ids=str)
def test_sources_that_are_not_large_are_shifted_where_they_lose_most(row):
    size, result = row
    made = optimize.shrunk((scale(size, *result),), (2, 2), size)
    assert ", ".join(map(str, made)) == SHIFTS[row]


def test_without_a_cut_the_true_size_goes_on():
    got = optimize.shrunk((SMALL, OTHER), (7, 7.5), (80, 60))
    assert got == (Scale((80 / 7, 8), 8, 6, 10), Shift((5.5 - 40 / 7) * 8 / (80 / 7), 0), OTHER)

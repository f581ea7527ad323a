"""Compares two texts line by line, for a page; pure.

Equal lines at both ends are removed first. If the rest is too long to be compared at once, all of
it is shown as replaced, so that a page does not delay other requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

CONTEXT = 3  # lines shown around a difference
MAX_COMPARED = 400  # most lines of each text that are compared; more would take over 50 ms
MAX_SHOWN = 1000  # most lines of each text that are shown as replaced


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        kind: ``same``, ``removed``, ``added``, or ``skipped`` for lines that are not shown.
        text: The text of the line, or the number of skipped lines.
    """

    kind: str
    text: str


def compare(old: str, new: str) -> Sequence[Line]:
    """Return the different lines with those around them; empty if there is none."""
    before, after = old.splitlines(), new.splitlines()
    head = _alike(before, after)
    tail = _alike(before[head:][::-1], after[head:][::-1])
    middle = before[head : len(before) - tail], after[head : len(after) - tail]
    if not any(middle):
        return []
    end = before[len(before) - tail :]
    near = [*_same(before[:head][-CONTEXT:]), *_compared(*middle), *_same(end[:CONTEXT])]
    return [
        *_skipped(head - CONTEXT),
        *_folded(near),
        *_skipped(tail - CONTEXT),
    ]


def _alike(before: Sequence[str], after: Sequence[str]) -> int:
    """Return how many lines both texts begin with."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    )


def _same(lines: Sequence[str]) -> list[Line]:
    return [Line("same", text) for text in lines]


def _compared(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    """Return the lines of both texts in the order of a page; of very many only the first ones."""
    if max(len(before), len(after)) > MAX_COMPARED:
        yield from _changed("removed", before)
        yield from _changed("added", after)
        return
    for kind, start, end, other_start, other_end in SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            yield from _same(before[start:end])
        else:
            yield from _changed("removed", before[start:end])
            yield from _changed("added", after[other_start:other_end])


def _changed(kind: str, lines: Sequence[str]) -> list[Line]:
    shown = [Line(kind, text) for text in lines[:MAX_SHOWN]]
    return [*shown, *_skipped(len(lines) - MAX_SHOWN)]


def _skipped(count: int) -> list[Line]:
    return [Line("skipped", str(count))] if count > 0 else []


def _folded(lines: Sequence[Line]) -> Iterator[Line]:
    """Return the different lines and those around them, with a count in place of others."""
    near = set[int]()
    for at, line in enumerate(lines):
        if line.kind != "same":
            near.update(range(at - CONTEXT, at + CONTEXT + 1))
    skipped = 0
    for at, line in enumerate(lines):
        if at in near:
            yield from _skipped(skipped)
            skipped = 0
            yield line
        else:
            skipped += 1
    yield from _skipped(skipped)

"""What differs between two texts, line by line, for a page; pure.

What both begin and end with is set aside first. Where the rest is too long to be compared in a
moment, all of it counts as replaced: a page is never what keeps the server from others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

CONTEXT = 3  # lines shown around a difference
MAX_COMPARED = 400  # lines of each text that are compared; more would take over 50 ms
MAX_SHOWN = 1000  # lines of each text that are shown as replaced


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        kind: ``same``, ``removed``, ``added``, or ``skipped`` for lines that are not shown.
        text: What it says; the number of lines that are skipped.
    """

    kind: str
    text: str


def compare(old: str, new: str) -> Sequence[Line]:
    """The lines that differ, with those around them; empty where none does."""
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
    """How many lines both begin with."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    )


def _same(lines: Sequence[str]) -> list[Line]:
    return [Line("same", text) for text in lines]


def _compared(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    """The lines of both, in the order of a page; of very many only the first."""
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
    """The lines that differ and those around them; a count in place of all others."""
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

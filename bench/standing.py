"""Where we stand among others: rates are compared where a result is as good as theirs.

A server that reduces more roughly is faster, and one whose files are larger keeps more, so a figure
beside another's says little by itself. Each of the others is compared with the fastest of ours
whose result is at least as like the best reduction, in about as few bytes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EQUAL = 0.5  # points of SSIMULACRA2 that nobody sees
LARGER = 1.2  # times the bytes, up to which a file counts as no larger; Huffman codes make 1.14


@dataclass(frozen=True, slots=True)
class Result:
    """What a server has made.

    Attributes:
        likeness: SSIMULACRA2 of it.
        size: Bytes of it.
        rates: Pictures per second, round by round.
        cpu: Milliseconds of CPU for one, likewise.
    """

    likeness: float
    size: int
    rates: Sequence[float]
    cpu: Sequence[float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One of ours beside one of the others.

    Attributes:
        ours: The name of our configuration; empty where none is as good.
        rates: How many times the pictures per second, round by round.
        cpu: How many times the CPU the other takes, likewise.
    """

    ours: str = ""
    rates: Sequence[float] = ()
    cpu: Sequence[float] = ()

    @property
    def ratio(self) -> float:
        """The median of ``rates``; 0 where none of ours is as good."""
        return statistics.median(self.rates) if self.rates else 0.0


def as_good(ours: Result, other: Result) -> bool:
    """Is ours at least as like, in no more bytes?"""
    return ours.likeness >= other.likeness - EQUAL and ours.size <= other.size * LARGER


def beside(results: Mapping[str, Result], ours: Sequence[str], name: str) -> Comparison:
    """The fastest of ours that is as good as another's, beside it."""
    other = results[name]
    good = [one for one in ours if one in results and as_good(results[one], other)]
    if not good:
        return Comparison()
    best = max(good, key=lambda one: statistics.median(results[one].rates))
    return Comparison(
        best,
        [one / two for one, two in zip(results[best].rates, other.rates, strict=True)],
        [two / one for one, two in zip(results[best].cpu, other.cpu, strict=True)],
    )


def verdict(job: str, results: Mapping[str, Result], ours: Sequence[str], aim: float) -> list[str]:
    """The aim against the best of the others, and which of them none of ours is as good as."""
    others = {name: beside(results, ours, name) for name in results if name not in ours}
    compared = {name: one for name, one in others.items() if one.ours}
    lines = [
        f"{job}: none of ours is as good as {name} ({results[name].likeness:.1f}, "
        f"{statistics.median(results[name].rates):.1f} a second)"
        for name, one in others.items()
        if not one.ours
    ]
    if compared:
        name = min(compared, key=lambda one: compared[one].ratio)
        best = compared[name]
        reached = "reached" if best.ratio >= aim and len(compared) == len(others) else "NOT reached"
        lines.insert(
            0,
            f"{job}: {best.ours} makes {best.ratio:.2f} times the pictures of {name}, the best of "
            f"those it is as good as, at {1 / statistics.median(best.cpu):.2f} of its CPU; "
            f"aim {aim}: {reached}",
        )
    return lines

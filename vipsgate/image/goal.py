"""The goals that a request may name in place of a quality: a likeness, or a size.

This module also has the cost of a search, for the plan; :mod:`.encode` searches, and
:mod:`.likeness` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .search import Range

TRIES = 4  # encodings of a sample in a search for a likeness; one more than are usually needed
SIZE_TRIES = 5  # encodings of the whole picture in a search for a size
SAMPLE_PIXELS = 3 << 16  # pixels that are encoded and compared to estimate the likeness of all
TILE = 128  # pixels of a side of the tiles of a sample: whole blocks of every codec
# Bytes of a search for each pixel. Of the sample: its luma in floats, that of the try, and their
# products. Of the whole picture: the files that are kept, or the scans that are tried. Noise of 4
# megapixels at quality 97 takes 118 MB as a JPEG, where 145 MB are estimated.
SAMPLE_BYTES, FILE_BYTES = 64, 6
COMPARED = 25.0  # nanoseconds for each pixel of a sample, to decode and compare a try


@dataclass(frozen=True, slots=True)
class Goal:
    """The goal of a search for an encoder's quality.

    Attributes:
        score: Least likeness of the file, 1-100; 0 for no bound. Without any bound, the score that
            is calibrated for the format.
        size: Largest number of bytes of the file; 0 for no bound.
    """

    score: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Calibration:
    """The figures of a codec with which a search begins.

    Attributes:
        auto: Score of ``auto``.
        low: Lowest quality of ``auto``, for pictures that hide all losses.
        high: Highest quality of ``auto``, for pictures that hide none.
        first: Quality that is tried first.
        steep: Points of score per step of quality, about.
        grows: Increase of the logarithm of the file's bytes per step of quality, about.
        scans: Whether the file is progressive, which is smaller, unless a request forbids it.
        rough: Whether tries for a likeness use the codec's usual settings, which are faster than
            those of the final file, and score a point less.
    """

    auto: float
    low: int
    high: int
    first: int
    steep: float
    grows: float
    scans: bool = False
    rough: bool = False

    def likeness(self, goal: Goal) -> tuple[float, Range]:
        """Return the score of a goal, and the range in which to search for its quality."""
        if goal.score:
            return goal.score, Range(self.first, 1, 100, self.steep)
        return self.auto, Range(self.first, self.low, self.high, self.steep)

    def sizes(self) -> Range:
        """Return the range in which to search for the quality of a file of a certain size."""
        return Range(self.first, 1, 100, self.grows)


# Calibrated by bench/goals.py: over twenty pictures, the mean score is that of the format's usual
# quality.
CALIBRATED = {
    "jpg": Calibration(82.0, 72, 83, 80, 0.6, 0.028, scans=True),
    "webp": Calibration(73.5, 74, 84, 79, 0.45, 0.029),
    "avif": Calibration(72.4, 50, 66, 60, 0.5, 0.034, rough=True),
    "heic": Calibration(77.5, 45, 58, 50, 0.7, 0.05),
}


def explained(goal: Goal, name: str) -> dict[str, Any]:
    """Return the goal and the range of its search as plain values."""
    if goal.size:
        within = CALIBRATED[name].sizes()
        return {"bytes": goal.size, "from": within.low, "to": within.high}
    score, within = CALIBRATED[name].likeness(goal)
    return {"ssim": score, "from": within.low, "to": within.high}


def memory(goal: Goal | None, area: int, pages: int, bands: int) -> float:
    """Return the bytes that a search takes on top of a single encoding.

    Args:
        goal: The goal; ``None`` for no search.
        area: Pixels of a page of the result.
        pages: Pages of the result.
        bands: Channels of the result, alpha included.
    """
    if goal is None:
        return 0.0
    return (bands + FILE_BYTES) * area * pages + SAMPLE_BYTES * min(area, SAMPLE_PIXELS)


def nanoseconds(goal: Goal | None, area: int, pages: int, writes: float) -> float:
    """Return the nanoseconds of a search on top of a single encoding (``writes`` a pixel)."""
    if goal is None:
        return 0.0
    if goal.size:
        return (SIZE_TRIES - 1) * writes * area * pages
    return TRIES * (writes + COMPARED) * min(area, SAMPLE_PIXELS)

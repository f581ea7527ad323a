"""What a picture's file is encoded for in place of a quality: a likeness, or a size.

Here are the goals and what a search for one costs, as the plan needs to know; :mod:`.encode`
searches, :mod:`.likeness` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .search import Range

TRIES = 4  # encodings of a sample by which a likeness is found; one more than are usual
SIZE_TRIES = 5  # encodings of the whole picture by which a size is found
SAMPLE_PIXELS = 3 << 16  # of a picture that are encoded and compared to know the likeness of all
TILE = 128  # pixels of a side of the tiles of a sample: whole blocks of every codec
# bytes that a search takes for each pixel: of the sample its luma in floats, that of the try, and
# their products; of the whole picture the files that are kept, or the scans that are tried. Noise
# of 4 megapixels at quality 97 takes 118 MB as a JPEG, of 145 MB that are foreseen
SAMPLE_BYTES, FILE_BYTES = 64, 6
COMPARED = 25.0  # nanoseconds for each pixel of a sample that decoding and comparing a try take


@dataclass(frozen=True, slots=True)
class Goal:
    """What the encoder's quality is searched for.

    Attributes:
        score: Likeness that the file has at least, 1-100; 0 for no such bound. With no bound at all
            it is the one calibrated for the format.
        size: Bytes that the file has at most; 0 for no such bound.
    """

    score: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of a codec before its first try.

    Attributes:
        auto: Score that stands for ``auto``.
        low: Quality below which ``auto`` does not go, however much the picture hides.
        high: Quality above which it does not go, however little.
        first: Quality that is tried first.
        steep: What a step of quality adds to the score, about.
        grows: What a step of quality adds to the logarithm of the file's bytes, about.
        scans: Whether the file is a progressive one, which is smaller, unless a request says no.
        rough: Whether tries for a likeness are made in the codec's usual way, which is quicker than
            how the file is written, and less like by a point.
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
        """The score that a goal stands for, and where its quality is looked for."""
        if goal.score:
            return goal.score, Range(self.first, 1, 100, self.steep)
        return self.auto, Range(self.first, self.low, self.high, self.steep)

    def sizes(self) -> Range:
        """Where the quality of a file of a certain size is looked for."""
        return Range(self.first, 1, 100, self.grows)


# calibrated by bench/goals.py: on twenty pictures the mean is that of the format's usual quality
CALIBRATED = {
    "jpg": Calibration(82.0, 72, 83, 80, 0.6, 0.028, scans=True),
    "webp": Calibration(73.5, 74, 84, 79, 0.45, 0.029),
    "avif": Calibration(72.4, 50, 66, 60, 0.5, 0.034, rough=True),
    "heic": Calibration(77.5, 45, 58, 50, 0.7, 0.05),
}


def explained(goal: Goal, name: str) -> dict[str, Any]:
    """What is searched for, and between which qualities, as plain values."""
    if goal.size:
        within = CALIBRATED[name].sizes()
        return {"bytes": goal.size, "from": within.low, "to": within.high}
    score, within = CALIBRATED[name].likeness(goal)
    return {"ssim": score, "from": within.low, "to": within.high}


def memory(goal: Goal | None, area: int, pages: int, bands: int) -> float:
    """Bytes that a search takes besides what encoding once takes.

    Args:
        goal: What is searched for; ``None`` for no search.
        area: Pixels of a page of the result.
        pages: Of the result.
        bands: Channels of it, alpha included.
    """
    if goal is None:
        return 0.0
    return (bands + FILE_BYTES) * area * pages + SAMPLE_BYTES * min(area, SAMPLE_PIXELS)


def nanoseconds(goal: Goal | None, area: int, pages: int, writes: float) -> float:
    """Of one core, that a search takes besides encoding once, which takes ``writes`` a pixel."""
    if goal is None:
        return 0.0
    if goal.size:
        return (SIZE_TRIES - 1) * writes * area * pages
    return TRIES * (writes + COMPARED) * min(area, SAMPLE_PIXELS)

"""``contrast,-50``: raise or lower the contrast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..action import Action
from ..frame import Frame
from ..params import BARE, integer
from ..steps import Levels

MIDDLE = 127.5  # the level that stays


@dataclass(frozen=True, slots=True)
class Contrast(Action):
    """Spread the levels of each colour away from the middle, or draw them to it; 0 leaves all.

    -100 is one grey, 100 has only levels 0 and 255. The range is of the OSS guide, Contrast; the
    slope is that of ImageMagick's ``-brightness-contrast``.
    """

    name = "contrast"
    moves = False
    single = True

    percent: int = integer(-100, 100, key=BARE)

    def level(self, old: int) -> int:
        """Return the new value of a level, 0-255, rounded half up."""
        # at 100 the tangent is some 1e16: no level is the middle itself, so each goes to its end
        slope = math.tan(math.pi / 4 * (self.percent / 100 + 1))
        return math.floor(min(255.0, max(0.0, MIDDLE + slope * (old - MIDDLE))) + 0.5)

    def steps(self, frame: Frame) -> tuple[Levels, ...]:
        return (Levels(bytes(map(self.level, range(256)))),) if self.percent else ()

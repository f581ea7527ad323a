"""``bright,50``: make brighter or darker."""

from __future__ import annotations

from dataclasses import dataclass

from ..action import Action
from ..frame import Frame
from ..params import BARE, integer
from ..steps import Levels


@dataclass(frozen=True, slots=True)
class Bright(Action):
    """Add so many percent of white to each colour; 0 leaves all as it is.

    The range is of the OSS guide, Brightness; the rule is ImageMagick's ``-brightness-contrast``.
    """

    name = "bright"
    moves = False
    single = True

    percent: int = integer(-100, 100, key=BARE)

    def level(self, old: int) -> int:
        """Return the new value of a level, 0-255, rounded half up."""
        return min(255, max(0, old + (255 * self.percent + 50) // 100))

    def steps(self, frame: Frame) -> tuple[Levels, ...]:
        return (Levels(bytes(map(self.level, range(256)))),) if self.percent else ()

"""``circle,r_100``: cut a disc out of the middle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import pixels
from ..action import Action, Stage
from ..frame import Frame
from ..notes import Notes, note
from ..params import integer

if TYPE_CHECKING:
    from pyvips import Image

MAX_PIXELS = 4096  # pixels; OSS guide, Circle


@dataclass(frozen=True, slots=True)
class Circle(Action):
    """Keep the disc of radius ``r`` around the middle, at most half the shorter side.

    The result is the square around the disc, or with ``type`` 0, the old API's ``R-0ci``, as large
    as the picture; outside of the disc it is transparent, white in a format that has no
    transparency (OSS guide, Circle; that the result is the square is inferred).
    """

    name = "circle"
    cuts = True

    r: int = integer(1, MAX_PIXELS)
    type: int = integer(0, 1, default=1)

    def side(self, frame: Frame) -> int:
        """Pixels of the square around the disc."""
        return min(2 * self.r, frame.width, frame.height)

    def notes(self, frame: Frame, result: Frame) -> Notes:
        return (note("clipped", self.name),) if self.side(frame) < 2 * self.r else ()

    def plan(self, frame: Frame) -> Frame:
        side = self.side(frame)
        return replace(frame.resized(side, side) if self.type else frame, alpha=True)

    def streams(self, frame: Frame) -> bool:
        return True

    def apply(self, image: Image, stage: Stage) -> Image:
        side, before = self.side(stage.before), stage.before
        left, top = (before.width - side) // 2, (before.height - side) // 2
        disc = pixels.rounded(image.crop(left, top, side, side), side)
        return disc if self.type else disc.embed(left, top, before.width, before.height)

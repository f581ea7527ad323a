"""``rounded-corners,r_30``: round the corners off."""

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

MAX_PIXELS = 4096  # pixels; OSS guide, Rounded rectangle


@dataclass(frozen=True, slots=True)
class RoundedCorners(Action):
    """Round each corner with radius ``r``, at most half the shorter side in whole pixels.

    The size stays; what is cut off is transparent, white in a format that has no transparency
    (OSS guide, Rounded rectangle).
    """

    name = "rounded-corners"

    r: int = integer(1, MAX_PIXELS)

    def radius(self, frame: Frame) -> int:
        """Pixels; 0 for a picture of one row or column, which stays as it is."""
        return min(self.r, frame.width // 2, frame.height // 2)

    def notes(self, frame: Frame, result: Frame) -> Notes:
        return (note("clipped", self.name),) if self.radius(frame) < self.r else ()

    def plan(self, frame: Frame) -> Frame:
        return replace(frame, alpha=True) if self.radius(frame) else frame

    def streams(self, frame: Frame) -> bool:
        return True

    def apply(self, image: Image, stage: Stage) -> Image:
        radius = self.radius(stage.before)
        return pixels.rounded(image, 2 * radius) if radius else image

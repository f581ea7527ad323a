"""``sharpen,100``: sharpen by an unsharp mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import pixels
from ..action import Action, Stage
from ..frame import Frame
from ..params import BARE, integer
from ..steps import WINDOW_LINES

if TYPE_CHECKING:
    from pyvips import Image

SIGMA, RADIUS = 1.0, 2  # pixels of the blur that is taken away; OSS tells none


@dataclass(frozen=True, slots=True)
class Sharpen(Action):
    """Add so many percent of the difference from a blurred copy; 100 is recommended.

    Opacity stays as it is (OSS guide, Sharpen, for the range).
    """

    name = "sharpen"
    moves = False
    lines = WINDOW_LINES
    single = True

    percent: int = integer(50, 399, key=BARE)

    def streams(self, frame: Frame) -> bool:
        return True

    def apply(self, image: Image, stage: Stage) -> Image:
        return pixels.sharpened(image, self.percent / 100, SIGMA, RADIUS)

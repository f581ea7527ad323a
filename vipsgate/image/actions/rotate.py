"""``rotate,90``: turn clockwise by any angle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import pixels
from ..action import Action, Stage
from ..frame import Frame
from ..params import BARE, integer
from ..steps import WINDOW_LINES, Turn

if TYPE_CHECKING:
    from pyvips import Image


@dataclass(frozen=True, slots=True)
class Rotate(Action):
    """Turn by 0-360 degrees clockwise.

    Angles off the right ones enlarge the canvas to the bounding box; what is new is transparent,
    white in a format that has no transparency (OSS guide, Rotate).
    """

    name = "rotate"
    lines = WINDOW_LINES
    single = True

    angle: int = integer(0, 360, key=BARE, bad="0040-00000217", missing="0040-00000216")

    def plan(self, frame: Frame) -> Frame:
        if self.angle % 180 == 0:
            return frame
        if self.angle % 90 == 0:
            return frame.resized(frame.height, frame.width)
        turn = math.radians(self.angle)
        cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
        return replace(
            frame.resized(
                _whole(frame.width * cos + frame.height * sin),
                _whole(frame.width * sin + frame.height * cos),
            ),
            alpha=True,
        )

    def turns(self, frame: Frame) -> bool:
        return self.angle % 360 != 0

    def steps(self, frame: Frame) -> tuple[Turn, ...] | None:
        if self.angle % 90:
            return None
        return (Turn(self.angle // 90 % 4),) if self.angle % 360 else ()

    def holds(self, frame: Frame) -> int:
        return frame.area if self.angle % 90 else 0

    def cost(self, frame: Frame) -> float:
        return 70e-9 * frame.area

    def apply(self, image: Image, stage: Stage) -> Image:
        if self.angle % 90 == 0:
            return Action.apply(self, image, stage)
        after = stage.after
        return pixels.turned(image, self.angle, after.width, after.height, by_line=True)


def _whole(length: float) -> int:
    """Return the pixels that contain ``length``, rounded up, tolerating a float's last digit."""
    return math.ceil(length - 1e-6)

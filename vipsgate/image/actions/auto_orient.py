"""``auto-orient,1``: turn a photograph upright as its EXIF Orientation says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..action import Action, Stage
from ..frame import Frame
from ..params import BARE, Param, parameter

if TYPE_CHECKING:
    from pyvips import Image

# EXIF Orientation -> (turn clockwise, then mirror left to right), which puts it upright
UPRIGHT = {
    1: ("d0", False),
    2: ("d0", True),
    3: ("d180", False),
    4: ("d180", True),
    5: ("d90", True),
    6: ("d90", False),
    7: ("d270", True),
    8: ("d270", False),
}
HERE = 2  # the value of ``auto-orient,here``
VALUES = {"0": 0, "1": 1, "here": HERE}


def _read(text: str) -> int:
    if text not in VALUES:
        raise ValueError
    return VALUES[text]


def _write(value: int) -> str:
    return next(text for text in VALUES if VALUES[text] == value)


VALUE = Param(_read, "an integer from 0 to 1", key=BARE, write=_write)


@dataclass(frozen=True, slots=True)
class AutoOrient(Action):
    """1 turns by EXIF Orientation before all else, 0 leaves the pixels as stored.

    It runs first wherever it is written, and as 1 when it is not (OSS guide, Auto-orient). The old
    API has ``1o``, which turns behind the scaling; ``here`` is how its words are put into these.
    """

    name = "auto-orient"
    single = True
    implied = True

    value: int = parameter(VALUE, default=1)

    def first(self) -> bool:
        return self.value != HERE

    def plan(self, frame: Frame) -> Frame:
        if not self.turns(frame):
            return frame
        upright = replace(frame, orientation=1)
        if frame.orientation >= 5:
            upright = upright.resized(frame.height, frame.width)
        return upright

    def turns(self, frame: Frame) -> bool:
        return self.value != 0 and frame.orientation != 1

    def streams(self, frame: Frame) -> bool:
        return not self.turns(frame) or frame.orientation == 2

    def shrink(self, frame: Frame) -> None:
        return None

    def cost(self, frame: Frame) -> float:
        return 4e-9 * frame.area if self.turns(frame) else 0.0

    def apply(self, image: Image, stage: Stage) -> Image:
        if not self.turns(stage.before):
            return image
        turn, mirror = UPRIGHT[stage.before.orientation]
        if turn != "d0":
            image = image.rot(turn)
        return image.fliphor() if mirror else image

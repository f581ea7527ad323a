"""``auto-orient,1``: turn a photograph upright as its EXIF Orientation says."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..action import Action
from ..frame import Frame
from ..params import BARE, Param, parameter
from ..steps import Turn

# EXIF Orientation -> what puts it upright
UPRIGHT = {
    1: Turn(0),
    2: Turn(0, mirror=True),
    3: Turn(2),
    4: Turn(2, mirror=True),
    5: Turn(1, mirror=True),
    6: Turn(1),
    7: Turn(3, mirror=True),
    8: Turn(3),
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

    It runs first wherever it is written, and as 1 if it is not (OSS guide, Auto-orient). The old
    API has ``1o``, which turns after scaling; ``here`` is its equivalent.
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

    def steps(self, frame: Frame) -> tuple[Turn, ...]:
        return (UPRIGHT[frame.orientation],) if self.turns(frame) else ()

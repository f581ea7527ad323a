"""``interlace,1``: write a JPEG in scans, so that it appears whole and grows sharp."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..action import Action
from ..frame import Frame
from ..params import BARE, integer


@dataclass(frozen=True, slots=True)
class Interlace(Action):
    """1 writes a progressive JPEG, 0 a baseline one; other formats are left as they are."""

    name = "interlace"
    moves = False
    written = True
    single = True

    value: int = integer(0, 1, key=BARE)

    def plan(self, frame: Frame) -> Frame:
        return replace(frame, progressive=self.value == 1)

    def steps(self, frame: Frame) -> tuple[()]:
        return ()

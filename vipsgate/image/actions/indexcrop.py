"""``indexcrop,x_100,i_0``: cut into strips, keep one."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import MissingArgument
from ..action import Action
from ..frame import Frame
from ..notes import Notes, note
from ..params import integer
from ..steps import Cut

MAX_PIXELS = 1_000_000  # pixels, and strips; a source's own border is what really bounds them


@dataclass(frozen=True, slots=True)
class IndexCrop(Action):
    """Keep strip ``i`` of those ``x`` pixels wide from the left, or ``y`` high from the top.

    ``y`` wins. The last strip keeps what is left over; beyond it the picture stays as it is (OSS
    guide, Indexed cropping).
    """

    name = "indexcrop"
    cuts = True

    x: int | None = integer(1, MAX_PIXELS, default=None)
    y: int | None = integer(1, MAX_PIXELS, default=None)
    i: int = integer(0, MAX_PIXELS, default=0)

    def __post_init__(self) -> None:
        if not (self.x or self.y):
            raise MissingArgument(
                f"indexcrop needs one of x, y: an integer from 1 to {MAX_PIXELS}."
            )

    def box(self, frame: Frame) -> tuple[int, int, int, int]:
        """The strip: left, top, width, height."""
        size = self.y or self.x or 1
        begin, side = self.i * size, frame.height if self.y else frame.width
        if begin >= side:
            return 0, 0, frame.width, frame.height
        size = min(size, side - begin)
        return (0, begin, frame.width, size) if self.y else (begin, 0, size, frame.height)

    def unused(self) -> tuple[str, ...]:
        return ("x",) if self.x and self.y else ()

    def notes(self, frame: Frame, result: Frame) -> Notes:
        begin = self.i * (self.y or self.x or 1)
        side = frame.height if self.y else frame.width
        return (note("clipped", self.name),) if begin >= side else ()

    def plan(self, frame: Frame) -> Frame:
        return frame.resized(*self.box(frame)[2:])

    def steps(self, frame: Frame) -> tuple[Cut]:
        return (Cut(*self.box(frame)),)

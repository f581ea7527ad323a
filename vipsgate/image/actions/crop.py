"""``crop,x_10,y_10,w_100,h_100,g_se``, ``crop,w_100,h_100,g_auto``: keep a rectangle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...errors import BadRequest, InvalidArgument
from .. import gravity
from ..action import Action
from ..frame import Frame
from ..gravity import ANCHORS, LOOKS, MIDDLE, POINT, SMART, Focus, coordinate
from ..notes import Notes, note
from ..params import choice, integer
from ..steps import Cut

MAX_PIXELS = 1_000_000  # pixels; a source's own border is what really bounds a position


@dataclass(frozen=True, slots=True)
class Crop(Action):
    """Keep ``w`` by ``h`` pixels from ``(x, y)`` off the anchor ``g``, cut at the border.

    0, like no value, is the most there is. The anchor is the corner or the middle where a
    rectangle of that size sits (OSS guide, Custom crop, formula table). Ours are ``auto``, ``face``
    and ``fp``, around a focus and always inside of the picture: ``fx``, ``fy`` are a focal point in
    thousandths of the sides; ``x`` and ``y``, which are pixels off an anchor, are refused there.
    """

    name = "crop"
    cuts = True

    x: int = integer(0, MAX_PIXELS, default=0)
    y: int = integer(0, MAX_PIXELS, default=0)
    w: int = integer(0, MAX_PIXELS, default=0, bad="0040-00000225")
    h: int = integer(0, MAX_PIXELS, default=0, bad="0040-00000226")
    g: str = choice(*ANCHORS, *SMART, default="nw", bad="0040-00000209")
    fx: int = coordinate()
    fy: int = coordinate()

    focus: Focus = field(default=MIDDLE, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.g in SMART and (self.x or self.y):
            point = " Its point is fx and fy." if self.g == POINT else ""
            raise InvalidArgument(
                f"x and y of crop are pixels off an anchor; g_{self.g} takes none.{point}"
            )

    def unused(self) -> tuple[str, ...]:
        return gravity.unused(self.g, self.fx, self.fy)

    def look(self) -> str:
        return self.g if self.g in LOOKS else ""

    def aimed(self, focus: Focus) -> Action:
        return replace(self, focus=focus)

    def corner(self, frame: Frame) -> tuple[int, int]:
        """Return where the rectangle begins, in pixels from the picture's upper left."""
        if self.g in SMART:
            focus = gravity.point(self.fx, self.fy) if self.g == POINT else self.focus
            width = min(self.w or frame.width, frame.width)
            height = min(self.h or frame.height, frame.height)
            return gravity.corner(focus, (frame.width, frame.height), (width, height))
        across, down = ANCHORS[self.g]
        return (
            _start(across, frame.width, self.w or frame.width) + self.x,
            _start(down, frame.height, self.h or frame.height) + self.y,
        )

    def plan(self, frame: Frame) -> Frame:
        left, top = self.corner(frame)
        if left >= frame.width or top >= frame.height:
            raise BadRequest(
                "Advance cut's position is out of image. crop begins at "
                f"({left}, {top}) of a picture of {frame.width}x{frame.height} pixels."
            )
        return frame.resized(
            min(self.w or frame.width, frame.width - left),
            min(self.h or frame.height, frame.height - top),
        )

    def notes(self, frame: Frame, result: Frame) -> Notes:
        after = self.plan(frame)
        whole = self.w <= after.width and self.h <= after.height
        return () if whole else (note("clipped", self.name),)

    def steps(self, frame: Frame) -> tuple[Cut]:
        after = self.plan(frame)
        return (Cut(*self.corner(frame), after.width, after.height),)


def _start(anchor: int, side: int, part: int) -> int:
    """Return the begin of ``part`` pixels on ``side``: 0 start, 1 middle, 2 end."""
    return max(0, (0, side // 2 - part // 2, side - part)[anchor])

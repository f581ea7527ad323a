"""``resize,m_fill,w_200,h_100,g_auto``: scale within, over or onto a box."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...errors import InvalidArgument, MissingArgument
from .. import gravity
from ..action import Action
from ..formats import icc
from ..frame import Frame, proportion
from ..gravity import ANCHORS, LOOKS, MIDDLE, POINT, SMART, Focus, coordinate
from ..notes import Notes, note
from ..params import choice, colour, integer, rgb
from ..steps import Canvas, Cut, Scale, Step

SIDE = 16384  # pixels; OSS guide, Resize


@dataclass(frozen=True, slots=True)
class Resize(Action):
    """Scale to a box of ``w`` by ``h`` pixels, to its longer and shorter side, or by percent.

    ``lfit`` fits inside the box, ``mfit`` covers it, ``fill`` covers it and crops the rest, ``pad``
    fits inside it and paints the rest, ``fixed`` stretches. With ``limit`` on, a picture is never
    made larger; ``p`` always may (OSS guide, Resize). What ``fill`` keeps is the middle; with
    ``g_auto``, ``g_face`` or ``g_fp``, which are ours, what is around a focus (see ``crop``). Other
    anchors have no effect, as with OSS, which knows none here.
    """

    name = "resize"

    m: str = choice("lfit", "mfit", "fill", "pad", "fixed", default="lfit", bad="0040-00000311")
    w: int | None = integer(0, SIDE, default=None)
    h: int | None = integer(0, SIDE, default=None)
    l: int | None = integer(1, SIDE, default=None)  # noqa: E741 - OSS's own word
    s: int | None = integer(1, SIDE, default=None)
    p: int | None = integer(1, 1000, default=None)
    limit: int = integer(0, 1, default=1)
    color: str = colour(default="FFFFFF")
    g: str = choice(*ANCHORS, *SMART, default="center")
    fx: int = coordinate()
    fy: int = coordinate()

    focus: Focus = field(default=MIDDLE, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not (self.w or self.h or self.l or self.s or self.p):
            if self.w == 0 or self.h == 0:
                raise InvalidArgument(
                    "The value: 0 of parameter: w and h is invalid. "
                    f"resize expects one of them from 1 to {SIDE}.",
                    ec="0040-00000321",
                )
            raise MissingArgument("resize needs one of w, h, l, s, p.")

    def unused(self) -> tuple[str, ...]:
        rest = ("l", "s", "p") if self.w or self.h else ("p",) if self.l or self.s else ()
        names = tuple(name for name in rest if getattr(self, name) is not None)
        if self._aims():
            return (*names, *gravity.unused(self.g, self.fx, self.fy))
        return (*names, *("g",) * (self.g != "center"), *gravity.unused("", self.fx, self.fy))

    def scales(self) -> bool:
        return self.m not in ("fill", "pad")

    def look(self) -> str:
        return self.g if self._aims() and self.g in LOOKS else ""

    def aimed(self, focus: Focus) -> Action:
        return replace(self, focus=focus)

    def _aims(self) -> bool:
        """Whether it cuts around a focus."""
        return self.m == "fill" and self.g in SMART and bool(self.w or self.h or self.l or self.s)

    def notes(self, frame: Frame, result: Frame) -> Notes:
        return (note("limit", "source"),) if self._scale(frame)[0] is frame else ()

    def box(self, frame: Frame) -> tuple[int, int] | None:
        """Return the requested sides, 0 for one that follows from the other; ``None`` for ``p``."""
        if self.w or self.h:
            size = self.w or 0, self.h or 0
        elif self.l or self.s:
            sides = self.l or 0, self.s or 0
            size = sides if frame.width >= frame.height else sides[::-1]
        else:
            return None
        if self.m in ("fill", "pad", "fixed"):  # one side alone asks for a square
            size = size[0] or size[1], size[1] or size[0]
        return size

    def scaled(self, frame: Frame) -> Frame:
        """Return the frame after scaling, before ``fill`` crops or ``pad`` paints.

        It is ``frame`` itself if ``limit`` forbids enlarging it.
        """
        return self._scale(frame)[0]

    def _scale(self, frame: Frame) -> tuple[Frame, float]:
        """Return the scaled frame, and the exact ratio of the source's size to it."""
        box = self.box(frame)
        if box is None:
            percent = self.p or 100
            width = proportion(frame.width, percent, 100)
            height = proportion(frame.height, percent, 100)
            return frame.resized(width, height), 100 / percent
        width, height = box
        if self.m == "fixed":
            larger = width > frame.width and height > frame.height
            ratio = min(frame.width / width, frame.height / height)
        elif _across(frame, width, height, cover=self.m in ("mfit", "fill")):
            larger, ratio = width > frame.width, frame.width / width
            height = proportion(frame.height, width, frame.width)
        else:
            larger, ratio = height > frame.height, frame.height / height
            width = proportion(frame.width, height, frame.height)
        return (frame, 1.0) if larger and self.limit else (frame.resized(width, height), ratio)

    def plan(self, frame: Frame) -> Frame:
        scaled, box = self.scaled(frame), self.box(frame)
        if scaled is frame or box is None or self.m not in ("fill", "pad"):
            return scaled
        return replace(frame.resized(*box), alpha=frame.alpha and self.m != "pad")

    def between(self, frame: Frame) -> Frame:
        return self.scaled(frame)

    def _focus(self) -> Focus:
        """The focus that ``fill`` cuts around."""
        if not self._aims():
            return MIDDLE
        return gravity.point(self.fx, self.fy) if self.g == POINT else self.focus

    def steps(self, frame: Frame) -> tuple[Step, ...]:
        scaled, ratio = self._scale(frame)
        if scaled is frame:
            return ()
        scale = Scale((frame.width, frame.height), scaled.width, scaled.height, ratio)
        after = self.plan(frame)
        if self.m == "fill":
            size, part = (scaled.width, scaled.height), (after.width, after.height)
            return scale, Cut(*gravity.corner(self._focus(), size, part), *part)
        if self.m == "pad" and self.box(frame):
            colour = icc.colour(rgb(self.color), after.gamut)
            return scale, Canvas(after.width, after.height, tuple(colour))
        return (scale,)


@dataclass(frozen=True, slots=True)
class Portion(Resize):
    """``resize`` of an overlay, with ``P`` for a size relative to the main picture.

    ``P`` is the percentage of the main picture's sides that make the box into which the overlay is
    scaled, up or down; other sizes are ignored then (OSS guide, Add watermarks).
    """

    portion: int | None = integer(1, 100, key="P", default=None)

    def __post_init__(self) -> None:
        if not self.portion:
            Resize.__post_init__(self)

    def unused(self) -> tuple[str, ...]:
        if not self.portion:
            return Resize.unused(self)
        return tuple(name for name in ("w", "h", "l", "s", "p") if getattr(self, name) is not None)

    def for_overlay_on(self, main: Frame) -> Action:
        if not self.portion:
            return self
        width = proportion(main.width, self.portion, 100)
        height = proportion(main.height, self.portion, 100)
        box = Resize(m=self.m, w=width, h=height, limit=0, color=self.color)
        return replace(box, g=self.g, fx=self.fx, fy=self.fy)


def _across(frame: Frame, width: int, height: int, *, cover: bool) -> bool:
    """Return whether the width decides the scale; ``cover`` takes the larger of both scales."""
    if not (width and height):
        return bool(width)
    wide, high = width * frame.height, height * frame.width
    return wide >= high if cover else wide <= high

"""``watermark,text_SGVsbG8,g_se,t_80``: lay a picture, a line of text, or both on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import InvalidArgument, MissingArgument
from .. import overlay, pixels
from ..action import Action, Stage, Wanted, read
from ..fonts import DEFAULT, NAMES
from ..formats import icc
from ..frame import SRGB, Frame
from ..gravity import ANCHORS
from ..params import COLOUR, NotBase64, Param, choice, decoded, encoded, integer, parameter, rgb
from .crop import Crop
from .indexcrop import IndexCrop
from .resize import Portion
from .rotate import Rotate
from .rounded_corners import RoundedCorners

if TYPE_CHECKING:
    from pyvips import Image

    from ..resources import Resources

TEXT_BYTES = 64  # of UTF-8; OSS guide, Add watermarks
MAX_PIXELS = 4096  # pixels; OSS guide, Add watermarks
SHADOW = 16  # the part of a font's size by which its shadow is shifted
HELD = 4_000_000  # pixels of the largest picture that is held in memory for its watermark
ALIGN = ("low", "centre", "high")  # OSS's 0, 1, 2
PROCESS = "?x-oss-process=image/"  # between an object's name and what is done to it
PREPARING: dict[str, type[Action]] = {
    action.name: action for action in (Portion, Crop, IndexCrop, RoundedCorners, Rotate)
}


def _read_picture(value: str) -> Wanted:
    key, mark, process = decoded(value).partition(PROCESS)
    if not key:
        raise ValueError
    words = list(filter(None, process.split("/"))) or [""]  # without empty actions
    return Wanted(key, tuple(read(word, PREPARING) for word in words) if mark else ())


def _write_picture(wanted: Wanted) -> str:
    process = PROCESS + "/".join(map(str, wanted.actions)) if wanted.actions else ""
    return encoded(wanted.key + process)


def _read_text(value: str) -> str:
    text = decoded(value)
    if not 0 < len(text.encode()) <= TEXT_BYTES:
        raise ValueError
    return text


def _read_font(value: str) -> str:
    name = decoded(value)
    if name not in NAMES:
        raise ValueError
    return name


def _read_colour(value: str) -> str:
    """``RRGGBB``, or Base64 of ``#RRGGBB`` as the older guide has it."""
    if COLOUR.fullmatch(value):
        return value.upper()
    try:
        inner = decoded(value)
    except NotBase64:
        raise ValueError from None
    if not inner.startswith("#") or not COLOUR.fullmatch(inner[1:]):
        raise ValueError
    return inner[1:].upper()


PICTURE = Param(
    _read_picture,
    "Base64 of an object's name, with ?x-oss-process=image/ and any of "
    f"{', '.join(PREPARING)} behind it if wanted",
    write=_write_picture,
)
TEXT = Param(_read_text, f"Base64 of 1 to {TEXT_BYTES} bytes of UTF-8", write=encoded)
FONT = Param(_read_font, f"Base64 of one of {', '.join(NAMES)}", write=encoded)
INK = Param(_read_colour, "six hexadecimal digits RRGGBB, or Base64 of #RRGGBB")


@dataclass(frozen=True, slots=True)
class Watermark(Action):
    """Picture and text stand side by side as one block, which is turned, faded and placed.

    ``x`` counts from the left or right border and ``y`` from the upper or lower one, whichever
    ``g`` names; a row in the middle is shifted by ``voffset``, downwards. ``fill`` repeats the
    block in all directions from where it stands, ``padx`` and ``pady`` pixels apart. What reaches
    over the border is cut (OSS guide, Add watermarks).
    """

    name = "watermark"
    moves = False
    slashes = frozenset(("image", "text", "type"))

    image: Wanted | None = parameter(PICTURE, default=None)
    text: str = parameter(TEXT, default="")
    t: int = integer(0, 100, default=100)
    g: str = choice(*ANCHORS, default="se")
    x: int = integer(0, MAX_PIXELS, default=10)
    y: int = integer(0, MAX_PIXELS, default=10)
    voffset: int = integer(-1000, 1000, default=0)
    rotate: int = integer(0, 360, default=0, bad="0040-00000272")
    fill: int = integer(0, 1, default=0)
    padx: int = integer(0, MAX_PIXELS, default=0)
    pady: int = integer(0, MAX_PIXELS, default=0)
    type: str = parameter(FONT, default=DEFAULT)
    color: str = parameter(INK, default="000000")
    size: int = integer(1, 1000, default=40)
    shadow: int = integer(0, 100, default=0)
    order: int = integer(0, 1, default=0)
    align: int = integer(0, 2, default=2)
    interval: int = integer(0, 1000, default=0)

    def __post_init__(self) -> None:
        if not (self.image or self.text):
            raise MissingArgument("watermark needs one of image, text.")
        for action in self.image.actions if self.image else ():
            if look := action.look():
                raise InvalidArgument(
                    f"{action.name} inside of a watermark takes no g_{look}: overlays "
                    "are not analysed."
                )

    def needs(self) -> tuple[Wanted, ...]:
        return (self.image,) if self.image else ()

    def writes(self) -> str:
        return self.text

    def typefaces(self) -> tuple[str, ...]:
        return (self.type,) if self.text else ()

    def holds(self, frame: Frame) -> int:
        # a picture may be as large as the main one, a line two ems high and an em per character
        return bool(self.image) * frame.area + len(self.text) * 2 * self.size**2

    def streams(self, frame: Frame) -> bool:
        return frame.area > HELD  # blending onto a picture in memory takes half the time

    def corner(self, frame: Frame, width: int, height: int) -> tuple[int, int]:
        """Return where a block of this size begins, in pixels from the picture's upper left."""
        across, down = ANCHORS[self.g]
        left = (self.x, (frame.width - width) // 2, frame.width - width - self.x)[across]
        middle = (frame.height - height) // 2 + self.voffset
        return left, (self.y, middle, frame.height - height - self.y)[down]

    def prepare(self, stage: Stage, resources: Resources) -> Image | None:
        main = stage.before
        parts = [resources.picture(need.key, need.actions_on(main)) for need in self.needs()]
        if (line := self._line(resources)) is not None:
            parts.append(line)
        if not parts or not self.t:
            return None
        if self.order:
            parts.reverse()
        block = overlay.joined(parts, self.interval, ALIGN[self.align])
        before = replace(stage.before.resized(block.width, block.height), alpha=True)
        turn = Rotate(angle=self.rotate)
        after = turn.plan(before)
        resources.check(after.width, after.height)
        block = icc.converted(block, SRGB, before.gamut)
        if self.rotate % 90:
            block = pixels.turned(block, self.rotate, after.width, after.height, by_line=False)
        else:
            block = turn.apply(block, Stage(turn, before, after))
        block = overlay.faded(block, self.t)
        resources.watch(block)
        return block.copy_memory()

    def _line(self, resources: Resources) -> Image | None:
        if not self.text or (mask := resources.text(self.text, self.type, self.size)) is None:
            return None
        line = overlay.inked(mask, rgb(self.color))
        if self.shadow:
            line = overlay.shaded(line, max(1, self.size // SHADOW), self.shadow)
        return line

    def apply(self, image: Image, stage: Stage) -> Image:
        mark, frame = stage.prepared, stage.before
        if mark is None:
            return image
        left, top = self.corner(frame, mark.width, mark.height)
        if self.fill:
            gap = self.padx, self.pady
            mark = overlay.tiled(mark, left, top, gap, frame.width, frame.height)
            left = top = 0
        return overlay.laid(image, mark, left, top, again=not self.streams(frame))

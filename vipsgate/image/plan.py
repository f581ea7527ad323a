"""Geometry before pixels: fold the actions over the header's frame, and check every frame.

A :class:`Plan` decides all sizes, how far the loader shrinks, which stages must see the whole
picture, and how much memory that takes. Whatever passes here may be decoded; nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import BadRequest, ImageTooLarge
from . import cost
from .action import Action, Stage
from .actions import ACTIONS
from .codecs import CODECS
from .config import Limits, Rendering
from .cost import Cost
from .frame import SRGB, Frame, Header

BANDS_MOST = 5  # CMYK and alpha; a 2 KB TIFF with 8,224 bands took 7 GB
MARK_BYTES = 5  # for each pixel of what is laid on the picture: a line of text while it is drawn
PIPELINE_BYTES = 48 << 20  # libvips' line buffers and the codecs' own state, for any picture
LEFT = 2  # pixels that the loader must leave of a side; it rounds down
MARGIN = {"fast": 1.0, "balanced": 2.0}  # how many times the pixels needed the loader must leave


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done, decided; no pixel has been read.

    Attributes:
        header: What the source says of itself.
        stages: The actions in the order in which they run.
        result: The frame that is written.
        shrink: How far the loader shrinks the source, 1.0 or more.
        memory: Bytes that rendering is expected to take.
        seconds: Of one core, likewise.
    """

    header: Header
    stages: tuple[Stage, ...]
    result: Frame
    shrink: float
    memory: int
    seconds: float = 0.0

    @property
    def cost(self) -> Cost:
        """What it is admitted by."""
        return Cost(self.seconds, self.memory, self.result.pages)

    def explain(self) -> dict[str, Any]:
        """The plan as plain values, for ``vipsgate render --explain``."""
        header = asdict(self.header)
        header["exif"] = len(self.header.exif)
        return {
            "source": header,
            "shrink": self.shrink,
            "stages": [
                {
                    "action": str(stage.action),
                    "from": _size(stage.before),
                    "to": _size(stage.after),
                    "whole": not stage.action.streams(stage.before),
                }
                for stage in self.stages
            ],
            "result": {
                "format": self.result.format,
                "width": self.result.width,
                "height": self.result.height,
                "pages": self.result.pages,
                "alpha": self.result.alpha,
                "quality": self.result.quality,
                "lossless": self.result.lossless,
                "progressive": self.result.progressive,
            },
            "memory": self.memory,
            "seconds": round(self.seconds, 4),
        }


def admit(header: Header, limits: Limits) -> None:
    """Refuse a source that is too large to be decoded at all.

    Raises:
        ImageTooLarge: A side, the area times the frames, or the frames pass a limit.
        BadRequest: More channels than a picture has.
    """
    codec = CODECS[header.format]
    side = min(codec.side or limits.source_side, limits.source_side)
    size = f"The picture has {header.width}x{header.height} pixels"
    if max(header.width, header.height) > side:
        raise ImageTooLarge(
            f"{size}; a side of a {header.format} may have {side}.", ec=codec.side_ec
        )
    if header.pages > limits.frames:
        raise ImageTooLarge(
            f"The animation has {header.pages} frames; it may have {limits.frames}."
        )
    if header.width * header.height * header.pages > limits.source_pixels:
        raise ImageTooLarge(
            f"{size} in {header.pages} frames; "
            f"Maximal size of image supported is {limits.source_pixels} pixels.",
            ec="0040-00000012",
        )
    if header.bands > BANDS_MOST:
        raise BadRequest(f"The picture has {header.bands} channels; it may have {BANDS_MOST}.")


def make(
    header: Header,
    actions: Iterable[Action],
    limits: Limits,
    rendering: Rendering,
) -> Plan:
    """Decide every size, the shrink and the cost before anything is decoded.

    Raises:
        ImageTooLarge: A frame on the way, or the memory, passes a limit.
        OssError: An action does not fit the picture.
    """
    admit(header, limits)
    stages: list[Stage] = []
    before = Frame.of(header)
    for action in _ordered(actions):
        if action.turns(before) and max(before.width, before.height) > limits.rotate_side:
            raise BadRequest(
                "Picture exceed the maximum allowable rotation range. It has "
                f"{before.width}x{before.height} pixels; a side may have {limits.rotate_side}."
            )
        after = action.plan(before)
        if not action.cuts:
            for made in (action.between(before) or after, after):
                _check_made(action, before, made, limits)
        stages.append(Stage(action, before, after))
        before = after
    result = _result(before, rendering)
    shrink = _shrink(header, stages, result, rendering)
    stages = _shrunk(stages, shrink)
    memory = _memory(header, stages, result, shrink, limits)
    if memory > limits.render_bytes:
        raise ImageTooLarge(
            f"The picture of {header.width}x{header.height} pixels would take {memory} bytes "
            f"of memory; it may take {limits.render_bytes}."
        )
    seconds = cost.seconds(header, stages, result, shrink)
    if seconds > limits.render_seconds:
        raise ImageTooLarge(
            f"The picture of {header.width}x{header.height} pixels would take {seconds:.0f} "
            f"seconds; it may take {limits.render_seconds}."
        )
    return Plan(header, tuple(stages), result, shrink, memory, seconds)


def at(plan: Plan, shrink: float) -> Plan:
    """The same plan for a source that is reduced less by its loader.

    Args:
        plan: As it was made.
        shrink: From 1.0 to that of the plan.
    """
    if shrink == plan.shrink:
        return plan
    return replace(plan, shrink=shrink, stages=tuple(_shrunk(plan.stages, shrink)))


def _ordered(actions: Iterable[Action]) -> list[Action]:
    """As they run: those that come first, then those written, in their order."""
    given = list(actions)
    names = {action.name for action in given}
    given += [kind() for name, kind in ACTIONS.items() if kind.implied and name not in names]
    return sorted(given, key=lambda action: not action.first())


def _check_made(action: Action, before: Frame, made: Frame, limits: Limits) -> None:
    if (made.width, made.height) != (before.width, before.height):
        limits.check_made(action.name, made.width, made.height)
    if made.pages > 1 and made.area * made.pages > limits.source_pixels:
        raise ImageTooLarge(
            f"{action.name} makes {made.pages} frames of {made.width}x{made.height} pixels; "
            f"together they may have {limits.source_pixels}."
        )


def _result(frame: Frame, rendering: Rendering) -> Frame:
    """What is written: the codec's own limits and its default quality."""
    codec = CODECS[frame.format]
    width, height = codec.saved
    if frame.width > width or frame.height > height:
        raise ImageTooLarge(
            f"The result has {frame.width}x{frame.height} pixels; "
            f"{frame.format} can hold {width}x{height}.",
            ec=codec.saved_ec,
        )
    return replace(
        frame,
        alpha=frame.alpha and codec.alpha,
        gamut=frame.gamut if codec.profile else SRGB,
        quality=None
        if codec.quality is None
        else frame.quality or codec.quality or rendering.jpeg_quality,
    )


def _shrink(header: Header, stages: Sequence[Stage], result: Frame, rendering: Rendering) -> float:
    """Ask the actions in turn; the first that has an answer decides, and the loader as it can."""
    asked = (stage.action.shrink(stage.before) for stage in stages)
    allowed = next((far for far in asked if far is not None), 1.0)
    if rendering.shrink == "exact" or result.pages > 1:
        return 1.0
    allowed = min(allowed / MARGIN[rendering.shrink], min(header.width, header.height) / LEFT)
    return CODECS[header.format].shrink(max(1.0, allowed))


def _shrunk(stages: Sequence[Stage], shrink: float) -> list[Stage]:
    """Each stage with the reduction in front of it; who has an answer to it undoes it."""
    made = []
    for stage in stages:
        made.append(replace(stage, shrunk=shrink))
        if stage.action.shrink(stage.before) is not None:
            shrink = 1.0
    return made


def _memory(
    header: Header, stages: Sequence[Stage], result: Frame, shrink: float, limits: Limits
) -> int:
    """Decoder, pictures held whole on the way, what is laid on them, encoder."""
    source = header.width * header.height
    total = PIPELINE_BYTES + CODECS[header.format].held(header, shrink) * source
    pages = result.pages
    for stage in stages:
        if not stage.action.streams(stage.before):
            total += stage.before.area / stage.shrunk**2 * max(3, header.bands) * pages
        total += MARK_BYTES * min(stage.action.holds(stage.before), 2 * limits.output_pixels)
    return int(total + CODECS[result.format].made(result) * result.area * pages)


def _size(frame: Frame) -> str:
    pages = f"x{frame.pages}" if frame.pages > 1 else ""
    return f"{frame.width}x{frame.height}{pages}"

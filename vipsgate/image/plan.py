"""The plan of a picture: folds the actions over the header's frame, and checks every frame.

A :class:`Plan` has all sizes, the steps that are run for the actions, the shrink of the loader, and
the memory that all this takes. Only a source with a plan is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from ..errors import BadRequest, ImageTooLarge
from . import automatic, cost, goal, masters, optimize, pixels
from .action import Action, Stage
from .actions import ACTIONS
from .actions.format import QUICK
from .config import Limits, Rendering
from .cost import Cost
from .formats.codecs import CODECS
from .frame import P3, SRGB, Frame, Header
from .notes import Notes, joined, note
from .steps import Cut, Scale, Size, Step

MAX_BANDS = 5  # CMYK and alpha; a 2 KB TIFF with 8,224 bands took 7 GB
MARK_BYTES = 5  # for each pixel of a watermark: that of a line of text while it is drawn
# upper bounds of what bench/estimates.py has measured:
PIPELINE_BYTES = 20 << 20  # state of libvips and the codecs, and code that runs for the first time
LINES = 800  # lines of the source that libvips keeps while reading once from top to bottom
DEEP_LINES = 900  # likewise, of a source with more than 8 bits
WRITTEN_LINES = 320  # lines of the result, between two threads
ALPHA_LINES = 2.4  # factor for :attr:`.steps.Step.lines` of pictures with alpha
FRAME_BYTES = 13 << 10  # for each frame of an animation, however small: libvips' image of it
MEMORY_BYTES = 9  # for each pixel of a picture that stays in memory, with a copy of it
LAYERS = 8  # largest multiple of its own lines that a picture of few lines is held
LITTLE = 0.010  # seconds of one core up to which libvips' threads do not pay off for a still
LOADED_AT_ONCE = 8 << 20  # most pixels that another decoder than libvips' leaves in memory
AT_ONCE = 1 << 20  # most pixels of a result that another encoder than libvips' gets in one piece
UNCANCELLED = 0.1  # most seconds that either may take, because it cannot be cancelled
AT_ONCE_BYTES = 12  # for each pixel then: libvips' copy, ours, and Pillow's
CACHED_PLANS = 512  # remembered plans: pages show many pictures of one size
HALVING = 8e-9  # seconds for each pixel of a source that is halved after loading
MIN_SIDE = 2  # least pixels of a side that the loader leaves; it rounds down
DIGITS = 9  # decimals to which a product of ratios is exact
MARGIN = {"fast": 1.0, "balanced": 2.0}  # least multiple of the pixels needed that is loaded
# least reduction by Lanczos; with more than 3 the result could be darker by a level, because the
# weights of libvips' 8-bit kernels do not quite add up to one
GAP = {"fast": pixels.GAP, "balanced": pixels.GAP, "exact": 3.0}


@dataclass(frozen=True, slots=True)
class Loading:
    """How a source is loaded: plans with an equal one begin with the same pixels.

    Attributes:
        header: See :class:`Plan`.
        shrink: See :class:`Plan`.
        halved: See :class:`Plan`.
        pages: Frames that are read.
        profile: Whether the source's own profile is kept.
    """

    header: Header
    shrink: float
    halved: int
    pages: int
    profile: bool

    @property
    def bytes(self) -> int:
        """Upper bound of the bytes of all these pixels."""
        width, height = reduced(self.header, self.shrink / 2**self.halved, self.halved)
        return width * height * self.pages * max(3, self.header.bands)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided about a picture before any pixel is read.

    Attributes:
        header: The header of the source.
        stages: The actions as written, in order, to which all limits apply.
        steps: The steps that are run, with the same result and less work (:mod:`.optimize`).
        result: The frame of the result.
        shrink: The reduction of the source before the first step, 1.0 or more.
        halved: How often it is halved for that after loading; the loader shrinks by the rest.
        master: Whether the reduced source is its master, which may be cached (:mod:`.masters`).
        memory: Estimated bytes of rendering.
        seconds: Estimated seconds of one core.
        notes: Notes on actions that are changed or ignored with this source.
    """

    header: Header
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]
    result: Frame
    shrink: float
    memory: int
    seconds: float = 0.0
    notes: Notes = ()
    halved: int = 0
    master: bool = False

    @property
    def cost(self) -> Cost:
        """The cost by which it is admitted."""
        return Cost(self.seconds, self.memory, self.result.pages)

    @property
    def cost_from_master(self) -> Cost:
        """The same if its master is cached."""
        spared = cost.decoding(self.header, self.loader_shrink) if self.master else 0.0
        return replace(self.cost, seconds=max(cost.FIXED, self.seconds - spared))

    @property
    def loader_shrink(self) -> float:
        """The part of ``shrink`` that the loader does."""
        return self.shrink / (1 << self.halved)

    @property
    def loading(self) -> Loading:
        """The part of the plan that :func:`.load.load` uses."""
        result = self.result
        return Loading(self.header, self.shrink, self.halved, result.pages, result.profile)

    @property
    def at_once(self) -> bool:
        """Whether all pixels are made first, and then encoded by ``Codec.at_once``."""
        still = self.result.pages == 1 and not self.result.goal
        return still and (self.is_little or _whole(self.result))

    @property
    def is_little(self) -> bool:
        """Whether it is so little work that its pixels are made in one thread."""
        return self.seconds <= LITTLE

    def explain(self) -> dict[str, Any]:
        """Return the plan as plain values, for ``vipsgate render --explain``."""
        header = asdict(self.header)
        header["exif"] = len(self.header.exif)
        return {
            "source": header,
            "shrink": self.shrink,
            "master": self.master,
            "stages": [
                {
                    "action": str(stage.action),
                    "from": _size(stage.before),
                    "to": _size(stage.after),
                }
                | _window(stage)
                for stage in self.stages
            ],
            "steps": [
                {
                    "step": str(step),
                    "from": f"{before[0]}x{before[1]}",
                    "to": f"{after[0]}x{after[1]}",
                    "whole": not step.streams,
                }
                for step, before, after in _sized(self.steps, self.header, self.shrink)
            ],
            "result": {
                "format": self.result.format,
                "width": self.result.width,
                "height": self.result.height,
                "pages": self.result.pages,
                "alpha": self.result.alpha,
                "quality": self.result.quality,
                "search": self.result.goal and goal.explained(self.result.goal, self.result.format),
                "lossless": self.result.lossless,
                "progressive": self.result.progressive,
            },
            "notes": list(self.notes),
            "memory": self.memory,
            "seconds": round(self.seconds, 4),
        }


def _window(stage: Stage) -> dict[str, str]:
    """Return the window that an action cuts out of its (scaled) picture, if it cuts."""
    cuts = (step for step in stage.steps() if isinstance(step, Cut))
    cut = next(cuts, None)
    return {"window": str(cut).removeprefix("cut ")} if cut else {}


def admit(header: Header, pages: int, limits: Limits) -> None:
    """Refuse a source that is too large to be decoded at all.

    Args:
        header: The header of the source.
        pages: Frames that are read: all, or one if the result has only one.
        limits: The limits of every picture.

    Raises:
        ImageTooLarge: A side, the area times the frames, or the frames exceed a limit.
        BadRequest: More channels than a picture has.
    """
    codec = CODECS[header.format]
    side = min(codec.side or limits.source_side, limits.source_side)
    size = f"The picture has {header.width}x{header.height} pixels"
    if max(header.width, header.height) > side:
        raise ImageTooLarge(
            f"{size}; a side of a {header.format} may have {side}.", ec=codec.side_ec
        )
    if pages > limits.frames:
        raise ImageTooLarge(f"The animation has {pages} frames; it may have {limits.frames}.")
    if header.width * header.height * pages > limits.source_pixels:
        raise ImageTooLarge(
            f"{size}{f' in {pages} frames' if pages > 1 else ''}; "
            f"Maximal size of image supported is {limits.source_pixels} pixels.",
            ec="0040-00000012",
        )
    if header.bands > MAX_BANDS:
        raise BadRequest(f"The picture has {header.bands} channels; it may have {MAX_BANDS}.")


def make(
    header: Header,
    actions: Iterable[Action],
    limits: Limits,
    rendering: Rendering,
    *,
    written: bool = True,
) -> Plan:
    """Make a plan: decide every size, the shrink and the cost before anything is decoded.

    Args:
        header: The header of the source.
        actions: The actions as written.
        limits: The limits of every picture.
        rendering: The settings for rendering.
        written: Whether the result is encoded; else it stays in memory, with alpha.

    Raises:
        ImageTooLarge: An intermediate frame, or the memory, exceeds a limit.
        OssError: An action does not fit the picture.
    """
    if kind := header.unsupported:
        raise BadRequest(
            f"The {header.format.upper()} is of a kind that is not supported ({kind})."
        )
    stages: list[Stage] = []
    given = tuple(actions)
    ordered = _ordered(given)
    if header.tagged and any(action.own_profile() for action in ordered):
        header = replace(header, gamut=P3)  # the widest gamut that drawn colours are converted to
    before = Frame.of(header)
    for action in ordered:
        stages.append(Stage(action, before, action.plan(before)))
        before = stages[-1].after
    admit(header, before.pages, limits)
    for stage in stages:
        _check(stage, before.pages, limits)
    kind = automatic.accepted(given)
    plans = _plans(header, stages, automatic.frames(before, kind), limits, rendering, written)
    best = next(plans)
    if kind == QUICK and best.result.format == "avif":
        sooner = next(plans)
        if best.seconds - sooner.seconds > automatic.DEAR:
            return replace(sooner, notes=joined(sooner.notes, (note("later", "avif"),)))
    return best


def _plans(
    header: Header, stages: Sequence[Stage], frames: Sequence[Frame], *how: Any
) -> Iterator[Plan]:
    """Yield the plans of those frames as which a picture can be written, in order.

    Raises:
        ImageTooLarge: It cannot be written as the last of them.
    """
    for frame in frames[:-1]:
        with suppress(ImageTooLarge):  # another format may have higher limits, or take less memory
            yield _decided(header, stages, frame, *how)
    yield _decided(header, stages, frames[-1], *how)


def _decided(
    header: Header,
    stages: Sequence[Stage],
    frame: Frame,
    limits: Limits,
    rendering: Rendering,
    written: bool,
) -> Plan:
    """Return the plan by which the last frame is written as the given result.

    Raises:
        ImageTooLarge: The format cannot hold it, or it takes too much memory.
    """
    result = _result(frame, rendering)
    fused = _fused(header, stages, rendering)
    loaded, halved, master = 1.0, 0, False
    if written and (way := _over_master(header, stages, fused, result, rendering)):
        (loaded, halved, steps), master = way, True
    else:
        loaded, steps = _shrunk(header, fused, result, rendering)
    shrink = loaded * 2**halved
    memory = _memory(header, stages, steps, result, (loaded, halved), limits, written)
    memory += master * masters.BYTES
    check_memory(header, memory, limits)
    done = sum(step.cost(before) for step, before, _ in _sized(steps, header, shrink))
    done += HALVING * header.width * header.height if halved else 0.0
    seconds = cost.seconds(header, done, len(steps), result, loaded)
    if seconds > limits.render_seconds:
        raise ImageTooLarge(
            f"The picture of {header.width}x{header.height} pixels would take {seconds:.0f} "
            f"seconds; it may take {limits.render_seconds}."
        )
    notes = _notes(header, stages, result)
    return Plan(
        header, tuple(stages), steps, result, shrink, memory, seconds, notes, halved, master
    )


def check_memory(header: Header, memory: int, limits: Limits) -> None:
    """Refuse a picture that would take too much memory.

    Raises:
        ImageTooLarge: It takes more than ``limits.render_bytes``.
    """
    if memory > limits.render_bytes:
        raise ImageTooLarge(
            f"The picture of {header.width}x{header.height} pixels would take {memory} bytes "
            f"of memory; it may take {limits.render_bytes}."
        )


remembered = lru_cache(maxsize=CACHED_PLANS)(make)  # for headers without EXIF, which may be large


def _ordered(actions: Iterable[Action]) -> list[Action]:
    """Return the actions in the order in which they run, implied ones included."""
    given = list(actions)
    names = {action.name for action in given}
    given += [kind() for name, kind in ACTIONS.items() if kind.implied and name not in names]
    return sorted(given, key=lambda action: not action.first())


def _notes(header: Header, stages: Iterable[Stage], result: Frame) -> Notes:
    """Return the notes of a plan."""
    notes = [item for stage in stages for item in stage.action.notes(stage.before, result)]
    if header.more and header.format != "png":
        notes.append(note("pages", "first"))
    elif header.more and (result.format == "png" or CODECS[result.format].animated):
        notes.append(note("apng", "first-frame"))  # the result could have been animated
    if header.hdr:
        notes.append(note("hdr", "clipped"))
    return joined(notes)


def _check(stage: Stage, pages: int, limits: Limits) -> None:
    """Refuse a stage whose picture is too large, with as many frames as the result has.

    Raises:
        ImageTooLarge: A side, the area or the area times the frames exceeds a limit.
        BadRequest: It is turned, and a side exceeds ``limits.rotate_side``.
    """
    action, before, after = stage.action, stage.before, stage.after
    if action.turns(before) and max(before.width, before.height) > limits.rotate_side:
        raise BadRequest(
            "Picture exceed the maximum allowable rotation range. It has "
            f"{before.width}x{before.height} pixels; a side may have {limits.rotate_side}."
        )
    if action.cuts:
        return
    for frame in (action.between(before) or after, after):
        if (frame.width, frame.height) != (before.width, before.height):
            limits.check_made(action.name, frame.width, frame.height)
        if pages > 1 and frame.area * pages > limits.source_pixels:
            raise ImageTooLarge(
                f"{action.name} makes {pages} frames of {frame.width}x{frame.height} pixels; "
                f"together they may have {limits.source_pixels}."
            )


def _result(frame: Frame, rendering: Rendering) -> Frame:
    """Return the frame of the result, with the codec's restrictions and default quality."""
    codec = CODECS[frame.format]
    width, height = codec.saved
    if frame.width > width or frame.height > height:
        raise ImageTooLarge(
            f"The result has {frame.width}x{frame.height} pixels; "
            f"{frame.format} can hold {width}x{height}.",
            ec=codec.saved_ec,
        )
    searched = None if codec.quality is None or frame.lossless else frame.goal
    scans = frame.progressive
    if scans is None:
        scans = searched is not None and goal.CALIBRATED[frame.format].scans
    return replace(
        frame,
        alpha=frame.alpha and codec.alpha and not frame.opaque,
        gamut=frame.gamut if codec.profile else SRGB,
        profile=frame.profile and codec.profile,
        goal=searched,
        progressive=scans,
        quality=None
        if codec.quality is None or searched
        else frame.quality or codec.quality or rendering.jpeg_quality,
    )


def _fused(header: Header, stages: Iterable[Stage], rendering: Rendering) -> tuple[Step, ...]:
    """Return the fused steps of the stages, for the unreduced source."""
    gap = GAP[rendering.shrink]
    written = (step for stage in stages for step in stage.steps())
    steps = (replace(step, gap=gap) if isinstance(step, Scale) else step for step in written)
    return optimize.fused(steps, (header.width, header.height))


def _shrunk(
    header: Header, steps: tuple[Step, ...], result: Frame, rendering: Rendering
) -> tuple[float, tuple[Step, ...]]:
    """Return how far the loader shrinks, and the steps that follow."""
    cut, scale = optimize.lead(steps)
    if scale is None or rendering.shrink == "exact" or result.pages > 1:
        return 1.0, steps
    size = header.width, header.height
    codec, margin = CODECS[header.format], MARGIN[rendering.shrink]
    wide, high = cut.sides(size) if cut else size
    most = min(wide, high) / MIN_SIDE
    allowed = bound = min(round(scale.ratio, DIGITS) / margin, most)
    if not codec.stretches:  # in steps, from which a side of the result may be half a pixel away
        nearly = min(wide / (scale.width - optimize.HALF), high / (scale.height - optimize.HALF))
        bound = min(max(allowed, nearly / margin), most)
    while (shrink := codec.shrink(max(1.0, bound))) > 1:
        reduced = optimize.shrunk(steps, reduction(header, shrink), size)
        if reduced is not None and (shrink <= allowed or margin > 1 or not _scales(reduced)):
            return shrink, reduced
        bound = shrink / 2
    return 1.0, steps


def _scales(steps: tuple[Step, ...]) -> bool:
    """Return whether there is a scaling that no earlier step keeps from the loader."""
    return optimize.lead(steps)[1] is not None


def _over_master(
    header: Header,
    stages: Iterable[Stage],
    steps: tuple[Step, ...],
    result: Frame,
    rendering: Rendering,
) -> tuple[float, int, tuple[Step, ...]] | None:
    """Return the loader's shrink for a master, the halvings, and the steps that follow.

    Returns:
        ``None`` if the picture is not made from a master.
    """
    own = any(stage.action.own_profile() for stage in stages)
    factor = masters.over(header, steps, result, rendering, own_profile=own)
    if not factor:
        return None
    loaded, halved = masters.parts(header, factor)
    size = header.width, header.height
    shrunk = optimize.shrunk(steps, reduction(header, loaded, halved), size)
    if shrunk is None:
        return None
    scale = optimize.lead(shrunk)[1]
    held = (replace(step, held=True) if step is scale else step for step in shrunk)
    return loaded, halved, tuple(held)


def reduction(header: Header, shrink: float, halved: int = 0) -> tuple[float, float]:
    """Return the exact reduction of width and height.

    Args:
        header: The header of the source.
        shrink: The requested shrink of the loader.
        halved: How often it is halved after that.
    """
    size = header.width, header.height
    if halved:
        width, height = optimize.whole_sides(size, (shrink * 2**halved,) * 2)
    elif not CODECS[header.format].stretches:
        return shrink, shrink
    else:  # as libvips rounds; the last digit of the reciprocal decides about a half
        width, height = (round(side * (1 / shrink)) for side in size)
    return size[0] / width, size[1] / height


def reduced(header: Header, shrink: float, halved: int = 0) -> Size:
    """Return the sides of a reduced source, to the nearest pixel."""
    return optimize.whole_sides((header.width, header.height), reduction(header, shrink, halved))


def _sized(
    steps: Iterable[Step], header: Header, shrink: float
) -> Iterator[tuple[Step, Size, Size]]:
    """Yield each step with the sizes before and after it, for the reduced source."""
    before = reduced(header, shrink)
    for step in steps:
        after = step.sides(before)
        yield step, before, after
        before = after


def _memory(
    header: Header,
    stages: Sequence[Stage],
    steps: Sequence[Step],
    result: Frame,
    reduced: tuple[float, int],
    limits: Limits,
    written: bool,
) -> int:
    """Return the bytes of decoder, lines, held pictures, watermarks and encoder."""
    loaded, halved = reduced
    shrink = loaded * 2**halved
    alpha = header.alpha or any(stage.after.alpha for stage in stages)
    total = PIPELINE_BYTES + _decoding(header, loaded, result.pages) + _marks(stages, limits)
    total += _processing(_sized(steps, header, shrink), max(3 + alpha, header.bands), alpha)
    total += result.copyright * header.stored  # the file is read once more, with its metadata
    if not written:
        return int(total + MEMORY_BYTES * result.area)
    searched = goal.memory(result.goal, result.area, result.pages, 3 + alpha)
    return int(total + encoding(result, 3 + alpha) + searched)


def _decoding(header: Header, shrink: float, pages: int) -> float:
    width, height = reduced(header, shrink)
    lines = min(DEEP_LINES if header.depth > 8 else LINES, LAYERS * height)
    if loads_at_once(header, shrink):
        lines = max(lines, height)
    codec = CODECS[header.format]
    each = codec.held(header, shrink) + (codec.holds_frames and pages > 1) * header.bands * pages
    decoded = each * header.width * header.height
    copies = codec.copies + (codec.completed is not None and shrink > 1)
    return copies * header.stored + decoded + lines * width * header.bands * -(-header.depth // 8)


def loads_at_once(header: Header, shrink: float) -> bool:
    """Return whether ``Codec.load_at_once`` may decode a picture: little work, and few pixels."""
    if CODECS[header.format].load_at_once is None or header.bands not in (1, 3):
        return False
    width, height = reduced(header, shrink)
    little = cost.decoding(header, shrink) <= UNCANCELLED
    return little and width * height <= LOADED_AT_ONCE


def _processing(steps: Iterable[tuple[Step, Size, Size]], bands: int, alpha: bool) -> float:
    """Return the bytes that steps keep: lines, and the pictures that are held between steps.

    A picture is held while the next one is made (see :mod:`.render`).
    """
    total, streaming = 0.0, True
    for step, before, after in steps:
        if streaming and not step.streams:
            total += before[0] * before[1] * bands
            streaming = False
        lines = step.lines * (ALPHA_LINES if alpha else 1)
        total += bands * max(before[0], after[0]) * min(lines, LAYERS * max(before[1], after[1]))
        streaming = streaming or (step.streams and step.lines > 0)
    return total


def encoding(result: Frame, bands: int) -> float:
    """Return an upper bound of the bytes of encoding.

    Args:
        result: The frame of the result.
        bands: Its channels, alpha included.
    """
    codec = CODECS[result.format]
    lines = bands * result.width * min(WRITTEN_LINES, LAYERS * result.height)
    frames = result.pages if result.pages > 1 else 0
    animation = ((bands + codec.frame_bytes(result)) * result.area + FRAME_BYTES) * frames
    pixels = AT_ONCE_BYTES * result.area * _whole(result)
    return lines + codec.encoding(result) * result.area + animation + pixels


def _whole(result: Frame) -> bool:
    """Return whether a still is encoded from all pixels at once however much work it is.

    It is if its codec needs them all anyway, and neither memory nor the time without cancellation
    is too much.
    """
    codec = CODECS[result.format]
    if not codec.whole or result.area > AT_ONCE:
        return False
    return codec.writes(result) * result.area * 1e-9 <= UNCANCELLED


def _marks(stages: Iterable[Stage], limits: Limits) -> int:
    """Return the bytes of all watermarks of a picture, in memory."""
    most = 2 * limits.output_pixels
    return MARK_BYTES * sum(min(stage.action.holds(stage.before), most) for stage in stages)


def _size(frame: Frame) -> str:
    pages = f"x{frame.pages}" if frame.pages > 1 else ""
    return f"{frame.width}x{frame.height}{pages}"

"""Geometry before pixels: fold the actions over the header's frame, and check every frame.

A :class:`Plan` decides all sizes, what is run in place of what is written, how far the loader
shrinks, and how much memory that takes. Whatever passes here may be decoded; nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from ..errors import BadRequest, ImageTooLarge
from . import automatic, cost, goal, masters, optimize
from .action import Action, Stage
from .actions import ACTIONS
from .actions.format import QUICK
from .config import Limits, Rendering
from .cost import Cost
from .formats.codecs import CODECS
from .frame import P3, SRGB, Frame, Header
from .notes import Notes, joined, note
from .steps import Cut, Size, Step

MAX_BANDS = 5  # CMYK and alpha; a 2 KB TIFF with 8,224 bands took 7 GB
MARK_BYTES = 5  # for each pixel of what is laid on the picture: a line of text while it is drawn
# what any picture takes, measured by bench/estimates.py, at least:
PIPELINE_BYTES = 20 << 20  # state of libvips and the codecs, and code that runs for the first time
LINES = 800  # of the source that libvips keeps, to be read once and from top to bottom; wide TIFFs
DEEP_LINES = 900  # likewise, where it has more than 8 bits
WRITTEN_LINES = 320  # of the result, between two threads
ALPHA_LINES = 2.4  # times :attr:`.steps.Step.lines`, where it weighs colours by opacity
FRAME_BYTES = 13 << 10  # for each frame of an animation, however small: libvips' image of it
MEMORY_BYTES = 9  # for each pixel of a picture that stays in memory: its own, and those of its copy
LAYERS = 8  # times its own lines that a low picture may be held
AT_ONCE = 0.010  # seconds of one core, up to which a still is not worth libvips' threads
CACHED_PLANS = 512  # plans that are remembered: pages show many pictures of one size
HALVING = 8e-9  # seconds for each pixel of a source that is halved after it was loaded
MIN_SIDE = 2  # pixels that the loader must leave of a side; it rounds down
DIGITS = 9  # behind the point that the product of some ratios has right
MARGIN = {"fast": 1.0, "balanced": 2.0}  # how many times the pixels needed the loader must leave


@dataclass(frozen=True, slots=True)
class Loading:
    """How a source is loaded: plans that agree in it begin with the same pixels.

    Attributes:
        header: See :class:`Plan`.
        shrink: Likewise.
        halved: Likewise.
        pages: Frames that are read.
        profile: Whether the source's own profile is remembered.
    """

    header: Header
    shrink: float
    halved: int
    pages: int
    profile: bool

    @property
    def bytes(self) -> int:
        """Of all these pixels, at most."""
        width, height = reduced(self.header, self.shrink / 2**self.halved, self.halved)
        return width * height * self.pages * max(3, self.header.bands)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done, decided; no pixel has been read.

    Attributes:
        header: What the source says of itself.
        stages: The actions as they are written, in their order; all limits hold of these.
        steps: What is run: the same in result, with less work (:mod:`.optimize`).
        result: The frame that is written.
        shrink: How far the source is reduced before the first step, 1.0 or more.
        halved: How often it is halved for that, behind a loader that shrinks it by the rest.
        master: Whether that is its master, which may be kept (:mod:`.masters`).
        memory: Bytes that rendering is expected to take.
        seconds: Of one core, likewise.
        notes: What of the actions is not followed to the letter with this source.
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
        """What it is admitted by."""
        return Cost(self.seconds, self.memory, self.result.pages)

    @property
    def cost_from_master(self) -> Cost:
        """Likewise, where its master is there."""
        spared = cost.decoding(self.header, self.loader_shrink) if self.master else 0.0
        return replace(self.cost, seconds=max(cost.FIXED, self.seconds - spared))

    @property
    def loader_shrink(self) -> float:
        """How far the loader shrinks the source."""
        return self.shrink / (1 << self.halved)

    @property
    def loading(self) -> Loading:
        """All that :func:`.load.load` asks of it."""
        result = self.result
        return Loading(self.header, self.shrink, self.halved, result.pages, result.profile)

    @property
    def at_once(self) -> bool:
        """Is it so little work that it is done in one go, in one thread?"""
        return self.result.pages == 1 and self.seconds <= AT_ONCE and not self.result.goal

    def explain(self) -> dict[str, Any]:
        """The plan as plain values, for ``vipsgate render --explain``."""
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
    """Which part of what it is given, or has scaled, an action keeps; nothing for all of it."""
    cuts = (step for step in stage.steps() if isinstance(step, Cut))
    cut = next(cuts, None)
    return {"window": str(cut).removeprefix("cut ")} if cut else {}


def admit(header: Header, pages: int, limits: Limits) -> None:
    """Refuse a source that is too large to be decoded at all.

    Args:
        header: What the source says of itself.
        pages: Frames that are read of it: all, or the first one where the result has no more.
        limits: Of every picture.

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
    """Decide every size, the shrink and the cost before anything is decoded.

    Args:
        header: What the source says of itself.
        actions: As they are written.
        limits: Of every picture.
        rendering: How pictures are made.
        written: Whether the result is; else it stays in memory, with alpha.

    Raises:
        ImageTooLarge: A frame on the way, or the memory, passes a limit.
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
        header = replace(header, gamut=P3)  # the widest that there are drawn colours for
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
    """The plans by which a picture can be written as one of the frames, in their order.

    Raises:
        ImageTooLarge: Not as the last of them.
    """
    for frame in frames[:-1]:
        with suppress(ImageTooLarge):  # another format may hold it, or take less
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
    """The plan by which the last of the frames is written like that.

    Raises:
        ImageTooLarge: It cannot be, or takes too much.
    """
    result = _result(frame, rendering)
    fused = _fused(header, stages)
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
    """Refuse a picture that would take too much.

    Raises:
        ImageTooLarge: It would.
    """
    if memory > limits.render_bytes:
        raise ImageTooLarge(
            f"The picture of {header.width}x{header.height} pixels would take {memory} bytes "
            f"of memory; it may take {limits.render_bytes}."
        )


remembered = lru_cache(maxsize=CACHED_PLANS)(make)  # for headers without EXIF, which may be large


def _ordered(actions: Iterable[Action]) -> list[Action]:
    """As they run: those that come first, then those written, in their order."""
    given = list(actions)
    names = {action.name for action in given}
    given += [kind() for name, kind in ACTIONS.items() if kind.implied and name not in names]
    return sorted(given, key=lambda action: not action.first())


def _notes(header: Header, stages: Iterable[Stage], result: Frame) -> Notes:
    """What a caller would not expect of the result."""
    notes = [item for stage in stages for item in stage.action.notes(stage.before, result)]
    if header.more and header.format != "png":
        notes.append(note("pages", "first"))
    elif header.more and (result.format == "png" or CODECS[result.format].animated):
        notes.append(note("apng", "first-frame"))  # it could have been one, or was not asked for
    if header.hdr:
        notes.append(note("hdr", "clipped"))
    return joined(notes)


def _check(stage: Stage, pages: int, limits: Limits) -> None:
    """Refuse a picture on the way that is too large, in as many frames as the result has.

    Raises:
        ImageTooLarge: A side, the area or the area times the frames passes a limit.
        BadRequest: It is turned, and a side is too long for that.
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
    """What is written: the codec's own limits and its default quality."""
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


def _fused(header: Header, stages: Iterable[Stage]) -> tuple[Step, ...]:
    """What is run for the stages, on the source as it is."""
    steps = (step for stage in stages for step in stage.steps())
    return optimize.fused(steps, (header.width, header.height))


def _shrunk(
    header: Header, steps: tuple[Step, ...], result: Frame, rendering: Rendering
) -> tuple[float, tuple[Step, ...]]:
    """How far the loader shrinks, and the steps that follow: as far as both sides of it allow."""
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
    """Is anything left to be scaled before it is otherwise changed?"""
    return optimize.lead(steps)[1] is not None


def _over_master(
    header: Header,
    stages: Iterable[Stage],
    steps: tuple[Step, ...],
    result: Frame,
    rendering: Rendering,
) -> tuple[float, int, tuple[Step, ...]] | None:
    """How far the loader shrinks for a master, how often that is halved, and the steps that follow.

    Returns:
        ``None`` where the way does not lead over one.
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
    """How far a source is really reduced across and down.

    Args:
        header: Of the source.
        shrink: How far its loader is told to shrink it.
        halved: How often it is halved after that.
    """
    size = header.width, header.height
    if halved:
        width, height = optimize.whole_sides(size, (shrink * 2**halved,) * 2)
    elif not CODECS[header.format].stretches:
        return shrink, shrink
    else:  # as libvips rounds; a side that ends in a half is told by the reciprocal's last digit
        width, height = (round(side * (1 / shrink)) for side in size)
    return size[0] / width, size[1] / height


def reduced(header: Header, shrink: float, halved: int = 0) -> Size:
    """The sides of a source that is reduced like that, to the nearest pixel."""
    return optimize.whole_sides((header.width, header.height), reduction(header, shrink, halved))


def _sized(
    steps: Iterable[Step], header: Header, shrink: float
) -> Iterator[tuple[Step, Size, Size]]:
    """Each step with the sizes that really go in and come out."""
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
    """Decoder, lines, a picture held whole on the way, what is laid on it, encoder."""
    loaded, halved = reduced
    shrink = loaded * 2**halved
    alpha = header.alpha or any(stage.after.alpha for stage in stages)
    total = PIPELINE_BYTES + _decoding(header, loaded, result.pages) + _marks(stages, limits)
    total += _processing(_sized(steps, header, shrink), max(3 + alpha, header.bands), alpha)
    total += result.copyright * header.stored  # which is read once more, with what pixels lack
    if not written:
        return int(total + MEMORY_BYTES * result.area)
    searched = goal.memory(result.goal, result.area, result.pages, 3 + alpha)
    return int(total + encoding(result, 3 + alpha) + searched)


def _decoding(header: Header, shrink: float, pages: int) -> float:
    width, height = reduced(header, shrink)
    lines = min(DEEP_LINES if header.depth > 8 else LINES, LAYERS * height)
    codec = CODECS[header.format]
    each = codec.held(header, shrink) + (codec.holds_frames and pages > 1) * header.bands * pages
    decoded = each * header.width * header.height
    copies = codec.copies + (codec.completed is not None and shrink > 1)
    return copies * header.stored + decoded + lines * width * header.bands * -(-header.depth // 8)


def _processing(steps: Iterable[tuple[Step, Size, Size]], bands: int, alpha: bool) -> float:
    """What the steps keep: their lines, and once, from where on they do not stream, all of it."""
    total, streaming = 0.0, True
    for step, before, after in steps:
        if streaming and not step.streams:
            total += before[0] * before[1] * bands
            streaming = False
        lines = step.lines * (ALPHA_LINES if alpha else 1)
        total += bands * max(before[0], after[0]) * min(lines, LAYERS * max(before[1], after[1]))
    return total


def encoding(result: Frame, bands: int) -> float:
    """Bytes that encoding takes at most: lines, the codec's own, all frames of an animation.

    Args:
        result: What is written.
        bands: Channels of it, alpha included.
    """
    codec = CODECS[result.format]
    lines = bands * result.width * min(WRITTEN_LINES, LAYERS * result.height)
    frames = result.pages if result.pages > 1 else 0
    animation = ((bands + codec.frame_bytes(result)) * result.area + FRAME_BYTES) * frames
    return lines + codec.encoding(result) * result.area + animation


def _marks(stages: Iterable[Stage], limits: Limits) -> int:
    """Bytes of all that is laid on a picture, in memory."""
    most = 2 * limits.output_pixels
    return MARK_BYTES * sum(min(stage.action.holds(stage.before), most) for stage in stages)


def _size(frame: Frame) -> str:
    pages = f"x{frame.pages}" if frame.pages > 1 else ""
    return f"{frame.width}x{frame.height}{pages}"

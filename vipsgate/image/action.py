"""The shape that every action has: the questions that the pipeline asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from ..errors import InvalidArgument, shown
from . import params
from .frame import Frame
from .gravity import Focus
from .notes import Notes
from .steps import Size, Step

if TYPE_CHECKING:
    from pyvips import Image

    from .resources import Resources


@dataclass(frozen=True, slots=True)
class Wanted:
    """Another object's picture, as an action wants it.

    Attributes:
        key: The object's name, in the bucket of the main picture.
        actions: What is done to it before it is used.
    """

    key: str
    actions: tuple[Action, ...] = ()

    def actions_on(self, main: Frame) -> tuple[Action, ...]:
        """What is done to it before it is used as an overlay on ``main``."""
        return tuple(action.for_overlay_on(main) for action in self.actions)


@dataclass(frozen=True, slots=True)
class Action:
    """One ``name,key_value,...`` of a process text, already validated.

    All but ``apply`` is arithmetic on frames; ``apply`` adds to the lazy pipeline. An action that
    is nothing but known steps says so in ``steps``, and may then run elsewhere, joined with others
    or at another size. Every question has an answer that is right, if slow, for any action.

    Attributes:
        name: The word on the wire.
        single: Takes exactly one bare value (EC 0040-00000203 for more).
        implied: Runs with its defaults when it is not written.
        written: Says how the result is written; no pixel depends on it.
        policy: May come from the bucket's document, so it counts for no word of the caller's.
        cuts: Only takes pixels away, so that the limits on what is made do not matter.
        lines: See :attr:`.steps.Step.lines`.
        moves: Changes where in the picture something is, or what of it is left.
        slashes: Its parameters in Base64, in which a ``/`` may stand.
        ignored: Parameters that were written and that it does not know, by their names.
    """

    name: ClassVar[str]
    single: ClassVar[bool] = False
    implied: ClassVar[bool] = False
    written: ClassVar[bool] = False
    policy: ClassVar[bool] = False
    cuts: ClassVar[bool] = False
    lines: ClassVar[int] = 0
    slashes: ClassVar[frozenset[str]] = frozenset()

    moves: ClassVar[bool] = True

    ignored: Notes = field(default=(), kw_only=True, compare=False, repr=False)

    def first(self) -> bool:
        """Does it run before all others wherever it is written (OSS guide, Auto-orient)?"""
        return False

    def plan(self, frame: Frame) -> Frame:
        """The frame that comes out when ``frame`` goes in."""
        return frame

    def between(self, frame: Frame) -> Frame | None:
        """A larger picture that this action makes on its way, for the limits."""
        return None

    def scales(self) -> bool:
        """Does it leave all of the picture, at whatever size?"""
        return False

    def look(self) -> str:
        """What must be looked for to know where its window lies, one of ``gravity.LOOKS``."""
        return ""

    def aimed(self, focus: Focus) -> Action:
        """The same with what was looked for; no size depends on it."""
        return self

    def needs(self) -> tuple[Wanted, ...]:
        """Pictures of other objects, which are opened before the renderer is asked."""
        return ()

    def writes(self) -> str:
        """The text that it draws, so that characters without a glyph can be reported."""
        return ""

    def typefaces(self) -> tuple[str, ...]:
        """OSS's names of the fonts that it draws with."""
        return ()

    def unused(self) -> tuple[str, ...]:
        """Names of its own parameters that have no effect because others beside them count."""
        return ()

    def notes(self, frame: Frame, result: Frame) -> Notes:
        """What of it is not followed to the letter (:mod:`.notes`).

        Args:
            frame: What goes in.
            result: What is written in the end.
        """
        return ()

    def own_profile(self) -> bool:
        """Is the source's own profile written, so that its colours are needed as they are?"""
        return False

    def holds(self, frame: Frame) -> int:
        """Pixels that it holds in memory besides the picture."""
        return 0

    def for_overlay_on(self, main: Frame) -> Action:
        """The action as it is done to a picture that is an overlay on ``main``."""
        return self

    def turns(self, frame: Frame) -> bool:
        """Does it turn the picture, so that ``limits.rotate_side`` holds?"""
        return False

    def steps(self, frame: Frame) -> tuple[Step, ...] | None:
        """What it is made of, in place of ``apply``; nothing if it leaves all pixels as they are.

        ``None`` says that it is something of its own, which needs every pixel of ``frame``.
        """
        return None

    def streams(self, frame: Frame) -> bool:
        """Can ``apply`` run from top to bottom? If not, the picture is held in memory before it."""
        return False

    def cost(self, frame: Frame) -> float:
        """Seconds of one core that ``apply`` is expected to take, for each page (:mod:`.cost`)."""
        return 20e-9 * frame.area

    def prepare(self, stage: Stage, resources: Resources) -> Image | None:
        """What is the same for every page, made before the source is read; ``stage.prepared``."""
        return None

    def apply(self, image: Image, stage: Stage) -> Image:
        """Add this action to the pipeline of one page."""
        for step in self.steps(stage.before) or ():
            image = step.apply(image)
        return image

    def __str__(self) -> str:
        """The canonical text; parsing it gives an equal action."""
        return ",".join([self.name, *params.texts(self)])


@dataclass(frozen=True, slots=True)
class Stage(Step):
    """An action between the frames on its two sides; a step where it is something of its own.

    Attributes:
        action: What is done.
        before: The frame that goes in.
        after: The frame that comes out.
        prepared: What ``action.prepare`` has made.
    """

    action: Action
    before: Frame
    after: Frame
    prepared: Image | None = None

    def steps(self) -> tuple[Step, ...]:
        """What is run for it."""
        result = self.action.steps(self.before)
        return (self,) if result is None else result

    def sides(self, before: Size) -> Size:
        return self.after.width, self.after.height

    @property
    def streams(self) -> bool:
        return self.action.streams(self.before)

    @property
    def lines(self) -> int:
        return self.action.lines

    def cost(self, before: Size) -> float:
        return self.action.cost(self.before)

    def ready(self, resources: Resources) -> Stage:
        return replace(self, prepared=self.action.prepare(self, resources))

    def apply(self, image: Image) -> Image:
        return self.action.apply(image, self)

    def __str__(self) -> str:
        return str(self.action)


def read(word: str, actions: Mapping[str, type[Action]]) -> Action:
    """``name,key_value,...`` as one of ``actions``.

    Raises:
        InvalidArgument: The name is none of theirs, or a value is bad.
        MissingArgument: A parameter without default is absent.
    """
    name, comma, rest = word.partition(",")
    if name not in actions:
        raise InvalidArgument(
            f"The action: {shown(name)} is not supported. Expected one of {', '.join(actions)}.",
            ec="0040-00000213",
        )
    kind = actions[name]
    items = rest.split(",") if comma else []
    if kind.single and len(items) > 1:
        raise InvalidArgument(
            f"The action: {name} takes one value, not {len(items)}.", ec="0040-00000203"
        )
    return params.build(kind, name, items)

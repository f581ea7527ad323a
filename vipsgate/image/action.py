"""The base class of all actions: the questions that the pipeline asks of an action."""

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
    """The picture of another object that an action needs.

    Attributes:
        key: The object's key, in the bucket of the main picture.
        actions: The actions to apply to it first.
    """

    key: str
    actions: tuple[Action, ...] = ()

    def actions_on(self, main: Frame) -> tuple[Action, ...]:
        """Return the actions to apply to it for an overlay on ``main``."""
        return tuple(action.for_overlay_on(main) for action in self.actions)


@dataclass(frozen=True, slots=True)
class Action:
    """One ``name,key_value,...`` of a process text, already validated.

    All methods but ``apply`` are arithmetic on frames; ``apply`` adds to the lazy pipeline. An
    action that consists of known steps returns them from ``steps``; these may be reordered, joined
    with others, or run at another size. The default of every method is right, if slow, for any
    action.

    Attributes:
        name: The word on the wire.
        single: Whether it takes exactly one bare value (EC 0040-00000203 for more).
        implied: Whether it runs with its defaults if it is not written.
        written: Whether it only says how the result is encoded; no pixel depends on it.
        policy: Whether it may come from the bucket's document, and is then not counted among the
            caller's actions.
        cuts: Whether it only removes pixels, so that limits of the result's size do not apply.
        lines: See :attr:`.steps.Step.lines`.
        moves: Whether it changes positions in the picture, or which part of it is left.
        slashes: Its parameters in Base64, which may contain a ``/``.
        ignored: Names of parameters that were given and that it does not know.
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
        """Whether it runs before all others wherever it is written (OSS guide, Auto-orient)."""
        return False

    def plan(self, frame: Frame) -> Frame:
        """Return the frame that results from ``frame``."""
        return frame

    def between(self, frame: Frame) -> Frame | None:
        """Return the frame of a larger intermediate picture, for the limits; ``None`` if none."""
        return None

    def scales(self) -> bool:
        """Whether it keeps all of the picture, at any size."""
        return False

    def look(self) -> str:
        """What to detect to place its window, one of ``gravity.LOOKS``; empty for nothing."""
        return ""

    def aimed(self, focus: Focus) -> Action:
        """Return the action with the focus that was detected; no size depends on it."""
        return self

    def needs(self) -> tuple[Wanted, ...]:
        """Pictures of other objects that it needs, which the front opens before rendering."""
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
        """Return notes on what of it is changed or ignored (:mod:`.notes`).

        Args:
            frame: The frame before the action.
            result: The frame that is encoded in the end.
        """
        return ()

    def own_profile(self) -> bool:
        """Whether the source's own profile is written, so that its colours are not converted."""
        return False

    def holds(self, frame: Frame) -> int:
        """Return the number of pixels that it holds in memory besides the picture."""
        return 0

    def for_overlay_on(self, main: Frame) -> Action:
        """Return the action as applied to an overlay on ``main``."""
        return self

    def turns(self, frame: Frame) -> bool:
        """Return whether it turns the picture, so that ``limits.rotate_side`` applies."""
        return False

    def steps(self, frame: Frame) -> tuple[Step, ...] | None:
        """Return the steps that replace ``apply``; empty if it changes no pixel.

        ``None`` if it has only ``apply``, which needs every pixel of ``frame``.
        """
        return None

    def streams(self, frame: Frame) -> bool:
        """Return whether ``apply`` can run from top to bottom; else its input is held in memory."""
        return False

    def cost(self, frame: Frame) -> float:
        """Return the estimated seconds of one core of ``apply``, for each page (:mod:`.cost`)."""
        return 20e-9 * frame.area

    def prepare(self, stage: Stage, resources: Resources) -> Image | None:
        """Make what is the same for every page, before the source is read; ``stage.prepared``."""
        return None

    def apply(self, image: Image, stage: Stage) -> Image:
        """Add this action to the pipeline of one page."""
        for step in self.steps(stage.before) or ():
            image = step.apply(image)
        return image

    def __str__(self) -> str:
        """Return the canonical text; parsing it gives an equal action."""
        return ",".join([self.name, *params.texts(self)])


@dataclass(frozen=True, slots=True)
class Stage(Step):
    """An action with the frames before and after it; a step itself if the action has no steps.

    Attributes:
        action: The action.
        before: The frame before it.
        after: The frame after it.
        prepared: The result of ``action.prepare``.
    """

    action: Action
    before: Frame
    after: Frame
    prepared: Image | None = None

    def steps(self) -> tuple[Step, ...]:
        """The steps that are run for it."""
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
    """Read ``name,key_value,...`` as one of ``actions``.

    Raises:
        InvalidArgument: The name is unknown, or a value is bad.
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

"""The shape that every action has: the questions that the pipeline asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from . import params
from .frame import Frame

if TYPE_CHECKING:
    from pyvips import Image


@dataclass(frozen=True, slots=True)
class Action:
    """One ``name,key_value,...`` of a process text, already validated.

    All but ``apply`` is arithmetic on frames; ``apply`` adds to the lazy pipeline. An action is
    told every size by its stage and never asks the image: after shrink-on-load the image may be
    smaller than its frame. Every question has an answer that is right, if slow, for any action.

    Attributes:
        name: The word on the wire.
        single: Takes exactly one bare value (EC 0040-00000203 for more).
        first: Runs before all others wherever it is written (OSS guide, Auto-orient).
        implied: Runs with its defaults when it is not written.
        cuts: Only takes pixels away, so that the limits on what is made do not matter.
    """

    name: ClassVar[str]
    single: ClassVar[bool] = False
    first: ClassVar[bool] = False
    implied: ClassVar[bool] = False
    cuts: ClassVar[bool] = False

    def plan(self, frame: Frame) -> Frame:
        """The frame that comes out when ``frame`` goes in."""
        return frame

    def between(self, frame: Frame) -> Frame | None:
        """A larger picture that this action makes on its way, for the limits."""
        return None

    def turns(self, frame: Frame) -> bool:
        """Does it turn the picture, so that ``limits.rotate_side`` holds?"""
        return False

    def streams(self, frame: Frame) -> bool:
        """Can it run from top to bottom? If not, the picture is held in memory before it."""
        return False

    def shrink(self, frame: Frame) -> float | None:
        """How far the loader may shrink the source without harm to this action.

        1.0 asks for every pixel; ``None`` leaves it to the next action, and says that ``apply``
        works at any size.
        """
        return 1.0

    def apply(self, image: Image, stage: Stage) -> Image:
        """Add this action to the pipeline of one page."""
        return image

    def __str__(self) -> str:
        """The canonical text; parsing it gives an equal action."""
        return ",".join([self.name, *params.texts(self)])


@dataclass(frozen=True, slots=True)
class Stage:
    """An action between the frames on its two sides."""

    action: Action
    before: Frame
    after: Frame

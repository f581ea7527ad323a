"""The look at a picture that finds what a window is laid around: ``g_auto`` and ``g_face``.

What is looked at is the picture as it goes into the action that cuts: upright, after the crops and
turns before it, its first frame, at most 320 pixels long, transparency over grey. Marks, levels and
uniform scaling are left out, as they move nothing, so one look does for all sizes of a page; it is
kept by what it depends on, the source and :attr:`Look.text`. The answer is a focus
(:mod:`.gravity`), which holds at any size; sizes and limits never depend on it.

The look is a plan of its own: loaded as far reduced as the loader can, with an estimate by which it
is admitted, so that what follows is planned exactly and costs what was said. The other design, to
take it out of the first picture's pipeline, saves one decoding of each source (50 ms of 146 for 12
megapixels, bench/windows.py), but holds the decoded source, and begins work whose plan, and with
it the memory, is not yet known.

``auto`` is libvips' attention: edges, skin and bright colours. libvips smooths its map by the size
of the window; here by that of the whole picture, so that the point is the same for all windows
(and better: with small windows it went for the brightest spot of most of ten photographs).
``face`` has a picture without a face looked at as ``auto`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from . import faces, plan
from .action import Action
from .actions.resize import Resize
from .config import Limits, Rendering
from .cost import Cost
from .frame import Header
from .gravity import FACE

SIDE = 320  # pixels: a face of a 30th of it is found, in 10 to 25 ms
SECONDS, BYTES = 0.015, 1 << 20  # of what is done at that size besides, at most (bench/windows.py)
FAST = Rendering(shrink="fast")  # whatever the configuration says: kept places are the same


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked for, and in what.

    Attributes:
        kind: One of ``gravity.LOOKS``.
        actions: What is done to the source before.
        text: Names both; equal texts find the same in a source.
    """

    kind: str
    actions: tuple[Action, ...]
    text: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        text = "/".join([self.kind, *map(str, self.actions)])
        object.__setattr__(self, "text", text)

    def planned(self, header: Header, limits: Limits) -> plan.Plan:
        """How the picture that is looked at is made.

        Raises:
            ImageTooLarge: The source, or one on the way, is too large.
            OssError: An action does not fit the picture.
        """
        small = Resize(w=SIDE, h=SIDE)
        still = replace(header, pages=1, exif=b"")
        return plan.make(still, (*self.actions, small), limits, FAST, written=False)

    def cost(self, planned: plan.Plan) -> Cost:
        """Of making that picture and looking at it."""
        seconds, memory = planned.seconds + SECONDS, planned.memory + BYTES
        if self.kind == FACE:
            seconds, memory = seconds + faces.SECONDS, memory + faces.BYTES
        return Cost(seconds, memory)


def of(actions: Sequence[Action]) -> Look | None:
    """The look that actions need, as written; ``None`` where none does."""
    for index, action in enumerate(actions):
        if kind := action.look():
            before = [other for other in actions[:index] if other.moves]
            while before and before[-1].scales():
                before.pop()
            first = [other for other in actions[index:] if other.moves and other.first()]
            return Look(kind, (*before, *first))
    return None

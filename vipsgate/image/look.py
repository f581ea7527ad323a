"""The detection of the focus for ``g_auto`` and ``g_face``, called a look.

A look examines the picture as it enters the action that cuts: upright, after earlier crops and
turns, its first frame, at most 320 pixels a side, transparency on grey. Watermarks, levels and
uniform scaling are left out, as they move nothing, so one look serves all sizes of a picture. Its
result is a focus (:mod:`.gravity`), which applies to any size, and on which no size or limit
depends. It is cached under the source and :attr:`Look.text`.

A look has a plan of its own, as far reduced as the loader can, and is admitted by its own estimate;
so the plan of the picture and its cost are exact. The alternative, a look within the first
picture's pipeline, saves one decoding of each source (50 ms of 146 for 12 megapixels,
bench/windows.py), but keeps the decoded source in memory, and begins work before its plan and
memory are known.

``auto`` is libvips' attention: edges, skin and bright colours. libvips smooths its map by the size
of the window; here by that of the whole picture, so that the point is the same for all windows (and
better: with small windows it was the brightest spot of most of ten photographs). ``face`` falls
back to ``auto`` for a picture without a face.
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

SIDE = 320  # pixels: a face of a 30th of it is detected, in 10 to 25 ms
SECONDS, BYTES = 0.015, 1 << 20  # of everything else at that size, at most (bench/windows.py)
FAST = Rendering(shrink="fast")  # not as configured, as a cached focus must be the same for all


@dataclass(frozen=True, slots=True)
class Look:
    """What to detect, and the actions to apply before.

    Attributes:
        kind: One of ``gravity.LOOKS``.
        actions: The actions that are applied to the source first.
        text: Both as a text; equal texts have the same result for a source.
    """

    kind: str
    actions: tuple[Action, ...]
    text: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        text = "/".join([self.kind, *map(str, self.actions)])
        object.__setattr__(self, "text", text)

    def planned(self, header: Header, limits: Limits) -> plan.Plan:
        """Return the plan of the picture that is examined.

        Raises:
            ImageTooLarge: The source, or an intermediate picture, is too large.
            OssError: An action does not fit the picture.
        """
        small = Resize(w=SIDE, h=SIDE)
        still = replace(header, pages=1, exif=b"")
        return plan.make(still, (*self.actions, small), limits, FAST, written=False)

    def cost(self, planned: plan.Plan) -> Cost:
        """Return the cost of making that picture and examining it."""
        seconds, memory = planned.seconds + SECONDS, planned.memory + BYTES
        if self.kind == FACE:
            seconds, memory = seconds + faces.SECONDS, memory + faces.BYTES
        return Cost(seconds, memory)


def of(actions: Sequence[Action]) -> Look | None:
    """Return the look that the actions of a process need, or ``None``."""
    for index, action in enumerate(actions):
        if kind := action.look():
            before = [other for other in actions[:index] if other.moves]
            while before and before[-1].scales():
                before.pop()
            first = [other for other in actions[index:] if other.moves and other.first()]
            return Look(kind, (*before, *first))
    return None

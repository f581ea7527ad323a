"""The cost of a picture, estimated from its plan: seconds of one core, bytes, pages.

Times are those of one core of a server of 2025, measured with a photograph of 3 megapixels. They
serve to compare pictures with each other, and may be wrong by a factor of two elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import goal
from .formats.codecs import CODECS
from .frame import Frame, Header

FIXED = 0.001  # seconds for any picture
FRAME, STEP = 0.0004, 0.001  # for each frame of an animation, and each step of it, however small


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimated cost of a job.

    Attributes:
        seconds: Seconds of one core.
        memory: Bytes.
        pages: Frames of the result.
    """

    seconds: float
    memory: int
    pages: int = 1

    def within(self, seconds: float, memory: int) -> bool:
        """Return whether neither value is exceeded."""
        return self.seconds <= seconds and self.memory <= memory


def seconds(header: Header, done: float, steps: int, result: Frame, shrink: float) -> float:
    """Return the seconds of decoding, of ``steps`` that take ``done`` a frame, and of encoding."""
    each_pixel = CODECS[result.format].writes(result)
    written, searched = each_pixel * result.area, _searched(result, each_pixel)
    each = FRAME + STEP * steps if result.pages > 1 else 0
    return (
        FIXED
        + result.pages * (each + decoding(header, shrink) + done + written * 1e-9)
        + searched * 1e-9
    )


def decoding(header: Header, shrink: float) -> float:
    """Return the seconds of decoding a frame that the loader shrinks."""
    return CODECS[header.format].reads(header, shrink) * header.width * header.height * 1e-9


def _searched(result: Frame, writes: float) -> float:
    return goal.nanoseconds(result.goal, result.area, result.pages, writes)

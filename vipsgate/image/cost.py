"""The cost of a picture, estimated from its plan: seconds of one core, bytes, pages.

The nanoseconds are of one core of a server of 2025, measured with a photograph of 3 megapixels;
they are there to be compared with each other, and may be off by a factor of two.
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
    """Of one job.

    Attributes:
        seconds: Of one core.
        memory: Bytes.
        pages: Frames that are made.
    """

    seconds: float
    memory: int
    pages: int = 1

    def within(self, seconds: float, memory: int) -> bool:
        """Is it no more than that?"""
        return self.seconds <= seconds and self.memory <= memory


def seconds(header: Header, done: float, steps: int, result: Frame, shrink: float) -> float:
    """Decoding, the ``done`` seconds of what is done to each frame in so many steps, encoding."""
    each_pixel = CODECS[result.format].writes(result)
    written, searched = each_pixel * result.area, _searched(result, each_pixel)
    each = FRAME + STEP * steps if result.pages > 1 else 0
    return (
        FIXED
        + result.pages * (each + decoding(header, shrink) + done + written * 1e-9)
        + searched * 1e-9
    )


def decoding(header: Header, shrink: float) -> float:
    """Seconds that decoding a frame takes, shrunk by the loader."""
    return CODECS[header.format].reads(header, shrink) * header.width * header.height * 1e-9


def _searched(result: Frame, writes: float) -> float:
    return goal.nanoseconds(result.goal, result.area, result.pages, writes)

"""``video/snapshot,t_7000,f_jpg,w_800,h_600,m_fast``: the request for one picture of a video.

This has parameters and arithmetic only; :mod:`.decode` decodes (OSS guide, Video snapshots).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import InvalidArgument
from .. import params
from ..frame import proportion
from ..notes import Notes
from ..params import NUMBER, Param, choice, integer, parameter

MAX_TIME = 999_999_999  # ms, eleven days
BAD_WIDTH, BAD_HEIGHT, BAD_FORMAT = "0053-00000104", "0053-00000105", "0053-00000107"  # EC


def _side(name: str, bad: str) -> Any:
    """Return a field for a side in pixels, 0 for automatic; its maximum depends on the video."""

    def read(text: str) -> int:
        if not NUMBER.fullmatch(text) or int(text) < 0:
            raise ValueError
        return int(text)

    return parameter(Param(read, f"an integer from 0 to the video's {name}", bad=bad), 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The moment, format and size of a picture.

    Attributes:
        t: Milliseconds after the first picture; beyond the end, the last picture is taken.
        f: Format of the result, ``jpg`` or ``png``.
        w: Width in pixels, 0 to the video's width. 0 keeps the proportion to ``h``; if both are 0,
            the size is the video's.
        h: Height in pixels, 0 to the video's height; likewise.
        m: ``fast`` takes the last key frame at or before ``t``; empty takes the picture shown at
            ``t``.
        ar: ``auto`` turns the picture as the video's display matrix says; ``w`` and ``h`` are then
            those of the turned picture.
        ignored: Names of unknown parameters in the request.
    """

    name: ClassVar[str] = "snapshot"

    t: int = integer(0, MAX_TIME)
    f: str = choice("jpg", "png", default="jpg", bad=BAD_FORMAT)
    w: int = _side("width", BAD_WIDTH)
    h: int = _side("height", BAD_HEIGHT)
    m: str = choice("fast", default="")
    ar: str = choice("auto", default="")
    ignored: Notes = field(default=(), kw_only=True, compare=False, repr=False)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result for a video of this size, all in pixels.

        Raises:
            InvalidArgument: ``w`` or ``h`` is more than the video has.
        """
        for side, most, ec in (("w", width, BAD_WIDTH), ("h", height, BAD_HEIGHT)):
            if getattr(self, side) > most:
                raise InvalidArgument(
                    f"The value: {getattr(self, side)} of parameter: {side} is invalid. "
                    f"{self.name} of this video expects an integer from 0 to {most}.",
                    ec=ec,
                )
        if not self.w and not self.h:
            return width, height
        return (
            self.w or proportion(width, self.h, height),
            self.h or proportion(height, self.w, width),
        )

    def __str__(self) -> str:
        """Return the canonical text; parsing it gives an equal snapshot."""
        return ",".join([self.name, *params.texts(self)])


def read(word: str) -> Snapshot:
    """Parse a text such as ``snapshot,t_7000,w_800``.

    Raises:
        InvalidArgument: A value is not valid.
        MissingArgument: There is no ``t``.
    """
    _, comma, rest = word.partition(",")
    return params.build(Snapshot, Snapshot.name, rest.split(",") if comma else [])

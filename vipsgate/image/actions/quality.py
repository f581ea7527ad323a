"""``quality,q_90``, ``quality,Q_80``: how much a lossy format may lose."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import MissingArgument
from ..action import Action
from ..frame import Frame
from ..params import BARE, NUMBER, Param, flag, integer, parameter

LOSSLESS = 0  # the value of ``q_lossless``


def _read_relative(text: str) -> int:
    if text == "lossless":
        return LOSSLESS
    if not NUMBER.fullmatch(text) or not 1 <= int(text) <= 100:
        raise ValueError
    return int(text)


RELATIVE = Param(
    _read_relative,
    "an integer from 1 to 100, or lossless",
    key="q",
    write=lambda value: str(value or "lossless"),
)


@dataclass(frozen=True, slots=True)
class Quality(Action):
    """``q`` is relative to a JPG source's own quality, ``Q`` an upper bound; ``Q`` wins.

    A WebP source takes ``q`` as ``Q``. A bare number reads as ``Q``; ``lossless`` is for WebP and
    AVIF. Formats that lose nothing are left as they are (OSS guide, Quality, for JPG and WebP;
    AVIF follows them).
    """

    name = "quality"
    moves = False
    written = True

    relative: int | None = parameter(RELATIVE, default=None)
    absolute: int | None = integer(1, 100, key="Q", default=None)
    bare: int | None = integer(1, 100, key=BARE, default=None)
    lossless: bool = flag("lossless")

    def __post_init__(self) -> None:
        if (self.relative, self.absolute, self.bare, self.lossless) == (None, None, None, False):
            raise MissingArgument("quality needs one of q, Q: an integer from 1 to 100.")

    def unused(self) -> tuple[str, ...]:
        bounded = self.absolute or self.bare
        return ("q",) if self.relative is not None and bounded else ()

    def plan(self, frame: Frame) -> Frame:
        bound = self.absolute or self.bare
        own = frame.header.quality  # 0 where the source tells none
        if bound:
            return replace(frame, quality=min(own, bound) if own else bound, lossless=False)
        if self.lossless or self.relative == LOSSLESS:
            return replace(frame, lossless=True)
        if own and self.relative:
            quality = max(1, (own * self.relative + 50) // 100)
            return replace(frame, quality=quality, lossless=False)
        if frame.header.format == "webp":
            return replace(frame, quality=self.relative, lossless=False)
        return frame

    def steps(self, frame: Frame) -> tuple[()]:
        return ()

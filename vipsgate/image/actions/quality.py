"""``quality,q_90``, ``quality,Q_80``, ``quality,auto``: how much a lossy format may lose."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import InvalidArgument, MissingArgument
from ..action import Action
from ..frame import Frame
from ..goal import Goal
from ..params import BARE, NUMBER, Param, flag, integer, parameter, texts

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


SEARCHED = frozenset(("auto", "ssim", "bytes"))  # each of which stands alone


@dataclass(frozen=True, slots=True)
class Quality(Action):
    """``q`` is relative to a JPG source's own quality, ``Q`` an upper bound; ``Q`` wins.

    A WebP source takes ``q`` as ``Q``. A bare number reads as ``Q``; ``lossless`` is for WebP and
    AVIF. Formats that lose nothing are left as they are (OSS guide, Quality, for JPG and WebP;
    AVIF follows them).

    Not OSS's: ``auto`` (good), ``ssim_N`` (0-100) and ``bytes_N`` search for the quality: that of
    the smallest file with this likeness, or of the best file with at most ``N`` bytes. The source's
    own quality has no effect then.
    """

    name = "quality"
    moves = False
    written = True

    relative: int | None = parameter(RELATIVE, default=None)
    absolute: int | None = integer(1, 100, key="Q", default=None)
    bare: int | None = integer(1, 100, key=BARE, default=None)
    lossless: bool = flag("lossless")
    auto: bool = flag("auto")
    ssim: int | None = integer(1, 99, default=None)
    size: int | None = integer(1, 999_999_999, key="bytes", default=None)

    def __post_init__(self) -> None:
        given = [item.partition("_")[0] for item in texts(self)]
        if not given:
            raise MissingArgument(
                "quality needs one of q, Q: an integer from 1 to 100; auto, ssim or bytes."
            )
        if len(given) > 1 and not SEARCHED.isdisjoint(given):
            raise InvalidArgument(
                f"The parameters: {', '.join(given)} of quality exclude each other. "
                "auto, ssim and bytes stand alone."
            )

    @property
    def goal(self) -> Goal | None:
        """The goal of a search for the quality; ``None`` if the quality is given."""
        if self.auto or self.ssim or self.size:
            return Goal(self.ssim or 0, self.size or 0)
        return None

    def unused(self) -> tuple[str, ...]:
        bounded = self.absolute or self.bare
        return ("q",) if self.relative is not None and bounded else ()

    def plan(self, frame: Frame) -> Frame:
        if goal := self.goal:
            return replace(frame, goal=goal, lossless=False)
        frame = replace(frame, goal=None)
        bound = self.absolute or self.bare
        own = frame.header.quality  # 0 if unknown
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

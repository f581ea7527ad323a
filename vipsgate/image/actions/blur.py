"""``blur,r_3,s_2``: Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import pixels
from ..action import Action, Stage
from ..frame import Frame
from ..params import integer

if TYPE_CHECKING:
    from pyvips import Image


@dataclass(frozen=True, slots=True)
class Blur(Action):
    """Blur by the Gaussian of ``s`` pixels, cut off at ``r`` pixels from its middle.

    Both are needed in all examples of the OSS guide, Blur; what they mean is that of ImageMagick's
    ``-blur RxS`` (inferred). From ``r`` three times ``s`` on it is the Gaussian itself.
    """

    name = "blur"
    moves = False
    lines = 900  # measured by bench/estimates.py

    r: int = integer(1, 50)
    s: int = integer(1, 50)

    def streams(self, frame: Frame) -> bool:
        return True

    def apply(self, image: Image, stage: Stage) -> Image:
        return pixels.blurred(image, self.s, self.r)

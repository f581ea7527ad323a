"""``photo-4000x3000-17.jpg``: the name of a painted picture, and what it says about it.

::

    name = KIND "-" WIDTH "x" HEIGHT [ "x" FRAMES ] "-" SEED "." FORMAT

This has names and arithmetic only; :mod:`.painter` paints. Numbers have no leading zeros, so each
picture has one name. Only animations have FRAMES, which is at least 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...errors import ImageTooLarge, NoSuchKey
from .. import plan
from ..config import Limits
from ..cost import Cost
from ..formats.codecs import CODECS
from ..frame import Frame, Header

# version and time of all pictures; both are to be changed if :mod:`.painter` paints other pixels
VERSION = 1
MODIFIED = 1_795_651_200.0  # seconds since the epoch: 2026-11-26
NAME = re.compile(
    r"([a-z]+)-([1-9][0-9]{0,5})x([1-9][0-9]{0,5})(?:x([1-9][0-9]{0,5}))?"
    r"-(0|[1-9][0-9]{0,17})\.([a-z]+)"
)
GRAMMAR = "KIND-WIDTHxHEIGHT[xFRAMES]-SEED.FORMAT, such as photo-800x600-1.jpg"
QUALITY = 85  # quality of a JPEG; other formats have the default of their codec
FORMATS = ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif")  # HEIC is not always installed
# kind -> formats in which it can be written
KINDS = {
    "photo": FORMATS,
    "alpha": tuple(name for name in FORMATS if CODECS[name].alpha),
    "anim": tuple(name for name in FORMATS if CODECS[name].animated),
}
MOVING, LEAST = "anim", 8  # least side in pixels; in smaller ones no motion is visible
# measured with pictures of 1 to 24 megapixels, like those of codecs.CODECS
BASE_SECONDS = 0.015  # seconds for any picture, in which the small picture is painted
PAINT_NANOSECONDS = 45.0  # nanoseconds for painting each pixel
MASK_NANOSECONDS = 35.0  # nanoseconds for each pixel of a mask
# most bytes of the file for each pixel, except for tiny pictures; it is kept in memory
FILE_BYTES = {"jpg": 0.6, "png": 3, "webp": 0.6, "gif": 1, "tiff": 3, "bmp": 4, "avif": 0.6}


@dataclass(frozen=True, slots=True)
class Scene:
    """The properties of a painted picture.

    Attributes:
        kind: A key of :data:`KINDS`: ``photo``, ``alpha`` with transparency, or ``anim``, an
            animation.
        width: Width in pixels.
        height: Height of one frame in pixels.
        frames: Number of frames; 1 unless it is an animation.
        seed: 0 to 10**18 - 1; different seeds give different pictures.
        format: A key of ``codecs.CODECS``.
    """

    kind: str
    width: int
    height: int
    frames: int
    seed: int
    format: str

    def __str__(self) -> str:
        """Return the name; reading it gives an equal scene."""
        frames = f"x{self.frames}" if self.frames > 1 else ""
        return f"{self.kind}-{self.width}x{self.height}{frames}-{self.seed}.{self.format}"

    @property
    def header(self) -> Header:
        """The header of its file."""
        alpha = self.kind == "alpha"
        bands = 4 if alpha else 3
        sides = self.width, self.height
        return Header(self.format, *sides, self.frames, bands=bands, samples=bands, alpha=alpha)

    @property
    def frame(self) -> Frame:
        """The frame that its encoder gets."""
        return replace(Frame.of(self.header), quality=CODECS[self.format].quality or QUALITY)

    @property
    def cost(self) -> Cost:
        """The expected cost of painting and encoding it, including the file in memory."""
        codec, frame = CODECS[self.format], self.frame
        pixels = frame.area * self.frames
        painted = PAINT_NANOSECONDS + (MASK_NANOSECONDS if frame.alpha else 0)
        return Cost(
            BASE_SECONDS + pixels * (painted + codec.writes(frame)) * 1e-9,
            plan.PIPELINE_BYTES
            + int(pixels * FILE_BYTES[self.format] + plan.encoding(frame, 3 + frame.alpha)),
            self.frames,
        )


def read(name: str, limits: Limits) -> Scene:
    """Parse a name.

    Args:
        name: The last part of a key.
        limits: Limits of sources, and of the time and memory of one picture.

    Raises:
        NoSuchKey: The name does not follow the grammar, or the picture would exceed a limit.
    """
    match = NAME.fullmatch(name)
    if not match or match[6] not in KINDS.get(match[1], ()):
        raise _absent(name, f"its name would be {GRAMMAR}.")
    kind, width, height, frames, seed, form = match.groups(default="1")
    scene = Scene(kind, int(width), int(height), int(frames), int(seed), form)
    if str(scene) != name or (scene.frames > 1) != (kind == MOVING):
        raise _absent(name, f"FRAMES, at least 2, are for {MOVING}.")
    if kind == MOVING and min(scene.width, scene.height) < LEAST:
        raise _absent(name, f"a side of {MOVING} has at least {LEAST} pixels.")
    try:
        plan.admit(scene.header, scene.frames, limits)
    except ImageTooLarge as error:
        raise _absent(name, error.message) from None
    if scene.width > (most := CODECS[form].saved)[0] or scene.height > most[1]:
        raise _absent(name, f"{form} can hold {most[0]}x{most[1]} pixels.")
    if not scene.cost.within(limits.render_seconds, limits.render_bytes):
        raise _absent(name, "it would take more time or memory than one picture may.")
    return scene


def _absent(name: str, why: str) -> NoSuchKey:
    return NoSuchKey(
        f"The specified key does not exist. In a synthetic bucket {why}",
        ec="0026-00000001",
        extra={"Key": name},
    )

"""``photo-4000x3000-17.jpg``: a picture that is painted, as its name tells it.

::

    name = KIND "-" WIDTH "x" HEIGHT [ "x" FRAMES ] "-" SEED "." FORMAT

Names and arithmetic only; :mod:`.painter` paints. Numbers have no leading zeros, so that there is
one name for each picture; an animation alone has frames, at least two.
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

# of what :mod:`.painter` makes: another number and another day when a name gives another picture
VERSION = 1
MODIFIED = 1_795_651_200.0  # seconds since the epoch: 2026-11-26
NAME = re.compile(
    r"([a-z]+)-([1-9][0-9]{0,5})x([1-9][0-9]{0,5})(?:x([1-9][0-9]{0,5}))?"
    r"-(0|[1-9][0-9]{0,17})\.([a-z]+)"
)
GRAMMAR = "KIND-WIDTHxHEIGHT[xFRAMES]-SEED.FORMAT, such as photo-800x600-1.jpg"
QUALITY = 85  # of a JPEG; the other formats have their codec's own
FORMATS = ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif")  # HEIC is not there everywhere
# kind -> what it can be written as
KINDS = {
    "photo": FORMATS,
    "alpha": tuple(name for name in FORMATS if CODECS[name].alpha),
    "anim": tuple(name for name in FORMATS if CODECS[name].animated),
}
MOVING, LEAST = "anim", 8  # pixels of its sides: in smaller ones nothing can be seen to move
# measured with pictures of 1 to 24 megapixels, as those of codecs.CODECS
BEGUN = 0.015  # seconds for any picture: what is painted small
PAINTED = 45.0  # nanoseconds for each pixel that painting takes
MASKED = 35.0  # and those of its mask, where it has one
# bytes of the file for each pixel, at most, but for tiny pictures: it is held in memory
WRITTEN = {"jpg": 0.6, "png": 3, "webp": 0.6, "gif": 1, "tiff": 3, "bmp": 4, "avif": 0.6}


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, as it is asked for.

    Attributes:
        kind: A key of :data:`KINDS`: ``photo``, ``alpha`` with transparency, ``anim`` that moves.
        width: Pixels.
        height: Pixels, of one frame.
        frames: 1 but for an animation.
        seed: Tells it from others of its kind and size, 0 to 10**18 - 1.
        format: A key of ``codecs.CODECS``.
    """

    kind: str
    width: int
    height: int
    frames: int
    seed: int
    format: str

    def __str__(self) -> str:
        """Its name; reading it gives an equal scene."""
        frames = f"x{self.frames}" if self.frames > 1 else ""
        return f"{self.kind}-{self.width}x{self.height}{frames}-{self.seed}.{self.format}"

    @property
    def header(self) -> Header:
        """What its file says of itself."""
        alpha = self.kind == "alpha"
        bands = 4 if alpha else 3
        sides = self.width, self.height
        return Header(self.format, *sides, self.frames, bands=bands, samples=bands, alpha=alpha)

    @property
    def frame(self) -> Frame:
        """How it is written."""
        return replace(Frame.of(self.header), quality=CODECS[self.format].quality or QUALITY)

    @property
    def cost(self) -> Cost:
        """What painting and writing it is expected to take, the file in memory included."""
        codec, frame = CODECS[self.format], self.frame
        pixels = frame.area * self.frames
        painted = PAINTED + (MASKED if frame.alpha else 0)
        return Cost(
            BEGUN + pixels * (painted + codec.writes(frame)) * 1e-9,
            plan.PIPELINE_BYTES
            + int(pixels * WRITTEN[self.format] + plan.encoding(frame, 3 + frame.alpha)),
            self.frames,
        )


def read(name: str, limits: Limits) -> Scene:
    """The picture of this name.

    Args:
        name: The last part of a key.
        limits: What a source of this size, and the work of painting it, is held to.

    Raises:
        NoSuchKey: There is none: it is no such name, or one of a picture that is too large.
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

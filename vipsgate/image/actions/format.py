"""``format,webp``: write the result in another format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..action import Action
from ..formats.codecs import CODECS
from ..frame import Frame
from ..notes import Notes, note
from ..params import BARE, choice, flag


@dataclass(frozen=True, slots=True)
class Format(Action):
    """Write as the format named; ``src`` is the source's own.

    ``gif`` turns no still picture into a GIF: it keeps its format. ``src`` of a GIF is its first
    frame as JPG, unless ``1an`` stands behind it (OSS guide, Format).
    """

    name = "format"
    moves = False
    written = True

    value: str = choice(
        "jpg",
        "png",
        "webp",
        "bmp",
        "gif",
        "tiff",
        "avif",
        "heic",
        "src",
        key=BARE,
        alias={"jpeg": "jpg"},
        bad="0040-00000206",
        missing="0040-00000207",
    )
    animated: bool = flag("1an")

    def plan(self, frame: Frame) -> Frame:
        source = frame.header.format
        still = source == "gif" and not self.animated
        moving = frame.pages > 1
        formats = {"src": "jpg" if still else source, "gif": "gif" if moving else source}
        result = formats.get(self.value, self.value)
        return replace(frame, format=result, pages=frame.pages if CODECS[result].animated else 1)

    def notes(self, frame: Frame, result: Frame) -> Notes:
        kept = self.plan(frame).format
        if self.value != "gif" or kept == "gif" or kept != result.format:
            return ()
        return (note("format-kept", kept),)

    def steps(self, frame: Frame) -> tuple[()]:
        return ()

"""``format,webp``, ``format,auto``: write the result in another format, or as the client likes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..action import Action
from ..formats.codecs import CODECS
from ..frame import Frame
from ..notes import Notes, note
from ..params import BARE, choice, flag

AUTO = "auto"
SOURCE, QUICK = "src", "quick"  # what a client takes: nothing special; see :attr:`Format.accept`
ACCEPTED = ("avif-webp", "avif", "webp")  # or these formats


@dataclass(frozen=True, slots=True)
class Format(Action):
    """Write as the format named; ``src`` is the source's own.

    ``gif`` turns no still picture into a GIF: it keeps its format. ``src`` of a GIF is its first
    frame as JPG, unless ``1an`` stands behind it (OSS guide, Format).

    ``auto`` is ours (:mod:`..automatic`): AVIF, WebP or the source's own, by the client's Accept,
    in place of which ``accept`` says what is taken. ``quick`` is ``avif-webp`` but for an AVIF that
    takes long, in whose place a WebP is written.
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
        SOURCE,
        AUTO,
        key=BARE,
        alias={"jpeg": "jpg"},
        bad="0040-00000206",
        missing="0040-00000207",
    )
    animated: bool = flag("1an")
    accept: str = choice(*ACCEPTED, SOURCE, QUICK, default="", key="accept")

    def unused(self) -> tuple[str, ...]:
        return ("accept",) if self.accept and self.value != AUTO else ()

    def plan(self, frame: Frame) -> Frame:
        source = frame.header.format
        still = source == "gif" and not self.animated
        moving = frame.pages > 1
        formats = {
            SOURCE: "jpg" if still else source,
            AUTO: source,  # the plan chooses another one at its end
            "gif": "gif" if moving else source,
        }
        result = formats.get(self.value, self.value)
        return replace(frame, format=result, pages=frame.pages if CODECS[result].animated else 1)

    def notes(self, frame: Frame, result: Frame) -> Notes:
        kept = self.plan(frame).format
        if self.value != "gif" or kept == "gif" or kept != result.format:
            return ()
        return (note("format-kept", kept),)

    def steps(self, frame: Frame) -> tuple[()]:
        return ()

"""``format,auto``: AVIF, WebP or the source's own kind, whichever the client and the picture allow.

What a client takes comes as a class, a word of :data:`CLASSES` in the process text. So the class is
in whatever is known by that text: cache keys, tags, plans, jobs. Which of its formats it is, only
the header of the source and the plan tell, here: the first that keeps what the picture has
(:data:`KEEPING`) and that can be written. The file is another one by it, never the picture: what
would be white in a JPEG is white in its WebP.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .action import Action
from .actions.format import ACCEPTED, AUTO, QUICK, SOURCE, Format
from .formats.codecs import CODECS
from .frame import Frame

OFFERED = ("avif", "webp")  # what may be chosen, the best first
CLASSES = {name: tuple(name.split("-")) for name in ACCEPTED} | {QUICK: OFFERED, SOURCE: ()}
ALL = "webp"  # keeps whatever one of the others can keep
DEAR = 0.1  # seconds of one core, as estimated, above which a WebP stands in for an AVIF

ANIMATION, EXACT, PHOTO = "animation", "exact", "photo"
KEEPING = {  # what a picture is -> what keeps it
    ANIMATION: ("webp",),  # libvips writes no AVIF that moves
    EXACT: ("webp",),  # without loss; an AVIF without loss is larger than a PNG
    PHOTO: ("avif", "webp"),
}
LOSSLESS = frozenset(("png", "gif", "bmp", "tiff"))  # and a WebP that says so
# Qualities at which the formats look alike: by SSIMULACRA2, of photographs of 400 pixels, as they
# are written here (bench/automatic.py). What is named is one of the source's kind, or of JPG.
ALIKE = {
    "jpg": (1, 40, 60, 75, 85, 92, 100),
    "webp": (1, 44, 60, 79, 88, 95, 100),
    "avif": (1, 45, 51, 61, 73, 89, 100),
    "heic": (1, 45, 51, 61, 73, 89, 100),
}


def word(formats: Iterable[str]) -> str:
    """The class of a client that takes these formats, those that it likes better first."""
    taken = []
    for name in formats:
        taken.append(name)
        if name == ALL:
            break  # what comes after it would never be needed
    return "-".join(taken) or SOURCE


def accepted(actions: Iterable[Action]) -> str:
    """The class that they are for; :data:`.actions.format.SOURCE` where they are for none."""
    last = last_format(actions)
    return last.accept or SOURCE if last and last.value == AUTO else SOURCE


def last_format(actions: Iterable[Action]) -> Format | None:
    """The one that counts; ``None`` where none names a format."""
    named = [action for action in actions if isinstance(action, Format)]
    return named[-1] if named else None


def frames(frame: Frame, kind: str) -> list[Frame]:
    """As what a picture may be written for a client of that class, the best first.

    Args:
        frame: As what it is written where nothing is chosen, which comes last.
        kind: A word of :data:`CLASSES`.
    """
    return list(dict.fromkeys((*_chosen(frame, CLASSES[kind]), frame)))


def _chosen(frame: Frame, formats: Iterable[str]) -> Iterator[Frame]:
    own = frame.header.format
    frame = replace(frame, lossless=frame.lossless or _is_exact(frame))
    picture = ANIMATION if frame.pages > 1 else EXACT if frame.lossless else PHOTO
    for name in formats:
        if name == own:
            yield frame
        elif name in KEEPING[picture]:
            quality = frame.quality and alike(frame.quality, own, name)
            yield replace(frame, format=name, quality=quality, opaque=not CODECS[own].alpha)


def _is_exact(frame: Frame) -> bool:
    """Is it to lose nothing? A quality that is named says that it may.

    Of animations only a GIF of the size that it had, whose colours are still few: so it gets
    smaller by that, and any other one several times larger.
    """
    header = frame.header
    if frame.quality is not None or frame.goal is not None:
        return False
    if frame.pages > 1:
        size = header.width, header.height
        return header.format == "gif" and (frame.width, frame.height) == size
    return header.format in LOSSLESS or (header.format == "webp" and header.lossless)


def alike(quality: int, own: str, other: str) -> int:
    """The quality of another format at which it looks about the same, 1-100."""
    ours, theirs = ALIKE.get(own, ALIKE["jpg"]), ALIKE[other]
    at = max(1, bisect_left(ours, quality))
    low, high = ours[at - 1], ours[at]
    return round(theirs[at - 1] + (quality - low) / (high - low) * (theirs[at] - theirs[at - 1]))

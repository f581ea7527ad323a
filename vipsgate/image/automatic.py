"""``format,auto``: AVIF, WebP or the source's own format, as the client and the picture allow.

The formats that a client accepts are a class, a word of :data:`CLASSES`, which is part of the
process text, and so of everything that is derived from it: cache keys, ETags, plans, jobs. Which
format of the class is written is decided here, from the header of the source and the plan: the
first one that keeps all properties of the picture (:data:`KEEPING`) and that can be written. Only
the encoding depends on it, not the picture: what would be white in a JPEG is white in the WebP.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .action import Action
from .actions.format import ACCEPTED, AUTO, QUICK, SOURCE, Format
from .formats.codecs import CODECS
from .frame import Frame

OFFERED = ("avif", "webp")  # the formats to choose from, best first
CLASSES = {name: tuple(name.split("-")) for name in ACCEPTED} | {QUICK: OFFERED, SOURCE: ()}
ALL = "webp"  # keeps every property that one of the others can keep
DEAR = 0.1  # seconds of one core, as estimated, above which a WebP stands in for an AVIF

ANIMATION, EXACT, PHOTO = "animation", "exact", "photo"
KEEPING = {  # property of a picture -> formats that keep it
    ANIMATION: ("webp",),  # libvips writes no animated AVIF
    EXACT: ("webp",),  # without loss; an AVIF without loss is larger than a PNG
    PHOTO: ("avif", "webp"),
}
LOSSLESS = frozenset(("png", "gif", "bmp", "tiff"))  # and lossless WebP
# Qualities of each format that look alike, by SSIMULACRA2 of photographs 400 pixels wide, encoded
# as here (bench/automatic.py). A request names that of the source's format, or of JPG.
ALIKE = {
    "jpg": (1, 40, 60, 75, 85, 92, 100),
    "webp": (1, 44, 60, 79, 88, 95, 100),
    "avif": (1, 45, 51, 61, 73, 89, 100),
    "heic": (1, 45, 51, 61, 73, 89, 100),
}


def word(formats: Iterable[str]) -> str:
    """Return the class of a client that accepts these formats, in its order of preference."""
    taken = []
    for name in formats:
        taken.append(name)
        if name == ALL:
            break  # it keeps every property, so further formats are never used
    return "-".join(taken) or SOURCE


def accepted(actions: Iterable[Action]) -> str:
    """Return the class in the actions; :data:`.actions.format.SOURCE` without one."""
    last = last_format(actions)
    return last.accept or SOURCE if last and last.value == AUTO else SOURCE


def last_format(actions: Iterable[Action]) -> Format | None:
    """Return the last action that names a format, which counts, or ``None``."""
    named = [action for action in actions if isinstance(action, Format)]
    return named[-1] if named else None


def frames(frame: Frame, kind: str) -> list[Frame]:
    """Return the frames as which a picture may be written for a client of a class, best first.

    Args:
        frame: The frame without a choice, which comes last.
        kind: The class, a word of :data:`CLASSES`.
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
    """Return whether to encode without loss; not if a quality is named.

    Of animations only an unscaled GIF, whose colours are still few: it gets smaller without loss,
    and others several times larger.
    """
    header = frame.header
    if frame.quality is not None or frame.goal is not None:
        return False
    if frame.pages > 1:
        size = header.width, header.height
        return header.format == "gif" and (frame.width, frame.height) == size
    return header.format in LOSSLESS or (header.format == "webp" and header.lossless)


def alike(quality: int, own: str, other: str) -> int:
    """Return the quality of another format, 1-100, that looks about the same."""
    ours, theirs = ALIKE.get(own, ALIKE["jpg"]), ALIKE[other]
    at = max(1, bisect_left(ours, quality))
    low, high = ours[at - 1], ours[at]
    return round(theirs[at - 1] + (quality - low) / (high - low) * (theirs[at] - theirs[at - 1]))

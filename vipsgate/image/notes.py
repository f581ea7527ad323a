"""Notes: what of a request was changed or ignored, for the header ``X-Vipsgate-Notes``.

A note is a name of :data:`NOTES` and a value, ``limit=source``; all of an answer are a tuple of
them. Some are known from the process text (:meth:`.process.Process.notes`), others only from the
header of the source (:attr:`.plan.Plan.notes`) or from the fonts of a renderer. What a format
cannot have by OSS's own guide (``quality`` of a PNG, ``interlace`` of a WebP) is no note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import InvalidArgument

Notes = tuple[str, ...]

NOTES = {  # name -> meaning, in which the values are listed unless they are names
    "ignored": "the parameter of this name has no effect: its action does not support it, or "
    "another one takes precedence; `other` stands for names that are long, unusual or too many",
    "clipped": "`crop`, `indexcrop`, `circle` or `rounded-corners` exceeds the picture; the part "
    "within it was used",
    "limit": "`source`: the picture is smaller than what `resize` asks for, and `limit` keeps it "
    "at its size",
    "format-kept": "the format of the result: `format,gif` makes no GIF of a still picture",
    "later": "`avif`: an AVIF would take long, so a WebP is sent for now",
    "apng": "`first-frame`: of an animated PNG, the result is a still picture of its first frame",
    "pages": "`first`: of a file with several pictures, such as a TIFF's pages, an AVIF's sequence "
    "or a HEIC's burst, the first or primary one is used",
    "hdr": "`clipped`: colours of the source that are brighter than white were clipped to white",
    "metadata": "`unreadable`, `too-large`: the XMP of the source is unreadable or too large, "
    "and was not used; `dropped`: the format of the result does not support the copyright or the "
    "profile of the source, which `strip` keeps",
    "font": "`stand-in`: the text is drawn in another typeface, because the requested one is not "
    "installed",
    "glyphs": "`missing`: no font has some character of the text; a box with its number is drawn",
}
VALUE = re.compile(r"[0-9A-Za-z.-]{1,16}")
OTHER = "other"  # replaces a value from the client that is not a short plain word
MAX_IGNORED = 8  # ignored parameters that are named
MAX_NOTES = 24  # notes of a renderer; each value of each name at most once


def note(name: str, value: str) -> str:
    """Return a note; a value that is not a short plain word becomes :data:`OTHER`."""
    assert name in NOTES
    return f"{name}={value if VALUE.fullmatch(value) else OTHER}"


def ignored(names: Iterable[str]) -> Notes:
    """Return notes of ignored parameters: each once, the first :data:`MAX_IGNORED` by name."""
    notes = tuple(dict.fromkeys(note("ignored", name) for name in names))
    if len(notes) <= MAX_IGNORED:
        return notes
    return (*notes[: MAX_IGNORED - 1], note("ignored", OTHER))


def joined(*parts: Iterable[str]) -> Notes:
    """Return all notes in order, each once."""
    return tuple(dict.fromkeys(item for part in parts for item in part))


def names(notes: Notes) -> frozenset[str]:
    """Return the names of notes."""
    return frozenset(item.partition("=")[0] for item in notes)


def read(values: object) -> Notes:
    """Read notes that another process has sent as a JSON list.

    Raises:
        ValueError: They are not valid notes.
    """
    if not isinstance(values, list) or len(values) > MAX_NOTES:
        raise ValueError("not a list of notes")
    for item in values:
        name, _, value = item.partition("=") if isinstance(item, str) else ("", "", "")
        if name not in NOTES or not VALUE.fullmatch(value):
            raise ValueError("not a note of ours")
    return tuple(values)


def refuse(notes: Notes) -> None:
    """Refuse an answer that has notes, for a bucket with ``strict``.

    Raises:
        InvalidArgument: There are notes; the message names them.
    """
    if notes:
        reasons = "; ".join(f"{item} ({NOTES[item.partition('=')[0]]})" for item in notes)
        raise InvalidArgument(
            "The bucket is strict, and this request cannot be followed exactly: "
            f"{reasons.replace('`', '')}."
        )

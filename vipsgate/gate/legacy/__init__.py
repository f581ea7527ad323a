"""The old API, ``OBJECT@100w_100h_1e_1c.jpg``, put into the words of the new one.

RULE: pure; text to text, so that nothing behind it knows the old API.

::

    OBJECT@SEGMENT|SEGMENT...          one after the other, at most four
    SEGMENT = ITEM_ITEM... .FORMAT  /  watermark=KIND&KEY=VALUE...
    ITEM    = VALUE KEY

The order of items does not matter, and of two with the same key the later counts: the service
sorts them as its manual does (OSS guide, old version, Keywords), chapter by chapter::

    2o | w h e l c p x bgc | a rc ci ic | r 1o | sh bl b d | q Q pr | .FORMAT

Its defaults are the opposite of the new API's: a picture may be made larger, becomes a JPG, and is
not turned by its Orientation (the manual's text and its example differ there; the example counts).
A format is told of the result only: the last segment with items says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...errors import InvalidArgument, TooManyPipes
from ..target import PROCESS, Target
from . import items, watermark
from .items import bad

MARK = "@"  # in front of a process text in the old words
NEW = ("image/", "video/", "style/", "sys/")  # how a text in the new words begins
SEGMENTS = 4  # OSS guide, old version, Pipes

# text -> the new one: what is said of a picture instead of making another one
ANSWERS = {
    "info": "image/basic-info",
    "exif": "image/exif",
    "infoexif": "image/info",
    "imageAve": "image/average-hue",
}
FORMATS = {name: name for name in ("jpg", "png", "webp", "bmp", "gif", "src")} | {"jpeg": "jpg"}


def split(target: Target) -> Target | None:
    """What ``OBJECT@TEXT`` asks for, where it can be read so; the last ``@`` counts.

    The process text is ``@TEXT`` then: :func:`translate` reads what is behind the mark, once the
    caller may have the object. ``OBJECT@!NAME`` is a style's, see
    :func:`vipsgate.gate.style.split`. A process text in the query makes the key mean itself.
    """
    key, _, text = target.key.rpartition(MARK)
    if target.process or not key or not text or text.startswith("!"):
        return None
    return replace(target, key=key, query=((PROCESS, MARK + text), *target.query))


def is_old(content: str) -> bool:
    """Return whether the content of a style is written in the old syntax."""
    return not content.startswith(NEW)


def renewed(content: str) -> str:
    """A style's content in the new words; see :func:`translate` for the errors."""
    return translate(content) if is_old(content) else content


def translate(text: str) -> str:
    """``100w.jpg`` as ``image/auto-orient,0/resize,w_100,limit_0/format,jpg``.

    Raises:
        TooManyPipes: More than four segments.
        InvalidArgument: An item or a value is not known, or out of range.
        MissingArgument: A watermark has no object or no text.
        BadRequest: A value is not Base64.
    """
    if text in ANSWERS:
        return ANSWERS[text]
    segments = text.split("|")
    if len(segments) > SEGMENTS:
        raise TooManyPipes(
            f"Maximal number of pipes supported is {SEGMENTS}; the text has {len(segments)} parts."
        )
    words: list[str] = []
    result = "jpg"
    for number, segment in enumerate(segments):
        if segment in ANSWERS:
            raise InvalidArgument(f"The action: {segment} cannot be combined with other actions.")
        if segment.startswith("watermark"):
            words.append(watermark.word(segment))
            continue
        body, dot, name = segment.partition(".")
        given = items.read(body) if body or not dot else {}
        if "P" in given:
            raise bad("P", given["P"], "to stand behind the name of a watermark's object")
        words += items.words(given, first=number == 0)
        result = _format(name, given) if dot else "jpg"
    if not any(word.startswith("auto-orient") for word in words):
        words.insert(0, "auto-orient,0")
    return "image/" + "/".join([*words, f"format,{result}"])


def _format(name: str, given: Mapping[str, str]) -> str:
    if name not in FORMATS:
        raise bad("format", name, f"one of {', '.join(FORMATS)}", "0040-00000206")
    return "src,1an" if (name, given.get("an")) == ("src", "1") else FORMATS[name]

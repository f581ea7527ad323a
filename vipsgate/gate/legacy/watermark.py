"""``watermark=1&object=B&t=90``: a watermark as keys and values, B in Base64."""

from __future__ import annotations

import base64
import re

from ...errors import BadRequest, InvalidArgument, MissingArgument, shown
from ..target import PROCESS
from . import items
from .items import ANCHORS, bad

TEXT_BYTES = 64  # of UTF-8; EC 0040-00000377
ITEM = re.compile(r"([0-9xy-]+)([A-Za-z]+)")  # one that is hardly a part of a file's name
COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")

NEEDS = {"1": ("object",), "2": ("text",), "3": ("object", "text")}  # by kind
# key -> lowest, highest, EC of one beyond
NUMBERS = {
    "t": (0, 100, "0040-00000361"),
    "p": (1, 9, "0040-00000365"),
    "x": (0, 4096, "0040-00000362"),
    "y": (0, 4096, "0040-00000363"),
    "voffset": (-1000, 1000, "0040-00000364"),
    "size": (1, 1000, "0040-00000375"),
    "s": (0, 100, ""),
    "order": (0, 1, "0040-00000357"),
    "align": (0, 2, "0040-00000359"),
    "interval": (0, 1000, "0040-00000358"),
}
SHAPE = "0040-00000371"  # of a pair; also of a number that is none


def word(segment: str) -> str:
    """The segment as ``watermark,image_B,t_90``.

    Raises:
        InvalidArgument: A key is not known, or a value out of range.
        MissingArgument: There is no object or no text.
        BadRequest: A value is not Base64.
    """
    given = {}
    for pair in segment.split("&"):
        key, sign, value = pair.partition("=")
        if not (key and value):
            ec = "0040-00000360" if not sign and key.startswith("watermark") else SHAPE
            raise bad("watermark", pair, "KEY=VALUE, joined by &", ec)
        given[key] = value
    kind = given.pop("watermark", "")
    if kind not in NEEDS:
        raise bad("watermark", kind, f"one of {', '.join(NEEDS)}", "0040-00000360")
    for key in ("object", "text"):
        if key in NEEDS[kind] and key not in given:
            ec = "0040-00000379" if key == "text" else ""
            raise MissingArgument(f"watermark={kind} needs {key}: a value in Base64.", ec=ec)
        if key not in NEEDS[kind] and key in given:
            raise bad(key, given[key], f"not to stand beside watermark={kind}")
    return ",".join(["watermark", *(_pair(key, value) for key, value in given.items())])


def _pair(key: str, value: str) -> str:
    if key in NUMBERS:
        number = items.number(key, value, *NUMBERS[key], SHAPE)
        if key == "p":
            return f"g_{ANCHORS[number - 1]}"
        return f"{'shadow' if key == 's' else key}_{number}"
    if key == "object":
        return f"image_{_encoded(_object(_decoded(key, value, '0040-00000387')))}"
    if key == "text":
        text = _decoded(key, value, "0040-00000376")
        if len(text.encode()) > TEXT_BYTES:
            raise bad(key, text, f"at most {TEXT_BYTES} bytes of UTF-8", "0040-00000377")
        return f"text_{_encoded(text)}"
    if key == "type":
        return f"type_{_encoded(_decoded(key, value))}"
    if key == "color":
        colour = _decoded(key, value, "0040-00000384")
        if not COLOUR.fullmatch(colour):
            raise bad(key, colour, "Base64 of #RRGGBB", "0040-00000385")
        return f"color_{colour[1:].upper()}"
    known = ", ".join(("object", "text", "type", "color", *NUMBERS))
    raise InvalidArgument(
        f"The parameter: {shown(key)} of watermark is not known. It expects one of {known}.",
        ec=SHAPE,
    )


def _object(name: str) -> str:
    """``panda.png@30P`` as ``panda.png?x-oss-process=image/resize,P_30``.

    What stands behind an ``@`` and is no row of items belongs to the name: ``logo@2x.png``.
    """
    key, _, text = name.rpartition("@")
    parts = [ITEM.fullmatch(part) for part in text.split("_")]
    if not key or not all(part and part[2] in items.KEYS for part in parts):
        return name
    words = items.words(items.read(text), first=True)
    return f"{key}?{PROCESS}=image/{'/'.join(words)}" if words else key


def _decoded(key: str, value: str, ec: str = "") -> str:
    """The text behind Base64, in either alphabet, with or without padding."""
    bare = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except ValueError:
        raise BadRequest(
            f"Input is not base64 decoding. The value: {shown(value)} of parameter: {key} is "
            "invalid. It expects Base64 of UTF-8.",
            ec=ec,
        ) from None


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

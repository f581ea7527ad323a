"""A colour profile's own name, for the one question whether it is sRGB (ICC.1:2022, 7 and 9)."""

from __future__ import annotations

SRGB = ("sRGB", "uRGB", "c2")  # the names begin like this; the last two are minimal sRGBs
MOST_TAGS = 64  # a profile has about a dozen


def is_srgb(profile: bytes) -> bool:
    """Does it call itself sRGB? Then its pixels need no transformation."""
    return description(profile).startswith(SRGB)


def description(profile: bytes) -> str:
    """The text of its ``desc`` tag; empty where it has none that can be read."""
    for entry in range(132, 132 + 12 * min(MOST_TAGS, _number(profile, 128)), 12):
        if profile[entry : entry + 4] == b"desc":
            at, size = _number(profile, entry + 4), _number(profile, entry + 8)
            return _text(profile[at : at + min(size, 4096)])
    return ""


def _text(tag: bytes) -> str:
    """Version 2 has ASCII with its length in front, version 4 UTF-16 in several languages."""
    if tag.startswith(b"desc"):
        return tag[12 : 12 + _number(tag, 8)].decode("ascii", "ignore").rstrip("\0")
    if tag.startswith(b"mluc"):
        at, size = _number(tag, 24), _number(tag, 20)
        return tag[at : at + size].decode("utf-16-be", "ignore")
    return ""


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")

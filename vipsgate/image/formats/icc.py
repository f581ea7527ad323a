"""Colour profiles: which one is sRGB or Display P3, told by its own name, and the way between both.

A picture in Display P3 keeps its pixels and goes out with a small profile of 480 bytes, because
sRGB cannot say its colours. Every other profile is left behind in :mod:`.load`
(ICC.1:2022, 7 and 9; the conversions are those of CSS Color Module Level 4, 17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame import P3, SRGB, Gamut

if TYPE_CHECKING:
    from pyvips import Image

SRGB_NAMES = ("sRGB", "uRGB", "c2")  # they begin like this; the last two are minimal sRGBs
P3_NAMES = {
    *("Display P3", "Display P3 Gamut with sRGB Transfer"),  # Apple; Skia, so Android and Chrome
    *("DCI-P3 D65 Gamut with sRGB Transfer", "sRGB EOTF with DCI-P3 Color Gamut"),  # phones
    *("sP3C", "uP3C", "sP3", "uP3"),  # minimal ones, among them libvips' own
}
MAX_TAGS = 64  # a profile has about a dozen

# linear light of the one as linear light of the other; all rows add up to 1, the same white
ACROSS: dict[tuple[Gamut, Gamut], tuple[tuple[float, float, float], ...]] = {
    (SRGB, P3): (
        (0.8224620, 0.1775380, 0.0),
        (0.0331942, 0.9668058, 0.0),
        (0.0170826, 0.0723974, 0.9105200),
    ),
    (P3, SRGB): (
        (1.2249402, -0.2249402, 0.0),
        (-0.0420570, 1.0420570, 0.0),
        (-0.0196376, -0.0786361, 1.0982737),
    ),
}


def is_srgb(profile: bytes) -> bool:
    """Does it call itself sRGB? Then its pixels need no transformation."""
    return description(profile).startswith(SRGB_NAMES)


def gamut(profile: bytes) -> Gamut:
    """``p3`` for a profile of red, green and blue that calls itself Display P3, else ``srgb``."""
    return P3 if profile[16:20] == b"RGB " and description(profile) in P3_NAMES else SRGB


def converted(image: Image, source: Gamut, target: Gamut) -> Image:
    """The picture's colours in another gamut; those that it has not are cut to its border.

    Args:
        image: 8 bits; red, green, blue and perhaps alpha. Grey means the same in both.
        source: The gamut of its numbers.
        target: The gamut that is wanted.
    """
    if source == target or image.bands < 3:
        return image
    linear = image[0:3].copy(interpretation="srgb").colourspace("scrgb")
    result = linear.recomb([list(row) for row in ACROSS[source, target]]).colourspace("srgb")
    return result.bandjoin(image[3]) if image.bands > 3 else result


def colour(levels: list[int], target: Gamut) -> list[int]:
    """An sRGB colour, levels 0-255, as the numbers that show it in ``target``."""
    if target == SRGB:
        return levels
    red, green, blue = (_linear(level / 255) for level in levels)
    return [
        round(255 * _encoded(a * red + b * green + c * blue)) for a, b, c in ACROSS[SRGB, target]
    ]


def _linear(value: float) -> float:
    """sRGB's curve (IEC 61966-2-1), which is Display P3's too; 0-1 on both sides."""
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def _encoded(value: float) -> float:
    return float(12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)


def description(profile: bytes) -> str:
    """The text of its ``desc`` tag; empty where it has none that can be read."""
    for entry in range(132, 132 + 12 * min(MAX_TAGS, _number(profile, 128)), 12):
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
        return tag[at : at + size].decode("utf-16-be", "ignore").rstrip("\0")
    return ""


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")

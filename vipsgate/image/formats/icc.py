"""Colour profiles: recognises sRGB and Display P3 by name, and converts between them.

A picture in Display P3 keeps its pixels and is encoded with a small profile of 480 bytes, because
sRGB does not contain all its colours. Pictures with any other profile are converted to sRGB in
:mod:`..load` (ICC.1:2022, 7 and 9; the conversions are those of CSS Color Module Level 4, 17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame import P3, SRGB, Gamut

if TYPE_CHECKING:
    from pyvips import Image

SRGB_NAMES = ("sRGB", "uRGB", "c2")  # beginnings of names; the last two are minimal sRGB profiles
P3_NAMES = {
    *("Display P3", "Display P3 Gamut with sRGB Transfer"),  # Apple; Skia, so Android and Chrome
    *("DCI-P3 D65 Gamut with sRGB Transfer", "sRGB EOTF with DCI-P3 Color Gamut"),  # phones
    *("sP3C", "uP3C", "sP3", "uP3"),  # minimal profiles, among them libvips' own
}
CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}  # of a picture, by a profile's colour space
MAX_TAGS = 64  # a profile has about a dozen
MAX_TAG = 1 << 20  # bytes; a table of colours has about 100 KB
# tags that define colours, and the name and copyright, which are mandatory
MEANING = {
    *(b"desc", b"cprt", b"wtpt", b"bkpt", b"chad", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC"),
    *(b"bTRC", b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2", b"gamt", b"lumi", b"cicp"),
}
# bytes of the header that are kept (ICC.1:2022, 7.2): version, class, colour space, connection
# space; "acsp"; intent, illuminant
KEPT = ((8, 24), (36, 40), (64, 80))

# matrices from linear light of one gamut to that of the other; rows add up to 1: white is the same
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


def fits(profile: bytes, image: Image) -> bool:
    """Return whether a profile's colour space has as many channels as the image has colours."""
    return CHANNELS.get(profile[16:20]) == int(image.bands) - bool(image.hasalpha())


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile has a name of sRGB, so that pixels need no conversion."""
    return description(profile).startswith(SRGB_NAMES)


def gamut(profile: bytes) -> Gamut:
    """Return ``p3`` for an RGB profile with a name of Display P3, else ``srgb``."""
    return P3 if profile[16:20] == b"RGB " and description(profile) in P3_NAMES else SRGB


def is_other(profile: bytes) -> bool:
    """Return whether this is an RGB profile other than sRGB and Display P3."""
    return profile[16:20] == b"RGB " and gamut(profile) == SRGB and not is_srgb(profile)


def cleaned(profile: bytes) -> bytes:
    """Return a copy of the profile with :data:`MEANING` alone; empty if it is malformed.

    Private tags, gaps, and the maker, device and date of the header are left out.
    """
    rows = range(132, 132 + 12 * min(MAX_TAGS, _number(profile, 128)), 12)
    tags: dict[bytes, bytes] = {}
    for row in rows:
        at, size = _number(profile, row + 4), _number(profile, row + 8)
        name, tag = profile[row : row + 4], profile[at : at + size]
        if name in MEANING and len(tag) == size <= MAX_TAG:
            tags.setdefault(name, tag)
    if len(profile) < 132 or profile[36:40] != b"acsp" or not tags:
        return b""
    body, table, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + (start + len(body)).to_bytes(4) + len(tag).to_bytes(4)
        body += tag + bytes(-len(tag) % 4)
    head = bytearray(128)
    for begin, end in KEPT:
        head[begin:end] = profile[begin:end]
    head[0:4] = (start + len(body)).to_bytes(4)
    return bytes(head) + len(tags).to_bytes(4) + table + body


def converted(image: Image, source: Gamut, target: Gamut) -> Image:
    """Convert colours to another gamut; those outside of it are clipped.

    Args:
        image: 8 bits; red, green, blue and perhaps alpha. Grey pictures are returned unchanged,
            because grey is the same in both gamuts.
        source: The gamut of the image.
        target: The gamut of the result.
    """
    if source == target or image.bands < 3:
        return image
    linear = image[0:3].copy(interpretation="srgb").colourspace("scrgb")
    result = linear.recomb([list(row) for row in ACROSS[source, target]]).colourspace("srgb")
    return result.bandjoin(image[3]) if image.bands > 3 else result


def exported(image: Image, source: Gamut) -> Image:
    """Convert colours to the profile that is attached to the image.

    Args:
        image: 8 bits; red, green, blue and perhaps alpha.
        source: The gamut of the image.

    Raises:
        pyvips.Error: The profile has no conversion to it, such as a scanner's.
    """
    name = "icc-profile-data"
    lab = image.icc_import(input_profile=source, pcs="lab", intent="relative").copy()
    lab.set_type(image.get_typeof(name), name, image.get(name))
    return lab.icc_export(intent="relative", depth=8)


def colour(levels: list[int], target: Gamut) -> list[int]:
    """Convert an sRGB colour, three levels of 0-255, to another gamut."""
    if target == SRGB:
        return levels
    red, green, blue = (_linear(level / 255) for level in levels)
    return [
        round(255 * _encoded(a * red + b * green + c * blue)) for a, b, c in ACROSS[SRGB, target]
    ]


def _linear(value: float) -> float:
    """Decode a level of 0-1 to linear light of 0-1 (IEC 61966-2-1, whose curve Display P3 has)."""
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def _encoded(value: float) -> float:
    return float(12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)


def description(profile: bytes) -> str:
    """Return the text of a profile's ``desc`` tag; empty if there is none, or it is unreadable."""
    for entry in range(132, 132 + 12 * min(MAX_TAGS, _number(profile, 128)), 12):
        if profile[entry : entry + 4] == b"desc":
            at, size = _number(profile, entry + 4), _number(profile, entry + 8)
            return _text(profile[at : at + min(size, 4096)])
    return ""


def _text(tag: bytes) -> str:
    """Return a text: version 2 has ASCII after its length, version 4 UTF-16 in several languages.

    Of several languages it is the first.
    """
    if tag.startswith(b"desc"):
        return tag[12 : 12 + _number(tag, 8)].decode("ascii", "ignore").rstrip("\0")
    if tag.startswith(b"mluc"):
        at, size = _number(tag, 24), _number(tag, 20)
        return tag[at : at + size].decode("utf-16-be", "ignore").rstrip("\0")
    return ""


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")

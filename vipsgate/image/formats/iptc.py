"""Reads IPTC: the datasets of an IIM block, and the block in Photoshop's resources.

Only record 2 is read, which describes the picture; its names are those of exiv2. A text is decoded
as UTF-8 if that is valid, else as Latin-1 (IPTC-NAA IIM 4.2, 1.5 and 5; Adobe Photoshop File
Formats, Image Resource Blocks).
"""

from __future__ import annotations

from .xmp import MAX_LENGTH, MAX_VALUES

PHOTOSHOP = b"Photoshop 3.0\0"
RESOURCE = b"8BIM"
IIM = 0x0404  # the resource
MAX_RESOURCES = 1_000
MAX_BLOCK = 1 << 18  # bytes
BYLINE, COPYRIGHT = "Iptc.Application2.Byline", "Iptc.Application2.Copyright"
DATASETS = {
    5: "ObjectName",
    10: "Urgency",
    15: "Category",
    20: "SuppCategory",
    25: "Keywords",
    40: "SpecialInstructions",
    55: "DateCreated",
    60: "TimeCreated",
    80: "Byline",
    85: "BylineTitle",
    90: "City",
    92: "SubLocation",
    95: "ProvinceState",
    100: "CountryCode",
    101: "CountryName",
    103: "TransmissionReference",
    105: "Headline",
    110: "Credit",
    115: "Source",
    116: "Copyright",
    118: "Contact",
    120: "Caption",
    122: "Writer",
}


def resource(data: bytes) -> bytes:
    """Return the IIM block in Photoshop's resources; empty if there is none."""
    at = 0
    for _ in range(MAX_RESOURCES):
        if data[at : at + 4] != RESOURCE:
            break
        number = int.from_bytes(data[at + 4 : at + 6])
        name = data[at + 6 : at + 7]
        at += 6 + (len(name) and (name[0] + 2) // 2 * 2)  # its length and it, to an even number
        size = int.from_bytes(data[at : at + 4])
        if number == IIM:
            return data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return b""


def read(block: bytes) -> dict[str, tuple[str, ...]]:
    """Return the texts of a block, by exiv2's names; those of a malformed block up to its fault."""
    texts: dict[str, list[str]] = {}
    at = 0
    block = block[:MAX_BLOCK]
    while at + 5 <= len(block) and block[at] == 0x1C:
        record, number = block[at + 1], block[at + 2]
        size = int.from_bytes(block[at + 3 : at + 5])
        if size & 0x8000:  # an extended dataset, which is not a text
            break
        value = block[at + 5 : at + 5 + size]
        at += 5 + size
        if record == 2 and number in DATASETS and (text := _text(value)):
            values = texts.setdefault(f"Iptc.Application2.{DATASETS[number]}", [])
            if len(values) < MAX_VALUES:
                values.append(text)
    return {name: tuple(values) for name, values in texts.items()}


def _text(value: bytes) -> str:
    """Return a text on one line; empty if it is too long."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= MAX_LENGTH else ""

"""Reads EXIF: the tags of a picture for ``info``, named and formatted as OSS does, and orientation.

OSS returns what exiv2 reads, so names are exiv2's without the group (``GPSTag``), and values are
its plain ones (``exiv2 -pv``). The directories are read with Pillow, which returns numerators and
denominators unchanged; exifread returns interpreted values ("Pixels/Inch"). Two rules:

1. If several directories have a tag of the same name, the first wins: IFD0, Exif, GPS,
   Interoperability, then the thumbnail's IFD1.
2. The block is untrusted. Reads, decoded bytes, characters and tags are limited here (Pillow limits
   only bytes read). What cannot be read is left out, and nothing raises.
"""

import io
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from math import gcd
from numbers import Rational
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

MAX_TAGS = 512  # a camera writes about 60
MAX_LENGTH = 1024  # characters of a value; a longer one is left out
MAX_BLOB = 64  # bytes of a BYTE or UNDEFINED value: versions and CFA patterns, not previews
MAX_STORED = 4 * MAX_LENGTH  # bytes of a stored value: UTF-8 needs up to four for a character
DECODED = 16 * 1024  # bytes decoded of one block; a rational takes Pillow a microsecond or two
READS = 2048  # an entry takes one or two reads, the bytes of a 64 KiB block 256; see _Ration
FIRST_ENTRIES = 128  # entries of IFD0 that orientation() searches; exiv2 refuses more than 256

ORIENTATION = 0x0112
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005  # the tags that point to a directory

# exiv2's name where Pillow's differs (compared with exiv2 0.27, tag by tag).
SPELLINGS = {
    0x0201: "JPEGInterchangeFormat",
    0x0202: "JPEGInterchangeFormatLength",
    0x0203: "JPEGRestartInterval",
    0x0205: "JPEGLosslessPredictors",
    0x0206: "JPEGPointTransforms",
    0x0207: "JPEGQTables",
    0x0208: "JPEGDCTables",
    0x0209: "JPEGACTables",
    EXIF: "ExifTag",
    GPS: "GPSTag",
    0x9214: "SubjectArea",
    0x9216: "TIFFEPStandardID",
    0x9290: "SubSecTime",
    0x9291: "SubSecTimeOriginal",
    0x9292: "SubSecTimeDigitized",
    0x9400: "Temperature",
    0xA000: "FlashpixVersion",
    0xA002: "PixelXDimension",
    0xA003: "PixelYDimension",
    INTEROPERABILITY: "InteroperabilityTag",
    0xA461: "SourceImageNumberOfCompositeImage",
    0xA462: "SourceExposureTimesOfCompositeImage",
}

# Pillow lists these among all others, but they have this meaning in their own directory only.
INTEROPERABILITY_NAMES = {
    0x0001: "InteroperabilityIndex",
    0x0002: "InteroperabilityVersion",
    0x1000: "RelatedImageFileFormat",
    0x1001: "RelatedImageWidth",
    0x1002: "RelatedImageLength",
}

# Binary at any length: a maker's private format, and a text after an 8-byte character code.
LEFT_OUT = frozenset({"MakerNote", "UserComment"})

# The four tags that OSS interprets; other GPS tags are plain, such as GPSTimeStamp "7/1 55/1 58/1".
ANGLES = frozenset({"GPSLatitude", "GPSLongitude"})
COMPASS_POINTS = frozenset({"GPSLatitudeRef", "GPSLongitudeRef"})
COMPASS = {"N": "North", "S": "South", "E": "East", "W": "West"}
# Unit and decimals of each part of an angle, as older exiv2 prints it (0.27 prints whole seconds).
ANGLE_PARTS = (("deg", 7), ("'", 5), ('"', 3))

BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# Tag, type, count, and the value of a SHORT, which is in the first two bytes in both byte orders.
ENTRIES = {order: struct.Struct(order + "HHLHxx") for order in "<>"}
SHORT = 3


def orientation(tiff: bytes) -> int:
    """Return the EXIF Orientation.

    This searches the first entries of IFD0 only, takes microseconds and imports nothing.

    Args:
        tiff: The EXIF block from its byte order on (``II*\\0`` or ``MM\\0*``).

    Returns:
        1-8; 1, upright, also if the tag is absent, damaged or out of range.
    """
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    entry = ENTRIES[order]
    (start,) = struct.unpack_from(order + "L", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    whole = min(count, FIRST_ENTRIES, (len(tiff) - start - 2) // entry.size)
    directory = memoryview(tiff)[start + 2 : start + 2 + whole * entry.size]
    for tag, kind, length, value in entry.iter_unpack(directory):
        if tag == ORIENTATION:
            return value if kind == SHORT and length == 1 and 1 <= value <= 8 else 1
    return 1


def read(tiff: bytes) -> dict[str, str]:
    """Return the EXIF tags of a picture as ``image/info`` formats them (OSS guide, info).

    Integers are decimal, rationals are in lowest terms (``96/1``), and several values are separated
    by spaces; see :func:`_angle` for coordinates. Tags without a name, maker notes, user comments,
    binary values of more than 64 bytes, values of more than 1024 characters and empty values are
    left out.

    ``ImageWidth`` and ``ImageLength`` may be among the names; they are what the block says, which
    may differ from the picture.

    Args:
        tiff: The EXIF block from its byte order on (``II*\\0`` or ``MM\\0*``): a JPEG's APP1
            after ``Exif\\0\\0``, a PNG's eXIf chunk, a WebP's EXIF chunk.

    Returns:
        At most 512 values by name; of a damaged block those that can be read, perhaps none. Values
        are valid Unicode without NUL.
    """
    tags: dict[str, str] = {}
    if tiff[:4] not in BYTE_ORDERS or len(tiff) < 8:
        return tags
    # Pillow warns of each damaged tag. The warnings contain untrusted data, and would be printed
    # and kept in the registry of warnings. catch_warnings is not thread-safe.
    warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
    room = DECODED
    for names, directory in _directories(tiff):
        for tag in sorted(directory):
            name = names.get(tag)
            if name is None or name in tags or name in LEFT_OUT:
                continue
            size = _size(directory, tag)
            if size > min(MAX_STORED, room):
                continue
            room -= size
            with suppress(Exception):  # Pillow decodes here; after a bad value the rest is read
                text = _spell(name, directory[tag])
                if text and len(text) <= MAX_LENGTH:
                    tags[name] = text
            if len(tags) == MAX_TAGS:
                return tags
    return tags


def _directories(tiff: bytes) -> Iterator[tuple[Mapping[int, str], "Directory"]]:
    """Yield the directories of a block, each with the names of its tags, in the order of rule 1.

    All are read from one :class:`_Ration`, so directories that point to each other end.
    """
    from PIL.ExifTags import GPSTAGS
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file = _Ration(tiff)

    def load(start: int | None, group: int | None = None) -> "Directory":
        directory = ImageFileDirectory_v2(tiff[:8], group=group)
        if start is not None:
            with suppress(Exception):  # entries before the fault are used
                file.seek(start)
                directory.load(file)
        return directory

    (start,) = struct.unpack_from(BYTE_ORDERS[tiff[:4]] + "L", tiff, 4)
    main = load(start)
    yield _names(), main
    exif = load(_pointer(main, EXIF), EXIF)
    yield _names(), exif
    yield GPSTAGS, load(_pointer(main, GPS), GPS)
    yield INTEROPERABILITY_NAMES, load(_pointer(exif, INTEROPERABILITY), INTEROPERABILITY)
    # If IFD0 is truncated, Pillow has its own start as ``next``; rule 1 makes that harmless.
    yield _names(), load(main.next or None)


class _Ration(io.BytesIO):
    """The block as a file that ends after :data:`READS` reads, which limits Pillow's work.

    A read counts as one, plus one for each 256 bytes.
    """

    left = READS

    def read(self, size: int | None = -1, /) -> bytes:
        if self.left <= 0:
            return b""
        data = super().read(size)
        self.left -= 1 + len(data) // 256
        return data


@cache
def _names() -> Mapping[int, str]:
    """Return the names of the tags of IFD0, IFD1 and the Exif directory, as exiv2 has them."""
    from PIL.ExifTags import TAGS

    names = {**TAGS, **SPELLINGS}
    return {tag: names[tag] for tag in names if tag not in INTEROPERABILITY_NAMES}


def _size(directory: "Directory", tag: int) -> int:
    """Return the bytes of a stored value, without decoding it as Pillow's public interface does."""
    return len(directory._tagdata[tag])


def _pointer(directory: "Directory", tag: int) -> int | None:
    """Return the offset of another directory, or ``None`` if the tag is not one positive number."""
    if tag not in directory or _size(directory, tag) > 4:
        return None
    with suppress(Exception):
        start = directory[tag]
        if isinstance(start, int) and start > 0:
            return start
    return None


def _spell(name: str, value: object) -> str:
    """Return a value as OSS formats it; empty if it is to be left out."""
    if name in ANGLES and isinstance(value, tuple) and len(value) == 3:
        return _angle(cast("tuple[Rational, Rational, Rational]", value))
    text = _plain(value)
    return COMPASS.get(text, text) if name in COMPASS_POINTS else text


def _plain(value: object) -> str:
    """Return a value as ``exiv2 -pv`` prints it; empty for more than :data:`MAX_BLOB` bytes."""
    match value:
        case str():
            return _text(value)
        case bytes():
            return " ".join(map(str, value)) if len(value) <= MAX_BLOB else ""
        case int():
            return str(value)
        case float():
            return f"{value:g}"
        case Rational():
            return _ratio(value)
        case tuple():
            return " ".join(map(_plain, value))
    return ""


def _ratio(value: Rational) -> str:
    """Return a rational in lowest terms; unchanged if the denominator is 0, which means unknown."""
    top, bottom = int(value.numerator), int(value.denominator)
    common = gcd(top, bottom) if bottom else 1
    return f"{top // common}/{bottom // common}"


def _angle(value: "tuple[Rational, Rational, Rational]") -> str:
    """Return a coordinate as OSS formats it: ``31deg 55' 3.870" ``, with a space after each part.

    Trailing parts of 0 are left out, except the degrees: ``0deg ``. A part that is not an integer
    has 7 decimals in degrees, 5 in minutes and 3 in seconds. If a denominator is 0, the value is
    plain. The OSS guide, info, has ``0deg ``; the rest is what older exiv2 prints, and agrees with
    responses of OSS that users have published.
    """
    parts = [(int(part.numerator), int(part.denominator)) for part in value]
    while len(parts) > 1 and parts[-1][0] == 0:
        parts.pop()
    if any(bottom == 0 for _, bottom in parts):
        return _plain(value)
    spelled = ""
    for (top, bottom), (sign, decimals) in zip(parts, ANGLE_PARTS, strict=False):
        spelled += f"{top / bottom:.{decimals if top % bottom else 0}f}{sign} "
    return spelled


def _text(value: str) -> str:
    """Return an ASCII value up to its first NUL, without trailing spaces.

    Cameras and editors also write UTF-8. What is not valid UTF-8 is decoded as Latin-1.
    """
    raw = value.encode("latin-1").split(b"\0", 1)[0].rstrip()  # Pillow decodes byte by byte
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")

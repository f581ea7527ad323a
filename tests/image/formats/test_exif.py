"""``info``'s EXIF: how tags are named and spelled, what is left out, what a hostile block costs."""

import json
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.image.formats import exif

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, FLOAT = 1, 2, 3, 4, 5, 7, 10, 11
LETTERS = {SHORT: "H", LONG: "L", RATIONAL: "L", SRATIONAL: "l", FLOAT: "f"}

DATA = Path(__file__).parents[3].parent / "shared" / "data"
ADDED_BY_THE_CALLER = {"FileSize", "Format", "ImageHeight", "ImageWidth"}


def directory(rows, start, following=0, order="<"):
    """An IFD at ``start``; its rows are (tag, type, value): bytes, or a tuple of numbers."""
    entries, beyond = bytearray(), bytearray()
    end = start + 2 + 12 * len(rows) + 4
    for tag, kind, value in rows:
        if isinstance(value, tuple):
            count = len(value) // (2 if kind in (RATIONAL, SRATIONAL) else 1)
            value = struct.pack(f"{order}{len(value)}{LETTERS[kind]}", *value)
        else:
            count = len(value)
        if len(value) > 4:
            at = struct.pack(order + "L", end + len(beyond))
            beyond += value + bytes(len(value) % 2)
        else:
            at = value.ljust(4, b"\0")
        entries += struct.pack(order + "HHL", tag, kind, count) + at
    return b"".join(
        (struct.pack(order + "H", len(rows)), entries, struct.pack(order + "L", following), beyond)
    )


def block(ifd0=(), photo=(), gps=(), interop=(), ifd1=(), order="<"):
    """A whole EXIF block; a pointer is added for each directory that has rows."""
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "L", 8)
    # Behind room for IFD0, in the order in which they are written; IFD0 comes last, at 8.
    room = len(directory([*ifd0, (0, LONG, (0,)), (0, LONG, (0,))], 8, 0, order))
    rest, starts = b"", {}
    for name, rows in {"interop": interop, "photo": photo, "gps": gps, "ifd1": ifd1}.items():
        if name == "photo" and interop:
            rows = [*rows, (0xA005, LONG, (starts["interop"],))]
        if rows:
            starts[name] = 8 + room + len(rest)
            rest += directory(rows, starts[name], 0, order)
    pointers = [
        (tag, LONG, (starts[name],))
        for tag, name in ((0x8769, "photo"), (0x8825, "gps"))
        if name in starts
    ]
    main = directory([*ifd0, *pointers], 8, starts.get("ifd1", 0), order)
    return tiff + main.ljust(room, b"\0") + rest


# --- the guide's own answer


def app1(jpeg):
    """The EXIF block of a JPEG file."""
    at = jpeg.index(b"Exif\0\0")
    (length,) = struct.unpack_from(">H", jpeg, at - 2)
    return jpeg[at + 6 : at - 2 + length]


@pytest.mark.skipif(not DATA.is_dir(), reason="the guide's picture is not beside the project")
def test_the_guides_picture_gives_the_guides_answer():
    answer = json.loads((DATA / "f.info.json").read_text())
    want = {name: of["value"] for name, of in answer.items() if name not in ADDED_BY_THE_CALLER}
    tiff = app1((DATA / "f.jpg").read_bytes())
    assert exif.read(tiff) == want
    assert exif.orientation(tiff) == 7


# --- spelling, of a tag in the Exif directory

SPELLED = {
    # row -> (tag, type, value), (name, text)
    "short": ((0x8827, SHORT, (400,)), ("ISOSpeedRatings", "400")),
    "long": ((0xA002, LONG, (4032,)), ("PixelXDimension", "4032")),
    "several": ((0x9214, SHORT, (9, 8, 7, 6)), ("SubjectArea", "9 8 7 6")),
    "rational": ((0x829A, RATIONAL, (1, 640)), ("ExposureTime", "1/640")),
    "lowest terms": ((0x829D, RATIONAL, (56, 10)), ("FNumber", "28/5")),
    "nothing over 3": ((0x9204, SRATIONAL, (0, 3)), ("ExposureBiasValue", "0/1")),
    "negative": ((0x9204, SRATIONAL, (-2, 6)), ("ExposureBiasValue", "-1/3")),
    "unknown": ((0x9206, RATIONAL, (5, 0)), ("SubjectDistance", "5/0")),
    "not a number": ((0xA404, RATIONAL, (0, 0)), ("DigitalZoomRatio", "0/0")),
    "lens": (
        (0xA432, RATIONAL, (240, 10, 700, 10, 28, 10, 0, 0)),
        ("LensSpecification", "24/1 70/1 14/5 0/0"),
    ),
    "float": ((0xA500, FLOAT, (2.2,)), ("Gamma", "2.2")),
    "undefined": ((0x9000, UNDEFINED, b"0230"), ("ExifVersion", "48 50 51 48")),
    "CFA": ((0xA302, UNDEFINED, bytes((2, 0, 2, 0, 0, 1))), ("CFAPattern", "2 0 2 0 0 1")),
    "blob of 64": ((0xA302, UNDEFINED, bytes(64)), ("CFAPattern", " ".join("0" * 64))),
    "ASCII": ((0x9003, ASCII, b"2015:02:11\0"), ("DateTimeOriginal", "2015:02:11")),
    "no NUL": ((0xA433, ASCII, b"Apple"), ("LensMake", "Apple")),
    "padded": ((0xA433, ASCII, b"NIKON  \0\0\0"), ("LensMake", "NIKON")),
    "two texts": ((0x8298, ASCII, b"Ann\0Bob\0"), ("Copyright", "Ann")),
    "UTF-8": ((0xA430, ASCII, "林 é\0".encode()), ("CameraOwnerName", "林 é")),
    "Latin-1": ((0xA430, ASCII, b"Ren\xe9\0"), ("CameraOwnerName", "René")),
    "surrogate": ((0xA430, ASCII, b"\xed\xa0\x80\0"), ("CameraOwnerName", "í\xa0\x80")),
    "1024 letters": ((0xA430, ASCII, b"x" * 1024), ("CameraOwnerName", "x" * 1024)),
    "1024 signs": ((0xA430, ASCII, "林".encode() * 1024), ("CameraOwnerName", "林" * 1024)),
    "exiv2's SubSec": ((0x9291, ASCII, b"039\0"), ("SubSecTimeOriginal", "039")),
    "exiv2's Flashpix": ((0xA000, UNDEFINED, b"0100"), ("FlashpixVersion", "48 49 48 48")),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("case", SPELLED)
def test_spelled(case, order):
    row, (name, text) = SPELLED[case]
    assert exif.read(block(photo=[row], order=order))[name] == text


LEFT_OUT = {
    "maker note": (0x927C, UNDEFINED, b"short"),
    "user comment": (0x9286, UNDEFINED, b"ASCII\0\0\0hello"),
    "padding": (0xEA1C, UNDEFINED, bytes(2060)),
    "nameless": (0x0003, SHORT, (1,)),
    "interoperability's": (0x0001, ASCII, b"R98\0"),
    "blob of 65": (0xA302, UNDEFINED, bytes(65)),
    "empty": (0xA430, ASCII, b"\0\0\0\0\0\0"),
    "blanks": (0xA430, ASCII, b"      \0"),
    "1025 letters": (0xA430, ASCII, b"x" * 1025),
    "many numbers": (0x9214, SHORT, (10,) * 512),
    "unknown type": (0x8827, 99, b"\1\0"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_left_out_but_not_its_neighbour(case):
    rows = [LEFT_OUT[case], (0xA402, SHORT, (1,))]
    assert set(exif.read(block(photo=rows))) == {"ExifTag", "ExposureMode"}


# --- coordinates

COORDINATES = {
    # wire -> text
    (0, 1, 0, 1000, 0, 1): "0deg ",
    (31, 1, 55, 1, 387, 100): "31deg 55' 3.870\" ",
    (30, 1, 15, 1, 10530, 1000): "30deg 15' 10.530\" ",
    (104, 1, 4, 1, 2, 1): "104deg 4' 2\" ",
    (30, 1, 1575, 100, 0, 1): "30deg 15.75000' ",
    (30, 1, 0, 1, 10, 1): "30deg 0' 10\" ",
    (302512345, 10000000, 0, 1, 0, 1): "30.2512345deg ",
    (30, 1, 15, 1, 0, 0): "30deg 15' ",
    (30, 1, 15, 0, 10, 1): "30/1 15/0 10/1",
    (0, 0, 0, 0, 0, 0): "0/0 0/0 0/0",
    (30, 1, 15, 1): "30/1 15/1",
}


@pytest.mark.parametrize("wire", COORDINATES, ids=str)
def test_coordinate(wire):
    got = exif.read(block(gps=[(2, RATIONAL, wire), (4, RATIONAL, wire)]))
    assert got["GPSLatitude"] == got["GPSLongitude"] == COORDINATES[wire]


GPS = {
    # tag, type, value -> name, text
    "north": ((1, ASCII, b"N\0"), ("GPSLatitudeRef", "North")),
    "south": ((1, ASCII, b"S\0"), ("GPSLatitudeRef", "South")),
    "east": ((3, ASCII, b"E\0"), ("GPSLongitudeRef", "East")),
    "west": ((3, ASCII, b"W\0"), ("GPSLongitudeRef", "West")),
    "elsewhere": ((3, ASCII, b"X\0"), ("GPSLongitudeRef", "X")),
    "version": ((0, BYTE, b"\2\2\0\0"), ("GPSVersionID", "2 2 0 0")),
    "sea level": ((5, BYTE, b"\0"), ("GPSAltitudeRef", "0")),
    "time": ((7, RATIONAL, (7, 1, 55, 1, 58, 1)), ("GPSTimeStamp", "7/1 55/1 58/1")),
    "destination": ((20, RATIONAL, (1, 1, 2, 1, 3, 1)), ("GPSDestLatitude", "1/1 2/1 3/1")),
    "its letter": ((19, ASCII, b"N\0"), ("GPSDestLatitudeRef", "N")),
}


@pytest.mark.parametrize("case", GPS)
def test_gps(case):
    row, (name, text) = GPS[case]
    assert exif.read(block(gps=[row]))[name] == text


# --- directories


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_directory_is_read(order):
    tiff = block(
        ifd0=[(0x010F, ASCII, b"Apple\0")],
        photo=[(0xA402, SHORT, (1,))],
        gps=[(18, ASCII, b"WGS-84\0")],
        interop=[(1, ASCII, b"R98\0")],
        ifd1=[(0x0103, SHORT, (6,)), (0x0201, LONG, (4518,)), (0x0202, LONG, (3232,))],
        order=order,
    )
    got = exif.read(tiff)
    pointers = {name: got.pop(name) for name in ("ExifTag", "GPSTag", "InteroperabilityTag")}
    assert all(int(start) < len(tiff) for start in pointers.values())
    assert got == {
        "Make": "Apple",
        "ExposureMode": "1",
        "GPSMapDatum": "WGS-84",
        "InteroperabilityIndex": "R98",
        "Compression": "6",
        "JPEGInterchangeFormat": "4518",
        "JPEGInterchangeFormatLength": "3232",
    }


def test_the_picture_wins_over_its_thumbnail():
    both = block(
        ifd0=[(0x011A, RATIONAL, (300, 1))],
        ifd1=[(0x011A, RATIONAL, (72, 1)), (0x011B, RATIONAL, (72, 1))],
    )
    assert exif.read(both) == {"XResolution": "300/1", "YResolution": "72/1"}


# --- orientation

UPRIGHT = {
    "nothing": b"",
    "a mark": b"II*\0",
    "no TIFF": b"\x89PNG\r\n\x1a\n" * 4,
    "BigTIFF": b"II+\0" + block([(0x0112, SHORT, (6,))])[4:],
    "absent": block([(0x010F, ASCII, b"Apple\0")]),
    "0": block([(0x0112, SHORT, (0,))]),
    "9": block([(0x0112, SHORT, (9,))]),
    "LONG": block([(0x0112, LONG, (6,))]),
    "two of them": block([(0x0112, SHORT, (6, 6))]),
    "in the thumbnail": block([(0x0100, SHORT, (6,))], ifd1=[(0x0112, SHORT, (6,))]),
    "IFD0 beyond the end": b"II*\0\xf0\xff\xff\xff" + bytes(32),
    "IFD0 at the end": b"II*\0\x08\0\0\0",
    "entry cut": block([(0x0112, SHORT, (6,))])[:21],
    "behind 128 others": block([(0xF000 + i, SHORT, (1,)) for i in range(128)])[:-4]
    + struct.pack("<HHLHH", 0x0112, SHORT, 1, 6, 0),
}


@pytest.mark.parametrize("case", UPRIGHT)
def test_orientation_is_1(case):
    assert exif.orientation(UPRIGHT[case]) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation(value, order):
    # Behind another and before its end: nothing says that writers sort, or that all is there.
    rows = [(0x0131, ASCII, b"editor\0"), (0x0112, SHORT, (value,)), (0x0100, SHORT, (1,))]
    tiff = block(rows, order=order)
    assert exif.orientation(tiff) == value
    assert exif.orientation(tiff[: 10 + 2 * 12]) == value
    assert exif.read(tiff)["Orientation"] == str(value)


# --- strangers' blocks


def loops(count):
    """Directories of ``count`` tags, all in one place, that point to themselves as every kind."""
    tags = [tag for tag in range(0x0100, 0xC000) if tag not in (0x8769, 0x8825, 0xA005)][:count]
    rows = [(tag, LONG, (8,)) for tag in (0x8769, 0x8825, 0xA005, *tags)]
    return b"II*\0\x08\0\0\0" + directory(rows, 8, following=8)


KNOWN = [*range(0x0100, 0x0160), *range(0x9000, 0x9300), *range(0xA000, 0xA500)]
NUMBERS = tuple(range(1, 513))
HOSTILE = {
    "loops": loops(10),
    "loops of 5000": loops(5000),
    "65535 entries claimed": b"II*\0\x08\0\0\0\xff\xff" + bytes(700_000),
    "65535 entries": b"II*\0\x08\0\0\0\xff\xff"
    + b"".join(struct.pack("<HHLL", tag, LONG, 1, 1) for tag in range(65535)),
    "values beyond the end": b"II*\0\x08\0\0\0"
    + directory([(tag, LONG, b"\xf0\xff\xff\xff") for tag in KNOWN], 8),
    "values of 4 GiB": b"II*\0\x08\0\0\0\xff\x0f"
    + b"".join(struct.pack("<HHLL", tag, RATIONAL, 0xFFFFFFFF, 8) for tag in range(4095)),
    "8000 rationals": block([(0x0111, RATIONAL, tuple(range(16000)))]),
    "256 rationals in each tag": block([(tag, RATIONAL, NUMBERS) for tag in KNOWN]),
    "1024 letters in each tag": block([(tag, ASCII, b"x" * 1024) for tag in KNOWN]),
    "a megabyte in a tag": block([(0x0111, LONG, (7,) * 262144)]),
    "pointers of text": block([(0x8769, ASCII, b"8\0"), (0x8825, FLOAT, (8.0,))]),
    "pointers far below 0": block([(0x8769, 9, b"\xff\xff\xff\xff"), (0x8825, 9, b"\0\0\0\x80")]),
    "pointers of 8000": block([(0x8769, RATIONAL, tuple(range(16000)))]),
    "text where a number is due": block([(0x0103, ASCII, b"Uncompressed\0")]),
}


def check(tiff):
    """What holds of any bytes."""
    assert 1 <= exif.orientation(tiff) <= 8
    found = exif.read(tiff)
    assert len(found) <= exif.MAX_TAGS
    for name, text in found.items():
        assert name.isascii()
        assert 0 < len(text) <= exif.MAX_LENGTH
        assert "\0" not in text
        text.encode()  # no lone surrogates


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_block_costs_little(case):
    check(HOSTILE[case])
    calls = 0

    def count(*event):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        exif.read(HOSTILE[case])
    finally:
        sys.setprofile(None)
    assert calls < 100_000  # calls and returns, of which one slow core does 10,000 in a millisecond


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_block_is_not_warned_of(case):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        exif.read(HOSTILE[case])
    assert warned == []


def test_a_cut_block_keeps_what_came_before():
    tiff = block([(0x0112, SHORT, (6,)), (0x010F, ASCII, b"Apple\0"), (0x0110, ASCII, b"iPhone\0")])
    assert exif.read(tiff[:-20])["Orientation"] == "6"
    for end in range(len(tiff)):
        check(tiff[:end])


VALID = block(
    ifd0=[(0x010F, ASCII, b"Apple\0"), (0x0112, SHORT, (6,)), (0x011A, RATIONAL, (72, 1))],
    photo=[(0x829A, RATIONAL, (1, 60)), (0x9204, SRATIONAL, (-1, 3)), (0x9000, UNDEFINED, b"0230")],
    gps=[(1, ASCII, b"N\0"), (2, RATIONAL, (30, 1, 27, 1, 3512, 100)), (0, BYTE, b"\2\2\0\0")],
    interop=[(1, ASCII, b"R98\0"), (2, UNDEFINED, b"0100")],
    ifd1=[(0x0103, SHORT, (6,)), (0x0201, LONG, (4518,))],
)


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_random_bytes(noise, mark):
    check(mark + noise)


@settings(deadline=None, max_examples=times(300))
@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=12),
    st.integers(0, len(VALID)),
)
def test_random_mutations(changes, end):
    tiff = bytearray(VALID)
    for at, value in changes:
        tiff[at] = value
    check(bytes(tiff[:end]))
    check(bytes(tiff))


def test_the_module_is_light():
    code = (
        "import sys; from vipsgate.image.formats import exif; "
        "exif.orientation(b''); sys.exit('PIL' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])

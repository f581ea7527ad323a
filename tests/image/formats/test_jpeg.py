"""The walk over a JPEG's segments: what it finds, what it leaves out, what it costs strangers."""

import contextlib
import io
import itertools
import re
import struct
import time
import tracemalloc
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import pyvips
from PIL import Image
from support.examples import times

from vipsgate.errors import BadRequest, ImageDamage, ImageTooLarge, OssError
from vipsgate.image.formats import jpeg

EXIF6 = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
ICC = b"ICC_PROFILE\0\x01\x01" + b"profile"


def segment(marker, body=b""):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def dqt(step=16, table=0):
    return segment(0xDB, bytes((table,)) + bytes((step,)) * 64)


def sof(width=40, height=27, marker=0xC0, factors=(0x22, 0x11, 0x11), depth=8):
    parts = b"".join(bytes((i + 1, factor, min(i, 1))) for i, factor in enumerate(factors))
    return segment(marker, struct.pack(">BHHB", depth, height, width, len(factors)) + parts)


SOI, SOS = (
    b"\xff\xd8",
    segment(0xDA, bytes((3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0))) + b"scan\xff\xd9",
)
PLAIN = SOI + dqt() + sof() + SOS

FINDS = {
    # what -> file, fields of its header
    "plain": (PLAIN, {"width": 40, "height": 27, "orientation": 1, "interlaced": False}),
    "progressive": (SOI + dqt() + sof(marker=0xC2) + SOS, {"interlaced": True}),
    "extended": (SOI + dqt() + sof(marker=0xC1) + SOS, {"interlaced": False}),
    "4:2:0": (PLAIN, {"bands": 3, "samples": 1.5}),
    "4:2:2": (SOI + sof(factors=(0x21, 0x11, 0x11)) + SOS, {"samples": 2}),
    "4:4:4": (SOI + sof(factors=(0x11, 0x11, 0x11)) + SOS, {"samples": 3}),
    "grey": (SOI + sof(factors=(0x22,)) + SOS, {"bands": 1, "samples": 1}),
    "CMYK": (SOI + sof(factors=(0x11,) * 4) + SOS, {"bands": 4, "samples": 4}),
    "no tables": (SOI + sof() + SOS, {"quality": 0}),
    "cut table": (SOI + segment(0xDB, b"\0" * 20) + sof() + SOS, {"quality": 0}),
    "only colour's table": (SOI + dqt(table=1) + sof() + SOS, {"quality": 0}),
    "turned": (SOI + segment(0xE1, EXIF6) + sof() + SOS, {"orientation": 6, "exif": EXIF6[6:]}),
    "the first EXIF": (
        SOI + segment(0xE1, EXIF6) + segment(0xE1, b"Exif\0\0II*\0") + sof() + SOS,
        {"orientation": 6},
    ),
    "no EXIF": (
        SOI + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0") + sof() + SOS,
        {"exif": b""},
    ),
    "fill bytes": (
        SOI + b"\xff" * 9 + dqt() + b"\xff" * 3 + sof() + b"\xff" + SOS,
        {"width": 40, "height": 27},
    ),
    "stray bytes up to the limit": (SOI + bytes(30_000) + sof() + bytes(35_536) + SOS, {}),
    "fill bytes do not count": (SOI + b"\xff" * 99_999 + bytes(65_535) + sof() + SOS, {}),
    "EXIF behind stray bytes": (
        SOI + b"\0\xff\0stray" + segment(0xE1, EXIF6) + b"\xff\xd0" + sof() + SOS,
        {"orientation": 6, "exif": EXIF6[6:], "width": 40},
    ),
    "garbage behind": (PLAIN + b"\0" * 99, {"width": 40}),
    "65535 a side": (SOI + sof(65535, 65535) + SOS, {"width": 65535, "height": 65535}),
    "4090 segments": (SOI + segment(0xFE) * 4090 + sof() + SOS, {"width": 40}),
}
REFUSES = {
    # what -> file, class, a part of the message
    "nothing behind the mark": (b"\xff\xd8\xff", ImageDamage, "ends before its first scan"),
    "no scan": (SOI + dqt() + sof(), ImageDamage, "ends before its first scan"),
    "no frame": (SOI + dqt() + SOS, ImageDamage, "has a scan before its frame header"),
    "two frames": (SOI + sof() + sof() + SOS, ImageDamage, "has two frame headers"),
    "ends at once": (SOI + b"\xff\xd9", ImageDamage, "ends before its first scan"),
    "ends before its scan": (
        SOI + sof() + b"\xff\xd9" + SOS,
        ImageDamage,
        "ends before its first scan",
    ),
    "text": (b"\xff\xd8\xffhello, world", ImageDamage, "has the marker FF68"),
    "length 0": (
        SOI + b"\xff\xe1\0\0" + sof() + SOS,
        ImageDamage,
        "has a segment FFE1 of 0 bytes at byte 2",
    ),
    "length 1": (SOI + b"\xff\xe1\0\1" + sof() + SOS, ImageDamage, "FFE1 of 1 bytes at byte 2"),
    "no length": (SOI + sof() + b"\xff\xe1", ImageDamage, "FFE1 of 0 bytes at byte 21"),
    "length beyond the end": (
        SOI + sof() + b"\xff\xe1\xff\xff" + SOS,
        ImageDamage,
        "has a segment FFE1 of 65535 bytes at byte 21",
    ),
    "length behind stray bytes": (
        SOI + bytes(99) + b"\xff\xe1\xff\xff" + SOS,
        ImageDamage,
        "has a segment FFE1 of 65535 bytes at byte 101",
    ),
    "stray bytes beyond the limit": (
        SOI + bytes(65_537) + sof() + SOS,
        ImageDamage,
        "has over 65536 bytes between its segments",
    ),
    "stray bytes beyond the limit, in parts": (
        SOI + bytes(30_000) + sof() + bytes(35_537) + SOS,
        ImageDamage,
        "has over 65536 bytes between its segments",
    ),
    "restart marks beyond the limit": (
        SOI + b"\xff\xd0" * 32_769 + sof() + SOS,
        ImageDamage,
        "has over 65536 bytes between its segments",
    ),
    "4097 segments": (
        SOI + segment(0xE1, EXIF6) * 4097 + sof() + SOS,
        ImageDamage,
        "has over 4096 segments before its first scan",
    ),
    "0 wide": (SOI + sof(0, 27) + SOS, ImageDamage, "has 0x27 pixels"),
    "0 high": (SOI + sof(40, 0) + SOS, ImageDamage, "has 40x0 pixels"),
    "empty frame": (SOI + segment(0xC0) + SOS, ImageDamage, "frame header that is cut off"),
    "frame cut": (
        SOI + segment(0xC0, b"\x08\0\x1b\0\x28\3\1\x22\0") + SOS,
        ImageDamage,
        "has a frame header that is cut off",
    ),
    "no components": (SOI + sof(factors=()) + SOS, ImageDamage, "pixels of 0 components"),
    **{
        f"SOF{mark - 0xC0}": (SOI + sof(marker=mark) + SOS, BadRequest, f"(SOF{mark - 0xC0})")
        for mark in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
    },
    **{
        f"marker FF{mark:02X}": (
            SOI + segment(mark) + sof() + SOS,
            ImageDamage,
            f"has the marker FF{mark:02X}",
        )
        for mark in (*range(0x02, 0xC0), 0xC8, 0xD8, 0xDE, 0xDF, *range(0xF0, 0xFE))
    },
}


@pytest.mark.parametrize("what", FINDS)
def test_finds(what):
    data, fields = FINDS[what]
    header, _ = jpeg.read(data)
    assert header.format == "jpg"
    assert {name: getattr(header, name) for name in fields} == fields


@pytest.mark.parametrize("what", REFUSES)
def test_refuses(what):
    data, kind, reason = REFUSES[what]
    with pytest.raises(kind, match=re.escape(reason)) as caught:
        jpeg.read(data)
    assert type(caught.value) is kind


KEPT = {
    "JFIF": segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
    "ICC": segment(0xE2, ICC),
    "Adobe": segment(0xEE, b"Adobe\0d\0\0\0\0\0"),
    "DRI": segment(0xDD, b"\0\0"),
    "DHT": segment(0xC4, bytes(17)),
}
DROPPED = {
    "EXIF": segment(0xE1, EXIF6),
    "XMP": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "MPF": segment(0xE2, b"MPF\0"),
    "Photoshop": segment(0xED, b"Photoshop 3.0\0"),
    "APP15": segment(0xEF, b"?"),
    "comment": segment(0xFE, b"<script>"),
}


def test_what_is_kept_and_what_is_left_out():
    def file(parts):
        return SOI + b"".join(parts) + dqt() + sof() + SOS

    mixed = [part for pair in zip(KEPT.values(), DROPPED.values(), strict=False) for part in pair]
    mixed.append(DROPPED["comment"])
    header, washed = jpeg.read(file(mixed))
    assert washed == file(KEPT.values())
    assert header.orientation == 6
    again, same = jpeg.read(washed)
    assert (again.orientation, again.exif) == (1, b"")
    assert same is washed  # nothing left out: not a copy


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_washing_changes_no_pixel(mode, progressive, photo):
    file = io.BytesIO()
    Image.fromarray(photo(67, 45)).convert(mode).save(
        file,
        "JPEG",
        progressive=progressive,
        comment=b"c" * 100,
        exif=EXIF6,
        icc_profile=None if mode != "RGB" else pyvips.Image.profile_load("p3"),
    )
    header, washed = jpeg.read(file.getvalue())
    assert len(washed) < len(file.getvalue()) - 100
    assert (header.width, header.height, header.orientation) == (67, 45, 6)
    one, other = (pyvips.Image.jpegload_buffer(data) for data in (file.getvalue(), washed))
    assert np.array_equal(one.numpy(), other.numpy())
    assert other.get_typeof("exif-data") == 0
    assert bool(other.get_typeof("icc-profile-data")) == (mode == "RGB")


# --- read as libjpeg reads it

STRAY = {
    "a zero": b"\0",
    "zeros": bytes(999),
    "a line end": b"\r\n",
    "text": b"stray bytes, no segment",
    "fill bytes": b"\xff" * 7,
    "FF00": b"\xff\0",
    "FFFF00": b"\xff\xff\0",
    "RST": b"\xff\xd0\xff\xd7",
    "TEM": b"\xff\x01",
    "all of them": b"\0\xff\xff\xd3x\xff\0\xff\x01\xff\xff\xff\0\xff\xff\xff",
}
KINDS = {
    "baseline": {},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "4:4:4": {"subsampling": 0},
    "4:2:2 with restarts": {"subsampling": 1, "restart_marker_blocks": 2},
    "with restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
}


@cache
def example(kind):
    """Odd sides, noise enough that all blocks have coefficients, turned by EXIF."""
    options = dict(KINDS[kind])
    y, x = np.mgrid[0:45, 0:67]
    values = np.stack([x * 255 // 66, y * 255 // 44, x * y * 7 % 256], -1).astype(np.uint8)
    image = Image.fromarray(values).convert(options.pop("mode", "RGB"))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, exif=EXIF6, comment=b"hello", **options)
    return file.getvalue()


SCAN = re.compile(rb"(?:[^\xff]|\xff+[\0\xd0-\xd7])*", re.DOTALL)  # up to the next marker


def parts(data):
    """A clean file in pieces: SOI, each segment (a scan with its bits), EOI."""
    pieces, at = [data[:2]], 2
    while at < len(data) - 2:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] == 0xDA:
            end = SCAN.match(data, end).end()
        pieces.append(data[at:end])
        at = end
    pieces.append(data[at:])
    assert b"".join(pieces) == data
    assert pieces[-1] == b"\xff\xd9"
    return pieces


def places():
    for kind in ("baseline", "progressive"):
        for place, piece in enumerate(parts(example(kind))[1:], 1):
            yield pytest.param(kind, place, id=f"{kind}-{place} before FF{piece[1]:02X}")


@cache
def libjpeg(data):
    """An example's pixels as libjpeg reads it by itself, turned as its EXIF says."""
    image = pyvips.Image.jpegload_buffer(data)
    image = image.colourspace("srgb") if image.bands == 4 else image
    return np.rot90(image.numpy(), -1).squeeze()


@pytest.fixture(scope="module")
def of_clean(run):
    """What a process makes of an example."""
    return cache(lambda kind, text: run(example(kind), text))


@pytest.fixture(scope="module")
def told_of_clean(answered):
    """What info says of an example, but for its size in bytes."""
    return cache(lambda kind: without_size(answered(example(kind), "info")))


def without_size(told):
    return {name: value for name, value in told.items() if name != "FileSize"}


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize(("kind", "place"), [*places()])
def test_stray_bytes_change_nothing(
    kind, place, stray, run, of_clean, told_of_clean, answered, pixels
):
    clean = example(kind)
    pieces = parts(clean)
    first = [piece[1] for piece in pieces].index(0xDA)
    data = b"".join((*pieces[:place], STRAY[stray], *pieces[place:]))
    header, washed = jpeg.read(data)
    assert (header.orientation, header.exif) == (6, EXIF6[6:])
    if place <= first:  # what stands behind the bits of a scan is libjpeg's to skip
        assert (header, washed) == jpeg.read(clean)
    result = run(data, "format,png")
    assert result == of_clean(kind, "format,png")
    assert np.array_equal(pixels(result), libjpeg(data))
    assert np.array_equal(libjpeg(data), libjpeg(clean))
    told = answered(data, "info")
    assert told["FileSize"]["value"] == str(len(data)) != str(len(clean))
    assert without_size(told) == told_of_clean(kind)
    # without the end marker as well
    assert run(data[:-2], "resize,w_33/format,png") == of_clean(kind, "resize,w_33/format,png")


@pytest.mark.parametrize("end", [b"", b"\xff", b"\xff\xff\xff"], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_no_end_marker(kind, end, run, of_clean, told_of_clean, answered, pixels):
    clean = example(kind)
    data = clean[:-2] + end
    assert jpeg.read(data) == (jpeg.read(clean)[0], jpeg.read(clean)[1][:-2] + end + clean[-2:])
    result = run(data, "format,png")
    assert result == of_clean(kind, "format,png")
    assert np.array_equal(pixels(result), libjpeg(data))
    assert run(data, "resize,w_8/format,png") == of_clean(kind, "resize,w_8/format,png")
    told = answered(data, "info")
    assert told["FileSize"]["value"] == str(len(data)) != str(len(clean))
    assert without_size(told) == told_of_clean(kind)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["cut", "cut, then ended"])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_that_are_missing(kind, end, run, of_clean):
    """Cut anywhere behind its header, a file is refused or has all of its pixels.

    With an end marker, a progressive file may end where a scan does: it says no more than that.
    """
    clean = example(kind)
    whole = of_clean(kind, "format,png")
    begin = clean.index(b"\xff\xda")
    # four inks take a profile, and that fifty times as long as the picture
    step = max(41, len(clean) // times(30 if kind == "CMYK" else 160))
    last = 12 if kind == "CMYK" else 40  # each of these bytes
    ends = [*range(begin, len(clean) - last, step), *range(len(clean) - last, len(clean))]
    borders = {*itertools.accumulate(map(len, parts(clean)))}  # also where a scan ends
    given, refused = set(), set()
    for cut in sorted({*ends, *borders}):
        if cut <= begin or (end and kind == "progressive" and borders & {cut, cut - 1}):
            continue
        try:
            result = run(clean[:cut] + end, "format,png")
        except ImageDamage as error:
            refused.add(error.message)
        else:
            assert result == whole
            given.add(len(clean) - cut)
    reason = re.compile(
        r"premature end|instead of RST|FFDA of|before its first scan|parameters Ss=|Bogus|Invalid"
    )
    assert all(map(reason.search, refused))
    assert given >= {0, 1, 2} or end
    assert max(given, default=0) <= 3  # the last byte may be nothing but padding


def scan(components, first=0, last=63, low=0, high=0):
    chosen = b"".join(bytes((component, 0)) for component in components)
    body = bytes((len(components),)) + chosen + bytes((first, last, high << 4 | low))
    return segment(0xDA, body) + b"scan"


SCANS = {
    # what -> marker of the frame, its scans, whether nothing but the end marker is missing
    "all at once": (0xC0, [scan((1, 2, 3))], True),
    "one after the other": (0xC0, [scan((1,)), scan((2,)), scan((3,))], True),
    "one is missing": (0xC0, [scan((1,)), scan((2,))], False),
    "in spectral parts": (0xC2, [scan((1, 2, 3), 0, 0), *(scan((i,), 1) for i in (1, 2, 3))], True),
    "a part is missing": (0xC2, [scan((1, 2, 3), 0, 0), *(scan((i,), 1) for i in (1, 2))], False),
    "the last coefficient is missing": (0xC2, [scan((1, 2, 3), 0, 62)], False),
    "a bit is missing": (0xC2, [scan((1, 2, 3), low=1)], False),
    "bit after bit": (0xC2, [scan((1, 2, 3), low=1), scan((1, 2, 3), low=0, high=1)], True),
    "a component that is none": (0xC2, [scan((1, 2, 4))], False),
    "coefficients that are none": (0xC2, [scan((1, 2, 3), 70, 255), scan((1, 2, 3), 9, 3)], False),
    "tables between them": (0xC0, [scan((1, 2)), dqt(), scan((3,))], True),
    "cut in a table": (0xC0, [scan((1, 2)), scan((3,)), dqt()[:-1]], False),
    "cut in a scan's header": (0xC0, [scan((1, 2)), scan((3,))[:6]], False),
    "a short scan": (0xC0, [scan((1, 2)), segment(0xDA, b"\1\3")], False),
}


@pytest.mark.parametrize("what", SCANS)
def test_what_is_missing_beside_the_end_marker(what):
    marker, scans, only = SCANS[what]
    data = SOI + sof(marker=marker) + b"".join(scans)
    header, washed = jpeg.read(data)
    assert washed == (data + b"\xff\xd9" if only else data)
    if only:
        ended = data + b"\xff\xd9garbage"
        assert jpeg.read(ended) == (header, ended)


MANY = b"\xff\xda" * (jpeg.MAX_SCANS + 1)
NO_SCANS = {
    # what -> put behind a progressive file, put between two of its scans
    "a video of a phone": (MANY, b""),
    "a second picture": (PLAIN * 200, b""),
    "a comment": (b"", segment(0xFE, MANY)),
    "tables": (b"", dqt() * 9 + segment(0xE5, MANY)),
    "both": (MANY, segment(0xE1, MANY)),
}


@pytest.mark.parametrize("what", NO_SCANS)
@pytest.mark.parametrize("ends", [b"\xff\xd9", b""])
def test_what_only_looks_like_scans(what, ends, photo, run, pixels):
    """Bytes within segments, and all behind the end, are none (ITU-T T.81, B.1.1)."""
    file = io.BytesIO()
    Image.fromarray(photo(40, 27)).save(file, "JPEG", quality=90, progressive=True)
    data, (behind, between) = file.getvalue(), NO_SCANS[what]
    last = data.rindex(b"\xff\xc4")
    odd = data[:last] + between + data[last:] + behind + ends
    assert np.array_equal(pixels(run(odd, "format,png")), pixels(run(data, "format,png")))


@pytest.mark.parametrize("between", ["", "comments", "restarts"])
def test_too_many_scans(between):
    more = {"comments": segment(0xFE, b"\xff\xd9"), "restarts": b"\xff\xd0\xff\0"}.get(between, b"")
    scans = [scan((1, 2, 3)) + more] * (jpeg.MAX_SCANS + 1)
    front = SOI + sof(marker=0xC2)
    jpeg.read(front + b"".join(scans[1:]) + b"\xff\xd9")
    for end in (b"\xff\xd9", b"", b"\xff\xd9" + MANY, segment(0xFE, MANY), segment(0xFE) * 9000):
        with pytest.raises(ImageTooLarge, match=r"^The JPEG has \d+ scans; it may have 100\.$"):
            jpeg.read(front + b"".join(scans) + end)


@pytest.mark.parametrize("bands", [2, 5])
def test_numbers_of_components_that_are_no_picture(bands, run, answered):
    """What two mean no file says; the second is not how opaque it is."""
    parts = bytes((bands, *(part for i in range(bands) for part in (i + 1, 0)), 0, 63, 0))
    data = SOI + dqt() + sof(factors=(0x11,) * bands) + segment(0xDA, parts) + b"scan\xff\xd9"
    assert answered(data, "info")["ImageWidth"]["value"] == "40"
    for text in ("format,png", "format,jpg", "resize,w_9", "average-hue"):
        with pytest.raises(
            BadRequest, match=rf"a kind that is not supported \({bands} components\)"
        ):
            run(data, text)


@pytest.mark.parametrize("quality", range(5, 101, 5))
def test_quality_of_pillows_tables(quality, encoded, photo):
    data = encoded(photo(16, 16), "JPEG", quality=quality)
    assert abs(jpeg.read(data)[0].quality - quality) <= 1


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 77, 90, 100])
def test_quality_of_libvips_tables(quality, photo):
    data = pyvips.Image.new_from_array(photo(16, 16)).jpegsave_buffer(Q=quality)
    assert jpeg.read(data)[0].quality == quality


def test_quality_of_wide_and_joined_tables(encoded, photo):
    data = encoded(photo(16, 16), "JPEG", quality=75)
    at = data.index(b"\xff\xdb\0\x43\0") + 5
    steps = data[at : at + 64]
    tables = {
        "16 bits": b"\x10" + struct.pack(">64H", *steps),
        "behind colour's": b"\1" + b"\x63" * 64 + b"\0" + steps,
        "before colour's": b"\0" + steps + b"\1" + b"\x63" * 64,
    }
    for what, body in tables.items():
        assert jpeg.read(SOI + segment(0xDB, body) + sof() + SOS)[0].quality == 75, what


def test_cut_at_every_byte(run, photo):
    file = io.BytesIO()
    Image.fromarray(photo(16, 16)).save(file, "JPEG", quality=30, exif=EXIF6, comment=b"hello")
    data = file.getvalue()
    refused = []
    for end in range(len(data)):
        try:
            run(data[:end], "resize,w_8")
        except OssError as error:
            refused.append(error.code)
    assert set(refused) <= {"ImageDamage", "BadRequest"}
    assert len(refused) >= data.index(b"\xff\xda")  # no header, no picture


# --- what strangers may cost

COSTS = {
    # what -> file; seconds are of one slow core
    "4096 EXIF segments of 4 KB": SOI + segment(0xE1, EXIF6 + bytes(4000)) * 4095 + sof() + SOS,
    "16 MB of fill bytes": SOI + b"\xff" * 16_000_000 + sof() + SOS,
    "16 MB of tables": SOI + segment(0xDB, b"\1" + bytes(65000)) * 256 + sof() + SOS,
    "16 MB of stray bytes": SOI + bytes(16_000_000) + sof() + SOS,
    "fill and stray bytes by turns": SOI + b"\xff\xff\0" * 5_000_000 + sof() + SOS,
    "fill bytes, and no marker": SOI + b"\xff" * 16_000_000 + b"\0" + sof() + SOS,
    "no end marker in 16 MB of bits": PLAIN[:-2] + b"\xff\0\xff\xd0" * 4_000_000,
    "no end marker in 16 MB of fill bytes": PLAIN[:-2] + b"\xff" * 16_000_000,
    "no end marker behind 99 scans": SOI + sof(marker=0xC2) + SOS[:-2] * 99 + bytes(16_000_000),
    "no end marker in 16 MB of segments": PLAIN[:-2] + segment(0xFE) * 4_000_000,
    "comments behind 101 scans": SOI
    + sof(marker=0xC2)
    + SOS[:-2] * 101
    + segment(0xFE) * 4_000_000,
    "no end marker, 65535 a side": SOI + dqt() + sof(65535, 65535, factors=(0x11,) * 3) + SOS[:-2],
    "no scan in 16 MB": SOI + sof() + segment(0xFE, bytes(65000)) * 256,
}


@pytest.mark.parametrize("what", COSTS)
def test_costs_little(what):
    start = time.process_time()
    with contextlib.suppress(ImageDamage, ImageTooLarge):
        jpeg.read(COSTS[what])
    assert time.process_time() - start < 1


def test_tables_are_not_remembered_for_ever():
    tracemalloc.start()
    for i in range(4):
        jpeg.read(SOI + segment(0xDB, bytes((1, i)) + bytes(65000)) * 30 + sof() + SOS)  # 2 MB
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


# --- other sides


@pytest.mark.parametrize("before", ["", "stray bytes", "fill bytes", "a comment"])
def test_other_sides(before):
    inserted = {
        "stray bytes": b"stray",
        "fill bytes": b"\xff" * 9,
        "a comment": segment(0xFE, b"x"),
    }
    data = SOI + dqt() + inserted.get(before, b"") + sof(41, 27) + SOS
    got = jpeg.with_sides(data, 44, 28)
    assert got == data.replace(sof(41, 27), sof(44, 28))
    assert jpeg.read(got)[0] == replace(jpeg.read(data)[0], width=44, height=28)


@pytest.mark.parametrize(
    ("factors", "changes"),
    {
        (0x11,): True,
        (0x22, 0x11, 0x11): True,
        (0x41, 0x11, 0x21): True,
        (0x11, 0x22, 0x22): True,
        (0x31, 0x11, 0x11): False,
        (0x22, 0x13, 0x11): False,
    }.items(),
)
def test_only_where_the_scans_have_the_same_blocks(factors, changes):
    """A component's blocks, in a scan of its own, are those of its own samples."""
    data = SOI + dqt() + sof(factors=factors) + SOS
    assert (jpeg.with_sides(data, 40, 32) != data) == changes

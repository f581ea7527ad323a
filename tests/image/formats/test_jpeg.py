"""The walk over a JPEG's segments: what it finds, what it leaves out, what it costs strangers."""

import contextlib
import io
import struct
import time
import tracemalloc

import numpy as np
import pytest
import pyvips
from PIL import Image

from vipsgate.errors import BadRequest, ImageDamage, OssError
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
    "garbage behind": (PLAIN + b"\0" * 99, {"width": 40}),
    "65535 a side": (SOI + sof(65535, 65535) + SOS, {"width": 65535, "height": 65535}),
    "4090 segments": (SOI + segment(0xFE) * 4090 + sof() + SOS, {"width": 40}),
}
REFUSES = {
    # what -> file, class
    "nothing behind the mark": (b"\xff\xd8\xff", ImageDamage),
    "no scan": (SOI + dqt() + sof(), ImageDamage),
    "no frame": (SOI + dqt() + SOS, ImageDamage),
    "ends at once": (SOI + b"\xff\xd9", ImageDamage),
    "text": (b"\xff\xd8\xffhello, world", ImageDamage),
    "length 0": (SOI + b"\xff\xe1\0\0" + sof() + SOS, ImageDamage),
    "length 1": (SOI + b"\xff\xe1\0\1" + sof() + SOS, ImageDamage),
    "length beyond the end": (SOI + sof() + b"\xff\xe1\xff\xff" + SOS, ImageDamage),
    "no marker": (SOI + sof() + b"\0\0\0\0" + SOS, ImageDamage),
    "4097 segments": (SOI + segment(0xE1, EXIF6) * 4097 + sof() + SOS, ImageDamage),
    "0 wide": (SOI + sof(0, 27) + SOS, ImageDamage),
    "0 high": (SOI + sof(40, 0) + SOS, ImageDamage),
    "empty frame": (SOI + segment(0xC0) + SOS, ImageDamage),
    "frame cut": (SOI + segment(0xC0, b"\x08\0\x1b\0\x28\3\1\x22\0") + SOS, ImageDamage),
    "no components": (SOI + sof(factors=()) + SOS, ImageDamage),
    **{
        f"SOF{mark - 0xC0}": (SOI + sof(marker=mark) + SOS, BadRequest)
        for mark in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
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
    data, kind = REFUSES[what]
    with pytest.raises(kind) as caught:
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
    "no scan in 16 MB": SOI + sof() + segment(0xFE, bytes(65000)) * 256,
}


@pytest.mark.parametrize("what", COSTS)
def test_costs_little(what):
    start = time.process_time()
    with contextlib.suppress(ImageDamage):
        jpeg.read(COSTS[what])
    assert time.process_time() - start < 1


def test_tables_are_not_remembered_for_ever():
    tracemalloc.start()
    for i in range(4):
        jpeg.read(SOI + segment(0xDB, bytes((1, i)) + bytes(65000)) * 30 + sof() + SOS)  # 2 MB
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000

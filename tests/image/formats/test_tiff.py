"""The directory of a TIFF: what is read of it, what libvips is given, and bytes that lie.

Its pixels, kind by kind, are in tests/e2e/pixels/test_tiff.py.
"""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times
from support.tiffs import LONG, LONG8, SHORT, write

from vipsgate.errors import BadRequest, ImageDamage, OssError
from vipsgate.image.formats import probe, tiff

RGB = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype("u1")
ALL = {530: (SHORT, [1, 1])}
SAYS = {
    # what -> the file, fields of its header
    "strips": (write(RGB, 2), {"width": 30, "height": 20, "bands": 3, "rows": 16, "tiled": False}),
    "big": (write(RGB, 2, big=True, order=">"), {"width": 30, "height": 20, "rows": 16}),
    "tiles": (write(RGB, 2, tile=(16, 16)), {"tiled": True, "rows": 35}),  # 32 by 32 of them
    "planes": (write(RGB, 2, planar=True), {"rows": 21}),
    "16 bits": (write(RGB.astype("u2"), 2), {"depth": 16}),
    "floats": (write(RGB.astype("f4"), 2), {"depth": 32}),
    "alpha": (write(np.dstack([RGB, RGB[..., 0]]), 2, extra=[2]), {"bands": 4, "alpha": True}),
    "no alpha": (write(np.dstack([RGB, RGB[..., 0]]), 2, extra=[0]), {"bands": 4, "alpha": False}),
    "orientation": (write(RGB, 2, tags={274: (SHORT, [6])}), {"orientation": 6}),
    "no such orientation": (write(RGB, 2, tags={274: (SHORT, [9])}), {"orientation": 1}),
    "subsampled": (write(RGB, 6, rows=20), {"bands": 4, "rows": 40, "alpha": False}),
    "not read": (write(RGB, 2, compression=50000), {"unsupported": "compression Zstandard"}),
}


@pytest.mark.parametrize("what", SAYS)
def test_says(what):
    data, fields = SAYS[what]
    header = probe.probe(data).header
    assert {name: getattr(header, name) for name in fields} == fields


ODD = {  # tags that libtiff complains of, and no pixel depends on
    254: (LONG, [1]),
    270: (7, list(b"not ended by a NUL")),
    274: (SHORT, [99]),
    282: (5, [1, 0]),
    283: (5, [0, 0]),
    296: (SHORT, [77]),
    330: (LONG, [1 << 31]),
    700: (7, list(b"<xmp/>")),
    33723: (LONG, [1] * 9),
    34665: (LONG, [1 << 31]),
    65000: (SHORT, [1, 2, 3]),
}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_odd_tags_do_no_harm(tile, big, run, pixels):
    """Neither alone nor together; every error of libtiff would be taken for a lack of pixels."""
    want = pixels(run(write(RGB, 2, compression=8, tile=tile, big=big), "format,png"))
    assert np.array_equal(want, RGB)
    for tags in [*({tag: value} for tag, value in ODD.items()), ODD]:
        data = write(RGB, 2, compression=8, tile=tile, big=big, tags=tags)
        got = pixels(run(data, "auto-orient,0/format,png"))
        assert np.array_equal(got, RGB), tags


def test_only_the_first_picture_is_given_to_libvips():
    file = io.BytesIO()
    pages = [Image.fromarray(RGB + np.uint8(n)) for n in range(3)]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    washed = Image.open(io.BytesIO(tiff.read(file.getvalue())[1]))
    assert washed.n_frames == 1
    assert np.array_equal(np.asarray(washed), RGB)


def test_its_profile_is_told(picture):
    assert probe.probe(picture("tiff 9x8 p3")).header.gamut == "p3"
    assert probe.probe(picture("tiff 9x8 grey")).header.gamut == "srgb"


# --- bytes that lie


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("offset", [1 << 31, 1 << 62, (1 << 64) - 1])
def test_places_that_are_not_there(offset, order):
    data = bytearray(write(RGB, 2, big=True, order=order))
    data[8:16] = struct.pack(order + "Q", offset)
    with pytest.raises(ImageDamage, match="cut off"):
        probe.probe(bytes(data))


def test_a_directory_without_end():
    data = bytearray(write(RGB, 2, big=True)) + bytes(20 * 70_000)
    data[16:24] = struct.pack("<Q", 66_000)
    with pytest.raises(ImageDamage, match="cut off"):
        probe.probe(bytes(data))


def test_strips_behind_the_end(run):
    for tag, kind in ((273, LONG), (273, LONG8)):
        data = write(RGB, 2, rows=20, big=kind == LONG8)
        with pytest.raises(ImageDamage, match="would end at byte"):
            probe.probe(data[:-1])
        assert tag in tiff.Directory(data).entries


@pytest.mark.parametrize("samples", [6, 500, 65535])
def test_more_samples_than_a_picture_has(samples, run):
    data = write(RGB, 2, tags={277: (SHORT, [samples])})
    with pytest.raises(BadRequest, match="it may have 5"):
        run(data, "format,png")


SMALL = {
    "strips": write(RGB, 2, compression=8),
    "big tiles": write(RGB, 2, compression=5, tile=(16, 16), big=True, order=">"),
    "planes": write(RGB, 2, planar=True, predictor=2, compression=8),
    "YCbCr": write(RGB, 6, tags=ALL),
    "subsampled": write(RGB, 6, rows=20),
    "CIELab": write(RGB.astype("u2"), 8),
    "signed": write(np.dstack([RGB, RGB[..., 0]]).view("i1"), 2, extra=[1]),
    "palette": write(RGB[..., 0] >> 4, 3, bits=4, tags={320: (SHORT, list(range(48)))}),
    "JPEG": write(RGB, 6, compression=7, tile=(16, 16), tags={530: (SHORT, [2, 2])}),
}


@pytest.mark.parametrize("what", SMALL)
def test_mutated(what, run):
    data = SMALL[what]
    directory = 500 if len(data) > 500 else len(data)

    @settings(max_examples=times(80), database=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, directory - 1), st.integers(0, 255)), min_size=1, max_size=6
        ),
        st.integers(0, len(data)),
    )
    def mutate(changes, end):
        made = bytearray(data)
        for at, value in changes:
            made[at] = value
        for some in (bytes(made), data[:end]):
            code = ""
            try:
                run(some, "resize,w_5,h_5,m_pad/format,png")
            except OssError as error:
                code = error.code
            assert code in ("", "ImageDamage", "BadRequest", "ImageTooLarge")

    mutate()

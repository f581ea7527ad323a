"""HEIC: what its header says before anything is decoded, hostile ones, and life without it."""

import io
import struct
import sys

import numpy as np
import pillow_heif
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.boxes import box, child, full, ispe, table
from support.examples import times

from vipsgate.cli import findings
from vipsgate.errors import BadRequest, ImageDamage, ImageTooLarge, OssError
from vipsgate.image import plan, render
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import heif, isobmff, probe
from vipsgate.image.formats.codecs import CODECS
from vipsgate.image.process import parse
from vipsgate.settings import Settings

QUICK = {"preset": "ultrafast"}


def coded(values, **options):
    """A HEIC of these pixels, which may be grey or have alpha."""
    values, file = np.asarray(values), io.BytesIO()
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[2] if values.ndim == 3 else 1]
    mode = options.pop("mode", mode + (";16" if values.dtype == np.uint16 else ""))
    options = {"quality": 90, "enc_params": dict(QUICK)} | options
    pillow_heif.encode(mode, values.shape[1::-1], values.tobytes(), file, **options)
    return file.getvalue()


def levels(data, run, mode="RGB"):
    """Its pixels, by way of a PNG."""
    made = run(data, "format,png")
    return np.asarray(Image.open(io.BytesIO(made)).convert(mode)).astype(int)


# --- the header

SAYS = {
    "heic 41x27": {"bands": 3, "alpha": False, "depth": 8, "pages": 1, "gamut": "srgb"},
    "heic 41x27 grey": {"bands": 1, "samples": 1},
    "heic 41x27 alpha": {"bands": 4, "alpha": True, "samples": 4},
    "heic 41x27 10bit": {"bands": 3, "depth": 10},
    "heic 41x27 p3": {"gamut": "p3"},
    # libheif has turned it already
    "heic 41x27 o6": {"orientation": 1, "width": 27, "height": 41},
    "heic 41x27 o3": {"orientation": 1, "width": 41, "height": 27},
}


@pytest.mark.parametrize("source", SAYS)
def test_says(source, picture, header):
    told, described = probe.probe(picture(source)).header, header(source)
    fields = {"format": "heic", "width": described.width, "height": described.height}
    fields |= SAYS[source]
    assert {name: getattr(told, name) for name in fields} == fields


@pytest.mark.parametrize(("chroma", "samples"), [(420, 1.5), (422, 2), (444, 3)])
def test_samples(chroma, samples, photo):
    assert probe.probe(coded(photo(40, 27), chroma=chroma)).header.samples == samples
    data = coded(photo(40, 27, 4), chroma=chroma)
    assert probe.probe(data).header.samples == samples + 1


def test_the_header_is_read_without_the_pixels(photo, run):
    data = coded(photo(640, 480))
    at = data.index(b"mdat") + 200
    broken = data[:at] + bytes(len(data) - at)
    assert probe.probe(broken).header == probe.probe(data).header


def test_exif_is_told_and_does_not_turn_again(photo, run, psnr):
    block = Image.Exif()
    block.update({0x0112: 6, 0x010F: "A camera"})
    image, file = Image.fromarray(photo(40, 20)), io.BytesIO()
    image.save(file, "HEIF", quality=90, exif=block.tobytes(), enc_params=dict(QUICK))
    header = probe.probe(file.getvalue()).header
    assert (header.width, header.height, header.orientation) == (20, 40, 1)
    assert header.exif[:2] in (b"II", b"MM")
    assert b"A camera" in header.exif
    turned = np.rot90(photo(40, 20), -1)
    for text in ("auto-orient,1", "auto-orient,0"):  # wrongly turned, it has about 12
        got = np.asarray(Image.open(io.BytesIO(run(file.getvalue(), f"{text}/format,png"))))
        assert psnr(got, turned) > 25


def test_display_p3_by_codes_alone(photo):
    data = coded(photo(40, 27), color_primaries=12, transfer_characteristics=13)
    assert probe.probe(data).header.gamut == "p3"
    data = coded(photo(40, 27), color_primaries=9, transfer_characteristics=16)
    assert probe.probe(data).header.gamut == "srgb"


def test_only_the_primary_picture_counts(photo, run, psnr):
    images = [Image.fromarray(photo(40, 27, 3, seed)) for seed in range(3)]
    file = io.BytesIO()
    options = {"save_all": True, "append_images": images[1:], "primary_index": 1, "quality": 90}
    images[0].save(file, "HEIF", **options, enc_params=dict(QUICK))
    assert probe.probe(file.getvalue()).header.pages == 1
    got = levels(file.getvalue(), run)
    assert [psnr(got, image) > 26 for image in images] == [False, True, False]


# --- the pixels


def test_premultiplied_alpha(run):
    values = np.zeros((32, 32, 4), np.uint8)
    values[:] = (100, 50, 25, 128)
    got = levels(coded(values, mode="RGBa"), run, "RGBA")
    assert np.abs(got[16, 16] - (199, 100, 50, 128)).max() <= 4


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_deep(bands, photo, run, psnr):
    values = photo(64, 48, bands).astype(np.uint16) * 257
    data = coded(values[..., 0] if bands == 1 else values, chroma=444)
    assert probe.probe(data).header.depth == 10
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[bands]
    got = levels(data, run, mode).reshape(48, 64, bands)
    assert psnr(got[..., :3], photo(64, 48, bands)[..., :3]) > 36
    white = levels(coded(np.full((16, 16, 3), 65535, np.uint16)), run)
    assert white.min() == 255


@pytest.mark.parametrize("mode", ["grey", "", "alpha", "grey alpha"])
def test_lossless(mode, picture, run, pixels):
    data = picture(f"png 41x27 {mode}")
    made = run(data, "quality,lossless/format,heic")
    assert np.array_equal(pixels(made, "RGBA"), pixels(data, "RGBA"))


@pytest.mark.parametrize("size", ["1x1", "1x40", "17x16", "4000x3", "3x4000"])
@pytest.mark.parametrize("alpha", ["", "alpha"])
def test_any_size_can_be_written(size, alpha, photo, encoded, run, pixels, psnr):
    width, height = map(int, size.split("x"))
    values = photo(width, height, 4 if alpha else 3)
    made = run(encoded(values, "PNG"), "quality,Q_80/format,heic")
    assert pixels(made).shape == values.shape
    assert psnr(pixels(made)[..., :3], values[..., :3]) > 20


@pytest.mark.parametrize("size", [(9000, 3), (3, 9000)])
def test_narrow(size, encoded, run, pixels):
    run(encoded(np.full((*size, 3), 90), "PNG"), "format,heic")
    with pytest.raises(BadRequest, match="pixels cannot be written as heic"):
        run(encoded(np.full((*size, 4), 90), "PNG"), "format,heic")


def test_too_large(header):
    with pytest.raises(ImageTooLarge, match="a side of a heic may have 16384"):
        plan.make(header("heic 16385x10"), (), Limits(), Rendering())
    actions = parse("image/format,heic", Limits()).actions
    with pytest.raises(ImageTooLarge, match="heic can hold 16384x16384"):
        plan.make(header("png 10x16385"), actions, Limits(), Rendering())


# --- hostile files


@pytest.fixture(scope="module")
def small():
    """64x64 grey pixels: their HEVC stream, its configuration, and the file they are from."""
    data = coded(np.full((64, 64), 90, np.uint8))
    return child(data, b"mdat")[8:], child(data, b"hvcC"), data


def metadata(small, count, length, pieces=1):
    stream, config, _ = small
    items = {1: (b"hvc1", b"", [(0, len(stream))])}
    block = [(len(stream), length)] * pieces
    items |= dict.fromkeys(range(2, 2 + count), (b"Exif", b"", block))
    references = [(b"cdsc", number, [1]) for number in range(2, 2 + count)]
    return table(items, references, [config, ispe(64, 64)], {1: [0x81, 2]}, stream + bytes(length))


def test_what_the_builder_builds_is_a_picture(small, run):
    assert abs(levels(metadata(small, 1, 64), run).mean() - 90) < 2


# 900 of 4 MB took 7.6 GB and 23 seconds when they were opened
@pytest.mark.parametrize(("count", "pieces"), [(900, 1), (10, 30), (3, 1)])
def test_metadata_that_shares_its_bytes(count, pieces, small):
    data = metadata(small, count, 4 << 20, pieces)
    with pytest.raises(ImageDamage, match="bytes in a file of"):
        probe.probe(data)


def test_metadata_that_describes_many_pictures(small):
    stream, config, _ = small
    some = range(1, 201)
    items = {number: (b"hvc1", b"", [(0, len(stream))]) for number in some}
    items[201] = (b"Exif", b"", [(len(stream), 1 << 20)])
    owned = {number: [0x81, 2] for number in some}
    media = stream + bytes(1 << 20)
    data = table(items, [(b"cdsc", 201, [*some])], [config, ispe(64, 64)], owned, media)
    with pytest.raises(ImageDamage, match="bytes in a file of"):
        probe.probe(data)


def large_inside(what):
    """64x64 pixels are shown of 2048x2048, which a few kilobytes hold."""
    data = coded(np.full((2048, 2048), 90, np.uint8))
    stream, config = child(data, b"mdat")[8:], child(data, b"hvcC")
    if what == "cropped":
        clap = box(b"clap", struct.pack(">IIIIiIiI", 64, 1, 64, 1, 0, 1, 0, 1))
        items, references = {1: (b"hvc1", b"", [(0, len(stream))])}, []
        properties, owned = [config, ispe(2048, 2048), clap], {1: [0x81, 2, 0x83]}
        media = stream
    else:
        grid = struct.pack(">BBBBHH", 0, 0, 0, 0, 64, 64)
        items = {
            1: (b"grid", b"", [(len(stream), len(grid))]),
            2: (b"hvc1", b"", [(0, len(stream))]),
        }
        references, media = [(b"dimg", 1, [2])], stream + grid
        properties, owned = [config, ispe(64, 64), ispe(2048, 2048)], {1: [2], 2: [0x81, 3]}
    return table(items, references, properties, owned, media)


@pytest.mark.parametrize("what", ["cropped", "tile"])
def test_what_is_decoded_counts_and_not_what_is_shown(what, planned, run):
    data = large_inside(what)
    header = probe.probe(data).header
    assert (header.width, header.height, header.coded) == (64, 64, 2048 * 2048)
    with pytest.raises(ImageTooLarge, match="bytes of memory"):
        planned(data, "resize,w_20", Limits(render_bytes=20_000_000))
    assert abs(levels(data, run).mean() - 90) < 2


def test_a_mask_without_a_size(small):
    stream, config, _ = small
    kind = full(b"auxC", 0, 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    piece = [(0, len(stream))]
    items = {1: (b"hvc1", b"", piece), 2: (b"hvc1", b"", piece)}
    properties, owned = [config, ispe(64, 64), kind], {1: [0x81, 2], 2: [0x81, 3]}
    with pytest.raises(ImageDamage, match="a picture without a size"):
        probe.probe(table(items, [(b"auxl", 2, [1])], properties, owned, stream))


@pytest.mark.parametrize("size", [(30000, 30000), (64, 30000)])
def test_more_pixels_than_there_are(size, small, planned):
    data = small[2].replace(ispe(64, 64), ispe(*size))
    with pytest.raises(ImageTooLarge):
        planned(data, "resize,w_20")


@pytest.mark.parametrize("size", [(32, 32), (64, 128), (1, 1), (0, 0)])
def test_another_size_than_it_says(size, small, run):
    data = small[2].replace(ispe(64, 64), ispe(*size))
    with pytest.raises(ImageDamage):
        run(data, "resize,w_20/format,png")


@pytest.mark.parametrize("count", [1001, 65535])
def test_long_tables(count, small):
    data = small[2]
    at = data.index(b"iloc") + 10
    with pytest.raises(ImageDamage, match=f"a table of {count} rows"):
        isobmff.coded(data[:at] + struct.pack(">H", count) + data[at + 2 :])


def test_boxes_without_end():
    with pytest.raises(ImageDamage, match="over 20000 boxes"):
        isobmff.coded(box(b"free") * 20_001)


BOXES = {
    "nothing": b"",
    "half a box": b"\0\0\0",
    "of no length": box(b"ftyp") + b"\0\0\0\4meta",
    "longer than the file": box(b"ftyp") + b"\xff\xff\xff\xffmeta",
    "up to the end": box(b"ftyp") + b"\0\0\0\0meta",
    "of 64 bits": b"\0\0\0\1meta" + struct.pack(">Q", 1 << 63),
    "empty ones": full(b"meta", 0, 0, box(b"iloc"), box(b"iref"), box(b"iprp", box(b"ipma"))),
}


@pytest.mark.parametrize("what", BOXES)
def test_odd_boxes(what):
    assert isobmff.coded(BOXES[what]) == 0


@settings(deadline=None, max_examples=times(300))
@given(st.data())
def test_mutated_tables(small, data):
    whole = metadata(small, 2, 64)
    made = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(28, 500))] = data.draw(st.integers(0, 255))
    try:
        read = probe.probe(bytes(made))
        heif.load(read.data, read.header)
    except (OssError, ValueError):
        pass


# --- without it


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


def test_without_it_a_source_is_refused(absent, picture):
    data = picture("heic 40x27")
    with pytest.raises(BadRequest, match=r"pip install 'vipsgate\[heif\]'"):
        probe.probe(data)


def test_without_it_the_result_is_refused(absent, picture, run, parse):
    assert str(parse("format,heic")) == "image/format,heic"
    with pytest.raises(BadRequest, match=r"pip install 'vipsgate\[heif\]'"):
        run(picture("png 40x27"), "format,heic")
    run(picture("avif 40x27"), "format,avif")


def test_the_check_says_so_and_does_not_fail(monkeypatch):
    def row():
        return next(one for one in findings.findings(Settings()) if one.what.startswith("heic"))

    assert row().works
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert row() == findings.Finding("heic in and out", None, f"optional: {heif.INSTALL}")


def test_the_version_is_part_of_a_results_name(monkeypatch):
    with_it = render.identity()
    assert f"libheif {pillow_heif.libheif_version()}" in with_it
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert render.identity() != with_it


def test_memory_is_estimated_before(header):
    """Measured: 4.9 bytes a pixel of 4:2:0, 9.3 of 4:4:4, 16 of 4:2:2 with 10 bits."""
    held = CODECS["heic"].held
    assert held(header("heic 4000x3000"), 1) == 12
    assert held(header("heic 4000x3000 10bit"), 1) == 24


def test_libvips_reads_none():
    """Else the table of codecs would do without :mod:`heif`."""
    with pytest.raises(pyvips.Error):
        pyvips.Image.heifload_buffer(coded(np.zeros((16, 16), np.uint8))).avg()

"""A file that is read where somebody looks says, and shows libvips, what its bytes in memory do."""

import io
import os
import struct
from contextlib import contextmanager
from functools import cache
from unittest import mock

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import tiffs
from support.examples import times

from vipsgate.errors import ImageTooLarge, OssError, ServiceUnavailable
from vipsgate.image.formats import jpeg, ondemand, probe

SAID = (
    *("jpg 41x27 q80", "jpg 41x27 grey", "jpg 41x27 cmyk o6", "jpg 41x27 interlaced", "jpg 9x8 p3"),
    *("png 41x27 alpha", "png 41x27 16bit", "png 41x27 palette o6", "png 9x8 p3"),
    *("webp 41x27", "webp 41x27 alpha", "webp 20x10x3", "webp 41x27 o6"),
    *("gif 41x27", "gif 20x10x3", "bmp 41x27", "bmp 41x27 palette"),
    *("tiff 41x27", "tiff 41x27 16bit", "tiff 41x27 cmyk", "tiff 9x8 p3"),
    *("avif 41x27 alpha", "heic 41x27"),
)
NOISE = np.random.default_rng(7).integers(0, 256, (64, 48, 3), dtype=np.uint8)


@contextmanager
def opened(data):
    descriptor = os.memfd_create("file")
    try:
        os.write(descriptor, data)
        yield ondemand.File(descriptor, len(data))
    finally:
        os.close(descriptor)


def asked(parts):
    """What libvips gets that asks for one piece after the other."""
    reader = ondemand._Reader(parts)
    assert reader.seek(0, os.SEEK_END) == len(parts)
    assert reader.seek(0, os.SEEK_SET) == 0
    return b"".join(iter(lambda: reader.read(1000) or b"", b""))


def outcome(look):
    """Header, size, samples, what libvips sees; or the error."""
    try:
        source = look()
        data = source.data
        if isinstance(data, ondemand.Parts):
            whole = bytes(data.whole())
            assert not data.grain or asked(data) == whole
            data = whole
        return source.header, source.size, source.samples, data
    except OssError as error:
        return type(error), error.message, error.ec


def same(data):
    with opened(data) as file:
        assert outcome(lambda: probe.begin(file)) == outcome(lambda: probe.probe(data))


def bent(data, at, value):
    at %= len(data)
    return data[:at] + bytes((value,)) + data[at + 1 :]


@pytest.mark.parametrize("source", SAID)
def test_the_same_is_said_and_shown(source, picture):
    same(picture(source))


@pytest.mark.parametrize("source", SAID)
@settings(max_examples=times(60), deadline=None)
@given(share=st.floats(0, 1), at=st.integers(0, 1 << 20), value=st.integers(0, 255))
def test_also_of_what_is_cut_or_bent(source, share, at, value, picture):
    data = picture(source)
    same(data[: int(share * len(data))])
    same(bent(data, at, value))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [None, (16, 32)])
@settings(max_examples=times(40), deadline=None)
@given(share=st.floats(0, 1), at=st.integers(0, 1 << 20), value=st.integers(0, 255))
def test_also_of_every_layout_of_a_tiff(big, order, tile, share, at, value):
    data = tiffs.write(NOISE, 2, big=big, order=order, tile=tile, rows=5)
    same(data)
    same(data[: int(share * len(data))])
    same(bent(data, at, value))


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + bytes(4)


# --- files whose header stands in several places

SHORT = 160  # bytes of a beginning that a small file is much longer than


def saved(kind, mode="RGB", pages=1, **options):
    """Noise; each page another one."""
    chance = np.random.default_rng(9)
    shape = (70, 90, len(mode))
    noise = [Image.fromarray(chance.integers(0, 256, shape, dtype=np.uint8)) for _ in range(pages)]
    file = io.BytesIO()
    if kind == "HEIC":
        pictures = pillow_heif.HeifFile()
        for page in noise:
            pictures.add_from_pillow(page)
        pictures.save(file, save_all=True, **options)
    else:
        more = {
            "save_all": True,
            "append_images": noise[1:],
            "duration": [40 + n for n in range(pages)],
        }
        noise[0].save(file, kind, **options, **(more if pages > 1 else {}))
    return file.getvalue()


def exif():
    block = Image.Exif()
    block[0x0112], block[0x010E], block[0x8298] = 6, "x" * 300, "(c) Somebody"
    return block.tobytes()


OUTLINED = {
    "webp": lambda: saved("WEBP", quality=90),
    "webp, lossless": lambda: saved("WEBP", "RGBA", lossless=True),
    "webp, exif": lambda: saved("WEBP", quality=90, exif=exif()),
    "webp, exif, xmp, profile, alpha": lambda: saved(
        "WEBP", "RGBA", exif=exif(), xmp=b"<x:xmpmeta/>", icc_profile=bytes(500)
    ),
    "webp, animated": lambda: saved("WEBP", pages=4, exif=exif()),
    "webp, animated, alpha": lambda: saved("WEBP", "RGBA", pages=4),
    "webp, animated, lossless": lambda: saved("WEBP", "RGBA", pages=3, lossless=True),
    "avif": lambda: saved("AVIF", quality=90),
    "avif, exif, alpha": lambda: saved("AVIF", "RGBA", exif=exif(), quality=90),
    "avif, sequence": lambda: saved("AVIF", pages=3),
    "heic": lambda: saved("HEIC", quality=90),
    "heic, exif, alpha": lambda: saved("HEIC", "RGBA", exif=exif(), quality=90),
    "heic, several": lambda: saved("HEIC", pages=2, quality=90),
}
outlined = cache(lambda name: OUTLINED[name]())


def read_bytes(data):
    """How many bytes of a file are read for its header."""
    counts, real = [], os.pread
    with opened(data) as file, mock.patch.object(ondemand, "HEAD", SHORT):

        def pread(*where):
            counts.append(len(part := real(*where)))
            return part

        with mock.patch.object(ondemand.os, "pread", pread):
            probe.begin(file)
    return sum(counts)


@pytest.mark.parametrize("name", OUTLINED)
def test_of_pixels_nothing_is_read(name):
    data = outlined(name)
    told = len(probe.probe(data).header.exif)
    assert read_bytes(data) < told + 1100 < len(data)
    with mock.patch.object(ondemand, "HEAD", SHORT):
        same(data)


@pytest.mark.parametrize("name", OUTLINED)
@settings(max_examples=times(150), deadline=None)
@given(
    share=st.floats(0, 1),
    places=st.lists(
        st.one_of(st.integers(0, 900), st.integers(0, 1 << 20)), min_size=1, max_size=3
    ),
    value=st.integers(0, 255),
    more=st.binary(max_size=20),
)
def test_also_of_what_is_cut_or_bent_behind_the_beginning(name, share, places, value, more):
    data = bend = outlined(name)
    for at in places:
        bend = bent(bend, at, value)
    with mock.patch.object(ondemand, "HEAD", SHORT):
        same(data[: SHORT + int(share * (len(data) - SHORT))])
        same(data + more)
        same(bend)


@pytest.mark.parametrize("name", ["webp, exif", "avif, exif, alpha", "heic, exif, alpha"])
def test_where_a_header_has_most_of_a_file_all_of_it_is_read(name):
    data = outlined(name)
    with mock.patch.object(ondemand, "MOST", 100):
        assert read_bytes(data) > len(data)
        with mock.patch.object(ondemand, "HEAD", SHORT):
            same(data)


def test_of_a_gif_all_is_read():
    data = saved("GIF", pages=3)
    assert read_bytes(data) >= len(data)


def long_header(kind):
    """With 100 KB in front of the pixels that no pixel depends on."""
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, kind)
    data = file.getvalue()
    if kind == "PNG":
        return data[:33] + 20 * chunk(b"tEXt", b"Comment\0" + bytes(5000)) + data[33:]
    return data[:2] + 3 * (b"\xff\xfe\xff\xff" + bytes(65533)) + data[2:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_also_where_the_header_is_long_or_what_is_dropped_is_cut(kind):
    data = long_header(kind)
    same(data)
    for cut in range(1, len(data), 997):
        same(data[:cut])
    same(data + chunk(b"tEXt", bytes(50_000))[:-1])


def test_a_jpeg_without_its_end_gets_one(picture):
    data = picture("jpg 41x27 q80")
    same(data[:-2])
    same(data + b"more")
    with opened(data[:-2]) as file:
        assert probe.begin(file).data.grain == 0  # all of it is to be seen


def test_scans_are_counted_as_soon_as_all_of_them_are_read(picture):
    data = picture("jpg 41x27 interlaced")
    data = data[:-2] + (jpeg.SCAN + b"\0\2") * 200 + jpeg.END
    with opened(data) as file:
        source = probe.begin(file)
        assert source.header.interlaced
        with pytest.raises(ImageTooLarge, match="may have 100"):
            source.data.whole()
    assert outcome(lambda: probe.probe(data))[0] is ImageTooLarge


def test_slices_are_those_of_the_bytes():
    data = os.urandom(200_000)
    with opened(data) as file:
        for part in (
            slice(5),
            slice(70_000, 70_003),
            slice(69_990, 90_000),
            slice(199_999, 1 << 40),
        ):
            assert file[part] == data[part]
        assert file[200_000:] == file[9:3] == b""
        assert len(file.head()) == ondemand.HEAD


def test_what_is_not_there_any_more_is_said():
    with opened(bytes(300_000)) as file:
        os.ftruncate(file._descriptor, 100_000)
        assert file[90_000:100_000] == bytes(10_000)
        with pytest.raises(ServiceUnavailable, match="shorter"):
            file[90_000:100_001]
        with pytest.raises(ServiceUnavailable, match="shorter"):
            file.whole()
        parts = ondemand.Parts(file, (b"ab", (0, 300_000)), 1)
        with pytest.raises(ServiceUnavailable, match="shorter"):
            parts.whole()
        reader = ondemand._Reader(parts)
        assert reader.seek(100_000, os.SEEK_SET) == 100_000
        assert reader.read(10) is None
        assert isinstance(file.failure, ServiceUnavailable)

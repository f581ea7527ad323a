"""The other decoder of JPEG gives what libvips gives, or nothing, so that libvips decides."""

import io
import itertools
import os
import random
import struct

import numpy as np
import pytest
import pyvips
from PIL import Image
from support.examples import times

from vipsgate.errors import OssError
from vipsgate.image import load, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import jpeg, probe, turbo, warnings
from vipsgate.image.process import parse
from vipsgate.image.transform import transform

needed = pytest.mark.skipif(not turbo.installed(), reason=turbo.INSTALL)
SHRINKS = (1, 2, 4, 8)
SIDES = [(8, 8), (17, 33), (63, 65), (131, 97)]
KINDS = [
    *(("RGB", {"subsampling": sub}) for sub in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")),
    ("RGB", {"keep_rgb": True}),
    ("L", {}),
]


def encoded(width, height, mode="RGB", **options):
    across, down = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 7, height))
    waves = np.stack([np.sin(across + down), np.cos(across * down / 9), np.sin(down * 3)], -1)
    noise = np.random.default_rng(width).normal(0, 9, waves.shape)
    levels = np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).convert(mode).save(file, "JPEG", **{"quality": 90} | options)
    return file.getvalue()


def by_libvips(data, shrink):
    """Its pixels, as it gives them to the server, or ``None`` if they are refused."""
    warnings.clear()
    try:
        image = pyvips.Image.jpegload_buffer(data, shrink=shrink, fail_on="truncated")
        pixels = image.numpy()
        warnings.check()
    except pyvips.Error:
        return None
    return pixels


@needed
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_the_same_pixels(mode, options, progressive):
    for (width, height), shrink in itertools.product(SIDES, SHRINKS):
        data = encoded(width, height, mode, progressive=progressive, **options)
        image = turbo.loaded(data, shrink)
        expected = pyvips.Image.jpegload_buffer(data, shrink=shrink)
        assert np.array_equal(image.numpy(), expected.numpy()), (width, height, shrink)
        for name in ("interpretation", "format", "xres", "yres"):
            assert image.get(name) == expected.get(name)


@needed
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_never_pixels_that_libvips_refuses(options):
    """Cut, with other bits, without bytes or with more of them; and each that it gives is right."""
    data, dice, given = encoded(131, 97, **options), random.Random(7), 0
    scan = data.index(jpeg.SCAN)
    files = [data[: len(data) * part // 100] for part in range(1, 100)]
    files += [file + jpeg.END for file in files]
    files += [data[:-2], data[:-2] + b"\x55" * 99 + jpeg.END, data + b"behind"]
    for _ in range(times(400)):
        file = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 5))):
            file[dice.randrange(scan // 2, len(file))] = dice.randrange(256)
        at = dice.randrange(scan, len(data))
        files += [bytes(file), data[:at] + data[at + dice.randrange(1, 9) :]]
    for file in files:
        try:
            header, washed = jpeg.read(file)
        except OssError:
            continue
        shrink = dice.choice(SHRINKS)
        if header.bands in (1, 3) and (image := turbo.loaded(washed, shrink)):
            given += 1
            assert np.array_equal(image.numpy(), by_libvips(washed, shrink))
    assert given > 9


@needed
@pytest.mark.parametrize("shrink", ["balanced", "fast"])
@pytest.mark.parametrize("source", ["jpg 700x500 quartered", "jpg 699x501 o6", "jpg 640x480 p3"])
def test_the_same_files(picture, monkeypatch, source, shrink):
    """Whichever decodes: pixels, densities, profiles, and errors of what is damaged."""
    rendering = Rendering(shrink=shrink)
    for text in (*(f"resize,w_{width}" for width in range(40, 700, 61)), *OTHERS):
        data, results = picture(source), []
        for library in (turbo.library, lambda: None):
            with monkeypatch.context() as patch:
                patch.setattr(turbo, "library", library)
                result = transform(data, f"image/{text}", rendering=rendering)
                results.append(result.data)
        assert results[0] == results[1], text


OTHERS = ["format,png", "rotate,90", "crop,x_9,y_9,w_99,h_490", "resize,w_99/strip,keep_icc"]


@needed
def test_it_is_used(picture):
    """The tests above would not notice if everything were left to libvips."""
    source = probe.probe(picture("jpg 700x500"))
    for text, used in {"resize,w_100": True, "crop,w_700,h_99": False, "format,webp": True}.items():
        actions = parse(f"image/{text}", Limits()).actions
        image = load.load(source, plan.make(source.header, actions, Limits(), Rendering()))
        assert ("vips-loader" not in image.get_fields()) is used, text


def test_what_is_left_to_libvips():
    small, large = encoded(4, 4), encoded(131, 97)
    assert turbo.loaded(small, 2) is None
    parts = b"".join(
        b"\xff\xe2" + struct.pack(">H", 19) + jpeg.ICC + bytes((part, 2)) + b"icc"
        for part in (1, 2)
    )
    assert turbo.loaded(large[:2] + parts + large[2:], 1) is None


def test_memory_is_planned_for(header):
    """All pixels are held, of which libvips would hold some lines."""
    tall = header("jpg 1000x4000")
    actions = parse("image/format,png", Limits()).actions
    made = plan.make(tall, actions, Limits(), Rendering(shrink="exact"))
    assert plan.loads_at_once(made.header, 1)
    assert made.memory > plan.PIPELINE_BYTES + 3 * 1000 * 4000
    for source in ("jpg 4200x2000", "jpg 1000x800 cmyk", "png 1000x800"):
        made = plan.make(header(source), actions, Limits(), Rendering(shrink="exact"))
        assert not plan.loads_at_once(made.header, 1)


DENSITIES = list(itertools.product((0, 1, 2, 9), (0, 1, 2, 72, 65535), (0, 1, 3, 300)))


def test_density_as_libvips_reads_it():
    data = encoded(8, 8)
    at = data.index(jpeg.JFIF) + 7
    for unit, across, down in DENSITIES:
        file = data[:at] + struct.pack(">BHH", unit, across, down) + data[at + 5 :]
        image = pyvips.Image.jpegload_buffer(file)
        assert jpeg.density(file) == (image.xres, image.yres), (unit, across, down)
        twice = data[: at + 7] + file[2:]
        image = pyvips.Image.jpegload_buffer(twice)
        assert jpeg.density(twice) == (image.xres, image.yres)


@needed
def test_no_memory_is_lost():
    """Of files that are refused in the middle."""
    data = encoded(600, 400)
    cut, statm = data[: len(data) // 2] + jpeg.END, []
    for turn in range(300):
        assert turbo.loaded(cut, 1) is None
        if turn in (100, 299):
            with open("/proc/self/statm") as file:
                statm.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert statm[1] - statm[0] < 20 << 20

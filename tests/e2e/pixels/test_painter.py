"""Pictures that are painted: what their names promise, like photographs, and always the same."""

import hashlib
import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.examples import times

from vipsgate.image.config import Limits
from vipsgate.image.formats import probe
from vipsgate.image.synthetic import painter
from vipsgate.image.synthetic.scene import KINDS, read

LIMITS = Limits()
PHOTOGRAPH = (0.2, 0.5)  # bytes for each pixel of a JPEG of quality 85
PROGRAM = """
import hashlib, os, sys
from vipsgate.image import render
from vipsgate.image.config import Limits
from vipsgate.image.synthetic import painter
from vipsgate.image.synthetic.scene import read

render.prepare()
for name in sys.argv[1:]:
    memory = os.memfd_create("painted")
    painter.paint(read(name, Limits()), memory, lambda image: None)
    print(hashlib.sha256(os.pread(memory, os.fstat(memory).st_size, 0)).hexdigest())
"""
EVERY = [
    f"{kind}-61x43{'x5' * (kind == 'anim')}-7.{form}" for kind in KINDS for form in KINDS[kind]
]


@cache
def painted(name):
    memory = os.memfd_create("painted")
    try:
        painter.paint(read(name, LIMITS), memory, lambda image: None)
        return os.pread(memory, os.fstat(memory).st_size, 0)
    finally:
        os.close(memory)


def pixels(name):
    return np.asarray(Image.open(io.BytesIO(painted(name))).convert("RGB")).astype(float)


@pytest.mark.parametrize("name", EVERY)
def test_is_what_its_name_says(name):
    scene = read(name, LIMITS)
    header = probe.probe(painted(name)).header
    assert header.format == scene.format
    assert (header.width, header.height, header.pages) == (61, 43, scene.frames)
    if scene.kind != "anim":  # whose frames in a GIF are transparent where nothing changes
        assert header.alpha == (scene.kind == "alpha")
    with Image.open(io.BytesIO(painted(name))) as picture:  # another decoder agrees
        assert picture.size == (61, 43)
        assert getattr(picture, "n_frames", 1) == scene.frames


@pytest.mark.parametrize("size", ["1x1", "1x300", "300x1", "2x2", "256x256", "257x3", "511x300"])
@pytest.mark.parametrize("kind", ["photo", "alpha"])
def test_every_size_down_to_one_pixel(kind, size):
    made = Image.open(io.BytesIO(painted(f"{kind}-{size}-1.png")))
    assert "x".join(map(str, made.size)) == size


@pytest.mark.parametrize("form", ["gif", "webp"])
@pytest.mark.parametrize("size", ["8x8x2", "8x8x3", "8x300x60", "300x8x31", "9x8x16"])
def test_no_frame_is_lost_however_small(size, form):
    for seed in range(times(5)):
        header = probe.probe(painted(f"anim-{size}-{seed}.{form}")).header
        assert f"{header.width}x{header.height}x{header.pages}" == size


@pytest.mark.parametrize("size", ["400x300", "1200x800", "800x1200", "2000x1500"])
def test_costs_as_many_bytes_as_a_photograph(size):
    width, height = map(int, size.split("x"))
    for seed in range(times(3)):
        share = len(painted(f"photo-{size}-{seed}.jpg")) / (width * height)
        assert PHOTOGRAPH[0] <= share <= PHOTOGRAPH[1], (size, seed, share)


def test_has_detail_at_every_scale():
    """Halved again and again, neighbours still differ, as they do in a photograph."""
    made = pixels("photo-1024x768-4.png").mean(2)
    for _ in range(6):
        assert np.abs(np.diff(made, axis=1)).mean() > 1
        made = made.reshape(made.shape[0] // 2, 2, made.shape[1] // 2, 2).mean((1, 3))
    assert made[0].mean() - made[-1].mean() > 20  # the sky is lighter than what is near


def test_seeds_look_different():
    made = [pixels(f"photo-300x200-{seed}.png") for seed in range(8)]
    for number, one in enumerate(made):
        for other in made[number + 1 :]:
            assert np.abs(one - other).mean() > 8


def test_formats_show_the_same():
    exact = pixels("photo-300x200-3.png")
    for form, most in {"jpg": 12, "webp": 12, "avif": 14, "tiff": 0, "bmp": 0}.items():
        assert np.abs(pixels(f"photo-300x200-3.{form}") - exact).mean() <= most, form


def test_transparency_is_a_shape_with_a_soft_border():
    alpha = np.asarray(Image.open(io.BytesIO(painted("alpha-400x300-2.png"))))[..., 3]
    assert (alpha == 255).mean() > 0.25
    assert (alpha == 0).mean() > 0.05
    assert ((alpha > 0) & (alpha < 255)).mean() > 0.1
    assert alpha[150, 200] == 255


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_an_animation_moves_and_comes_back(form):
    with Image.open(io.BytesIO(painted(f"anim-200x100x8-5.{form}"))) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            assert film.info["duration"] == 60
            assert film.info["loop"] == 0
            frames.append(np.asarray(film.convert("RGB")).astype(float))
    assert len(frames) == 8
    moved = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert min(moved[1:]) > 4
    # there and back again: the second is where the last one is
    assert np.abs(frames[1] - frames[-1]).mean() < moved[1]


def test_the_same_bytes_in_every_process_with_any_number_of_threads():
    names = ["photo-350x450-3.jpg", "alpha-300x200-1.png", "anim-90x70x4-1.webp", "photo-9x9-1.bmp"]
    expected = [hashlib.sha256(painted(name)).hexdigest() for name in names]
    for threads, order in (("1", 1), ("2", 1), ("7", -1)):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, *names[::order]],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "VIPS_CONCURRENCY": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.split()[::order] == expected

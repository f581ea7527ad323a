"""How near each shrink profile comes to the best reduction, that of all pixels by Pillow."""

import io
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.image.config import Rendering

PROFILES = ("fast", "balanced", "exact")


@cache
def detailed(name):
    """A picture with edges and noise of every size, as a file."""
    noise, values = np.random.default_rng(7), np.zeros((480, 640, 3))
    for side in (2, 4, 8, 16, 32):
        rough = noise.integers(0, 256, (480 // side, 640 // side, 3))
        values += rough.repeat(side, 0).repeat(side, 1)
    file = io.BytesIO()
    options = {"quality": 92, "subsampling": 0} if name == "JPEG" else {}
    Image.fromarray((values / 5).astype(np.uint8)).save(file, name, **options)
    return file.getvalue()


def likenesses(data, width, transformed, psnr):
    """The PSNR of each profile's result to what Pillow makes of the same file."""
    text, found = f"resize,w_{width}/format,png", {}
    for shrink in PROFILES:
        made = transformed(data, text, rendering=Rendering(shrink=shrink))
        got = Image.open(io.BytesIO(made.data)).convert("RGB")
        best = Image.open(io.BytesIO(data)).resize(got.size, Image.Resampling.LANCZOS)
        found[shrink] = psnr(np.asarray(got), np.asarray(best))
    return found


@given(name=st.sampled_from(["JPEG", "PNG"]), width=st.integers(16, 400))
@settings(max_examples=times(60), deadline=None)
def test_exact_is_the_best_of_the_three(name, width, transformed, psnr):
    """But for libvips' rounding, which shows where a result is within a level anyway."""
    found = likenesses(detailed(name), width, transformed, psnr)
    assert found["exact"] >= 40
    assert found["exact"] >= min(47, max(found.values())) - 0.6


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("width", [107, 128, 142])
def test_exact_averages_no_pixels_that_lanczos_can_weigh(name, width, transformed, psnr):
    """From a reduction of 4 on, ``balanced`` does, or its loader."""
    found = likenesses(detailed(name), width, transformed, psnr)
    assert found["exact"] > found["balanced"] + 1

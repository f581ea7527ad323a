"""The likeness of two pictures, beside the same figures by numpy."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image
from support.likeness import distances

from vipsgate.image import likeness
from vipsgate.image.likeness import Reference


def coded(pixels, quality, name="JPEG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, quality=quality)
    return np.asarray(Image.open(file))


def image(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return pyvips.Image.pngload_buffer(file.getvalue()).copy_memory()


@pytest.mark.parametrize("size", [(400, 267), (257, 131), (64, 64), (40, 27), (300, 9), (1, 1)])
@pytest.mark.parametrize("quality", [20, 60, 85])
def test_as_numpy_has_it(photo, size, quality):
    pixels = photo(*size)
    other = coded(pixels, quality)
    error, unlike = Reference(image(pixels)).distances(image(other))
    want_error, want_unlike = distances(pixels, other)
    assert error == pytest.approx(want_error, rel=1e-3, abs=1e-3)
    assert unlike == pytest.approx(want_unlike, rel=1e-2, abs=1e-4)


def test_grey_and_alpha(photo):
    grey = photo(90, 70, 1)[..., 0]
    other = coded(grey, 30)
    assert Reference(image(grey)).distances(image(other)) == pytest.approx(
        distances(grey, other), rel=1e-2
    )
    clear = photo(90, 70, 4)
    worse = coded(clear, 20, "WEBP")
    found = Reference(image(clear)).distances(image(worse))
    assert found == pytest.approx(distances(clear, worse), rel=2e-2)


def test_grows_with_quality_and_ends_at_100(photo):
    pixels = photo(400, 267)
    reference = Reference(image(pixels))
    scores = [reference.score(image(coded(pixels, q))) for q in (5, 20, 40, 60, 80, 95)]
    assert scores == sorted(scores)
    assert scores[-1] - scores[0] > 30
    assert reference.score(image(pixels)) == 100
    flat = image(np.full((80, 80, 3), 200, np.uint8))
    assert Reference(flat).score(flat) == 100


def test_the_score_is_what_is_said_of_its_two_numbers():
    assert likeness.combined(1.0, 1.0) == likeness.BASE
    assert likeness.combined(0, 0) == 100
    doubled = likeness.combined(20, 0.1) - likeness.combined(10, 0.1)
    assert doubled == pytest.approx(-likeness.FINE * np.log(2))

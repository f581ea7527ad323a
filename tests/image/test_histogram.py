"""Histograms: every pixel that is seen counts once, at its own level."""

import json

import numpy as np
import pytest

from vipsgate.image import histogram
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.fonts import Fonts
from vipsgate.image.formats.probe import probe
from vipsgate.image.prepared import RenderContext


@pytest.fixture
def levels(encoded):
    """Counts by name, of an array of pixels."""

    def count(values):
        context = RenderContext(Limits(), Rendering(), Fonts(()), watch=lambda image: None)
        source = probe(encoded(np.asarray(values, np.uint8), "PNG"))
        return json.loads(histogram.answer(source, context))

    return count


def test_each_band_is_counted_by_itself(levels):
    values = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    result = levels(values)
    for band, name in enumerate(("red", "green", "blue")):
        expected, _ = np.histogram(values[..., band], histogram.BINS, (0, 256))
        assert result[name] == expected.tolist()
    assert sum(result["grey"]) == 60 * 80


def test_what_is_transparent_does_not_count(levels):
    values = np.full((4, 5, 4), (255, 128, 3, 255), np.uint8)
    values[0, :, 3] = 0
    result = levels(values)
    assert result["red"] == [0] * 63 + [15]
    assert result["green"][32] == 15
    assert result["blue"] == [15] + [0] * 63
    assert all(sum(row) == 15 for row in result.values())


@pytest.mark.parametrize("level", [0, 3, 4, 127, 252, 255])
def test_grey_is_the_same_in_all(levels, level):
    result = levels(np.full((3, 3), level))
    assert [row[level // 4] for row in result.values()] == [9] * 4


def test_a_large_one_is_counted_reduced(levels):
    assert sum(levels(np.zeros((1024, 2048, 3)))["red"]) == 512 * 256

"""The drawing of a histogram."""

from xml.etree import ElementTree

import pytest

from vipsgate.console import histogram

EMPTY = [0] * 64


def paths(levels):
    root = ElementTree.fromstring(histogram.draw(levels))
    return [path.get("d") for path in root]


def drawn(**rows):
    return dict.fromkeys(histogram.COLOURS, EMPTY) | rows


@pytest.mark.parametrize("row", [EMPTY, [5] * 64, [1000, *EMPTY[1:]], [*EMPTY[1:], 7]], ids=str)
def test_all_of_it_is_inside(row):
    for path in paths(drawn(red=row)):
        for point in path.strip("MZ").split("L"):
            x, y = map(float, point.split())
            assert 0 <= x <= histogram.WIDTH
            assert 0 <= y <= histogram.HEIGHT


def test_black_and_white_do_not_flatten_the_rest():
    row = [100_000, *EMPTY[1:32], 10, *EMPTY[33:]]
    assert "L130 0.0" in paths(drawn(grey=row))[0]


def test_it_is_small():
    assert len(histogram.draw(drawn(red=list(range(64))))) < 5000

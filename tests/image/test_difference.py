"""The distance of two pictures: zero of one and the same, CIEDE2000's own figures, dHash."""

import io

import pytest
from PIL import Image

from vipsgate.errors import OssError
from vipsgate.image.config import Limits
from vipsgate.image.difference import describe, distance


def plain(colour, size=(40, 30), kind="PNG", mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("source", ["jpg 400x267", "png 40x20 alpha", "gif 20x10x3", "jpg 9x300"])
def test_a_picture_is_no_distance_from_itself(picture, source):
    data = picture(source)
    assert distance(data, data, Limits()).dhash == 0
    assert distance(data, data, Limits()).max == 0


def test_one_picture_in_two_qualities_is_near_and_turned_it_is_far(picture):
    near = distance(picture("jpg 400x267 q90"), picture("jpg 400x267 q60"), Limits())
    assert (near.dhash <= 4, 0 < near.mean < 2) == (True, True)
    with Image.open(io.BytesIO(picture("jpg 400x267"))) as image:
        file = io.BytesIO()
        image.rotate(180).save(file, "PNG")
    far = distance(picture("jpg 400x267"), file.getvalue(), Limits())
    assert far.dhash > 16
    assert far.mean > 5


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # sRGB colours, and CIEDE2000 between them as other implementations have it
        ("white", "black", 100.0),
        ("#ff0000", "#00ff00", 86.6),
        ("#808080", "#818181", 0.3),
    ],
)
def test_ciede2000(one, other, expected):
    result = distance(plain(one), plain(other), Limits())
    assert result.mean == pytest.approx(expected, abs=0.15)
    assert result.max == pytest.approx(result.mean, abs=0.01)


def test_what_is_transparent_has_no_colour():
    one, other = plain((255, 0, 0, 0), mode="RGBA"), plain((0, 0, 255, 0), mode="RGBA")
    assert distance(one, other, Limits()).max == 0


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="40x30 and 30x40"):
        distance(plain("red"), plain("red", (30, 40)), Limits())


def test_what_is_no_picture_or_too_large_is_refused_before_it_is_decoded():
    with pytest.raises(OssError):
        distance(plain("red"), b"<svg/>", Limits())
    with pytest.raises(OssError):
        distance(plain("red"), plain("red"), Limits(source_pixels=100))


@pytest.mark.parametrize(
    ("source", "text"), [("jpg 400x267", "jpg 400x267"), ("gif 20x10x3", "gif 20x10x3")]
)
def test_describes(picture, source, text):
    assert describe(picture(source)) == text

"""``average-hue``: the guide's own answer, flat pictures, transparency, and large ones."""

from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EXAMPLE = DATA / "example.jpg"


@pytest.fixture(scope="module")
def hue(answered):
    def ask(data):
        said = answered(data, "average-hue")
        assert list(said) == ["RGB"]
        return said["RGB"]

    return ask


@pytest.mark.skipif(not EXAMPLE.is_file(), reason="needs shared/data beside the checkout")
def test_the_guides_own_answer(answered):
    assert answered(EXAMPLE.read_bytes(), "average-hue") == {"RGB": "0x5c783b"}


@pytest.mark.parametrize(
    "colour",
    ["000000", "ffffff", "808080", "ff0000", "00ff00", "0000ff", "123456", "fefdfc", "3b3c3b"],
)
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (40, 30)])
def test_a_flat_picture_answers_its_own_colour(colour, size, hue, encoded):
    flat = np.full((size[1], size[0], 3), list(bytes.fromhex(colour)), np.uint8)
    assert hue(encoded(flat, "PNG")) == f"0x{colour}"


@pytest.mark.parametrize("kind", ["png 30x20 grey", "png 30x20 grey 16bit"])
def test_a_grey_picture_answers_its_mean(kind, hue, picture, pixels):
    mean = int(pixels(picture("png 30x20 grey")).mean())
    assert hue(picture(kind)) == f"0x{mean:02x}" + f"{mean:02x}" * 2


def test_far_hues_do_not_count(hue, encoded):
    values = np.full((10, 10, 3), (20, 200, 20), np.uint8)  # green, 120 degrees
    values[:1] = (200, 200, 20)  # yellow, 60 degrees; the mean is 114
    assert hue(encoded(values, "PNG")) == "0x14c814"


def test_truncated_and_not_rounded(hue, encoded):
    values = np.full((1, 4, 3), 100, np.uint8)
    values[0, 0] = 103  # 100.75
    assert hue(encoded(values, "PNG")) == "0x646464"


def test_reds_on_both_sides_of_zero(hue, encoded):
    values = np.empty((10, 10, 3), np.uint8)
    values[:5], values[5:] = (200, 20, 0), (200, 0, 20)  # hues at both ends; the mean is cyan
    assert hue(encoded(values, "PNG")) == "0xc80a0a"


def test_what_cannot_be_seen_does_not_count(hue, encoded):
    values = np.zeros((10, 10, 4), np.uint8)
    values[..., 1] = 255
    values[2:4] = (10, 20, 200, 255)
    assert hue(encoded(values, "PNG")) == "0x0a14c8"
    assert hue(encoded(values[:2], "PNG")) == "0x00ff00"  # nothing is seen at all


def test_an_animation_answers_for_its_first_frame(hue, picture):
    assert hue(picture("webp 20x10x3")) == hue(picture("webp 20x10"))


def test_a_large_picture_answers_as_its_reduced_one(hue, encoded, photo):
    large = encoded(photo(1050, 800), "JPEG", quality=95)
    exact = encoded(photo(1050, 800)[::2, ::2], "PNG")
    far = np.subtract(_levels(hue(large)), _levels(hue(exact)))
    assert np.abs(far).max() <= 2


def test_orientation_makes_no_difference(hue, picture):
    assert hue(picture("jpg 40x30 o6")) == hue(picture("jpg 40x30"))


def test_a_picture_that_is_too_large_to_be_turned_still_has_a_hue(hue, encoded):
    assert hue(encoded(np.full((1, 5000, 3), 7, np.uint8), "PNG")) == "0x070707"


def _levels(text):
    return list(bytes.fromhex(text.removeprefix("0x")))

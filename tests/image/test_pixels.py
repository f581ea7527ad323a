"""What several actions share: masks, kernels, and colours weighed by their opacity."""

import math

import numpy as np
import pytest
import pyvips

from vipsgate.image import pixels as calls


@pytest.mark.parametrize("diameter", [1, 2, 3, 4, 7, 10, 31, 64, 201])
def test_a_quarter_of_a_disc(diameter):
    """As many points of a pixel are inside as it says."""
    side, fine = math.ceil(diameter / 2), 32
    at = (np.arange(side * fine) + 0.5) / fine - diameter / 2
    inside = (np.hypot(at[:, None], at) <= diameter / 2).reshape(side, fine, side, fine)
    got = np.frombuffer(calls.quarter(diameter), np.uint8).reshape(side, side)
    assert np.abs(got / 255 - inside.mean((1, 3))).max() <= 0.015  # so many points are off
    assert np.array_equal(got, got.T)


def test_the_largest_quarter():
    side = 4096
    got = np.frombuffer(calls.quarter(2 * side), np.uint8).reshape(side, side)
    assert abs((got / 255).mean() - math.pi / 4) < 1e-5
    assert got[0, 0] == 0
    assert got[-1, -1] == 255


SIZES = range(1, 51)


@pytest.mark.parametrize("radius", [1, 2, 3, 9, 25, 50])
@pytest.mark.parametrize("sigma", [1, 2, 7, 16, 50])
def test_a_gaussian(sigma, radius):
    got = calls.gaussian(sigma, radius)
    want = np.exp(-(np.arange(radius + 1.0) ** 2) / (2 * sigma**2))
    want /= 2 * want.sum() - want[0]
    assert len(got) <= radius + 1
    assert abs(2 * sum(got) - got[0] - 1) < 1e-12
    # what is left away is never seen
    assert 2 * want[len(got) :].sum() < calls.TAIL
    assert np.abs(np.array(got) - want[: len(got)]).max() < calls.TAIL


def test_whole_weights_are_taken_as_they_are():
    """By libvips' vector code: none above 64, and a power of two together."""
    for sigma in SIZES:
        for radius in SIZES:
            exact = calls.gaussian(sigma, radius)
            got, total = calls.in_whole(exact)
            assert 2 * sum(got) - got[0] == total
            assert total & (total - 1) == 0
            assert 0 <= min(got) <= max(got) <= 64
            # the weight of all beyond a point
            off = np.cumsum(got[::-1]) - np.cumsum(exact[::-1]) * total
            assert np.abs(off[:-1]).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("kernel", ["r_3,s_2", "r_10,s_5", "r_50,s_5"])
def test_a_small_kernel_of_a_huge_picture(kernel, monkeypatch, picture, run, pixels):
    """In 8 bits, which is near enough."""
    exact = pixels(run(picture("png 160x110"), f"blur,{kernel}"))
    monkeypatch.setattr(calls, "WORK", 0)
    off = pixels(run(picture("png 160x110"), f"blur,{kernel}")) - exact
    assert off.any()
    assert np.abs(off).max() <= 1


WEIGHED = ("resize,w_33", "resize,w_150,limit_0", "rotate,30", "blur,r_3,s_2", "blur,r_30,s_9")


@pytest.mark.parametrize("text", WEIGHED)
@pytest.mark.parametrize("opacity", [40, 100, 200])
def test_half_transparent_is_no_darker(opacity, text, encoded, run, pixels):
    """Rounding goes both ways."""
    levels = np.arange(100)
    values = np.empty((80, 100, 4))
    values[..., :3] = levels[:, None] + (20, 80, 150)
    values[..., 3] = opacity
    got = pixels(run(encoded(values, "PNG"), text))
    got = got[got[..., 3] == opacity]
    assert len(got) > 100
    assert np.abs(got[:, :3].mean(0) - (levels.mean() + np.array([20, 80, 150]))).max() < 0.3


PARTS = [-0.5, -0.25, -0.1, 0.0, 0.05, 0.125, 0.4]


@pytest.mark.parametrize("right", PARTS)
@pytest.mark.parametrize("down", PARTS)
def test_the_weights_of_a_shift(right, down):
    """Whole, as many as 64, and around where the picture is moved from."""
    weights = np.array(calls.shifting(right, down))
    assert weights.sum() == 64
    assert np.abs(weights).max() <= 64
    assert abs(weights.sum(0) @ [-1, 0, 1] / 64 + right) <= 3 / 64
    assert abs(weights.sum(1) @ [-1, 0, 1] / 64 + down) <= 3 / 64


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize(("right", "down"), [(0.125, 0.0), (0.0, -0.25), (0.5, 0.3)])
def test_a_shift(right, down, bands, photo):
    picture = photo(40, 27, bands).reshape(27, 40, bands)
    got = calls.shifted(pyvips.Image.new_from_array(picture), right, down).numpy()
    wide = np.pad(picture.astype(float), ((1, 1), (1, 1), (0, 0)), "edge")
    want = sum(
        weight / 64 * wide[y : y + 27, x : x + 40]
        for y, row in enumerate(calls.shifting(right, down))
        for x, weight in enumerate(row)
    )
    assert np.abs(got.reshape(want.shape) - np.clip(want, 0, 255)).max() <= 0.51


def test_a_shift_weighs_colours_by_their_opacity():
    """What is transparent has no colour that could be moved into what is not."""
    picture = np.zeros((9, 9, 4), np.uint8)
    picture[:, :5] = 200, 100, 50, 255
    picture[:, 5:] = 0, 255, 0, 0
    image = pyvips.Image.new_from_array(picture, interpretation="srgb")
    got = calls.shifted(image, 0.25, 0.0).numpy()
    seen = got[..., 3] > 30
    assert np.abs(got[seen][:, :3].astype(int) - [200, 100, 50]).max() <= 20  # sharper, not greener
    assert 30 <= got[4, 5, 3] <= 60


@pytest.mark.parametrize("angle", [1, 45, 90, 123, 236, 359])
@pytest.mark.parametrize("words", ["", " alpha"])
def test_a_turned_picture_is_computed_once(angle, words, picture):
    """However it is read, what comes before is read once, from top to bottom.

    A line of the result shows pixels from nearly all lines of the picture; with a scaling behind
    it, libvips computed the picture anew for every few lines, for some 20 times as long.
    """
    data = picture(f"png 300x1400{words}")
    size = 1500, 1500
    once = pyvips.Image.pngload_buffer(data, access="sequential")
    got = calls.turned(once, angle, *size, by_line=True)
    want = calls.turned(pyvips.Image.pngload_buffer(data), angle, *size, by_line=False)
    lines = [got.crop(0, top, size[0], 1).write_to_memory() for top in range(0, size[1], 50)]
    whole = np.ndarray((*size, 4), np.uint8, want.write_to_memory())
    assert np.array_equal(np.frombuffer(b"".join(lines), np.uint8), whole[::50].ravel())

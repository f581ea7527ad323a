"""``rotate``: angles, the canvas that they need, right angles bit by bit, the corners of others."""

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import BadRequest, InvalidArgument

READS = {
    "rotate,0": "rotate,0",
    "rotate,360": "rotate,360",
    "rotate,90": "rotate,90",
    "rotate,045": "rotate,45",
}
REFUSES = {
    "rotate": (InvalidArgument, "0040-00000216", "from 0 to 360"),
    "rotate,": (InvalidArgument, "0040-00000216", "from 0 to 360"),
    "rotate,400": (InvalidArgument, "0040-00000217", "The value: 400 of parameter: rotate"),
    "rotate,361": (InvalidArgument, "0040-00000217", "from 0 to 360"),
    "rotate,-1": (InvalidArgument, "0040-00000217", "from 0 to 360"),
    "rotate,abc": (InvalidArgument, "0040-00000217", "The value: abc"),
    "rotate,a_90": (InvalidArgument, "0040-00000217", "The value: a_90"),
    "rotate,90,200,300": (InvalidArgument, "0040-00000203", "one value, not 3"),
    "rotate,90,90": (InvalidArgument, "0040-00000203", "one value, not 2"),
}

EXAMPLE = "jpg 400x267"
PLANS = {
    ("rotate,0", EXAMPLE): "400x267 opaque",
    ("rotate,90", EXAMPLE): "267x400 opaque",
    ("rotate,180", EXAMPLE): "400x267 opaque",
    ("rotate,270", EXAMPLE): "267x400 opaque",
    ("rotate,360", EXAMPLE): "400x267 opaque",
    ("resize,w_200,h_200/rotate,90", EXAMPLE): "134x200",
    ("rotate,90/resize,w_100", EXAMPLE): "100x150",
    ("rotate,70", EXAMPLE): "388x468",  # 387.7 x 467.2
    ("rotate,45", EXAMPLE): "472x472",
    ("rotate,1", EXAMPLE): "405x274",
    ("rotate,30", "png 1x1"): "2x2 alpha",
    ("rotate,30/rotate,90", "png 20x10"): "19x23 alpha",
    ("rotate,45/format,jpg", "png 20x10"): "22x22 opaque",
    ("rotate,90", "png 4096x3"): "3x4096",
    # on OSS a turned GIF becomes static; here an animation stays one
    ("rotate,90", "gif 20x10x3"): "10x20x3",
}
FORMATS = ("png", "webp", "gif", "tiff", "bmp")


@pytest.mark.parametrize("source", ["png 4097x3", "png 3x4097", "jpg 5000x5000"])
@pytest.mark.parametrize("text", ["rotate,90", "rotate,45", "rotate,180"])
def test_too_large_to_turn(text, source, planned):
    with pytest.raises(BadRequest, match=r"^Picture exceed the maximum allowable rotation range"):
        planned(source, text)
    assert planned(source, "rotate,0/rotate,360").result.width
    assert planned(source, "resize,w_100,h_100/" + text).result.width


@pytest.mark.parametrize("mode", ["", " grey", " alpha"])
@pytest.mark.parametrize("angle", [90, 180, 270, 360])
def test_right_angles_lose_nothing(angle, mode, picture, run, pixels):
    data = picture("png 41x20" + mode)
    assert np.array_equal(
        pixels(run(data, f"rotate,{angle}")), np.rot90(pixels(data), -angle // 90)
    )


@pytest.mark.parametrize("angle", [1, 30, 45, 89, 91, 135, 200, 300, 359])
def test_turns_like_pillow(angle, photo, encoded, run, pixels, psnr):
    whole = photo(401, 267)
    got = pixels(run(encoded(whole, "PNG"), f"rotate,{angle}"))
    want = np.asarray(
        Image.fromarray(whole).rotate(-angle, Image.Resampling.BICUBIC, expand=True).convert("RGBA")
    )
    # Pillow's canvas may be a pixel larger; the middles are in the same place
    size = 150
    (y, x), (v, u) = ([side // 2 for side in one.shape[:2]] for one in (got, want))
    middle = got[y - size // 2 : y + size // 2, x - size // 2 : x + size // 2]
    near = [
        want[v + down - size // 2 : v + down + size // 2, u + side - size // 2 :][:, :size]
        for down in (-1, 0, 1)
        for side in (-1, 0, 1)
    ]
    assert (middle[..., 3] == 255).all()
    assert max(psnr(middle[..., :3], one[..., :3]) for one in near) > 30


def test_45_has_transparent_corners(encoded, run, pixels):
    red = np.full((60, 100, 3), (200, 30, 40))
    red[25:35, 80:90] = (0, 0, 255)  # right of the middle: turns to lower right
    got = pixels(run(encoded(red, "PNG"), "rotate,45"))
    height, width, bands = got.shape
    assert (width, height, bands) == (114, 114, 4)
    assert [got[y, x, 3] for y in (0, -1) for x in (0, -1)] == [0, 0, 0, 0]
    assert tuple(got[height // 2, width // 2]) == (200, 30, 40, 255)
    assert tuple(got[57 + 24, 57 + 24]) == (0, 0, 255, 255)
    # what is half covered has the picture's colour, not a darker one
    edge = got[(got[..., 3] >= 32) & (got[..., 3] < 255)]
    assert np.abs(edge[:, :3] - (200, 30, 40)).max() <= 8
    assert np.isclose((got[..., 3] / 255).sum(), 6000, rtol=0.01)


def test_45_of_a_jpg_has_white_corners(encoded, run, pixels):
    red = np.full((60, 100, 3), (200, 30, 40))
    got = pixels(run(encoded(red, "JPEG", quality=95), "rotate,45"))
    assert got.shape == (114, 114, 3)
    assert min(got[y, x].min() for y in (0, -1) for x in (0, -1)) >= 250

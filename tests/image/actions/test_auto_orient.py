"""``auto-orient``: all eight orientations, first wherever it stands, also where it is absent."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from vipsgate.errors import BadRequest, InvalidArgument

READS = {
    "auto-orient": "auto-orient",
    "auto-orient,1": "auto-orient",
    "auto-orient,0": "auto-orient,0",
    "auto-orient,here": "auto-orient,here",
}
REFUSES = {
    "auto-orient,2": (InvalidArgument, "", "The value: 2 of parameter: auto-orient is invalid."),
    "auto-orient,": (InvalidArgument, "", "from 0 to 1"),
    "auto-orient,a": (InvalidArgument, "", "from 0 to 1"),
    "auto-orient,1,0": (InvalidArgument, "0040-00000203", "one value, not 2"),
}

F = "jpg 424x333 o7"  # the guide's own example
PLANS = {
    ("resize,w_100/auto-orient,1", F): "100x127",
    ("resize,w_100/auto-orient,0", F): "100x79",
    ("resize,w_100", F): "100x127",
    ("auto-orient,1/resize,w_100", F): "100x127",
    ("resize,w_100/auto-orient,here", F): "79x100",
    ("auto-orient,here/resize,w_100", F): "100x127",
    ("resize,w_100/auto-orient,here/auto-orient,here", F): "79x100",
    ("auto-orient,here/crop,w_9/auto-orient,1", F): "9x424",
    ("format,png", F): "333x424",
    ("crop,w_100,h_400", F): "100x400",
    ("rotate,90", F): "424x333",
    ("rotate,90/auto-orient,0", F): "333x424",
    ("quality,Q_90/auto-orient,0", F): "424x333",
    **{("auto-orient,1", f"jpg 40x27 o{o}"): "40x27" for o in (1, 2, 3, 4)},
    **{("auto-orient,1", f"jpg 40x27 o{o}"): "27x40" for o in (5, 6, 7, 8)},
    **{("auto-orient,0", f"jpg 40x27 o{o}"): "40x27" for o in range(1, 9)},
}
FORMATS = ("png", "webp", "tiff")


@pytest.mark.parametrize("format", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_pillow_says(orientation, format, picture, run, pixels):
    data = picture(f"{format} 41x20 o{orientation}")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    for text in ("format,png", "format,png/auto-orient,1"):
        assert np.array_equal(pixels(run(data, text)), np.asarray(upright))
    stored = pixels(picture(f"{format} 41x20"))
    assert np.array_equal(pixels(run(data, "auto-orient,0/format,png")), stored)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_before_the_others_also_after_shrink_on_load(orientation, picture, run, pixels, psnr):
    data = picture(f"jpg 400x267 o{orientation}")
    got = pixels(run(data, "resize,m_fixed,w_40,h_40/auto-orient,1/format,png"))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert psnr(got, upright.resize((40, 40), Image.Resampling.LANCZOS)) > 33


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tiff"])
def test_no_orientation_that_exists(orientation, format, table):
    table.renders(f"{format} 40x27 o{orientation}", "resize,w_20", "20x14")


def test_too_large_to_turn(planned):
    text = "resize,w_100"
    with pytest.raises(BadRequest, match=r"^Picture exceed the maximum allowable rotation range"):
        planned("jpg 4097x100 o6", text)
    assert planned("jpg 4097x100 o6", text + "/auto-orient,0").result.width == 100
    assert planned("jpg 4097x100 o1", text).result.width == 100
    assert planned("jpg 4096x4096 o6", text).result.width == 100

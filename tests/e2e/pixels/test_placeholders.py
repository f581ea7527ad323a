"""ThumbHash and BlurHash: as the encoders of others write them, of pictures of every kind."""

import base64
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import InvalidArgument, OssError
from vipsgate.image import blurhash, process, thumbhash
from vipsgate.image.config import Limits

MODULES = Path(
    os.environ.get("NODE_MODULES", Path(__file__).parents[3] / ".venv/node/node_modules")
)
SIZES = [(1, 1), (2, 2), (50, 50), (100, 1), (1, 100), (60, 40), (27, 40), (3, 100), (17, 23)]


def random(seed):
    return np.random.default_rng(seed)


def noise(width, height, seed):
    return random(seed).integers(0, 256, (height, width, 4), np.uint8)


def smooth(width, height, seed, alpha=False):
    """Gradients and some noise, with a transparent middle if wanted."""
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    middle, across, down = random(seed).random((3, 4))
    values = middle + (across - 0.5) * x[..., None] + (down - 0.5) * y[..., None]
    values = values * 255 + random(seed + 1).normal(0, 12, (height, width, 4))
    values = np.clip(values, 0, 255).astype(np.uint8)
    values[..., 3] = 255
    if alpha:
        values[np.hypot(x - 0.5, y - 0.5) < 0.3, 3] = 40
        values[np.hypot(x - 0.5, y - 0.5) < 0.1, 3] = 0
    return values


def grey(width, height, seed):
    values = noise(width, height, seed)
    values[..., 1] = values[..., 2] = values[..., 0]
    values[..., 3] = 255
    return values


def flat(width, height, colour):
    return np.full((height, width, 4), colour, np.uint8)


PICTURES = {
    **{f"smooth {w}x{h}": smooth(w, h, w * h) for w, h in SIZES},
    **{f"alpha {w}x{h}": smooth(w, h, w * h + 7, alpha=True) for w, h in SIZES},
    **{f"noise {w}x{h}": noise(w, h, w + h) for w, h in SIZES},
    **{f"grey {w}x{h}": grey(w, h, w + h) for w, h in SIZES},
    **{
        f"flat {'-'.join(map(str, colour))} {w}x{h}": flat(w, h, colour)
        for colour in ((0, 0, 0, 255), (255, 255, 255, 255), (200, 10, 30, 255), (9, 8, 7, 0))
        for w, h in ((1, 1), (100, 100), (3, 7))
    },
}


def components(name):
    """From 1 to 9 each, another pair for each picture."""
    number = list(PICTURES).index(name)
    return 1 + number * 5 % 9, 1 + number * 7 % 9


@pytest.fixture(scope="module")
def theirs():
    """What the authors' encoders for JavaScript say, by the picture's name."""
    if not (shutil.which("node") and (MODULES / "thumbhash").is_dir()):
        pytest.skip(
            "needs node, thumbhash and blurhash: "
            "npm install --prefix .venv/node thumbhash@0.1 blurhash@2"
        )
    rows = [
        (v.shape[1], v.shape[0], base64.b64encode(v.tobytes()).decode(), *components(name))
        for name, v in PICTURES.items()
    ]
    script = Path(__file__).parents[2] / "support/placeholders.mjs"
    done = subprocess.run(
        ["node", script, MODULES], input=json.dumps(rows), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(PICTURES, json.loads(done.stdout), strict=True))


def thumb(values):
    return thumbhash.encode(values.shape[1], values.shape[0], values.tobytes())


def blur(values, x, y):
    return blurhash.encode(values.shape[1], values.shape[0], values[..., :3].tobytes(), x, y)


# --- ThumbHash


def fields(data):
    """The parts of a ThumbHash: what stands in its head, and its waves by their channel."""
    head, rest = int.from_bytes(data[:3], "little"), int.from_bytes(data[3:5], "little")
    alpha, wide = head >> 23, rest >> 15
    number, most = rest & 7, 5 if alpha else 7
    across, down = (max(3, side) for side in ((most, number) if wide else (number, most)))
    sizes = [(across, down), (3, 3), (3, 3), *([(5, 5)] if alpha else [])]
    scales = [head >> 18 & 31, rest >> 3 & 63, rest >> 9 & 63, *([data[5] >> 4] if alpha else [])]
    body = data[6 if alpha else 5 :]
    nibbles = [nibble for byte in body for nibble in (byte & 15, byte >> 4)]
    waves = []
    for x, y in sizes:
        count = sum(1 for b in range(y) for a in range(x) if a * y < x * (y - b)) - 1
        waves.append(nibbles[:count])
        nibbles = nibbles[count:]
    return data[: 6 if alpha else 5], scales, waves


@pytest.mark.parametrize("name", PICTURES)
def test_a_thumbhash_is_the_authors_own(name, theirs):
    own, other = thumb(PICTURES[name]), base64.b64decode(theirs[name][0])
    head, scales, waves = fields(own)
    assert head == fields(other)[0]
    for scale, mine, his in zip(scales, waves, fields(other)[2], strict=True):
        # of a flat channel everybody writes other waves, times 0; one that is 0 between others
        # lies between two steps, and is rounded to either
        if scale:
            others = [{a, b} for a, b in zip(mine, his, strict=True) if a != b]
            assert all(pair == {7, 8} for pair in others)
            assert len(others) <= 2


# as ThumbHash's author's encoder has them, and a port of BlurHash's in Swift
GOLDEN = {
    "smooth 60x40": (
        "sBYHHYJ2d4dwd3d2d3d3d3R/+dVD",
        "LXT3[QnWSLsqr+ShW:W.R~SdWoa{",
    ),
    "alpha 27x40": (
        "H3iKGwYrhXB3Z4iAhvi4ePh3eId/c3g=",
        "LGIMmbqobHwi01bqj?WUbYf6a#js",
    ),
    "grey 17x23": (
        "IAgGBQBULMNni6lWaWNv5wAAAAAA",
        "LAHetW%MIU~qt7-;RjWBofxu%Mj[",
    ),
    "smooth 1x1": (
        "oTxBNzUI9wiIh4hwj3CI+AiIgIAI94cP",
        "L~FJgH~j~j~j~j~j~j~j~j~j~j~j",
    ),
    "noise 100x1": (
        "4QfCAYJ3d3eIiICUh3+PKHh4iIhwePg=",
        "L~HenOWBnPV?~qWBnPV?~qWBnPV?",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_known_hashes(name):
    known = GOLDEN[name]
    assert base64.b64encode(thumb(PICTURES[name])).decode() == known[0]
    assert blur(PICTURES[name], 4, 3) == known[1]


def test_a_flat_picture_has_no_waves():
    for colour in ((0, 0, 0), (255, 255, 255), (200, 10, 30), (1, 2, 3)):
        _, scales, waves = fields(thumb(flat(70, 30, (*colour, 255))))
        assert scales == [0, 0, 0]
        assert not any(map(any, waves))


# --- BlurHash


@pytest.mark.parametrize("name", PICTURES)
def test_a_blurhash_is_that_of_the_other_implementation(name):
    theirs = pytest.importorskip("blurhash", reason="needs blurhash: pip install blurhash")
    values, (x, y) = PICTURES[name], components(name)
    if values.size * x * y > 100_000:  # it takes seconds for them
        x, y = min(x, 3), 1 if x > 2 else 2
    assert blur(values, x, y) == theirs.encode(values[..., :3].tolist(), x, y)


def test_blurhashes_are_those_of_typescript(theirs):
    """But where the strongest wave is a low one, which that encoder does not look at."""
    same = {name for name in PICTURES if blur(PICTURES[name], *components(name)) == theirs[name][1]}
    assert len(same) > len(PICTURES) / 2
    for name in set(PICTURES) - same:
        own, other = blur(PICTURES[name], *components(name)), theirs[name][1]
        assert (own[0], own[2:6]) == (other[0], other[2:6])
        assert blurhash.DIGITS.index(own[1]) > blurhash.DIGITS.index(other[1])


# --- of files


def upright(data):
    """The first frame as a browser shows it, at most 100 pixels a side, by Pillow alone."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode == "CMYK":
        image = image.convert("RGB")
    image = image.convert("RGBA")
    image.thumbnail((100, 100), Image.Resampling.BOX, reducing_gap=None)
    return image


def near(own, other):
    """Are two ThumbHashes of nearly one picture?"""
    (_, scales, waves), (_, scales2, waves2) = fields(own), fields(other)
    assert own[0] & 63 == pytest.approx(other[0] & 63, abs=2)
    assert own[4] >> 7 == other[4] >> 7  # landscape or not
    assert own[2] >> 7 == other[2] >> 7  # with alpha or not
    assert np.allclose(scales, scales2, atol=2)
    luminance = np.abs(np.subtract(waves[0], waves2[0]))
    return luminance.max() <= 2


FILES = [
    *("jpg 400x267", "jpg 267x400 grey", "jpg 300x200 quartered interlaced", "jpg 400x267 o6"),
    *("jpg 400x267 o7", "png 300x200 alpha", "png 300x200 grey", "png 300x200 palette"),
    *("webp 320x200 alpha", "webp 200x120x3", "gif 120x200x3", "gif 90x60", "tiff 300x200"),
    *("bmp 200x300", "avif 320x200", "png 1x1", "png 1x1 alpha", "png 800x2", "jpg 2x900"),
    *("png 99x100", "jpg 101x100", "jpg 800x600", "jpg 800x600 o8"),
]


@pytest.mark.parametrize("text", FILES)
def test_a_file_answers_the_hash_of_what_is_seen_of_it(text, picture, answered):
    data = picture(text)
    own = base64.b64decode(answered(data, "thumbhash")["ThumbHash"])
    assert near(own, thumb(np.asarray(upright(data))))


@pytest.mark.parametrize("text", ["jpg 90x60 cmyk", "png 90x60 grey 16bit", "png 90x60 p3"])
def test_other_colours_are_brought_to_srgb(text, picture, answered, transformed):
    data = picture(text)
    shown = transformed(data, "format,png").data
    assert answered(data, "thumbhash") == answered(shown, "thumbhash")
    assert answered(data, "blurhash") == answered(shown, "blurhash")


CHAINS = [
    *("resize,w_60", "crop,w_90,h_40,g_se", "rotate,90", "resize,m_fill,w_80,h_80", "circle,r_40"),
    *("resize,w_90/rotate,30", "auto-orient,0", "rounded-corners,r_30/resize,w_99", "blur,r_9,s_9"),
    "resize,m_pad,w_90,h_90,color_FF0000",
]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("text", ["jpg 400x267 o6", "png 120x90 alpha"])
def test_behind_actions_it_is_of_what_they_make(text, chain, picture, answered, transformed):
    data = picture(text)
    made = transformed(data, f"{chain}/format,png").data
    own, other = answered(data, f"{chain}/thumbhash"), answered(made, "thumbhash")
    assert near(*(base64.b64decode(answer["ThumbHash"]) for answer in (own, other)))
    if text.startswith("png") and max(Image.open(io.BytesIO(made)).size) <= 100:
        # the loader reduces none of it, and it is reduced once
        assert own == other
        assert answered(data, f"{chain}/blurhash,x_5") == answered(made, "blurhash,x_5")


def test_a_picture_too_large_to_be_turned_has_them(encoded, answered):
    block = Image.Exif()
    block[0x0112] = 6
    values = np.zeros((6, 5000, 3), np.uint8)
    data = encoded(values, "JPEG", exif=block)
    assert base64.b64decode(answered(data, "thumbhash")["ThumbHash"])[4] >> 7 == 0  # a portrait


def test_what_cannot_be_seen_is_white_behind_a_blurhash(encoded, answered):
    values = np.zeros((20, 20, 4), np.uint8)
    clear = answered(encoded(values, "PNG"), "blurhash")
    assert clear == answered(encoded(np.full((20, 20, 3), 255), "PNG"), "blurhash")


def test_info_has_both_by_option(picture, answered):
    data = picture("png 120x90 alpha")
    plain, more = answered(data, "info"), answered(data, "info,placeholders_1")
    assert more == plain | {
        "ThumbHash": {"value": answered(data, "thumbhash")["ThumbHash"]},
        "BlurHash": {"value": answered(data, "blurhash")["BlurHash"]},
    }
    assert answered(data, "info,placeholders_0") == plain


def test_what_is_not_followed_is_noted(picture, transformed):
    data = picture("png 40x30")
    assert transformed(data, "thumbhash").notes == ()
    assert transformed(data, "resize,w_99/thumbhash").notes == ("limit=source",)
    assert transformed(data, "resize,w_9,zz_1/blurhash").notes == ("ignored=zz",)


def test_limits_hold_of_them(encoded, answered):
    data = encoded(np.zeros((10, 5000, 3), np.uint8), "PNG")
    with pytest.raises(OssError, match="may have"):
        answered(data, "resize,w_16384,limit_0/resize,w_16384,limit_0,h_16384,m_fixed/thumbhash")


REFUSED = {
    "thumbhash/crop": "nothing can follow it",
    "thumbhash/blurhash": "nothing can follow it",
    "thumbhash,1": "takes no value",
    "blurhash,4": "x_ or y_",
    "blurhash,z_4": "'z_4'",
    "blurhash,x_0": "an integer from 1 to 9",
    "blurhash,y_10": "an integer from 1 to 9",
    "blurhash,x_3,x_3": "given twice",
    "info,placeholders_2": "an integer from 0 to 1",
    "info,placeholders": "placeholders_ or xmp_",
    "info,placeholders_1/thumbhash": "cannot be combined",
    "resize,w_9/info,placeholders_1": "cannot be combined",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refuses(text):
    with pytest.raises(InvalidArgument, match=REFUSED[text]):
        process.parse(f"image/{text}", Limits())


@pytest.mark.parametrize(
    ("text", "canonical"),
    {
        "blurhash,x_4,y_3": "blurhash",
        "blurhash,y_9,x_1": "blurhash,x_1,y_9",
        "info,xmp_1,placeholders_1": "info,placeholders_1,xmp_1",
        "info,xmp_0": "info",
        "resize,w_9//thumbhash/": "resize,w_9/thumbhash",
        "resize,w_9|image/blurhash": "resize,w_9/blurhash",
    }.items(),
)
def test_canonical(text, canonical):
    assert str(process.parse(f"image/{text}", Limits())) == f"image/{canonical}"

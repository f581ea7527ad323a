"""Pixels held against another implementation: Pillow's Lanczos, and numpy for what only moves.

The sizes are the OSS guide's, worked out here once more. Discs, kernels, levels and opacity are in
the tests of the actions themselves.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipsgate.image.config import Rendering

# --- scaling

LEAST = 38  # decibels
LANCZOS = Image.Resampling.LANCZOS
DATA = Path(__file__).parents[3].parent / "shared" / "data"
MODES = ("lfit", "mfit", "fill", "pad", "fixed")
BOXES = ((200, 150), (97, 211), (301, 40))
PAINTED = ("png", "png grey", "png alpha", "tiff", "bmp", "webp", "jpg", "jpg interlaced")
REAL = {
    # the real pictures, and boxes that are as far below them
    "example.jpg": ((200, 150), (97, 211)),
    "flowers.jpeg": ((200, 150),),
    "photo-1024x772.webp": ((200, 150), (97, 211)),
    "photo-2725x2225.jpg": ((720, 588), (97, 211)),
    "alpha-2048x1536.png": ((301, 140),),
}


def half_up(side, target, other):
    return max(1, (2 * side * target + other) // (2 * other))


def by_pillow(image, mode, width, height):
    """What the guide calls ``mode``."""
    if mode == "fixed":
        return image.resize((width, height), LANCZOS)
    wide = image.width * height >= image.height * width  # more so than the box
    if wide == (mode in ("lfit", "pad")):
        size = width, half_up(image.height, width, image.width)
    else:
        size = half_up(image.width, height, image.height), height
    made = image.resize(size, LANCZOS)
    if mode == "fill":
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        return made.crop((left, top, left + width, top + height))
    if mode == "pad":
        canvas = Image.new("RGB", (width, height), "#336699")
        place = (width - size[0]) // 2, (height - size[1]) // 2
        canvas.paste(made, place, made if made.mode == "RGBA" else None)
        return canvas
    return made


def on_grey(image):
    """As it is seen; where nothing is seen, colours mean nothing."""
    ground = Image.new("RGBA", image.size, (128, 128, 128, 255))
    return np.asarray(Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB"))


@pytest.fixture(scope="session")
def like_pillow(run, psnr):
    """Decibels between what is made here and there."""

    def measure(data, text, mode, box, shrink):
        got = Image.open(io.BytesIO(run(data, text, rendering=Rendering(shrink=shrink))))
        source = Image.open(io.BytesIO(data))
        want = by_pillow(source.convert("RGBA" if "A" in source.mode else "RGB"), mode, *box)
        assert got.size == want.size
        return psnr(on_grey(got), on_grey(want))

    return measure


def resize(mode, box, more=""):
    return "resize,m_{},w_{},h_{},color_336699{}/format,png".format(mode, *box, more)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", PAINTED)
def test_scales_like_pillow(source, mode, picture, like_pillow):
    name, _, words = source.partition(" ")
    data = picture(f"{name} 800x534 {words}")
    shrinks = ("exact", "balanced") if name in ("jpg", "webp") else ("balanced",)
    for box in BOXES:
        for shrink in shrinks:
            assert like_pillow(data, resize(mode, box), mode, box, shrink) >= LEAST


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", ["png 160x107", "png 160x107 alpha", "webp 160x107"])
def test_enlarges_like_pillow(source, mode, picture, like_pillow):
    for box in ((400, 300), (161, 108), (170, 700), (170, 50)):
        text = resize(mode, box, ",limit_0")
        assert like_pillow(picture(source), text, mode, box, "balanced") >= LEAST


DARK, BRIGHT = 40, 210  # far enough from the ends for a resampler to swing
EDGES = {
    # size, and the size that it is scaled to; a loader that shrinks by 4 leaves 200 of 803 pixels
    **{(803 + more, 601 + more): (100, 75) for more in range(8)},
    (1605, 1003): (100, 99),
    (403, 299): (50, 37),
    (90, 70): (91, 71),
    (91, 71): (300, 200),
    (93, 72): (101, 36),
    (94, 73): (47, 99),
}


@pytest.mark.parametrize("size", EDGES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_an_edge_stays_where_it_is(kind, size, encoded, run, pixels):
    """To an eighth of a pixel, and the rounding of a JPEG."""
    (width, height), (wide, high) = size, EDGES[size]
    left, top = width * 7 // 8, height * 7 // 8
    values = np.full((height, width), DARK)
    values[top:, left:] = BRIGHT
    options = {"JPEG": {"quality": 97}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(np.dstack([values] * 3), kind, **options)
    text = f"resize,m_fixed,w_{wide},h_{high},limit_0/format,png"
    got = (pixels(run(data, text))[..., 1] - DARK) / (BRIGHT - DARK)
    assert abs(got[-2].sum() - (width - left) * wide / width) < 1 / 7
    assert abs(got[:, -2].sum() - (height - top) * high / height) < 1 / 7


@pytest.mark.skipif(not DATA.is_dir(), reason="the pictures are not beside the project")
@pytest.mark.parametrize("shrink", ["exact", "balanced"])
@pytest.mark.parametrize("name", REAL)
def test_scales_real_pictures_like_pillow(name, shrink, like_pillow):
    data = (DATA / name).read_bytes()
    for mode in MODES:
        for box in REAL[name]:
            assert like_pillow(data, resize(mode, box), mode, box, shrink) >= LEAST, mode


# --- what only moves pixels keeps each of them

MOVES = {
    # text -> the same of an array, of 27 rows and 41 columns
    "crop,x_7,y_5,w_30,h_20": lambda whole: whole[5:25, 7:37],
    "crop,w_31,h_18,g_center": lambda whole: whole[4:22, 5:36],
    "crop,w_9,h_9,g_se,x_2": lambda whole: whole[18:27, 34:41],
    "indexcrop,x_13,i_3": lambda whole: whole[:, 39:41],
    "indexcrop,y_10,i_1": lambda whole: whole[10:20],
    "indexcrop,x_13,i_4": lambda whole: whole,
    "rotate,0": lambda whole: whole,
    "rotate,90": lambda whole: np.rot90(whole, -1),
    "rotate,180": lambda whole: np.rot90(whole, 2),
    "rotate,270": lambda whole: np.rot90(whole, 1),
    "resize,m_fill,w_20,h_27": lambda whole: whole[:, 10:30],
    "resize,w_41/resize,p_100/resize,m_fixed,w_41,h_27": lambda whole: whole,
    "bright,0/contrast,0/auto-orient,0/interlace,1": lambda whole: whole,
    "rotate,90/crop,x_3,y_4/indexcrop,y_9,i_2/rotate,180": lambda whole: np.rot90(
        np.rot90(whole, -1)[4:, 3:][18:27], 2
    ),
}
WORDS = ("", "grey", "alpha")
WHOLE = ("png", "tiff", "bmp", "webp")  # these lose nothing


def equal(got, want, text=""):
    """But for colours that nobody sees."""
    assert got.shape == want.shape, text
    assert np.array_equal(got[..., 3], want[..., 3]), text
    assert np.array_equal(got[want[..., 3] > 0], want[want[..., 3] > 0]), text


@pytest.mark.parametrize("to", WHOLE)
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("source", WHOLE)
def test_moves_to_the_bit(source, words, to, picture, run, pixels):
    data = picture(f"{source} 41x27 {words}")
    whole = pixels(data, "RGBA")
    for text, move in MOVES.items():
        got = pixels(run(data, f"{text}/quality,lossless/format,{to}"), "RGBA")
        equal(got, move(whole), text)


@pytest.mark.parametrize("source", ["png", "png alpha", "tiff", "bmp alpha", "webp"])
def test_moves_tall_pictures_to_the_bit(source, picture, run, pixels):
    """Of more rows than libvips keeps of a source that is read once, from top to bottom."""
    name, _, words = source.partition(" ")
    data = picture(f"{name} 30x2500 {words}")
    whole = pixels(data, "RGBA")
    for text, want in {
        "crop,y_1200,h_900": whole[1200:2100],
        "indexcrop,y_700,i_3": whole[2100:],
        "rotate,180": whole[::-1, ::-1],
        "resize,m_fill,w_11,h_2500": whole[:, 9:20],
    }.items():
        for to in ("png", "bmp"):
            got = pixels(run(data, f"{text}/format,{to}"), "RGBA")
            equal(got, want, text)


@pytest.mark.parametrize("words", ["", " alpha", " grey"])
@pytest.mark.parametrize("place", ["g_nw", "g_center", "g_se"])
def test_a_mark_on_a_tall_picture(place, words, picture, photo, encoded, run, pixels):
    """Where it lies it is all that is seen; all around nothing has changed."""
    data, mark = picture(f"png 150x2500{words}"), photo(50, 40)
    text = f"watermark,image_bG9nbw,{place},x_20,y_30"
    got = pixels(run(data, text, objects={"logo": encoded(mark, "PNG")}), "RGBA")
    left, top = {"g_nw": (20, 30), "g_center": (50, 1230), "g_se": (80, 2430)}[place]
    want = pixels(data, "RGBA")
    want[top : top + 40, left : left + 50] = np.dstack([mark, np.full((40, 50), 255)])
    equal(got, want)

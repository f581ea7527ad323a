"""``resize``: what it reads, what it refuses, what size it plans, and its pixels."""

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import ImageTooLarge, InvalidArgument, MissingArgument
from vipsgate.image import config

READS = {
    # text -> canonical
    "resize,w_100": "resize,w_100",
    "resize,h_1,w_16384": "resize,w_16384,h_1",
    "resize,w_100,h_0": "resize,w_100,h_0",
    "resize,w_007": "resize,w_7",
    "resize,m_lfit,w_1,limit_1,color_ffffff": "resize,w_1",
    "resize,color_00ff7f,m_pad,w_9": "resize,m_pad,w_9,color_00FF7F",
    "resize,limit_0,p_1000": "resize,p_1000,limit_0",
    "resize,l_16384,s_1,m_mfit": "resize,m_mfit,l_16384,s_1",
    "resize,w_10,r_1,foo,x_y_z": "resize,w_10",  # OSS ignores keys that it does not know
    "resize,g_auto,m_fill,w_1": "resize,m_fill,w_1,g_auto",
    "resize,m_fill,w_1,g_center,fx_500": "resize,m_fill,w_1",
    "resize,m_fill,fy_7,fx_3,g_fp,s_1": "resize,m_fill,s_1,g_fp,fx_3,fy_7",
    **{f"resize,m_{m},w_1": f"resize,m_{m},w_1" for m in ("mfit", "fill", "pad", "fixed")},
}
REFUSES = {
    # text -> class, EC, a part of the message
    "resize": (MissingArgument, "", "w, h, l, s, p"),
    "resize,m_fill,limit_0": (MissingArgument, "", "needs one of"),
    "resize,100": (MissingArgument, "", "needs one of"),
    "resize,m_abc,w_100": (InvalidArgument, "0040-00000311", "lfit, mfit, fill, pad, fixed"),
    "resize,w_0,h_0": (InvalidArgument, "0040-00000321", "w and h"),
    "resize,w_0": (InvalidArgument, "0040-00000321", "from 1 to 16384"),
    "resize,w_abc": (InvalidArgument, "", "The value: abc of parameter: w is invalid."),
    "resize,w_": (InvalidArgument, "", "parameter: w is invalid."),
    "resize,w_-1": (InvalidArgument, "", "The value: -1 of"),
    "resize,w_16385": (InvalidArgument, "", "from 0 to 16384"),
    "resize,h_16385,limit_0": (InvalidArgument, "", "parameter: h"),
    "resize,w_1.5": (InvalidArgument, "", "an integer"),
    "resize,w_1_2": (InvalidArgument, "", "The value: 1_2"),
    "resize,l_0": (InvalidArgument, "", "from 1 to 16384"),
    "resize,s_16385": (InvalidArgument, "", "parameter: s"),
    "resize,p_0": (InvalidArgument, "", "from 1 to 1000"),
    "resize,p_1001": (InvalidArgument, "", "from 1 to 1000"),
    "resize,w_1,limit_2": (InvalidArgument, "", "parameter: limit"),
    "resize,w_1,color_FFF": (InvalidArgument, "", "RRGGBB"),
    "resize,w_1,color_#FFFFFF": (InvalidArgument, "", "RRGGBB"),
    "resize,w_1,w_2": (InvalidArgument, "", "given twice"),
    "resize,m_fill,w_1,g_smart": (InvalidArgument, "", "se, auto, face, fp"),
    "resize,m_fill,w_1,g_fp,fx_1001": (InvalidArgument, "", "an integer from 0 to 1000"),
    "resize,m_fill,w_1,g_auto/crop,g_auto": (InvalidArgument, "", "g_auto or g_face; it may have"),
}

EXAMPLE, SMALL, TALL = "jpg 400x267", "jpg 200x100", "jpg 267x400"
PLANS = {
    # (text, source) -> result
    ("resize,w_200", EXAMPLE): "200x134",  # 133.5 rounds up
    ("resize,h_100", EXAMPLE): "150x100",
    ("resize,w_100", EXAMPLE): "100x67",
    ("resize,m_lfit,w_100,h_100", EXAMPLE): "100x67",
    ("resize,m_mfit,w_100,h_100", EXAMPLE): "150x100",
    ("resize,m_fill,w_100,h_100", EXAMPLE): "100x100",
    ("resize,m_pad,w_100,h_100", EXAMPLE): "100x100",
    ("resize,m_fixed,w_100,h_100", EXAMPLE): "100x100",
    ("resize,p_50", EXAMPLE): "200x134",
    ("resize,w_150,h_80", SMALL): "150x75",
    ("resize,m_mfit,w_150,h_80", SMALL): "160x80",
    ("resize,m_fill,w_150,h_80", SMALL): "150x80",
    ("resize,m_pad,w_150,h_80", SMALL): "150x80",
    ("resize,m_fixed,w_150,h_80", SMALL): "150x80",
    # one side alone
    ("resize,m_mfit,w_100", EXAMPLE): "100x67",
    ("resize,m_mfit,h_100", EXAMPLE): "150x100",
    ("resize,w_0,h_100", EXAMPLE): "150x100",
    ("resize,m_fixed,h_100", EXAMPLE): "100x100",
    ("resize,m_fixed,h_100", SMALL): "100x100",
    ("resize,m_fill,w_100", EXAMPLE): "100x100",
    ("resize,m_pad,h_50", EXAMPLE): "50x50",
    ("resize,w_100", TALL): "100x150",
    # long and short side
    ("resize,l_100", EXAMPLE): "100x67",
    ("resize,s_100", EXAMPLE): "150x100",
    ("resize,l_100", TALL): "67x100",
    ("resize,s_100", TALL): "100x150",
    ("resize,l_200,s_50", EXAMPLE): "75x50",
    ("resize,l_200,s_50", TALL): "50x75",
    ("resize,m_mfit,l_200,s_50", EXAMPLE): "200x134",
    ("resize,m_fill,l_200,s_50", EXAMPLE): "200x50",
    ("resize,m_fill,l_200,s_50", TALL): "50x200",
    ("resize,m_pad,s_90", EXAMPLE): "90x90",
    # w and h win over l and s, and over p
    ("resize,w_100,l_50,s_20", EXAMPLE): "100x67",
    ("resize,w_100,p_50", EXAMPLE): "100x67",
    # limit: nothing is made larger than the source
    ("resize,w_500", EXAMPLE): "400x267",
    ("resize,w_500,limit_0", EXAMPLE): "500x334",
    ("resize,h_300", EXAMPLE): "400x267",
    ("resize,l_401", EXAMPLE): "400x267",
    ("resize,s_268,limit_0", EXAMPLE): "401x268",
    ("resize,w_400", EXAMPLE): "400x267",
    ("resize,w_500,h_100", EXAMPLE): "150x100",
    ("resize,w_500,h_500", EXAMPLE): "400x267",
    ("resize,w_500,h_500,limit_0", EXAMPLE): "500x334",
    ("resize,m_mfit,w_100,h_500", EXAMPLE): "400x267",
    ("resize,m_mfit,w_100,h_300,limit_0", EXAMPLE): "449x300",
    ("resize,m_fill,w_500,h_100", EXAMPLE): "400x267",
    ("resize,m_fill,w_500,h_100,limit_0", EXAMPLE): "500x100",
    ("resize,m_pad,w_500,h_100", EXAMPLE): "500x100",
    ("resize,m_pad,w_500,h_500", EXAMPLE): "400x267",
    ("resize,m_pad,w_500,h_500,limit_0", EXAMPLE): "500x500",
    ("resize,m_fixed,w_500,h_100", EXAMPLE): "500x100",
    ("resize,m_fixed,w_500,h_267", EXAMPLE): "500x267",
    ("resize,m_fixed,w_500,h_500", EXAMPLE): "400x267",
    ("resize,m_fixed,w_500,h_500,limit_0", EXAMPLE): "500x500",
    ("resize,p_200", SMALL): "400x200",  # p enlarges whatever limit says
    ("resize,p_1000,limit_1", "jpg 10x10"): "100x100",
    # half up, and never below 1
    ("resize,p_50", "jpg 5x3"): "3x2",
    ("resize,p_150", "jpg 3x1"): "5x2",
    ("resize,p_1", "jpg 10x10"): "1x1",
    ("resize,w_3,limit_0", "jpg 2x1"): "3x2",
    ("resize,w_1", "jpg 1000x3"): "1x1",
    ("resize,h_1", "jpg 3x1000"): "1x1",
    ("resize,m_fill,w_10,h_10", "jpg 1000x1"): "1000x1",
    ("resize,m_fill,w_10,h_10,limit_0", "jpg 1000x1"): "10x10",
    ("resize,m_pad,w_10,h_10", "jpg 1000x1"): "10x10",
    # around what is in it
    ("resize,m_fill,w_90,h_50,g_auto", EXAMPLE): "90x50",
    ("resize,m_fill,h_90,g_auto", TALL): "90x90",
    ("resize,m_fill,w_500,h_100,g_auto", EXAMPLE): "400x267",
    ("resize,m_fill,w_500,h_100,g_auto,limit_0", EXAMPLE): "500x100",
    ("resize,m_fill,p_50,g_auto", EXAMPLE): "200x134",
    ("resize,m_fill,w_90,h_50,g_fp,fx_0,fy_1000", EXAMPLE): "90x50",
    # in turn
    ("resize,w_200/resize,h_50", EXAMPLE): "75x50",
    ("resize,w_100/resize,w_300,limit_0", EXAMPLE): "300x201",
}
# what a format has that another has not
KINDS = {
    ("resize,w_20", "png 40x20 alpha"): "20x10 alpha",
    ("resize,m_fill,w_9,h_9", "png 40x20 alpha"): "9x9 alpha",
    ("resize,m_pad,w_20,h_20", "png 40x20 alpha"): "20x20 opaque",
    ("resize,m_pad,w_90,h_90", "png 40x20 alpha"): "40x20 alpha",
    ("resize,w_10", "gif 20x10x3"): "10x5x3",
    ("resize,m_pad,w_9,h_9", "webp 20x10x3"): "9x9x3",
    ("resize,w_20", "webp 40x20 alpha"): "20x10 alpha webp",
    # on OSS a GIF is not enlarged, and by percent it becomes static; here an animation stays one
    ("resize,w_40,limit_0", "gif 20x10x3"): "40x20x3",
    ("resize,p_50", "gif 20x10x3"): "10x5x3",
}
FORMATS = ("png", "webp", "gif", "tiff", "bmp")


# text -> class; of a picture of 400x267
TOO_LARGE = {
    "resize,m_fixed,w_5000,h_5000,limit_0": ImageTooLarge,
    "resize,w_16384,limit_0": ImageTooLarge,
    "resize,m_fixed,w_4097,h_4096,limit_0": ImageTooLarge,
    "resize,p_1000/resize,p_1000": ImageTooLarge,
    "resize,m_fill,w_16384,h_1,limit_0": ImageTooLarge,  # 16384x10937 on the way
}


@pytest.mark.parametrize("text", TOO_LARGE)
def test_too_large(text, planned):
    with pytest.raises(TOO_LARGE[text]) as caught:
        planned(EXAMPLE, text)
    assert caught.value.ec == "0040-00000007"


def test_the_largest_is_made(planned):
    assert planned(EXAMPLE, "resize,m_fixed,w_4096,h_4096,limit_0").result.area == 16_777_216
    assert planned("png 16x16", "resize,m_fixed,w_16384,h_1024,limit_0").result.width == 16384


# --- pixels

LIKE_PILLOW = {
    # (text, source format, shrink) -> decibels at least, and as measured
    ("resize,w_200", "png", "exact"): 46,  # 54.0
    ("resize,w_97", "png", "exact"): 46,  # 53.6
    ("resize,w_97", "tiff", "fast"): 46,  # 53.6
    ("resize,m_fixed,w_61,h_203", "png", "exact"): 46,  # 54.0
    ("resize,w_1000,limit_0", "png", "exact"): 44,  # 50.0
    ("resize,w_97", "jpg", "exact"): 46,  # 53.4
    ("resize,w_97", "jpg", "balanced"): 40,  # 44.2
    ("resize,w_97", "webp", "balanced"): 46,  # 54.7
    ("resize,w_97", "jpg", "fast"): 33,  # 35.4
    ("resize,w_97", "webp", "fast"): 46,  # 52.0
}


@pytest.mark.parametrize(("text", "source", "shrink"), LIKE_PILLOW)
def test_scales_like_pillow(text, source, shrink, picture, photo, run, pixels, psnr):
    rendering = config.Rendering(shrink=shrink)
    got = pixels(run(picture(f"{source} 800x534"), text + "/format,png", rendering=rendering))
    want = Image.fromarray(photo(800, 534)).resize(got.shape[1::-1], Image.Resampling.LANCZOS)
    assert psnr(got, want) >= LIKE_PILLOW[text, source, shrink]


def test_fill_keeps_the_middle(photo, encoded, run, pixels, psnr):
    # the height stays: no pixel changes
    whole = photo(801, 200)
    got = pixels(run(encoded(whole, "PNG"), "resize,m_fill,w_101,h_200"))
    assert np.array_equal(got, whole[:, 350:451])


BARS = {
    # text, of 40x20 -> where the picture is (left, top, right, bottom), colour around it
    "resize,m_pad,w_20,h_20": ((0, 5, 20, 15), (255, 255, 255)),
    "resize,m_pad,w_20,h_21,color_FF0000": ((0, 5, 20, 15), (255, 0, 0)),
    "resize,m_pad,w_30,h_10,color_010203": ((5, 0, 25, 10), (1, 2, 3)),
    "resize,m_pad,w_50,h_30,limit_0,color_0080ff": ((0, 2, 50, 27), (0, 128, 255)),
}


@pytest.mark.parametrize("mode", ["", " grey", " alpha", " grey alpha", " palette"])
@pytest.mark.parametrize("text", BARS)
def test_pad_paints_exactly(text, mode, picture, run, pixels):
    (left, top, right, bottom), colour = BARS[text]
    got = pixels(run(picture("png 40x20" + mode), text), "RGB")
    around = np.ones(got.shape[:2], bool)
    around[top:bottom, left:right] = False
    assert (got[around] == colour).all()
    assert (got[~around] != colour).any()


def test_example_has_red_bars(picture, run, pixels):
    got = pixels(run(picture(EXAMPLE), "resize,m_pad,w_100,h_100,color_FF0000"))
    assert np.abs(got[2, 50] - (255, 0, 0)).max() <= 4  # through JPEG
    assert np.abs(got[97, 50] - (255, 0, 0)).max() <= 4


def test_pad_shows_through_transparency(encoded, run, pixels):
    half = np.full((20, 40, 4), (255, 0, 0, 128))
    half[:, 20:] = (9, 9, 9, 0)
    got = pixels(run(encoded(half, "PNG"), "resize,m_pad,w_40,h_40,color_0000FF"))
    assert got.shape == (40, 40, 3)
    assert np.abs(got[20, 5] - (128, 0, 127)).max() <= 1
    assert tuple(got[20, 35]) == (0, 0, 255)


@pytest.mark.parametrize("source", ["PNG", "WEBP"])
@pytest.mark.parametrize("text", ["resize,w_33", "resize,w_150,limit_0", "resize,m_fill,w_30,h_20"])
def test_no_dark_fringe(text, source, encoded, run, pixels):
    y, x = np.mgrid[0:100, 0:100]
    disc = np.zeros((100, 100, 4))  # transparent black around
    disc[np.hypot(x - 50, y - 45) < 30] = (250, 200, 150, 255)
    options = {"lossless": True, "exact": True} if source == "WEBP" else {}
    got = pixels(run(encoded(disc, source, **options), text + "/format,png"), "RGBA")
    seen = got[got[..., 3] >= 32]
    assert len(set(seen[:, 3])) > 10  # there is an edge
    # 8 bits of a colour weighed by 32/255 are within 4 each time; Lanczos may make it lighter
    assert (seen[:, :3] - (250, 200, 150)).min() >= -10

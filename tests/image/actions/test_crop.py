"""``crop``: what it reads, what it refuses, which rectangle it keeps, bit by bit."""

import numpy as np
import pytest

from vipsgate.errors import BadRequest, InvalidArgument

READS = {
    "crop": "crop",
    "crop,x_0,y_0,w_0,h_0,g_nw": "crop",
    "crop,h_4,w_3,y_2,x_1": "crop,x_1,y_2,w_3,h_4",
    "crop,w_100,h_100,x_100,y_100,r_1": "crop,x_100,y_100,w_100,h_100",  # of OSS's SDK tests
    "crop,w_1,p_50": "crop,w_1",
    **{
        f"crop,w_1,g_{g}": f"crop,w_1,g_{g}"
        for g in ("north", "ne", "west", "center", "east", "sw", "south", "se", "auto", "fp")
    },
    "crop,fy_250,w_9,g_fp,fx_0": "crop,w_9,g_fp,fx_0,fy_250",
    "crop,w_9,g_fp,fx_500,fy_500,x_0": "crop,w_9,g_fp",
}
REFUSES = {
    "crop,w_-1": (InvalidArgument, "0040-00000225", "The value: -1 of parameter: w is invalid."),
    "crop,w_a": (InvalidArgument, "0040-00000225", "parameter: w"),
    "crop,h_-1": (InvalidArgument, "0040-00000226", "parameter: h"),
    "crop,h_": (InvalidArgument, "0040-00000226", "parameter: h"),
    "crop,w_100,h_100,g_fac": (InvalidArgument, "0040-00000209", "nw, north, ne"),
    "crop,x_-1": (InvalidArgument, "", "parameter: x"),
    "crop,y_b": (InvalidArgument, "", "parameter: y"),
    "crop,x_1,x_1": (InvalidArgument, "", "given twice"),
    "crop,w_9,g_fp,fx_1001": (InvalidArgument, "", "an integer from 0 to 1000"),
    "crop,w_9,g_fp,fy_-1": (InvalidArgument, "", "parameter: fy"),
    "crop,w_9,g_fp,x_3": (InvalidArgument, "", "g_fp takes none. Its point is fx and fy."),
    "crop,w_9,g_auto,y_1": (InvalidArgument, "", "pixels off an anchor; g_auto takes none."),
    "crop,w_9,g_auto/crop,w_8,g_auto": (InvalidArgument, "", "2 actions with g_auto or g_face"),
}

EXAMPLE = "jpg 400x267"
KEEPS = {
    # text, of 400x267 -> left, top, right, bottom
    "crop": (0, 0, 400, 267),
    "crop,x_100,y_50": (100, 50, 400, 267),
    "crop,x_100,y_50,w_100,h_100": (100, 50, 200, 150),
    "crop,w_200,h_200,g_se": (200, 67, 400, 267),
    "crop,x_10,y_10,w_200,h_200,g_se": (210, 77, 400, 267),
    "crop,w_300,h_300,g_center": (50, 0, 350, 267),
    "crop,w_500,h_500": (0, 0, 400, 267),
    "crop,w_500,h_500,g_se": (0, 0, 400, 267),
    "crop,w_0,h_9": (0, 0, 400, 9),
    "crop,x_399,y_266": (399, 266, 400, 267),
    "crop,x_399,w_1,h_1": (399, 0, 400, 1),
    # without a size the anchor makes no difference
    "crop,x_7,y_8,g_center": (7, 8, 400, 267),
    # all nine, with halves that are rounded down each: 267/2 - 50/2 = 133 - 25
    "crop,w_101,h_50,g_nw": (0, 0, 101, 50),
    "crop,w_101,h_50,g_north": (150, 0, 251, 50),
    "crop,w_101,h_50,g_ne": (299, 0, 400, 50),
    "crop,w_101,h_50,g_west": (0, 108, 101, 158),
    "crop,w_101,h_50,g_center": (150, 108, 251, 158),
    "crop,w_101,h_50,g_east": (299, 108, 400, 158),
    "crop,w_101,h_50,g_sw": (0, 217, 101, 267),
    "crop,w_101,h_50,g_south": (150, 217, 251, 267),
    "crop,w_101,h_50,g_se": (299, 217, 400, 267),
    "crop,x_3,y_4,w_101,h_50,g_center": (153, 112, 254, 162),
    # around a point, and never over the border
    "crop,w_100,h_50,g_fp": (150, 108, 250, 158),
    "crop,w_100,h_50,g_fp,fx_0,fy_0": (0, 0, 100, 50),
    "crop,w_100,h_50,g_fp,fx_1000,fy_1000": (300, 217, 400, 267),
    "crop,w_100,h_50,g_fp,fx_250,fy_500": (50, 108, 150, 158),
    "crop,w_1,h_1,g_fp,fx_750,fy_1": (299, 0, 300, 1),
    "crop,w_500,h_9,g_fp,fx_1000": (0, 129, 400, 138),
    # in turn
    "crop,x_10,y_20/crop,x_1,y_2,w_5,h_6": (11, 22, 16, 28),
}
PLANS = {
    (text, EXAMPLE): f"{right - left}x{bottom - top}"
    for text, (left, top, right, bottom) in KEEPS.items()
}
PLANS |= {
    ("crop,w_100,h_50,g_auto", EXAMPLE): "100x50",
    ("crop,w_500,h_50,g_auto", EXAMPLE): "400x50",
    ("crop,g_auto", EXAMPLE): "400x267",
}
FORMATS = ("webp", "gif", "bmp")
OUTSIDE = (
    *("crop,x_500", "crop,x_400", "crop,y_267", "crop,w_10,h_10,g_se,x_10"),
    *("crop,w_10,g_east,x_10", "crop,x_1000000", "crop,w_100/crop,x_100"),
)


@pytest.mark.parametrize("format", ["png", "tiff", "bmp", "webp"])
@pytest.mark.parametrize("text", KEEPS)
def test_keeps_these_pixels(text, format, picture, photo, run, pixels):
    left, top, right, bottom = KEEPS[text]
    got = pixels(run(picture(f"{format} 400x267"), text + "/format,png"))
    assert np.array_equal(got, photo(400, 267)[top:bottom, left:right])


@pytest.mark.parametrize("text", OUTSIDE)
def test_outside(text, planned):
    with pytest.raises(BadRequest, match=r"^Advance cut's position is out of image\."):
        planned(EXAMPLE, text)


def test_every_page_is_cut(table):
    table.renders("gif 20x10x3", "crop,x_2,w_5,h_6", "5x6x3")
    table.renders("webp 20x10x3", "crop,w_5,h_6,g_se", "5x6x3")


def test_a_part_of_a_large_picture_is_no_large_result(planned):
    assert planned("jpg 20000x10000", "crop,w_19000,h_9000").result.area == 171_000_000

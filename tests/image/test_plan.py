"""Geometry before pixels: what is refused, how far the loader shrinks, what is held in memory."""

import json
from dataclasses import replace

import pytest
import pyvips

from vipsgate.errors import BadRequest, ImageTooLarge
from vipsgate.image import load, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import probe

LIMITS = Limits()

SOURCES = {
    # source -> None, or class and EC
    "jpg 30000x8333": None,
    "jpg 30001x1": (ImageTooLarge, "0040-00000019"),
    "jpg 1x30001": (ImageTooLarge, "0040-00000019"),
    "png 30000x8333": None,
    "png 30001x1": (ImageTooLarge, ""),
    "webp 16383x15259": None,
    "tiff 16384x100": None,
    "tiff 16385x1": (ImageTooLarge, "0040-00000018"),
    "bmp 30001x1": (ImageTooLarge, "0040-00000017"),
    "avif 10000x100": None,
    "avif 10001x1": (ImageTooLarge, "0040-00000014"),
    "jpg 25000x10000": None,
    "jpg 25001x10000": (ImageTooLarge, "0040-00000012"),
    "gif 1000x500x500": None,
    "gif 1001x500x500": (ImageTooLarge, "0040-00000012"),
    "gif 10x10x500": None,
    "gif 10x10x501": (ImageTooLarge, ""),
    "gif 32770x2": (ImageTooLarge, ""),
    "tiff 10x10 cmyk alpha": None,
}


@pytest.mark.parametrize("source", SOURCES)
def test_admits(source, header):
    one = header(source)
    if SOURCES[source] is None:
        return plan.admit(one, one.pages, LIMITS)
    kind, ec = SOURCES[source]
    with pytest.raises(kind) as caught:
        plan.admit(one, one.pages, LIMITS)
    assert caught.value.ec == ec


def test_too_many_channels(header):
    plan.admit(replace(header("tiff 10x10"), bands=5), 1, LIMITS)
    with pytest.raises(BadRequest, match="8224 channels"):
        plan.admit(replace(header("tiff 10x10"), bands=8224), 1, LIMITS)


def test_limits_are_the_settings(header):
    small = Limits(source_pixels=100, source_side=20, frames=2)
    plan.admit(header("gif 10x5x2"), 2, small)
    for source in ("gif 10x6x2", "png 21x1", "gif 1x1x3", "tiff 21x1"):
        one = header(source)
        with pytest.raises(ImageTooLarge):
            plan.admit(one, one.pages, small)


# --- what is made on the way

REFUSED = {
    # (text, source) -> class, EC, a part of the message
    ("resize,w_500,limit_0", "png 1x8448"): (ImageTooLarge, "0040-00000007", "500x4224000"),
    ("resize,m_mfit,w_500,h_1,limit_0", "png 1x8448"): (ImageTooLarge, "0040-00000007", "x4224000"),
    # a small result of a huge picture on the way
    ("resize,m_fill,w_500,h_500,limit_0", "gif 16390x2"): (
        *(ImageTooLarge, "0040-00000007"),
        "4097500x500",
    ),
    ("resize,m_fill,w_500,h_500,limit_0", "gif 32770x2"): (ImageTooLarge, "", "32770x2"),
    ("resize,w_4097,limit_0", "png 100x100"): (ImageTooLarge, "0040-00000007", "4097x4097"),
    ("resize,p_1000/crop,w_10", "png 4000x4000"): (ImageTooLarge, "0040-00000007", "40000x40000"),
    ("rotate,45", "png 4096x4096"): (ImageTooLarge, "0040-00000007", "5793x5793"),
    ("rotate,90", "png 4097x1"): (BadRequest, "", "Picture exceed the maximum allowable rotation"),
    ("resize,w_10", "jpg 4097x1 o6"): (BadRequest, "", "4097x1 pixels; a side may have 4096"),
    ("format,avif", "jpg 4097x2304"): (ImageTooLarge, "0040-00000014", "can hold 4096x2304"),
    ("format,webp", "png 16384x1"): (ImageTooLarge, "", "can hold 16383x16383"),
    # memory, from the header alone
    ("resize,w_100", "avif 10000x6000"): (ImageTooLarge, "", "bytes of memory"),
    ("crop,w_9,h_9", "jpg 25000x10000 quartered interlaced"): (ImageTooLarge, "", "of memory"),
    ("resize,w_100", "png 15000x15000 interlaced"): (ImageTooLarge, "", "of memory"),
    ("resize,w_100", "png 11000x11000 16bit alpha interlaced"): (ImageTooLarge, "", "of memory"),
    ("crop,w_100,h_100", "webp 9000x9000"): (ImageTooLarge, "", "of memory"),
    ("resize,w_100", "gif 20000x5000"): (ImageTooLarge, "", "of memory"),
    ("resize,w_1500", "gif 2000x2000x60"): (ImageTooLarge, "", "of memory"),
    # animations: the frames, their area, on the way as well, and what they cost however small
    ("resize,w_5", "gif 10x10x501"): (ImageTooLarge, "", "501 frames; it may have 500"),
    ("resize,w_9", "gif 1001x500x500"): (ImageTooLarge, "0040-00000012", "in 500 frames"),
    ("resize,w_800,limit_0", "gif 10x10x400"): (ImageTooLarge, "", "400 frames of 800x800"),
}
PASSED = {
    ("resize,w_500", "png 1x8448"): "1x8448",
    ("resize,m_fill,w_500,h_500", "gif 16390x2"): "16390x2",
    ("resize,w_4096,limit_0", "png 100x100"): "4096x4096",
    ("crop,w_19000,h_9000", "jpg 20000x10000"): "19000x9000",  # cuts what is there
    ("quality,Q_50", "jpg 20000x12000"): "20000x12000",  # of the source's own size
    ("rotate,90", "png 4096x4096"): "4096x4096",
    ("resize,w_100", "jpg 25000x10000"): "100x40",
    ("resize,w_100", "png 25000x10000"): "100x40",
    ("resize,w_100", "tiff 16000x15000"): "100x94",
    ("resize,w_100", "webp 16000x15000"): "100x94",
    ("resize,w_100", "avif 5000x5000"): "100x100",
    ("resize,w_100", "png 10000x10000 interlaced"): "100x100",
    ("resize,w_100", "jpg 10000x10000 interlaced quartered"): "100x100",
    ("rotate,90", "jpg 4096x4096"): "4096x4096",
    # what comes out of cameras and drawing programs, with the limits as they are
    ("resize,w_800", "jpg 6000x4000"): "800x533",
    ("format,webp", "jpg 6000x4000"): "6000x4000",
    ("resize,w_800", "jpg 7300x5500"): "800x603",
    ("resize,w_800", "png 4000x3000 alpha"): "800x600",
    ("format,webp", "png 4000x3000 alpha"): "4000x3000",
    ("format,avif", "jpg 4096x2304"): "4096x2304",
    ("quality,lossless/format,webp", "jpg 4000x3000"): "4000x3000",
    ("quality,lossless/format,heic", "jpg 4000x3000"): "4000x3000",
    ("resize,w_800", "heic 8000x6000 quartered"): "800x600",
    # many small frames, and as many as there may be where the result has one
    ("resize,w_5", "gif 10x10x500"): "5x5x500",
    ("resize,w_5/format,jpg", "gif 10x10x90000"): "5x5",
    ("format,png", "webp 1001x500x500"): "1001x500",
    ("resize,w_800,limit_0/format,jpg", "gif 10x10x400"): "800x800",
}


@pytest.mark.parametrize(("text", "source"), REFUSED)
def test_refused_before_decoding(text, source, planned):
    kind, ec, part = REFUSED[text, source]
    with pytest.raises(kind) as caught:
        planned(source, text)
    assert caught.value.ec == ec
    assert part in caught.value.message


@pytest.mark.parametrize(("text", "source"), PASSED)
def test_passes(text, source, table):
    table.plans(source, text, PASSED[text, source])


def test_memory_follows_the_setting(planned):
    made = planned("jpg 1000x1000", "rotate,90")
    assert planned("jpg 1000x1000", "rotate,90", Limits(render_bytes=made.memory)) == made
    with pytest.raises(ImageTooLarge):
        planned("jpg 1000x1000", "rotate,90", Limits(render_bytes=made.memory - 1))


# source -> the one that it takes more than, when it is reduced to 100 pixels, and bytes of that
READ = {
    "jpg 4000x3000 interlaced": ("jpg 4000x3000", 2 * 3 * 12_000_000),
    "jpg 4000x3000 interlaced quartered": ("jpg 4000x3000 quartered", 3 * 12_000_000),
    "png 4000x3000 interlaced": ("png 4000x3000", 3 * 12_000_000),
    "png 4000x3000 interlaced alpha 16bit": ("png 4000x3000 alpha 16bit", 8 * 12_000_000),
    "png 4000x3000": ("png 4000x30000", 0),  # no more lines are held of a longer one
}
# text, source -> the text that takes less, and how much
DONE = {
    ("rotate,90", "jpg 1000x1000"): ("rotate,0", 3 * 1_000_000),
    ("rotate,0", "jpg 1000x500"): ("bright,0", 0),
    # held when it is small
    ("resize,w_100/rotate,90", "jpg 1000x1000"): ("resize,w_100", 3 * 10_000),
    ("rotate,90/crop,w_30,h_30", "jpg 1000x1000"): ("crop,w_30,h_30", 3 * 900),
    # and only once: what follows is computed from there
    ("rotate,90/rotate,45/rotate,90", "png 100x100"): ("rotate,45/rotate,90", 0),
    # unless a step with a kernel is between, whose lines would be computed many times
    ("rotate,90/blur,r_3,s_2/rotate,90", "jpg 1000x1000"): ("rotate,90/blur,r_3,s_2", 3_000_000),
    # what is laid on it, in the frame as it is written
    ("watermark,text_QQ,size_20,x_0", "png 3000x3000"): ("watermark,text_QQ,size_10", 5 * 600),
    ("format,bmp", "png 100x100"): ("format,png", 8 * 10_000),
}


@pytest.mark.parametrize("source", READ)
def test_memory_of_reading(source, planned):
    other, more = READ[source]
    text = "resize,w_100,h_100,m_fixed"
    assert planned(source, text).memory == planned(other, text).memory + more


@pytest.mark.parametrize(("text", "source"), DONE)
def test_memory_of_what_is_done(text, source, planned):
    other, more = DONE[text, source]
    assert planned(source, text).memory == planned(source, other).memory + more


def test_memory_of_the_file(header, planned):
    small, large = (replace(header("jpg 400x300"), stored=size) for size in (0, 5 << 20))
    more = planned(large, "rotate,90").memory - planned(small, "rotate,90").memory
    assert more == 2 * (5 << 20)
    # once more where the last pixels of a reduced one are completed
    more = planned(large, "resize,w_50").memory - planned(small, "resize,w_50").memory
    assert more == 3 * (5 << 20)


# text, source -> MiB of its file, and MB that a process has taken for it (bench/estimates.py)
MEASURED = {
    ("quality,lossless/format,webp", "tiff 4096x4096"): (48, 562),
    ("quality,lossless/format,webp", "tiff 4096x4096 alpha"): (64, 612),
    ("quality,lossless/format,heic", "tiff 4000x3000"): (34, 339),
    ("format,webp", "tiff 4096x4096"): (48, 230),
    ("format,webp", "tiff 4000x3000 alpha"): (45, 473),
    ("quality,Q_95/format,avif", "tiff 4096x2304"): (27, 451),
    ("quality,lossless/format,avif", "tiff 2000x2000 alpha"): (15, 344),
    ("quality,Q_100/interlace,1/format,jpg", "tiff 4096x4096"): (48, 309),
    ("resize,w_300/format,webp", "webp 2000x1000x10"): (1, 94),
    ("rotate,33/format,webp", "webp 2000x1000x10"): (1, 446),
    ("rotate,2/format,jpg", "jpg 3900x3900"): (4, 123),
    ("rotate,2/format,jpg", "png 3900x3900 alpha"): (13, 149),
    ("resize,w_1000", "png 16000x3000 alpha"): (1, 123),
    ("blur,r_3,s_2/blur,r_3,s_2", "png 16000x3000 alpha"): (1, 218),
}


@pytest.mark.parametrize(("text", "source"), MEASURED)
def test_the_estimate_is_above_the_peak_and_not_far(text, source, header, planned):
    stored, peak = MEASURED[text, source]
    one = replace(header(source), stored=stored << 20)
    memory = planned(one, text, Limits(render_bytes=1 << 40, render_seconds=1000)).memory
    assert peak < memory / 1e6 < 2 * peak
    if memory > Limits().render_bytes:
        with pytest.raises(ImageTooLarge, match="bytes of memory"):
            planned(one, text)


# --- shrink-on-load

SHRINKS = {
    # (text, source) -> fast, balanced
    ("resize,w_100", "jpg 4000x3000"): (8, 8),
    ("resize,w_100", "jpg 1000x750"): (8, 4),
    ("resize,w_100", "jpg 1600x1200"): (8, 8),
    # a step from which each side is half a pixel away at most
    ("resize,w_100", "jpg 1599x1200"): (8, 8),
    ("resize,h_267", "jpg 1600x1067"): (4, 2),
    ("resize,m_fixed,w_400,h_327", "jpg 1600x1306"): (4, 2),
    ("resize,m_fixed,w_400,h_326", "jpg 1598x1306"): (4, 2),
    ("resize,m_fixed,w_400,h_326", "jpg 1597x1306"): (2, 1),
    ("crop,x_400,w_1599,h_1199/resize,m_fixed,w_400,h_300", "jpg 2000x1500"): (4, 2),
    ("resize,w_500", "jpg 1000x750"): (2, 1),
    ("resize,w_501", "jpg 1000x750"): (1, 1),
    ("resize,w_100", "webp 1000x800"): (10, 5),
    ("resize,w_100", "png 1000x750"): (1, 1),
    ("resize,w_100", "gif 1000x750"): (1, 1),
    ("resize,w_100", "tiff 1000x750"): (1, 1),
    ("resize,w_100", "bmp 1000x750"): (1, 1),
    ("resize,w_100", "avif 1000x750"): (1, 1),
    # the side that is reduced less decides
    ("resize,m_fixed,w_10,h_400", "jpg 1000x800"): (2, 1),
    ("resize,m_fill,w_100,h_100", "jpg 1600x800"): (8, 4),
    ("resize,m_pad,w_100,h_100", "jpg 1600x800"): (8, 8),
    ("resize,w_2000", "jpg 1000x750"): (1, 1),
    ("resize,w_2000,limit_0", "jpg 1000x750"): (1, 1),
    # who has no need of pixels leaves it to the next
    ("quality,Q_80/format,png/interlace,1/resize,w_100", "jpg 1000x750"): (8, 4),
    ("rotate,90/resize,h_100", "jpg 1000x750"): (8, 4),
    ("resize,w_100", "jpg 1000x1000 o6"): (8, 4),
    ("rotate,360/auto-orient,0/resize,w_100", "jpg 1000x750 o6"): (8, 4),
    ("bright,9/contrast,9/resize,w_100", "jpg 1000x750"): (8, 4),
    # a cut is made in the reduced picture, if that is near enough
    ("crop,w_900/resize,w_100", "jpg 1000x750"): (8, 4),
    ("indexcrop,x_900,i_0/resize,w_100", "jpg 1000x750"): (8, 4),
    ("crop,w_200,h_200/resize,w_100", "jpg 1000x750"): (2, 1),
    ("crop,x_3,y_5,w_900,h_700/resize,w_100", "webp 1000x750"): (9, 4.5),
    ("crop,x_1,y_1,w_7,h_600/resize,m_fixed,w_3,h_100", "jpg 800x800"): (2, 1),
    ("crop,w_15,h_700/resize,w_1", "jpg 1000x750"): (4, 4),  # two pixels must be left
    ("crop,w_2,h_700/resize,h_100", "jpg 1000x750"): (1, 1),
    ("crop,w_800/crop,w_400,h_400/resize,w_100", "jpg 1000x750"): (4, 2),
    ("rotate,90/crop,w_400,h_400/resize,w_100", "jpg 1000x750 o5"): (4, 2),
    # two reductions are one
    ("resize,w_800/resize,w_100", "jpg 1000x750"): (8, 4),
    ("resize,w_4000,limit_0/resize,w_500", "jpg 1000x750"): (2, 1),
    ("resize,w_700/format,png/resize,w_300/resize,w_125", "jpg 1000x750"): (8, 4),
    ("resize,w_800/rotate,90/resize,w_100", "jpg 1600x1600"): (8, 8),
    ("resize,w_100/resize,w_800,limit_0", "jpg 1000x750"): (8, 4),
    # who needs them gets all
    ("crop,w_900", "jpg 1000x750"): (1, 1),
    ("resize,w_800/blur,r_3,s_2/resize,w_100", "jpg 1000x750"): (1, 1),
    ("blur,r_3,s_2/crop,w_900/resize,w_100", "jpg 1000x750"): (1, 1),
    ("crop,w_900/resize,w_1800,limit_0", "jpg 1000x750"): (1, 1),
    ("rotate,45/resize,w_100", "jpg 1000x750"): (1, 1),
    ("format,png", "jpg 1000x750"): (1, 1),
    # animations are decoded in full
    ("resize,w_10", "webp 1000x750x3"): (1, 1),
    ("resize,w_100/format,jpg", "webp 1000x800x3"): (10, 5),
}


@pytest.mark.parametrize(("text", "source"), SHRINKS)
def test_shrinks(text, source, planned):
    got = [
        planned(source, text, rendering=Rendering(shrink=kind)).shrink
        for kind in ("fast", "balanced", "exact")
    ]
    assert got == [*SHRINKS[text, source], 1]


# (source, setting) -> width of what the loader gives for resize,w_100 of 800x600
LOADED = {
    ("jpg", "fast"): 100,
    ("jpg", "balanced"): 200,
    ("jpg", "exact"): 800,
    ("webp", "fast"): 100,
    ("webp", "balanced"): 200,
    ("webp", "exact"): 800,
    ("png", "fast"): 800,
}


@pytest.mark.parametrize(("name", "shrink"), LOADED)
def test_the_loader_really_shrinks(name, shrink, picture, planned):
    source = probe.probe(picture(f"{name} 800x600"))
    made = planned(source.header, "resize,w_100", rendering=Rendering(shrink=shrink))
    assert load.load(source, made).width == LOADED[name, shrink]


# where a side divided by the shrink ends in a half, or nearly
HALVES = [(250, 251, 2.9239766081871346), (333, 77, 3.041095890410959), (1000, 801, 2.4)]


@pytest.mark.parametrize(("width", "height", "shrink"), [*HALVES, (999, 13, 4.4), (61, 43, 7.9)])
def test_the_loader_gives_what_is_reckoned_with(width, height, shrink, picture):
    source = probe.probe(picture(f"webp {width}x{height}"))
    made = pyvips.Image.webpload_buffer(source.data, scale=1 / shrink)
    assert plan.reduced(source.header, shrink) == (made.width, made.height)


# --- order, streaming, explanation

RUNS = {
    # (text, source) -> actions as they are written; what is run, * sees the whole picture
    ("resize,w_9", "jpg 40x27"): ("auto-orient resize,w_9", "scale 9x6"),
    ("resize,w_9", "jpg 40x27 o6"): ("auto-orient resize,w_9", "scale 13x9, turn 90*"),
    ("resize,w_9", "jpg 40x27 o2"): (
        "auto-orient resize,w_9",
        "scale 9x6, turn 0 and mirror",
    ),
    ("resize,w_9/auto-orient,0", "jpg 40x27 o6"): (
        "auto-orient,0 resize,w_9",
        "scale 9x6",
    ),
    ("resize,w_9/rotate,90/crop,w_3", "jpg 40x27"): (
        "auto-orient resize,w_9 rotate,90 crop,w_3",
        "scale 9x6, cut 9x3+0+3, turn 90*",
    ),
    ("rotate,0/rotate,360", "jpg 40x27"): ("auto-orient rotate,0 rotate,360", ""),
    ("rotate,1/format,png", "jpg 40x27"): ("auto-orient rotate,1 format,png", "rotate,1*"),
    ("quality,Q_9/interlace,1", "png 40x27"): ("auto-orient quality,Q_9 interlace,1", ""),
    ("crop,x_9,y_9/resize,w_20", "jpg 400x300"): (
        "auto-orient crop,x_9,y_9 resize,w_20",
        "cut 49x37+1+1, scale 20x15",
    ),
    ("resize,m_fill,w_10,h_9/rotate,90", "png 40x27"): (
        "auto-orient resize,m_fill,w_10,h_9 rotate,90",
        "scale 13x9, cut 10x9+1+0, turn 90*",
    ),
    ("resize,m_pad,w_30,h_30/bright,5/contrast,5", "png 40x27 o8"): (
        "auto-orient resize,m_pad,w_30,h_30 bright,5 contrast,5",
        "scale 30x20, turn 270*, canvas 30x30, levels",
    ),
    ("bright,0/contrast,0/resize,w_40/crop,w_90", "png 40x27"): (
        "auto-orient bright,0 contrast,0 resize,w_40 crop,w_90",
        "",
    ),
    ("rotate,90/watermark,text_QQ/rotate,270/circle,r_9", "png 40x27"): (
        "auto-orient rotate,90 watermark,text_QQ rotate,270 circle,r_9",
        "turn 90*, watermark,text_QQ*, turn 270*, circle,r_9",
    ),
}


@pytest.mark.parametrize(("text", "source"), RUNS)
def test_explains(text, source, planned):
    told = json.loads(json.dumps(planned(source, text).explain()))
    written = " ".join(stage["action"] for stage in told["stages"])
    run = ", ".join(step["step"] + "*" * step["whole"] for step in told["steps"])
    assert (written, run) == RUNS[text, source]
    made = planned(source, text)
    if told["steps"]:
        assert told["steps"][-1]["to"] == f"{made.result.width}x{made.result.height}"
    assert [told["result"]["width"], told["result"]["height"]] == [
        made.result.width,
        made.result.height,
    ]
    assert told["stages"][-1]["to"] == f"{made.result.width}x{made.result.height}"
    assert told["memory"] == made.memory


def test_explains_a_file(picture, planned):
    fast = Rendering(shrink="fast")
    told = planned(picture("jpg 40x27 o6"), "resize,w_10", rendering=fast).explain()
    assert json.loads(json.dumps(told)) == told
    assert told["source"]["exif"] > 0  # bytes, not the block
    assert told["stages"][0]["from"] == "40x27"
    assert told["stages"][0]["to"] == "27x40"
    assert told["shrink"] == 2
    assert told["steps"] == [
        {"step": "scale 15x10", "from": "20x14", "to": "15x10", "whole": False},
        {"step": "shift +0.00+0.19", "from": "15x10", "to": "15x10", "whole": False},
        {"step": "turn 90", "from": "15x10", "to": "10x15", "whole": True},
    ]


def test_default_quality_is_a_setting(planned):
    assert (
        planned("png 9x9", "format,jpg", rendering=Rendering(jpeg_quality=70)).result.quality == 70
    )


AT_ONCE = {
    # what is written -> whether its encoder gets all pixels in one piece
    ("resize,w_400/format,webp", "jpg 1600x1067"): True,
    ("resize,w_1200/format,webp", "jpg 4000x3000"): False,  # above a megapixel
    ("resize,w_400/format,webp", "png 1600x1200 alpha"): True,
    ("resize,w_600", "jpg 4000x3000"): False,  # by libvips, while it is decoded
    ("resize,w_100", "jpg 400x267"): True,
    ("resize,w_100", "gif 400x300x5"): False,
    ("format,webp/quality,auto", "jpg 400x267"): False,
}


@pytest.mark.parametrize(("text", "source"), AT_ONCE)
def test_at_once(text, source, planned):
    assert planned(source, text).at_once == AT_ONCE[text, source]

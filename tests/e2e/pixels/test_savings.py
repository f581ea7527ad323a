"""Each saving of the plan, counted: pixels that the loader gives, pixels held, and the same result.

What the loader gives is put into a PNG without compression and without filters, from which the
pipeline reads through a pipe: bytes that it has taken are pixels that had to be decoded, and none
can be had twice.
"""

import io
from dataclasses import replace

import numpy as np
import pytest
import pyvips
from PIL import Image

from vipsgate.demo import PICTURES
from vipsgate.image import load, render
from vipsgate.image.config import Rendering
from vipsgate.image.formats import probe

BALANCED = Rendering(shrink="balanced")
AHEAD = 24  # rows that libvips may take before they are needed, for itself and its buffers
BUFFER = 1 << 10  # bytes that it is given at a time

# --- decoded


@pytest.fixture
def decoded(planned, rendered, make_context, monkeypatch):
    """Width of what the loader gives and rows that were taken of it, and all that was held."""

    def decoded(data, text):
        taken, widths, held, kept = [], [], [], []

        def counting(source, plan):
            image = load.load(source, plan)
            widths.append(image.width)
            pipe = io.BytesIO(image.pngsave_buffer(compression=0, filter="none", keep="none"))
            custom = pyvips.SourceCustom()
            kept.append(custom)  # libvips calls it, but does not hold it
            custom.on_read(lambda size: taken.append(pipe.read(min(size, BUFFER))) or taken[-1])
            return pyvips.Image.pngload_source(custom, access="sequential")

        monkeypatch.setattr(render, "load", counting)
        read = probe.probe(data)
        made = planned(read.header, text, rendering=BALANCED)
        watching = replace(
            make_context(), watch=lambda image: held.append((image.width, image.height))
        )
        rendered(read, made, watching)
        (width,) = widths
        bands = 1 if read.header.bands == 1 else 3
        return width, sum(map(len, taken)) / (width * bands), held[:-1]

    return decoded


DECODED = {
    # (text, source) -> width and rows that must be decoded, and what is held in memory
    ("format,png", "jpg 800x1600"): ("800x1600", []),
    ("resize,w_100", "jpg 800x1600"): ("200x400", []),
    # a cut before a scaling: less of each row, and none below it
    ("crop,w_800,h_400", "jpg 800x1600"): ("800x400", []),
    ("crop,x_10,y_10,w_600,h_590/resize,w_75", "jpg 800x1600"): ("200x150", []),
    ("crop,x_10,y_10,w_600,h_590/resize,w_75", "jpg 800x1600 grey"): ("200x150", []),
    ("indexcrop,y_400,i_1/resize,w_200", "jpg 800x1600"): ("400x400", []),
    ("indexcrop,y_400,i_1/bright,9/resize,w_200", "jpg 800x1600"): ("400x400", []),
    ("crop,w_800,h_800/crop,y_100,h_300/resize,w_100", "jpg 800x1600"): ("200x100", []),
    ("crop,y_100,h_400/resize,w_80", "webp 800x1600"): ("160x100", []),
    ("resize,m_fill,w_100,h_100/crop,h_10", "jpg 800x1600"): ("200x120", []),
    # two reductions
    ("resize,w_700/resize,w_100", "jpg 800x1600"): ("200x400", []),
    ("resize,w_1600,limit_0/format,png/resize,w_400/resize,w_50", "jpg 800x1600"): (
        "100x200",
        [],
    ),
    # turns: what is held is small, and what is cut off is not decoded
    ("resize,w_100", "jpg 800x1600 o6"): ("100x200", [(50, 100)]),
    ("resize,w_100/rotate,90/crop,w_50", "jpg 800x1600 o3"): ("200x100", [(100, 50)]),
    ("rotate,270/crop,h_80,w_400", "jpg 800x1600"): ("800x400", [(80, 400)]),
    ("rotate,90/rotate,270", "jpg 800x1600 o6"): ("800x1600", [(800, 1600)]),
    ("rotate,180/crop,g_south,h_100/bright,5/rotate,180", "jpg 800x1600"): ("800x100", []),
    ("rotate,90/rotate,180/rotate,90", "jpg 800x1600"): ("800x1600", []),
    ("resize,p_200/rotate,90", "jpg 80x160"): ("80x160", [(80, 160)]),
}


@pytest.mark.parametrize(("text", "source"), DECODED)
def test_decodes_no_more_than_it_needs(text, source, picture, decoded):
    size, held = DECODED[text, source]
    width, rows = map(int, size.split("x"))
    got, taken, kept = decoded(picture(source), text)
    assert (got, kept) == (width, held)
    assert rows <= taken <= 1.01 * rows + AHEAD


# --- the same result


@pytest.fixture(scope="module")
def paintings():
    def painted(key):
        suffix = "." + key.rpartition(".")[2]
        return PICTURES[key].paint().write_to_buffer(suffix + PICTURES[key].options)

    return {key: painted(key) for key in ("portrait-phone.jpg", "wide-gamut.jpg", "logo.png")}


def dhash(values):
    """Which of 8x8 places are brighter than their left neighbour."""
    grey = Image.fromarray(values.astype(np.uint8)).convert("L")
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(int)
    return small[:, 1:] > small[:, :-1]


CHAINS = (
    "resize,w_150",
    "crop,x_101,y_153,w_301,h_303/resize,w_70",
    "crop,x_101,y_153,w_301,h_303/resize,w_149/resize,w_50",
    "resize,w_401/resize,w_203/resize,w_101",
    "resize,w_1500,limit_0/resize,w_200",
    "rotate,90/resize,w_200/crop,w_150,h_150,g_center",
    "rotate,180/crop,x_50,y_30,w_400,h_400/resize,m_fill,w_80,h_60",
    "resize,m_fill,w_400,h_400/rotate,270/resize,w_120",
    "resize,m_fixed,w_100,h_300/rotate,90/resize,w_150,limit_0",
    "resize,m_pad,w_300,h_300,color_336699/rotate,90/resize,w_100",
    "bright,10/contrast,10/crop,w_400,h_400/resize,w_100",
    "indexcrop,x_200,i_1/resize,h_150/rotate,180",
    "crop,x_33,y_77,w_377,h_355/resize,w_122/sharpen,100/watermark,text_SGVsbG8,size_20/rotate,90",
)
# shrink -> mean and greatest difference at most, of 255, and dHash of 64;
# measured (1.20, 11, 4), (1.15, 11, 6)
NEAR = {"exact": (1.4, 14, 7), "balanced": (1.4, 14, 8)}


@pytest.mark.parametrize("shrink", NEAR)
@pytest.mark.parametrize("text", CHAINS)
def test_is_near_to_step_by_step(text, shrink, paintings, run, pixels):
    """Each action for itself, without loss, of all that there is."""
    for key, data in paintings.items():
        want = data
        for word in text.split("/"):
            want = run(want, f"{word}/format,png", rendering=Rendering(shrink="exact"))
        want = shown(pixels(want, "RGBA"))
        got = shown(
            pixels(run(data, f"{text}/format,png", rendering=Rendering(shrink=shrink)), "RGBA")
        )
        off = np.abs(got - want)
        mean, most, places = NEAR[shrink]
        assert off.mean() <= mean, key
        assert off.max() <= most, key
        assert (dhash(got) != dhash(want)).sum() <= places, key


def shown(values):
    """On grey, since nobody sees the colours of what is transparent."""
    share = values[..., 3:] / 255
    return values[..., :3] * share + 128 * (1 - share)


# --- the same place


@pytest.mark.parametrize("shrink", ["balanced", "fast"])
@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
@pytest.mark.parametrize("across", [True, False], ids=["across", "down"])
def test_a_cut_is_where_it_was(across, name, shrink, encoded, run, planned, pixels):
    """On a ramp, a level is a place: none is more than half a pixel of the result off."""
    ramp = np.tile(np.arange(250) + 3, (250, 1))
    data = encoded(ramp if across else ramp.T, name, quality=100, lossless=True)
    x, w, h = "xwh" if across else "yhw"
    rendering = Rendering(shrink=shrink)
    for start in range(0, 60, 7):
        for length, wanted in ((150, 30), (151, 37), (90, 11), (187, 23)):
            text = f"crop,{x}_{start},{w}_{length}/resize,m_fixed,{w}_{wanted},{h}_20/format,png"
            assert planned(data, text, rendering=rendering).shrink > 1
            got = pixels(run(data, text, rendering=rendering), "L")
            got = (got if across else got.T).mean(0)
            pixel = length / wanted
            want = 3 + start + (np.arange(wanted) + 0.5) * pixel - 0.5
            inner = slice(2, -2)  # a kernel sees no more of a ramp than there is
            assert np.abs(got - want)[inner].max() <= 0.5 * pixel + 0.6  # and rounding

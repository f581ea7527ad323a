"""From bytes to bytes: any chain of actions, quality of the pixels."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times

from vipsgate.errors import ImageDamage, OssError
from vipsgate.image import config, render
from vipsgate.image.formats import probe

# --- any chain of actions on any picture

SIDE = st.integers(1, 60)
ACTION = st.one_of(
    st.builds(
        "resize,m_{},{}_{},h_{},limit_{},color_336699".format,
        st.sampled_from(["lfit", "mfit", "fill", "pad", "fixed"]),
        st.sampled_from("wls"),
        st.integers(1, 90),
        st.integers(0, 90),
        st.integers(0, 1),
    ),
    st.builds("resize,p_{}".format, st.integers(1, 300)),
    st.builds(
        "crop,x_{},y_{},w_{},h_{},g_{}".format,
        *(st.integers(0, 20), st.integers(0, 20), st.integers(0, 60), st.integers(0, 60)),
        st.sampled_from("nw north ne west center east sw south se".split()),
    ),
    st.builds("rotate,{}".format, st.one_of(st.sampled_from([90, 180, 270]), st.integers(0, 360))),
    st.builds("auto-orient,{}".format, st.integers(0, 1)),
    st.builds("format,{}".format, st.sampled_from("jpg png webp bmp gif tiff src src,1an".split())),
    st.sampled_from(
        ["interlace,1", "quality,Q_60", "quality,q_50", "quality,lossless", "quality,auto"]
    ),
)
SOURCE = st.builds(
    "{} {}x{} {} {}".format,
    st.sampled_from(["jpg", "png", "webp", "tiff"]),
    *(SIDE, SIDE),
    st.sampled_from(["", "", "grey", "o2", "o3", "o5", "o6", "o8"]),
    st.just(""),
) | st.one_of(
    st.builds("png {}x{} {}".format, SIDE, SIDE, st.sampled_from(["alpha", "16bit", "palette"])),
    st.builds("png {}x{} grey alpha".format, SIDE, SIDE),
    st.builds("webp {}x{} alpha".format, SIDE, SIDE),
    st.builds("jpg {}x{} {}".format, SIDE, SIDE, st.sampled_from(["interlaced", "cmyk"])),
    st.builds("{} {}x{}".format, st.sampled_from(["gif", "bmp"]), SIDE, SIDE),
)


@settings(deadline=None, max_examples=times(400))
@given(
    SOURCE,
    st.lists(ACTION, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["fast", "balanced", "exact"]),
)
def test_bytes_obey_the_plan(picture, planned, transformed, source, text, shrink):
    data, rendering = picture(source), config.Rendering(shrink=shrink)
    try:
        asked = planned(data, text, rendering=rendering).result
    except OssError:
        return
    # what is planned can be made
    result = probe.probe(transformed(data, text, rendering=rendering).data).header
    assert (result.format, result.width, result.height) == (asked.format, asked.width, asked.height)
    assert (result.pages, result.orientation) == (1, 1)
    if asked.format == "jpg":
        assert result.interlaced == asked.progressive
        if not asked.goal:  # else it is searched for
            assert result.quality == asked.quality


@settings(deadline=None, max_examples=12)
@given(
    st.builds("avif {}x{} {}".format, SIDE, SIDE, st.sampled_from(["", "alpha"])),
    st.lists(ACTION, max_size=3).map(lambda some: "/".join([*some, "format,avif"])),
)
def test_avif_obeys_the_plan(picture, planned, run, source, text):
    try:
        planned(picture(source), text)
    except OssError:
        return
    run(picture(source), text)


@settings(deadline=None, max_examples=times(40))
@given(
    st.builds(
        "{} {}x{}x{}".format,
        st.sampled_from(["gif", "webp"]),
        *(st.integers(4, 40),) * 2,
        st.integers(2, 4),
    ),
    st.lists(ACTION, min_size=1, max_size=3).map("/".join),
)
def test_animations_obey_the_plan(picture, planned, transformed, source, text):
    data = picture(source)
    try:
        asked = planned(data, text).result
    except OssError:
        return
    result = probe.probe(transformed(data, text).data).header
    assert (result.format, result.width, result.height) == (asked.format, asked.width, asked.height)
    # an encoder may join frames that have become equal
    assert 1 <= result.pages <= asked.pages


def test_every_page_is_treated_alike(picture, run, pixels, psnr):
    data = picture("webp 60x40x4")
    pages = []
    source = Image.open(io.BytesIO(data))
    made = Image.open(io.BytesIO(run(data, "crop,w_30,h_30,g_se/resize,w_15/quality,lossless")))
    for page in range(4):
        source.seek(page)
        made.seek(page)
        want = (
            source.convert("RGB").crop((30, 10, 60, 40)).resize((15, 15), Image.Resampling.LANCZOS)
        )
        pages.append(psnr(made.convert("RGB"), want))
    assert min(pages) > 36


# --- real pictures

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PICTURES = sorted(
    path.name
    for path in (DATA.iterdir() if DATA.is_dir() else ())
    if path.suffix.strip(".") in ("jpg", "jpeg", "png", "webp", "gif", "tiff")
)


@pytest.mark.parametrize("text", ["resize,w_100,h_100", "rotate,90/crop,w_50,h_50,g_center"])
@pytest.mark.parametrize("name", PICTURES)
def test_real_pictures(name, text, transformed):
    made = transformed((DATA / name).read_bytes(), text)
    result, asked = probe.probe(made.data).header, made.plan.result
    assert (result.format, result.width, result.height) == (asked.format, asked.width, asked.height)
    assert 1 <= result.pages <= asked.pages  # equal frames are joined


# shrink -> decibels at least; measured 51.6, 44.2, 35.0
@pytest.mark.skipif(not PICTURES, reason="the pictures are not beside the project")
@pytest.mark.parametrize(("shrink", "least"), [("exact", 46), ("balanced", 40), ("fast", 33)])
def test_a_photograph_scales_like_pillow(shrink, least, run, pixels, psnr):
    data = (DATA / "photo-2725x2225.jpg").read_bytes()
    rendering = config.Rendering(shrink=shrink)
    got = pixels(run(data, "resize,w_320/format,png", rendering=rendering))
    whole = Image.open(io.BytesIO(data))
    assert psnr(got, whole.resize((320, 261), Image.Resampling.LANCZOS)) >= least


# --- the rim


@pytest.mark.parametrize("text", ["resize,w_20", "rotate,90", "rotate,30", "crop,y_20"])
@pytest.mark.parametrize("name", ["jpg", "png", "webp", "gif", "bmp", "avif"])
def test_a_cut_file_is_damaged(name, text, picture, run):
    data = picture(f"{name} 60x40")
    with pytest.raises(ImageDamage, match=r"^The image file may be damaged\."):
        run(data[: len(data) * 2 // 3], text)


def test_a_cut_tiff_is_damaged(picture, run):
    """Its table of contents is in front and whole, a third of its pixels is not there."""
    data = picture("tiff 60x40")
    with pytest.raises(ImageDamage):
        run(data[: len(data) * 2 // 3], "resize,w_20")


def test_the_watch_sees_what_is_computed(picture, planned, rendered, make_context):
    seen = []
    watching = replace(make_context(), watch=lambda image: seen.append((image.width, image.height)))
    read = probe.probe(picture("png 40x27"))
    made = planned(read.header, "resize,w_20/rotate,90/format,jpg")
    rendered(read, made, watching)
    assert seen == [(20, 14), (14, 20)]  # before it is held whole, and the result


HOLDS = {  # text -> pictures of 40x27 that are computed into memory before the result
    "rotate,90/blur,r_9,s_9/rotate,90": [(40, 27), (27, 40)],
    "rotate,90/sharpen,100/rotate,30": [(40, 27), (27, 40)],
    "rotate,90/blur,r_9,s_9": [(40, 27)],
    "blur,r_9,s_9/rotate,90": [(40, 27)],
    "rotate,90/circle,r_9/rotate,90": [(40, 27)],
}


@pytest.mark.parametrize("text", HOLDS)
def test_a_kernel_between_turns_is_computed_once(text, picture, planned, rendered, make_context):
    """A turn reads columns, for each of which all lines under the kernel would be made anew."""
    seen = []
    watching = replace(make_context(), watch=lambda image: seen.append((image.width, image.height)))
    read = probe.probe(picture("png 40x27"))
    rendered(read, planned(read.header, f"{text}/format,png"), watching)
    assert seen[:-1] == HOLDS[text]


@pytest.mark.parametrize("text", HOLDS)
def test_what_is_held_changes_nothing(text, picture, run, pixels):
    step, data = text.split("/"), picture("png 40x27")
    for one in step:
        data = run(data, f"{one}/format,png")
    assert np.array_equal(pixels(data), pixels(run(picture("png 40x27"), f"{text}/format,png")))


def test_version_and_floor(monkeypatch):
    assert tuple(map(int, render.version().split("."))) >= render.LIBVIPS
    monkeypatch.setattr(render, "LIBVIPS", (99, 0, 0))
    with pytest.raises(RuntimeError, match=r"99\.0\.0 or newer is needed"):
        render.prepare()


def test_other_loaders_are_blocked():
    for data in (
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"P6 1 1 255 abc",
    ):
        with pytest.raises(pyvips.Error):
            pyvips.Image.new_from_buffer(data, "")


def test_a_plan_is_made_without_libvips():
    code = (
        "import sys\n"
        "from vipsgate.image import config, plan, process\n"
        "from vipsgate.image.frame import Header\n"
        "actions = process.parse('image/resize,w_9/rotate,45', config.Limits()).actions\n"
        "plan.make(Header('jpg', 40, 27), actions, config.Limits(), config.Rendering())\n"
        "sys.exit(bool({'pyvips', 'PIL'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])

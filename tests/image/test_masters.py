"""Masters: which sources have one, which chains lead over it, and that nothing else changes."""

import os
from dataclasses import replace
from io import BytesIO

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vipsgate.errors import OssError
from vipsgate.image import masters, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.frame import Header
from vipsgate.image.group import Group
from vipsgate.image.process import parse

LIMITS = Limits()
OFF, ON = Rendering(), Rendering(masters=True)
JPEG = "jpg 6000x4000"
ORIENTATION, COPYRIGHT = 0x0112, 0x8298  # tags of EXIF

SOURCES = {
    # source -> how far it is reduced for its master, 0 for none
    "jpg 2500x1600": 2,
    "jpg 2499x1600": 0,
    "jpg 6000x4000": 2,
    "jpg 6000x4000 grey": 2,
    "webp 6000x4000 alpha": 2,
    "jpg 8000x6000": 4,
    "jpg 20000x12000": 8,
    "jpg 30000x134": 2,
    "jpg 30000x8333": 8,
    "png 4000x3000 16bit": 2,
    "avif 4000x3000 10bit": 2,
    "heic 4000x3000": 2,
    "tiff 4000x3000 cmyk": 2,
    "gif 2500x1600": 2,
    "gif 2500x1600x2": 0,
    "webp 2500x1600x3": 0,
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_that_have_a_master(source, header):
    assert masters.reduction(header(source)) == SOURCES[source]


def test_a_document_of_several_pages_has_none(header):
    assert masters.reduction(replace(header("tiff 4000x3000"), more=True)) == 0


def test_no_master_is_larger_than_one_may_be(header):
    for side in range(2000, 15000, 617):
        for words in ("", " alpha"):
            one = header(f"png {side}x{side}{words}")
            factor = masters.reduction(one)
            assert factor
            assert (side / factor) ** 2 * (3 + one.alpha) <= masters.BYTES


CHAINS = {
    # source, process -> is the way over a master?
    (JPEG, "resize,w_800"): True,
    (JPEG, "resize,w_1500"): True,
    (JPEG, "resize,w_1501"): False,
    (JPEG, "resize,w_3000"): False,
    (JPEG, "resize,l_400/format,webp"): True,
    (JPEG, "resize,p_10"): True,
    (JPEG, "resize,p_50"): False,
    (JPEG, "resize,m_fill,w_300,h_300"): True,
    (JPEG, "resize,m_pad,w_300,h_300"): True,
    (JPEG, "resize,m_fixed,w_300,h_1200"): False,
    (JPEG, "resize,m_fixed,w_300,h_900"): True,
    (JPEG, "resize,m_mfit,w_300,h_300"): True,
    (JPEG, "resize,w_800/crop,w_100,h_100,g_se"): True,
    (JPEG, "resize,w_800/rotate,90"): True,
    (JPEG, "resize,w_800/rotate,30/sharpen,100"): True,
    (JPEG, "resize,w_800/watermark,text_SGVsbG8"): True,
    (JPEG, "resize,w_800/circle,r_100"): True,
    (JPEG, "resize,w_800/quality,q_80"): True,
    (JPEG, "resize,w_1200/resize,w_300"): True,
    (JPEG, "resize,w_3000/resize,w_300"): True,
    (JPEG, "bright,30/resize,w_800"): True,
    (JPEG, "auto-orient,1/resize,w_800"): True,
    ("jpg 4000x3000 o6", "auto-orient,1/resize,w_750"): True,
    ("jpg 4000x3000 o6", "auto-orient,1/resize,w_751"): False,
    (JPEG, "crop,w_3000,h_3000/resize,w_300"): False,
    (JPEG, "indexcrop,x_3000,i_0/resize,w_300"): False,
    ("jpg 3000x2000", "rotate,30/resize,w_300"): False,
    (JPEG, "blur,r_3,s_2/resize,w_300"): False,
    (JPEG, "sharpen,100/resize,w_300"): False,
    (JPEG, "watermark,text_SGVsbG8/resize,w_300"): False,
    (JPEG, "circle,r_1000/resize,w_300"): False,
    (JPEG, "format,webp"): False,
    (JPEG + " p3", "resize,w_800"): True,
    ("jpg 2000x1600", "resize,w_200"): False,
    ("jpg 8000x6000", "resize,w_1000"): True,
    ("jpg 8000x6000", "resize,w_1001"): False,
    ("webp 4000x3000", "resize,w_1000"): True,
    ("webp 4000x3000", "resize,w_1001"): False,
    # their loaders cannot shrink
    ("png 4800x3000", "resize,w_1200"): True,
    ("png 4800x3000", "resize,w_1201"): False,
    ("heic 4800x3000", "resize,w_1200"): True,
    ("avif 4800x3000", "resize,w_1201"): False,
    ("tiff 4800x3000", "resize,w_1200"): True,
    ("bmp 4800x3000", "resize,w_1200"): True,
    ("gif 2500x1600x2", "resize,w_100"): False,
    ("gif 2500x1600x2", "resize,w_100/format,jpg"): False,
}


@pytest.mark.parametrize("row", CHAINS, ids=" ".join)
def test_chains_that_lead_over_a_master(row, planned):
    source, text = row
    assert planned(source, text, rendering=ON).master is CHAINS[row]


@pytest.mark.parametrize("shrink", ["fast", "balanced", "exact"])
def test_it_follows_from_the_settings(shrink, planned):
    for on in (True, False):
        found = planned(JPEG, "resize,w_800", rendering=Rendering(shrink, masters=on))
        assert found.master is (on and shrink != "exact")


def test_a_result_with_the_profile_of_its_source_has_none(header):
    tagged = replace(header(JPEG), tagged=True)
    for text, over in (("resize,w_800", True), ("resize,w_800/strip,keep_icc", False)):
        actions = parse(f"image/{text}", LIMITS).actions
        assert plan.make(tagged, actions, LIMITS, ON).master is over


SIDES = st.integers(600, 9000)
RESIZES = st.builds(
    "resize,m_{},{}{}".format,
    st.sampled_from(["lfit", "mfit", "fill", "pad", "fixed"]),
    st.sampled_from(["w_300", "w_777", "h_401", "l_640", "s_123", "w_300,h_500", "w_50,h_1200"]),
    st.sampled_from(["", ",limit_0"]),
)
OTHERS = st.sampled_from(
    "auto-orient,1 rotate,90 rotate,33 crop,w_100,h_90,g_se crop,x_10,y_20 blur,r_3,s_2 "
    "sharpen,50 bright,10 circle,r_50 rounded-corners,r_9 indexcrop,x_50,i_1 format,png "
    "resize,p_40 resize,w_200".split()
)


@given(
    st.sampled_from(["jpg", "png", "webp"]),
    SIDES,
    SIDES,
    st.integers(1, 8),
    st.lists(OTHERS, max_size=1),
    RESIZES,
    st.lists(OTHERS, max_size=2),
)
@pytest.mark.filterwarnings("error")
def test_all_geometry_is_the_same(name, width, height, orientation, before, resize, behind):
    header = Header(name, width, height, orientation=orientation)
    try:
        actions = parse("/".join(["image", *before, resize, *behind]), LIMITS).actions
        usual = plan.make(header, actions, LIMITS, OFF)
    except OssError:
        return
    other = plan.make(header, actions, LIMITS, ON)
    assert other.stages == usual.stages
    assert other.result == usual.result
    assert other.notes == usual.notes
    assert _last(other) == _last(usual) == (other.result.width, other.result.height)
    if other.master:
        assert other.shrink == masters.reduction(header)
        assert other.memory >= masters.BYTES
    else:
        assert other == usual


def _last(planned):
    size = plan.reduced(planned.header, planned.loader_shrink, planned.halved)
    for step in planned.steps:
        size = step.sides(size)
    return size


# --- pixels: small pictures have masters, too


@pytest.fixture
def small(monkeypatch):
    plan.remembered.cache_clear()
    monkeypatch.setattr(masters, "PIXELS", 10_000)
    yield
    plan.remembered.cache_clear()


def held(data):
    memory = os.memfd_create("test")
    os.write(memory, data)
    return memory


def taken(descriptor):
    """The bytes of a file, which is closed."""
    data = os.pread(descriptor, 1 << 24, 0)
    os.close(descriptor)
    return data


def made(data, texts, context, kept=None, *, keep=True):
    """The file of each process, made of one source, and the master that was made for them."""
    processes = [parse(f"image/{text}", LIMITS) for text in texts]
    file, blank = None if kept is None else held(kept), (held(b""), held(b"")) if keep else None
    if blank:
        os.dup2(blank[0], blank[1])
    group = Group(lambda: data, processes, LIMITS, ON, kept=file, blank=blank)
    files, new = [], []
    for process in processes:
        memory = os.memfd_create("test")
        group.write(process, memory, context)
        files.append(taken(memory))
        if group.new_master():
            new.append(os.pread(blank[1], 1 << 24, 0))
    for descriptor in (file, *(blank or ())):
        if descriptor is not None:
            os.close(descriptor)
    assert len(new) <= 1
    return files, new[0] if new else None


FILES = [
    *("jpg 401x267", "jpg 240x180 grey", "jpg 203x151 o6", "jpg 200x135 cmyk", "jpg 200x135 p3"),
    *("png 401x299 alpha", "png 400x300 16bit grey", "webp 201x133", "webp 200x150 alpha"),
    *("tiff 400x300", "avif 400x300", "heic 401x299", "bmp 400x300"),
]
TEXTS = [
    "auto-orient,1/resize,m_fill,w_30,h_20/format,png",
    "resize,w_30/rotate,30/format,jpg",
    "resize,m_pad,w_32,h_32/blur,r_3,s_2/format,tiff",
]


@pytest.mark.parametrize("source", FILES)
def test_bytes_are_the_same_with_a_master_and_without(
    source, small, picture, make_context, transformed
):
    data, context = picture(source), make_context()
    files, master = made(data, TEXTS, context)
    assert master
    for text, file in zip(TEXTS, files, strict=True):
        assert made(data, [text], context) == ([file], master)
        assert made(data, [text], context, keep=False) == ([file], None)
        wrong = b"", b"x" * 100, master[:-1], master + b"0", master[:30]
        for kept in (master, *(wrong if text == TEXTS[0] else ())):
            again, new = made(data, [text], context, kept)
            assert again == [file]
            assert new == (None if kept is master else master)
        # in one go, without a group
        assert transformed(data, text, rendering=ON).data == file


@pytest.mark.parametrize("source", FILES)
def test_pictures_are_those_of_the_way_from_the_source(
    source, small, picture, transformed, pixels, psnr
):
    data = picture(source)
    for text in ("auto-orient,1/resize,w_25/format,png", "resize,m_fill,w_20,h_20/format,png"):
        over, usual = (transformed(data, text, rendering=how).data for how in (ON, OFF))
        one, other = (seen(pixels(file)) for file in (over, usual))
        assert one.shape == other.shape
        assert psnr(one, other) > 35


def seen(values):
    """Without the colours of what is transparent."""
    if values.ndim < 3 or values.shape[2] != 4:
        return values
    return values[..., :3] * values[..., 3:] // 255


def test_what_leads_over_no_master_makes_none(small, picture, make_context):
    texts = ["resize,w_300", "crop,w_200,h_200/resize,w_20", "info", "average-hue", "thumbhash"]
    files, master = made(picture("jpg 401x267"), texts, make_context())
    assert len(files) == len(texts)
    assert master is None


def test_a_damaged_source_is_refused_whatever_the_way(small, picture, make_context):
    data = picture("jpg 401x267")
    for cut in (data[: len(data) // 2], data[:200]):
        with pytest.raises(OssError):
            made(cut, ["resize,w_33"], make_context())


def test_a_picture_with_its_master_costs_less(small, picture, make_context):
    data, context = picture("png 640x400"), make_context()
    process = parse("image/resize,w_33", LIMITS)  # no master is read for this
    without, given_one = (
        Group(lambda: data, [process], LIMITS, ON, (0.0, 0), kept=kept) for kept in (None, 0)
    )
    costs = [group.over_budget(process, context) for group in (without, given_one)]
    assert costs[0].seconds > costs[1].seconds > 0
    assert costs[0].memory == costs[1].memory


@pytest.mark.parametrize("text", ["strip,keep_copyright", "strip,keep_copyright-icc", "strip,all"])
@pytest.mark.parametrize("profile", ["p3", "srgb", ""])
def test_what_is_said_besides_pixels_is_the_same(text, profile, small, picture, transformed):
    block = Image.Exif()
    block[COPYRIGHT], block[ORIENTATION] = "whose it is", 6
    icc = bytes(pyvips.Image.profile_load(profile)) if profile else None
    file = BytesIO()
    with Image.open(BytesIO(picture("jpg 240x180"))) as still:
        still.save(file, "JPEG", exif=block, icc_profile=icc, dpi=(300, 300))
    for kind in ("jpg", "png", "webp"):
        process = f"auto-orient,1/resize,w_20/{text}/format,{kind}"
        over, usual = (
            Image.open(BytesIO(transformed(file.getvalue(), process, rendering=how).data))
            for how in (ON, OFF)
        )
        assert over.size == usual.size == (20, 27)
        assert dict(over.getexif()) == dict(usual.getexif())
        for name in ("icc_profile", "dpi", "xmp"):
            assert over.info.get(name) == usual.info.get(name)
        kept = over.getexif().get(COPYRIGHT)
        assert kept == (None if text == "strip,all" else "whose it is")

"""Several pictures of one source: decoded once, and as good as made one by one."""

import os
from base64 import urlsafe_b64encode as b64encode

import pytest

from vipsgate.errors import ImageDamage, ImageTooLarge, OssError
from vipsgate.image import group as group_module
from vipsgate.image import plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.group import SHARED_BYTES, Group
from vipsgate.image.process import parse

LIMITS = Limits()
CLOSE = 30.0  # dB between a picture made of the shared source and one made alone
WIDTHS = [f"image/resize,w_{width}" for width in (40, 80, 160, 320, 640)]


@pytest.fixture
def loads(monkeypatch):
    """The shrinks with which the source is loaded."""
    seen = []
    real = group_module.load, group_module.render.load

    def shared(source, made):
        seen.append(made.shrink)
        return real[0](source, made)

    monkeypatch.setattr(group_module, "load", shared)
    monkeypatch.setattr(group_module.render, "load", shared)
    return seen


@pytest.fixture
def make(make_context):
    def made(data, texts, rendering=Rendering(), budget=None, limits=LIMITS):
        """The bytes of each, its cost where it is handed back, or its error."""
        processes, found = [parse(text, limits) for text in texts], []
        group = Group(lambda: data, processes, limits, rendering, budget)
        for process in processes:
            descriptor = os.memfd_create("result")
            try:
                context = make_context()
                if cost := group.over_budget(process, context):
                    found.append(cost)
                    continue
                group.write(process, descriptor, context)
                found.append(os.pread(descriptor, 1 << 24, 0))
            except OssError as error:
                found.append(error)
            finally:
                os.close(descriptor)
        return found

    return made


@pytest.mark.parametrize("shrink", ["fast", "balanced", "exact"])
@pytest.mark.parametrize(
    "source", ["jpg 1280x853", "jpg 1280x853 o6", "webp 1280x853 q95", "png 640x400 alpha"]
)
def test_together_as_good_as_one_by_one(make, loads, photo, picture, pixels, psnr, source, shrink):
    data, rendering = picture(source), Rendering(shrink=shrink)
    together = make(data, WIDTHS, rendering)
    assert len(loads) == 1
    alone = [make(data, [text], rendering)[0] for text in WIDTHS]
    assert len(loads) == 1 + len(WIDTHS)
    for text, one, other in zip(WIDTHS, together, alone, strict=True):
        assert pixels(one).shape == pixels(other).shape, text
        assert psnr(pixels(one), pixels(other)) > CLOSE, text


CUTS = [
    "image/resize,w_320",
    "image/crop,x_133,y_55,w_701,h_603/resize,w_160",
    "image/crop,x_133,y_55,w_701,h_603/resize,w_40/rotate,90",
    "image/rotate,90/crop,x_333,y_250/resize,w_35",
]


@pytest.mark.parametrize("shrink", ["fast", "balanced"])
@pytest.mark.parametrize("source", ["jpg 1277x851", "jpg 1277x851 o6", "webp 1277x851 q95"])
def test_parts_of_one_source(make, loads, picture, pixels, psnr, source, shrink):
    """Cut out of what was halved after it was loaded."""
    data, rendering = picture(source), Rendering(shrink=shrink)
    together = make(data, CUTS, rendering)
    assert len(loads) == 1
    for text, one in zip(CUTS, together, strict=True):
        (other,) = make(data, [text], rendering)
        assert pixels(one).shape == pixels(other).shape, text
        assert psnr(pixels(one), pixels(other)) > CLOSE, text


def test_the_source_is_reduced_as_far_as_all_allow(make, loads, picture):
    make(picture("jpg 1280x853"), WIDTHS[:3], Rendering(shrink="fast"))
    assert loads == [8.0]


def test_other_things_of_one_source(make, loads, picture):
    texts = [
        "image/info",
        "image/resize,w_100/format,webp",
        "image/crop,w_10,h_10",
        "image/crop,x_5000",
        "image/average-hue",
    ]
    found = make(picture("jpg 640x480"), texts)
    assert [type(one) for one in found] == [bytes, bytes, bytes, type(found[3]), bytes]
    assert isinstance(found[3], OssError)
    assert len(loads) == 2  # for the crop and the picture; the hue is asked by itself


def test_one_alone_is_not_held_in_memory(make, loads, picture, monkeypatch):
    monkeypatch.setattr(group_module.render, "held", None)
    made = make(picture("jpg 640x480"), ["image/resize,w_100", "image/info", "image/crop,x_9999"])
    assert isinstance(made[0], bytes)


def test_an_animation_is_made_by_itself(make, loads, picture):
    data = picture("gif 40x30x3")
    texts = ["image/resize,w_20", "image/resize,w_10", "image/format,png", "image/format,jpg"]
    found = make(data, texts)
    assert all(isinstance(one, bytes) for one in found)
    assert len(loads) == 3  # each animation, and both stills together


def test_a_large_source_is_not_shared(make, loads, picture, monkeypatch):
    monkeypatch.setattr(group_module, "SHARED_BYTES", 1000)
    assert SHARED_BYTES > 1000
    make(picture("jpg 640x480"), WIDTHS[:3])
    assert len(loads) == 3


def test_what_costs_too_much_is_handed_back_and_shares_nothing(make, loads, picture):
    data = picture("jpg 640x480")
    texts = ["image/format,avif", "image/resize,w_50", "image/resize,w_60"]
    found = make(data, texts, budget=(0.05, 1 << 30))
    assert found[0].seconds > 0.05
    assert [type(one) for one in found[1:]] == [bytes, bytes]
    assert len(loads) == 1


def test_a_source_is_not_shared_where_that_takes_too_much(make, loads, picture, planned):
    data = picture("png 640x480")
    alone = max(planned(data, text.removeprefix("image/")).memory for text in WIDTHS[:2])
    shared = 640 * 480 * 3 * 4 // 3
    make(data, WIDTHS[:2], budget=(1.0, alone + shared - 1))
    assert len(loads) > 1
    loads.clear()
    make(data, WIDTHS[:2], budget=(1.0, alone + shared))
    assert len(loads) == 1


def test_a_hue_costs_what_decoding_does(make, picture):
    data = picture("png 1000x750 interlaced")
    (cost,) = make(data, ["image/average-hue"], budget=(1.0, 1000))
    assert cost.memory > plan.PIPELINE_BYTES + 3 * 1000 * 750
    (said,) = make(data, ["image/info"], budget=(1.0, 1000))
    assert said.startswith(b"{")


def test_an_overlay_costs_what_decoding_it_does(make_context, picture):
    overlays = {"small.png": "png 60x40", "large.png": "png 1000x750 interlaced"}
    data = picture("jpg 300x200")
    context = make_context({name: picture(text) for name, text in overlays.items()})

    def watermark(name):
        object_ = b64encode(f"{name}?x-oss-process=image/resize,P_50".encode()).decode()
        return parse(f"image/watermark,image_{object_.rstrip('=')}", LIMITS)

    def cost(name, limits=LIMITS):
        process = watermark(name)
        group = Group(lambda: data, [process], limits, Rendering(), (0.0, 0))
        return group.over_budget(process, context)

    small, large = (cost(name).memory for name in overlays)
    assert large - small > 3 * 1000 * 750
    with pytest.raises(ImageTooLarge, match="bytes of memory"):
        cost("large.png", limits=Limits(render_bytes=large - 1))
    process, descriptor = watermark("large.png"), os.memfd_create("result")
    Group(lambda: data, [process], LIMITS, Rendering()).write(process, descriptor, context)
    os.close(descriptor)
    assert cost("large.png").memory <= small  # it is prepared already


def test_a_broken_source_is_told_to_each(make, picture):
    data = picture("jpg 640x480")
    found = make(data[: len(data) // 2], WIDTHS[:3])
    assert [type(one) for one in found] == [ImageDamage] * 3

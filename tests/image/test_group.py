"""Several pictures of one source: what is loaded once for them, and that nobody sees it."""

import os
from base64 import urlsafe_b64encode as b64encode
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chains import KINDS
from support.examples import times

from vipsgate.errors import ImageDamage, ImageTooLarge, OssError
from vipsgate.image import group as group_module
from vipsgate.image import load, masters, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.cost import Cost
from vipsgate.image.formats import probe
from vipsgate.image.group import SHARED_BYTES, Group
from vipsgate.image.process import parse

LIMITS = Limits()
WIDTHS = [f"resize,w_{width}" for width in (20, 40, 80, 160, 320)]


@pytest.fixture
def loads(monkeypatch):
    """The shrinks with which the source is loaded."""
    seen = []

    def counted(source, made):
        seen.append(made.loader_shrink)
        return load.load(source, made)

    monkeypatch.setattr(group_module.render, "load", counted)
    return seen


LOADED = {
    # source, setting -> shrinks with which it is loaded for WIDTHS together
    ("png 640x427", "balanced"): [1],
    ("png 320x200 alpha", "balanced"): [1],
    ("tiff 640x427", "fast"): [1],
    ("jpg 640x427", "exact"): [1],
    ("jpg 640x427", "balanced"): [8, 4, 2, 1],
    ("jpg 640x427", "fast"): [8, 4, 2],
    ("jpg 640x427 o6", "fast"): [8, 4, 2, 1],
    ("webp 640x427 q95", "exact"): [1],
    ("webp 640x427 q95", "balanced"): [16, 8, 4, 2, 1],
}


@pytest.mark.parametrize("row", LOADED, ids=" ".join)
def test_equal_pixels_are_loaded_once(grouped, loads, picture, row):
    source, shrink = row
    data, rendering = picture(source), Rendering(shrink=shrink)
    together = grouped(data, WIDTHS, rendering=rendering)
    assert loads == LOADED[row]
    loads.clear()
    alone = [grouped(data, [text], rendering=rendering)[0] for text in WIDTHS]
    assert together == alone
    assert len(loads) == len(WIDTHS)


def test_in_any_order(grouped, loads, picture):
    """What is still needed is kept while something else is loaded."""
    texts = [f"resize,w_{width}" for width in (600, 50, 560, 200, 45, 190)]
    grouped(picture("jpg 640x480"), texts)
    assert loads == [1, 4]


@settings(max_examples=times(40))
@given(data=st.data())
def test_bytes_do_not_depend_on_company(grouped, picture, data):
    """The widths of a srcset, in some formats; tests/e2e/pixels/test_group.py has all actions."""
    name = data.draw(st.sampled_from(["jpg", "jpg", "png", "webp", "tiff", "bmp", "gif"]))
    words = data.draw(st.sampled_from(KINDS[name]))
    sides = data.draw(st.tuples(st.integers(90, 330), st.integers(90, 330)))
    source = picture(f"{name} {sides[0]}x{sides[1]} {words}")
    widths = data.draw(st.lists(st.integers(8, 200), min_size=2, max_size=5))
    behind = ["", "/format,png", "/format,webp", "/auto-orient,1", "/quality,q_50", "/rotate,90"]
    texts = [f"resize,w_{width}{data.draw(st.sampled_from(behind))}" for width in widths]
    rendering = Rendering(shrink=data.draw(st.sampled_from(["fast", "balanced", "exact"])))
    together = grouped(source, texts, rendering=rendering)
    for text, one in zip(texts, together, strict=True):
        assert [one] == grouped(source, [text], rendering=rendering), text


@pytest.mark.parametrize("name", KINDS)
def test_a_plan_says_all_that_loading_asks(name, picture, planned):
    """What is loaded for one is right for all that agree in it, and as large as was said."""
    for words in KINDS[name]:
        source = probe.probe(picture(f"{name} 121x87 {words}"))
        for text in ("resize,w_13", "resize,w_110", "resize,w_50/strip,keep_icc", "resize,w_37"):
            made = planned(source.header, text)
            for one in (made, planned(source.header, text, rendering=Rendering("fast"))):
                said = one.loading
                no_more = SimpleNamespace(
                    header=said.header,
                    loader_shrink=said.shrink / 2**said.halved,
                    halved=said.halved,
                    steps=(),  # they say how much of it is read, and never which pixels
                    result=SimpleNamespace(pages=said.pages, profile=said.profile),
                )
                image = load.load(source, no_more)
                assert image.width * image.height * image.bands <= said.bytes


def test_other_things_of_one_source(grouped, loads, picture):
    texts = ["info", "resize,w_100/format,webp", "crop,w_9,h_9", "crop,x_5000", "average-hue"]
    found = grouped(picture("jpg 640x480"), texts)
    assert [type(one) for one in found] == [bytes, bytes, bytes, type(found[3]), bytes]
    assert isinstance(found[3], OssError)
    assert loads == [2, 1, 1]


def test_one_alone_is_not_held_in_memory(grouped, picture, monkeypatch):
    monkeypatch.setattr(group_module.render, "held", None)
    made = grouped(picture("jpg 640x480"), ["resize,w_100", "info", "crop,x_9999", "resize,w_600"])
    assert [isinstance(one, bytes) for one in made] == [True, True, False, True]


def test_an_animation_is_made_by_itself(grouped, loads, picture):
    texts = ["resize,w_20", "resize,w_10", "format,png", "format,jpg"]
    found = grouped(picture("gif 40x30x3"), texts)
    assert all(isinstance(one, bytes) for one in found)
    assert len(loads) == 3  # each animation, and both stills together


def test_a_large_source_is_not_shared(grouped, loads, picture, monkeypatch):
    monkeypatch.setattr(group_module, "SHARED_BYTES", 1000)
    assert SHARED_BYTES > 1000
    grouped(picture("png 640x480"), WIDTHS[:3])
    assert len(loads) == 3


def test_what_costs_too_much_is_handed_back_and_shares_nothing(grouped, loads, picture):
    texts = ["format,avif", "resize,w_590", "resize,w_600"]
    found = grouped(picture("jpg 640x480"), texts, budget=(0.05, 1 << 30))
    assert found[0].seconds > 0.05
    assert [type(one) for one in found] == [Cost, bytes, bytes]
    assert len(loads) == 1


def test_a_source_is_not_shared_where_that_takes_too_much(grouped, loads, picture, planned):
    data = picture("png 640x480")
    alone = max(planned(data, text).memory for text in WIDTHS[:2])
    shared = 640 * 480 * 3
    grouped(data, WIDTHS[:2], budget=(1.0, alone + shared - 1))
    assert len(loads) > 1
    loads.clear()
    grouped(data, WIDTHS[:2], budget=(1.0, alone + shared))
    assert len(loads) == 1


@pytest.mark.parametrize("on", [False, True])
def test_no_more_is_kept_than_a_picture_may_take(on, grouped, picture, planned, monkeypatch):
    """Beside what each takes by itself, as it was foreseen; and bytes are the same at any bound."""
    monkeypatch.setattr(masters, "PIXELS", 10_000)
    monkeypatch.setattr(masters, "BYTES", 100_000)
    plan.remembered.cache_clear()
    texts = [f"resize,w_{width}" for width in (620, 60, 300, 610, 290, 150, 50, 280, 145, 600)]
    data, rendering = picture("jpg 640x480"), Rendering(masters=on)
    plans = [planned(data, text, rendering=rendering) for text in texts]
    alone = [grouped(data, [text], rendering=rendering)[0] for text in texts]
    most, kept, loaded = max(one.memory for one in plans), [], set()
    real = group_module.render.render

    def seen(source, made, descriptor, context, base=None):
        (running,) = [one for one in running_groups if one]
        bases = sum(image.width * image.height * image.bands for image in running._bases.values())
        master = running._master and not made.master and masters.BYTES
        kept.append(bases)
        loaded.add(len(running._bases))
        assert made.memory + bases + (master or 0) <= bound
        return real(source, made, descriptor, context, base)

    running_groups = []
    first = Group.__init__

    def noted(group, *given):
        running_groups[:] = [group]
        first(group, *given)

    monkeypatch.setattr(group_module.render, "render", seen)
    monkeypatch.setattr(Group, "__init__", noted)
    for more in (0, 60_000, 250_000, 900_000, 1_000_000, 1_400_000, 2_000_000):
        bound = most + more
        assert grouped(data, texts, rendering=rendering, budget=(9.0, bound)) == alone
    assert (min(kept), loaded >= {0, 1, 2}) == (0, True)
    plan.remembered.cache_clear()


@pytest.mark.parametrize("name", KINDS)
def test_a_broken_source_is_told_to_each(name, grouped, picture):
    data = picture(f"{name} 640x480")
    found = grouped(data[: len(data) // 2], WIDTHS[:3])
    assert [type(one) for one in found] == [ImageDamage] * 3


@pytest.mark.parametrize("source", ["jpg 640x1480", "png 640x1480", "webp 640x480"])
def test_one_that_is_broken_further_below(grouped, picture, source):
    """Who needs only the upper part is not told of it, in company as alone."""
    data = picture(source)
    data = data[: len(data) * 3 // 4]
    texts = ["crop,w_640,h_40", "format,png", "crop,w_300,h_30", "resize,w_600"]
    found = grouped(data, texts)
    for text, one in zip(texts, found, strict=True):
        (other,) = grouped(data, [text])
        assert (type(one), str(one)) == (type(other), str(other)), text
    if source != "webp 640x480":
        assert [type(one) for one in found] == [bytes, ImageDamage, bytes, ImageDamage]


def test_a_hue_costs_what_decoding_does(grouped, picture):
    data = picture("png 1000x750 interlaced")
    (cost,) = grouped(data, ["average-hue"], budget=(1.0, 1000))
    assert cost.memory > plan.PIPELINE_BYTES + 3 * 1000 * 750
    (said,) = grouped(data, ["info"], budget=(1.0, 1000))
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

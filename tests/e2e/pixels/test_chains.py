"""Any chain of any actions on any picture: the bytes are what was planned, or a refusal of ours.

Actions and values come from the tables that the parser itself reads, so that an action is tested
here from the day on which it stands in ``ACTIONS``.
"""

import base64
import json
import re
from unittest import mock

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import BadRequest, ImageTooLarge, InvalidArgument, WatermarkError
from vipsgate.image import load, params, process, render
from vipsgate.image.actions import ACTIONS
from vipsgate.image.actions.watermark import PREPARING
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.fonts import NAMES
from vipsgate.image.formats import probe
from vipsgate.image.formats.codecs import CODECS

# 16 megapixels are made as half a one is, but take a second
LIMITS = Limits(output_pixels=500_000)

# --- any picture

KINDS = {
    # format -> what its pictures may be besides
    "jpg": ("", "grey", "cmyk", "interlaced", "quartered", "p3", "q30", "o3 q60", "o6", "grey o7"),
    "png": (
        *("", "grey", "alpha", "grey alpha", "palette", "palette alpha", "1bit", "16bit", "p3"),
        *("grey 16bit", "alpha 16bit", "grey alpha 16bit", "alpha p3", "o5", "alpha o8"),
    ),
    "webp": ("", "alpha", "q40", "alpha q70", "p3", "o2", "alpha o6"),
    "gif": ("", "grey", "alpha"),
    "tiff": ("", "grey", "alpha", "grey alpha", "cmyk", "palette", "16bit", "alpha 16bit", "o4"),
    "bmp": ("", "grey", "palette", "alpha", "1bit"),
    "avif": ("", "alpha", "10bit"),
    "heic": ("", "alpha", "grey", "10bit", "p3", "o6"),
}
MOVING = [name for name, codec in CODECS.items() if codec.animated]
SLOW = ("avif", "heic")  # to encode
SIDE = st.integers(1, 80)


@st.composite
def sources(draw, names, least=1, most=1):
    """Descriptions of pictures of these formats, with so many pages."""
    name = draw(st.sampled_from(names))
    words = draw(st.sampled_from(KINDS[name]))
    return f"{name} {draw(SIDE)}x{draw(SIDE)}x{draw(st.integers(least, most))} {words}"


STILLS = sources([name for name in KINDS if name not in SLOW])
ANIMATIONS = sources(MOVING, 2, 4)
# more rows than libvips keeps of a source that is read once, from top to bottom
TALL = [
    f"{kind.partition(' ')[0]} 200x1400 {kind.partition(' ')[2]}"
    for kind in (
        *("jpg", "jpg interlaced", "jpg o2", "jpg o6", "png", "png alpha", "png grey 16bit"),
        *("webp", "webp alpha", "gif", "tiff", "tiff alpha", "tiff cmyk", "bmp", "bmp alpha"),
    )
]

# --- any action


def integers(low, high):
    """Mostly what fits a small picture, sometimes the rim."""
    near = st.integers(max(low, -100), min(high, 100))
    return st.one_of(near, near, near, st.sampled_from([low, high])).map(str)


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def chains(some, most):
    return st.lists(some, min_size=1, max_size=most).map("/".join)


COLOUR = st.from_regex(r"\A[0-9A-Fa-f]{6}\Z")
LINES = st.one_of(
    st.sampled_from(["Hello World", "图片服务", "<b>&amp;", " ", "مرحبا", "e\u0301", "a\nb", "\0"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=16),  # of 4 bytes at most
)
# where the words of a parameter do not say what may be there
VALUES = {
    ("resize", "color"): COLOUR,
    ("quality", "q"): st.one_of(integers(1, 100), st.just("lossless")),
    ("quality", "bytes"): integers(1, 20_000),
    ("watermark", "text"): LINES.map(b64),
    ("watermark", "type"): st.sampled_from(list(NAMES)).map(b64),
    ("watermark", "color"): st.one_of(COLOUR, COLOUR.map("#{}".format).map(b64)),
}
# one of these must be there
ONE_OF = {
    "resize": "whlsp",
    "indexcrop": "xy",
    "quality": ("q", "Q", "", "lossless", "auto", "ssim", "bytes"),
    "watermark": ("image", "text"),
}
# of these, each stands without any other
ALONE = {"quality": ("auto", "ssim", "bytes")}


def values(name, key, param):
    """Good values of a parameter."""
    if (name, key) in VALUES:
        return VALUES[name, key]
    if found := re.fullmatch(r"an integer from (-?\d+) to (-?\d+)", param.expects):
        return integers(*map(int, found.groups()))
    assert param.expects.startswith("one of "), f"what may {key} of {name} be?"
    return st.sampled_from(param.expects.removeprefix("one of ").split(", "))


@st.composite
def action(draw, name, kind):
    """The action with what it needs, and some of its other parameters, in any order."""
    slots = params.slots(kind)
    keys = draw(st.lists(st.sampled_from([*slots]), unique=True, max_size=min(6, len(slots))))
    needed = [key for key, slot in slots.items() if slot.default is params.MISSING]
    needed += [draw(st.sampled_from(ONE_OF[name]))] if name in ONE_OF else []
    if stands := [key for key in (*needed, *keys) if key in ALONE.get(name, ())]:
        keys, needed = [], stands[:1]
    items = []
    for key in [*keys, *(key for key in needed if key not in keys)]:
        param = slots[key].param
        text = key if param.flag else draw(values(name, key, param))
        items.append(text if param.flag or key == params.BARE else f"{key}_{text}")
    return ",".join([name, *items])


MARKS = ("logo.png", "mark.webp", "clip.gif", "grey.jpg", "deep.heic", "no picture")
VALUES["watermark", "image"] = st.builds(
    lambda name, do: b64(f"{name}?x-oss-process=image/{do}" if do else name),
    st.sampled_from(MARKS),
    st.just("") | chains(st.one_of([action(*one) for one in PREPARING.items()]), 2),
)
CHAINS = chains(st.one_of([action(*one) for one in ACTIONS.items()]), 5)
QUICK = CHAINS.filter(lambda text: not any(f",{name}" in text for name in SLOW))
SHRINKS = st.sampled_from(["fast", "balanced", "exact"])


def test_every_format_and_word_is_here(formats):
    assert set(KINDS) == set(formats)
    assert {(name, key) for name, key in VALUES} <= {
        (name, key) for name, kind in ACTIONS.items() for key in params.slots(kind)
    }


# --- what holds of all of them


@pytest.fixture(scope="session")
def marks(picture):
    """What watermarks are made of."""
    kinds = ("png 15x9 alpha", "webp 20x20", "gif 12x8x3", "jpg 30x20 grey o6", "heic 16x16 10bit")
    return dict(zip(MARKS, [*map(picture, kinds), b"no picture"], strict=True))


@pytest.fixture(scope="session")
def holds(picture, planned, transformed, marks):
    """The bytes are as planned; what cannot be made is refused, and by us.

    ``held``: they are also as if the whole source were decoded first.
    """

    def check(source, text, shrink, held=False):
        file, rendering = picture(source), Rendering(shrink=shrink)
        try:
            asked = process.parse("image/" + text, LIMITS)
            made = planned(file, text, LIMITS, rendering)
        except (InvalidArgument, BadRequest, ImageTooLarge) as error:
            event(f"refused: {error.code}")
            return
        # the canonical text means the same work
        canonical = str(asked)
        assert process.parse(canonical, LIMITS) == asked
        assert str(process.parse(canonical, LIMITS)) == canonical
        assert planned(file, canonical.removeprefix("image/"), LIMITS, rendering) == made
        assert json.loads(json.dumps(made.explain()))["memory"] == made.memory
        try:
            data = transformed(file, text, LIMITS, rendering, marks).data
        except (ImageTooLarge, WatermarkError, InvalidArgument) as error:
            event(f"refused late: {error.code}")
            # how large a file gets, or what is laid on it, is known late
            late = "bytes_" if isinstance(error, InvalidArgument) else "watermark"
            assert late in text
            return
        want = made.result
        event(f"made: {want.format}")
        result = probe.probe(data).header
        assert (result.format, result.width, result.height) == (
            want.format,
            want.width,
            want.height,
        )
        assert 1 <= result.pages <= want.pages  # an encoder joins frames that have become equal
        assert (result.orientation, result.exif) == (1, b"")
        if want.format not in MOVING:  # there a frame shows the one below it
            assert want.alpha or not result.alpha
        if want.format == "jpg":
            assert result.interlaced == want.progressive
            if not want.goal:  # else it is searched for
                assert result.quality == want.quality
        if held:
            with mock.patch.object(render, "load", lambda *given: load.load(*given).copy_memory()):
                assert data == transformed(file, text, LIMITS, rendering, marks).data

    return check


SOME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(SOME, max_examples=times(480))
@given(STILLS | STILLS | ANIMATIONS, QUICK, SHRINKS)
def test_chains(holds, source, text, shrink):
    holds(source, text, shrink)


@settings(SOME, max_examples=times(60))
@given(
    sources([*KINDS]),
    st.builds("{}/format,{}".format, QUICK, st.sampled_from(SLOW)),
    SHRINKS,
)
def test_chains_to_and_from_what_is_slow(holds, source, text, shrink):
    holds(source, text, shrink)


@settings(SOME, max_examples=times(60))
@given(st.sampled_from(TALL), QUICK, SHRINKS)
@example("png 200x1400 alpha", "format,bmp", "balanced")
@example("tiff 200x1400 alpha", "format,bmp", "balanced")
@example("jpg 200x1400", "watermark,text_SGVsbG8,g_nw", "balanced")
@example("png 200x1400", "watermark,text_SGVsbG8,g_north/resize,w_100", "balanced")
@example("png 200x1400 alpha", "watermark,image_bG9nby5wbmc,g_ne", "balanced")
@example("tiff 200x1400", "watermark,image_bG9nby5wbmc,g_west", "balanced")
def test_chains_of_tall_pictures(holds, source, text, shrink):
    holds(source, text, shrink, held=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(SOME, max_examples=6000)
@given(sources([*KINDS]) | ANIMATIONS, CHAINS, SHRINKS)
def test_many_chains(holds, source, text, shrink):
    holds(source, text, shrink)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(SOME, max_examples=1500)
@given(st.sampled_from(TALL), QUICK, SHRINKS)
def test_many_chains_of_tall_pictures(holds, source, text, shrink):
    holds(source, text, shrink, held=True)

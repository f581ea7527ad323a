"""Strategies of hypothesis: any picture, by its description, and any chain of any actions.

Actions and values come from the tables that the parser itself reads, so that an action is tried
from the day on which it stands in ``ACTIONS``.
"""

import base64
import re

from hypothesis import strategies as st

from vipsgate.image import params
from vipsgate.image.actions import ACTIONS
from vipsgate.image.actions.watermark import PREPARING
from vipsgate.image.fonts import NAMES
from vipsgate.image.formats.codecs import CODECS

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

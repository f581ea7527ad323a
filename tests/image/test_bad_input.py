"""Every parameter of every action, one below, one above, no number, twice: the named error.

The ranges stand here as the OSS guide has them, so that a wrong one in an action is found. What
holds of a parameter holds of it inside of a watermark's picture too.
"""

import base64

import pytest

from vipsgate.errors import BadRequest, InvalidArgument, MissingArgument
from vipsgate.image import config, params, process
from vipsgate.image.actions import ACTIONS
from vipsgate.image.actions.watermark import PREPARING

LIMITS = config.Limits()
SIDE, MAX_PIXELS = 16384, 4096  # OSS guide
MOST = 1_000_000  # where the guide names no end, since a picture's border is one
G = "nw north ne west center east sw south se"
SMART = f"{G} auto face fp"
FONTS = "wqy-zenhei wqy-microhei fangzhengshusong fangzhengkaiti fangzhengheiti fangzhengfangsong "
FONTS += "droidsansfallback"


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# what there is: lowest and highest number, or words, or a kind; then OSS's sub-code for a bad one,
# and for none; the key "" is a value that stands alone
TAKES = {
    "resize": {
        "m": ("lfit mfit fill pad fixed", "0040-00000311"),
        "w": ((0, SIDE),),
        "h": ((0, SIDE),),
        "l": ((1, SIDE),),
        "s": ((1, SIDE),),
        "p": ((1, 1000),),
        "limit": ((0, 1),),
        "color": ("colour",),
        "g": (SMART,),
        "fx": ((0, 1000),),
        "fy": ((0, 1000),),
    },
    "crop": {
        "x": ((0, MOST),),
        "y": ((0, MOST),),
        "w": ((0, MOST), "0040-00000225"),
        "h": ((0, MOST), "0040-00000226"),
        "g": (SMART, "0040-00000209"),
        "fx": ((0, 1000),),
        "fy": ((0, 1000),),
    },
    "circle": {"r": ((1, MAX_PIXELS),), "type": ((0, 1),)},
    "indexcrop": {"x": ((1, MOST),), "y": ((1, MOST),), "i": ((0, MOST),)},
    "rounded-corners": {"r": ((1, MAX_PIXELS),)},
    "rotate": {"": ((0, 360), "0040-00000217", "0040-00000216")},
    "auto-orient": {"": ((0, 1),)},
    "blur": {"r": ((1, 50),), "s": ((1, 50),)},
    "bright": {"": ((-100, 100),)},
    "contrast": {"": ((-100, 100),)},
    "sharpen": {"": ((50, 399),)},
    "watermark": {
        "image": ("name",),
        "text": ("text",),
        "t": ((0, 100),),
        "g": (G,),
        "x": ((0, MAX_PIXELS),),
        "y": ((0, MAX_PIXELS),),
        "voffset": ((-1000, 1000),),
        "rotate": ((0, 360), "0040-00000272"),
        "fill": ((0, 1),),
        "padx": ((0, MAX_PIXELS),),
        "pady": ((0, MAX_PIXELS),),
        "type": ("font",),
        "color": ("ink",),
        "size": ((1, 1000),),
        "shadow": ((0, 100),),
        "order": ((0, 1),),
        "align": ((0, 2),),
        "interval": ((0, 1000),),
    },
    "format": {
        "": ("jpg png webp bmp gif tiff avif heic src auto jpeg", "0040-00000206", "0040-00000207"),
        "1an": ("flag",),
        "accept": ("avif-webp avif webp src quick",),
    },
    "interlace": {"": ((0, 1),)},
    "strip": {"": ("all keep_copyright keep_icc keep_copyright-icc",)},
    "quality": {
        "q": ((1, 100),),
        "Q": ((1, 100),),
        "": ((1, 100),),
        "lossless": ("flag",),
        "auto": ("flag",),
        "ssim": ((1, 99),),
        "bytes": ((1, 999_999_999),),
    },
}
# what may be done to a watermark's picture
INSIDE = {name: TAKES[name] for name in ("crop", "indexcrop", "rounded-corners", "rotate")}
INSIDE["resize"] = {**TAKES["resize"], "P": ((1, 100),)}

# --- bad values

JUNK = ("", "abc", "nan", "-", "0x1", "1e1", "1.5", "\0", "\n", "%31", "é", "\ud800")
LONG = 10_000
# what is no Base64, or not of UTF-8
UNCODED = ("@@@", "A", "SG k", "SGk\n", "SGk\0", "SGk=k", "=A", "/w", "１", "é")
UNCODED += ("\ud800", "9" * LONG)


def numbers(low, high):
    """What is no number from ``low`` to ``high``, though it looks like one."""
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in str(high))
    return [
        *(str(low - 1), str(high + 1), str(-(2**31) - 1), str(2**64), "9" * LONG, "0" * LONG),
        *(wide, "٣", "²", "Ⅷ", f"+{high}", f" {high}", f"--{high}", f"{high}-"),
        *(f"{high}{more}" for more in (" ", "\n", "\0", ".0", "px", "%")),
        *JUNK,
    ]


# kind -> its bad values, its good ones, how a message says what a good one is
KINDS = {
    "colour": (
        ["FFF", "FFFFFFF", "GGGGGG", "#FFFFFF", "ＦＦＦＦＦＦ", "FFFFFF\n", "+FFFFF", *JUNK],
        ["000000", "ffFFff"],
        "six hexadecimal digits RRGGBB",
    ),
    "ink": (
        ["FFF", "GGGGGG", "#FFFFFF", "FFFFFF\n", b64("#FFF"), b64("FFFFFF"), b64("#"), *JUNK],
        ["000000", b64("#ffFFff")],
        "six hexadecimal digits RRGGBB, or Base64 of #RRGGBB",
    ),
    "text": (
        ["", b64("a" * 65), b64("图" * 22), "A" * LONG],
        [b64("a"), b64("图" * 21), b64("a" * 64)],
        "Base64 of 1 to 64 bytes of UTF-8",
    ),
    "font": (
        ["", b64("Arial"), b64("WQY-zenhei"), b64("wqy-zenhei\n"), b64("../x"), "A" * LONG],
        [b64(name) for name in FONTS.split()],
        f"Base64 of one of {', '.join(FONTS.split())}",
    ),
    "name": (
        ["", b64("?x-oss-process=image/resize,w_9")],
        [b64("西湖/logo 1.png")],
        "Base64 of an object's name",
    ),
    "flag": (["_1", "_true", "_\n"], [""], "no value"),
}
CODED = ("text", "font", "name")


def values(kind):
    """Bad ones, good ones, how a message says what a good one is."""
    if isinstance(kind, tuple):
        low, high = kind
        return numbers(low, high), [str(low), str(high)], f"an integer from {low} to {high}"
    if kind in KINDS:
        return KINDS[kind]
    words = kind.split()
    bad = [*map(str.upper, words), f"{words[0]} ", f"{words[0]}\0", "x" * LONG, *JUNK]
    return bad, words, f"one of {', '.join(word for word in words if word != 'jpeg')}"


def begin(name, key):
    """What stands before a value: it alone for a flag, whose value is empty."""
    return f"{name},{key}" + ("_" if key and key not in FLAGS else "")


FLAGS = [key for keys in TAKES.values() for key, (kind, *_) in keys.items() if kind == "flag"]
ALL = [(name, key) for name, keys in TAKES.items() for key in keys]
ALL_INSIDE = [(name, key) for name, keys in INSIDE.items() for key in keys]


def named(some):
    return pytest.mark.parametrize(("name", "key"), some, ids=[begin(*one) for one in some])


def parse(text):
    return process.parse("image/" + text, LIMITS)


def inside(text):
    return "watermark,image_" + b64(f"logo.png?x-oss-process=image/{text}")


def refused(text, kind, ec, *parts):
    """It is refused with this error, and the message has these parts."""
    with pytest.raises(kind) as caught:
        parse(text)
    error = caught.value
    assert (type(error), error.status, error.ec) == (kind, 400, ec), text[:99]
    assert all(part in error.message for part in parts), error.message
    assert len(error.message) < 400


def check(name, key, takes, wrapped):
    """Each bad value of a parameter is refused."""
    kind, *codes = takes[name][key]
    bad, missing = [*codes, "", ""][:2]
    wrong, _, expected = values(kind)
    parts = f" of parameter: {key or name} is invalid. ", f"{name} expects {expected}"
    for value in wrong:
        if not (wrapped is inside and "\ud800" in value):  # which no UTF-8 has
            ec = bad if value or not missing else missing
            refused(wrapped(begin(name, key) + value), InvalidArgument, ec, "The value: ", *parts)
    for value in UNCODED if kind in CODED else ():
        said = "Input is not base64 decoding. The value: "
        refused(wrapped(begin(name, key) + value), BadRequest, "", said, *parts)


def test_all_parameters_are_here():
    for takes, actions in ((TAKES, ACTIONS), (INSIDE, PREPARING)):
        assert {name: set(keys) for name, keys in takes.items()} == {
            name: set(params.slots(kind)) for name, kind in actions.items()
        }


@named(ALL)
def test_bad_values(name, key):
    check(name, key, TAKES, str)


@named(ALL_INSIDE)
def test_bad_values_inside_of_a_watermark(name, key):
    check(name, key, INSIDE, inside)


# what else an action must have, so that this parameter may stand in it
WITH = {"resize": "p_9", "indexcrop": "x_9", "blur": "r_9,s_9", "watermark": "text_SGk"}
WITH |= {"format": "png", "circle": "r_9"}


@named(ALL)
def test_the_rim_is_taken(name, key, monkeypatch):
    monkeypatch.setattr("vipsgate.image.faces.installed", lambda: True)
    for value in values(TAKES[name][key][0])[1]:
        item = begin("", key)[1:] + value
        others = [one for one in WITH.get(name, "").split(",") if one and not same(name, one, item)]
        parse(",".join([name, item, *others]))


def same(name, one, other):
    """Are they values of the same parameter of an action?"""
    flags = set(FLAGS) & set(TAKES[name])
    ends = [item.partition("_")[0] if "_" in item else "" for item in (one, other)]
    return ends[0] == ends[1] and not {one, other} & flags


@named([one for one in ALL if not ACTIONS[one[0]].single])
def test_twice(name, key):
    good = values(TAKES[name][key][0])[1][-1]
    item = begin("", key)[1:] + good
    said = f"The parameter: {key or name} of {name} is given twice."
    refused(f"{name},{item},{item}", InvalidArgument, "", said)
    refused(f"{name},{item},{item},{item}", InvalidArgument, "", said)


@pytest.mark.parametrize("name", [name for name in ACTIONS if ACTIONS[name].single])
def test_one_value_only(name):
    said = f"The action: {name} takes one value, not 2."
    for value in ("1,1", "1,", ",1", "1,x", "1,x_2", f"1,{'9' * LONG}"):
        refused(f"{name},{value}", InvalidArgument, "0040-00000203", said)


# action without what it needs -> a part of the message
LACKS = {
    "resize": "resize needs one of w, h, l, s, p",
    "resize,m_fill": "resize needs one of w, h, l, s, p",
    "circle": "circle needs r: an integer from 1 to 4096",
    "indexcrop": "indexcrop needs one of x, y",
    "indexcrop,i_0": "indexcrop needs one of x, y",
    "rounded-corners": "rounded-corners needs r: an integer from 1 to 4096",
    "blur": "blur needs r: an integer from 1 to 50",
    "blur,r_3": "blur needs s: an integer from 1 to 50",
    "blur,s_3": "blur needs r: an integer from 1 to 50",
    "bright": "bright needs a value: an integer from -100 to 100",
    "contrast": "contrast needs a value: an integer from -100 to 100",
    "sharpen": "sharpen needs a value: an integer from 50 to 399",
    "interlace": "interlace needs a value: an integer from 0 to 1",
    "quality": "quality needs one of q, Q",
    "watermark": "watermark needs one of image, text",
    "watermark,g_se": "watermark needs one of image, text",
}


@pytest.mark.parametrize("text", LACKS)
def test_lacks(text):
    refused(text, MissingArgument, "", LACKS[text])


def test_whatever_needs_nothing_lacks_nothing():
    lacking = {text.partition(",")[0] for text in LACKS} | {"rotate", "format"}  # own sub-codes
    for name in set(ACTIONS) - lacking:
        parse(name)

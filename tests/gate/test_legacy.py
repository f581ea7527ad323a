"""The old API: what each item means in the new words, what is refused and with which sub-code."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vipsgate.errors import (
    BadRequest,
    InvalidArgument,
    MissingArgument,
    OssError,
    TooManyPipes,
)
from vipsgate.gate import legacy, style
from vipsgate.gate.target import Target
from vipsgate.image import process
from vipsgate.image.config import Limits


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


ITEMS = {
    # one segment without format -> the actions; as stored, and a JPG, in any case
    "100w": "resize,w_100,limit_0",
    "100h": "resize,h_100,limit_0",
    "100w_100h": "resize,w_100,h_100,limit_0",
    "0w_100h": "resize,h_100,limit_0",
    "16384w": "resize,w_16384,limit_0",
    "007w": "resize,w_7,limit_0",
    "100w_100h_0e": "resize,w_100,h_100,limit_0",
    "100w_100h_1e": "resize,m_mfit,w_100,h_100,limit_0",
    "100w_100h_1e_0c": "resize,m_mfit,w_100,h_100,limit_0",
    "100w_100h_1e_1c": "resize,m_fill,w_100,h_100,limit_0",
    "100w_100h_0e_1c": "resize,w_100,h_100,limit_0",  # nothing reaches over the box
    "100h_100w_2e": "resize,m_fixed,w_100,h_100,limit_0",
    "100w_100h_4e": "resize,m_pad,w_100,h_100,limit_0",
    "100w_100h_4e_100-0-0bgc": "resize,m_pad,w_100,h_100,limit_0,color_640000",
    "4e_255-255-255bgc_9h": "resize,m_pad,h_9,limit_0",
    "500w_0l": "resize,w_500,limit_0",
    "500w_1l": "resize,w_500",
    "500w_1i": "resize,w_500",
    "500w_1i_0l": "resize,w_500,limit_0",
    "200p": "resize,p_200",
    "50p_1l": "resize,p_50",
    "200p_1l": "resize,p_100",
    "2x": "resize,p_200",
    "100w_100h_200p": "resize,w_200,h_200,limit_0",
    "33w_50p": "resize,w_17,limit_0",
    "1w_1p": "resize,w_1,limit_0",
    "100w_100h_2x": "resize,w_200,h_200,limit_0",
    "2x_100w_100h": "resize,w_200,h_200,limit_0",
    "100-50-0-0a": "crop,x_100,y_50",
    "100-50-100-100a": "crop,x_100,y_50,w_100,h_100",
    "100x200-1rc": "crop,w_100,h_200",
    "100x0-1rc": "crop,w_100",
    "100x-1rc": "crop,w_100",
    "x200-1rc": "crop,h_200",
    "100x200-rc": "crop,w_100,h_200",
    **{
        f"9x9-{number}rc": f"crop,w_9,h_9,g_{anchor}"
        for number, anchor in enumerate("nw north ne west center east sw south se".split(), 1)
        if number > 1
    },
    "100-0ci": "circle,r_100,type_0",
    "100-1ci": "circle,r_100",
    "30-2ci": "rounded-corners,r_30",
    "100x-0ic": "indexcrop,x_100",
    "100y-3ic": "indexcrop,y_100,i_3",
    "180r": "rotate,180",
    "3-2bl": "blur,r_3,s_2",
    "50b": "bright,50",
    "-50b": "bright,-50",
    "-100d": "contrast,-100",
    "100sh": "sharpen,100",
    "1pr": "interlace,1",
    "0pr": "interlace,0",
    "90q": "quality,q_90",
    "90Q": "quality,Q_90",
    "80Q_90q": "quality,Q_80",
    "losslessq": "quality,q_lossless",
    "losslessQ": "quality,q_lossless",
    "80Q_losslessq": "quality,Q_80",
    "1wh": "",
    "0wh": "",
    "1an": "",
    "0o": "",
    "1l": "",
    # the order does not matter, the later of two counts
    "90Q_120w_120h": "resize,w_120,h_120,limit_0/quality,Q_90",
    "120w_120h_240w": "resize,w_240,h_120,limit_0",
    "1pr_9q_1d_1b_2-2bl_60sh_90r_9x-1ic_4-2ci_5x5-5rc_1-1-5-5a_10w": (
        "resize,w_10,limit_0/crop,x_1,y_1,w_5,h_5/crop,w_5,h_5,g_center/rounded-corners,r_4/"
        "indexcrop,x_9,i_1/rotate,90/sharpen,60/blur,r_2,s_2/bright,1/contrast,1/quality,q_9/"
        "interlace,1"
    ),
    # what the console wrote into styles
    "1e_75w_75h_0c_0i_0o_100Q_1x": "resize,m_mfit,w_75,h_75,limit_0/quality,Q_100",
    "90w_90h_2x_70Q_0i_1e_1c_1wh_1pr": (
        "resize,m_fill,w_180,h_180,limit_0/quality,Q_70/interlace,1"
    ),
}
TEXTS = {
    # whole text -> whole text
    "info": "image/basic-info",
    "exif": "image/exif",
    "infoexif": "image/info",
    "imageAve": "image/average-hue",
    "100w_0o.jpg": "image/auto-orient,0/resize,w_100,limit_0/format,jpg",
    "100w_1o.jpg": "image/resize,w_100,limit_0/auto-orient,here/format,jpg",
    "100w_2o.jpg": "image/auto-orient/resize,w_100,limit_0/format,jpg",
    "90r_1o_60sh": "image/rotate,90/auto-orient,here/sharpen,60/format,jpg",
    "100w|50w_1o": ("image/resize,w_100,limit_0/resize,w_50,limit_0/auto-orient,here/format,jpg"),
    "100w|50w_2o": ("image/resize,w_100,limit_0/auto-orient,here/resize,w_50,limit_0/format,jpg"),
    **{
        f"9w.{name}": f"image/auto-orient,0/resize,w_9,limit_0/format,{name}"
        for name in "jpg webp png bmp gif src".split()
    },
    "9w.jpeg": "image/auto-orient,0/resize,w_9,limit_0/format,jpg",
    "9w_1an.gif": "image/auto-orient,0/resize,w_9,limit_0/format,gif",
    "9w_1an.src": "image/auto-orient,0/resize,w_9,limit_0/format,src,1an",
    "9w_0an.src": "image/auto-orient,0/resize,w_9,limit_0/format,src",
    "9w_1an.png": "image/auto-orient,0/resize,w_9,limit_0/format,png",
    ".webp": "image/auto-orient,0/format,webp",
    "100h_100w_1e|0-0-100-100a": (
        "image/auto-orient,0/resize,m_mfit,w_100,h_100,limit_0/crop,w_100,h_100/format,jpg"
    ),
    "9w.png|5w": "image/auto-orient,0/resize,w_9,limit_0/resize,w_5,limit_0/format,jpg",
    "9w|8w|7w|6w.png": (
        "image/auto-orient,0/resize,w_9,limit_0/resize,w_8,limit_0/resize,w_7,limit_0/"
        "resize,w_6,limit_0/format,png"
    ),
    "1e_100w_100h|watermark=2&text=SGVsbG8gV29ybGQ": (
        "image/auto-orient,0/resize,m_mfit,w_100,h_100,limit_0/watermark,text_SGVsbG8gV29ybGQ/"
        "format,jpg"
    ),
    "9w.png|watermark=2&text=SGVsbG8gV29ybGQ": (
        "image/auto-orient,0/resize,w_9,limit_0/watermark,text_SGVsbG8gV29ybGQ/format,png"
    ),
}
MARKS = {
    # the same for a watermark alone
    "1&object=cGFuZGEucG5n&t=90&p=9&x=10&y=10": "image_cGFuZGEucG5n,t_90",
    "1&object=cGFuZGEucG5n&t=90&p=1&x=0&y=20": "image_cGFuZGEucG5n,t_90,g_nw,x_0,y_20",
    **{
        f"1&object=cGFuZGEucG5n&p={number}": f"image_cGFuZGEucG5n,g_{anchor}"
        for number, anchor in enumerate("nw north ne west center east sw south".split(), 1)
    },
    "1&object=cGFuZGEucG5nQDMwUA": (
        "image_cGFuZGEucG5nP3gtb3NzLXByb2Nlc3M9aW1hZ2UvcmVzaXplLFBfMzA"
    ),
    "2&text=SGVsbG8gV29ybGQ": "text_SGVsbG8gV29ybGQ",
    "2&text=SGVsbG8g5Zu-54mH5pyN5YqhIQ": "text_SGVsbG8g5Zu-54mH5pyN5YqhIQ",
    "2&text=SGVsbG8g5Zu+54mH5pyN5YqhIQ==": "text_SGVsbG8g5Zu-54mH5pyN5YqhIQ",
    "2&text=YQ&type=d3F5LXplbmhlaQ==": "text_YQ",
    "2&text=YQ&type=ZmFuZ3poZW5na2FpdGk=": "text_YQ,type_ZmFuZ3poZW5na2FpdGk",
    "2&text=YQ&color=IzAwMDAwMA": "text_YQ",
    "2&text=YQ&color=I2ZmZmZmZg": "text_YQ,color_FFFFFF",
    "2&text=YQ&size=60&s=50&p=6&x=10&voffset=-20": "text_YQ,g_east,voffset_-20,size_60,shadow_50",
    "3&object=cGFuZGEucG5n&text=YQ&order=1&align=1&interval=10": (
        "image_cGFuZGEucG5n,text_YQ,order_1,align_1,interval_10"
    ),
    "2&text=YQ&t=1&t=2": "text_YQ,t_2",
}
OBJECTS = {
    # a watermark's object -> the same in the new words
    "panda.png": "panda.png",
    "panda.png@30P": "panda.png?x-oss-process=image/resize,P_30",
    "panda.png@50w": "panda.png?x-oss-process=image/resize,w_50,limit_0",
    "panda.png@100w": "panda.png?x-oss-process=image/resize,w_100,limit_0",
    "panda.png@200p": "panda.png?x-oss-process=image/resize,p_200",
    "panda.png@40w_20h_1e_1c": "panda.png?x-oss-process=image/resize,m_fill,w_40,h_20,limit_0",
    "panda.png@0-0-65-65a": "panda.png?x-oss-process=image/crop,w_65,h_65",
    "panda.png@9x-1ic_90r": "panda.png?x-oss-process=image/indexcrop,x_9,i_1/rotate,90",
    "panda.png@30P_8-2ci": "panda.png?x-oss-process=image/resize,P_30/rounded-corners,r_8",
    "panda.png?x-oss-process=image/resize,P_30": "panda.png?x-oss-process=image/resize,P_30",
    "logo@2x.png": "logo@2x.png",
    "me@home.bmp": "me@home.bmp",
    "@30P": "@30P",
    "a@b@30P": "a@b?x-oss-process=image/resize,P_30",
}
REFUSES = {
    # text -> class, EC, a part of the message
    "": (InvalidArgument, "", "The item:  is not known"),
    "abc1": (InvalidArgument, "", "The item: abc1 is not known. It expects a value"),
    "100w_": (InvalidArgument, "", "The item:  is not known"),
    "100w__9h": (InvalidArgument, "", "is not known"),
    "|100w": (InvalidArgument, "", "is not known"),
    "100W": (InvalidArgument, "", "The item: 100W"),
    "x" * 9000: (InvalidArgument, "0040-00000201", "x" * 64 + "... of parameter: x"),
    "abcb": (InvalidArgument, "0040-00000201", "The value: abc of parameter: b is invalid"),
    "w": (InvalidArgument, "0040-00000201", "parameter: w"),
    "１w": (InvalidArgument, "0040-00000201", "from 0 to 16384"),
    "1.5w": (InvalidArgument, "", "The item: 1"),
    "50000w_200h": (InvalidArgument, "0040-00000336", "an integer from 0 to 16384"),
    "200w_50000h": (InvalidArgument, "0040-00000334", "The value: 50000 of parameter: h"),
    "-1w": (InvalidArgument, "0040-00000336", "parameter: w"),
    "0w": (InvalidArgument, "0040-00000349", "One of w, h is needed"),
    "0e.src": (InvalidArgument, "0040-00000349", "One of w, h is needed"),
    "1e_1c.src": (InvalidArgument, "0040-00000349", "from 1 to 16384"),
    "1c": (InvalidArgument, "0040-00000349", "One of w, h"),
    "9000w_200p": (InvalidArgument, "0040-00000350", "The value: 18000 of parameter: w"),
    "100h_100w_10e": (InvalidArgument, "0040-00000345", "one of 0, 1, 2, 4"),
    "100w_3e": (InvalidArgument, "0040-00000345", "parameter: e"),
    "100h_100w_1e_10c": (InvalidArgument, "0040-00000346", "from 0 to 1"),
    "100w_2l": (InvalidArgument, "0040-00000333", "parameter: l"),
    "2000p": (InvalidArgument, "0040-00000338", "an integer from 1 to 1000"),
    "0p": (InvalidArgument, "0040-00000338", "parameter: p"),
    "600p_2x": (InvalidArgument, "0040-00000338", "The value: 1200 of parameter: p"),
    "11x": (InvalidArgument, "", "parameter: x"),
    "30P": (InvalidArgument, "", "behind the name of a watermark's object"),
    "100w_4o.jpg": (InvalidArgument, "0040-00000348", "an integer from 0 to 2"),
    "361r": (InvalidArgument, "", "an integer from 0 to 360"),
    "200d": (InvalidArgument, "0040-00000248", "from -100 to 100"),
    "101b": (InvalidArgument, "", "from -100 to 100"),
    "49sh": (InvalidArgument, "", "an integer from 50 to 399"),
    "400sh": (InvalidArgument, "", "parameter: sh"),
    "100w_100h_120q": (InvalidArgument, "0040-00000351", "parameter: q"),
    "100w_100h_120Q": (InvalidArgument, "0040-00000352", "parameter: Q"),
    "lossyq": (InvalidArgument, "0040-00000201", "parameter: q"),
    "5pr": (InvalidArgument, "0040-00000353", "parameter: pr"),
    "5wh.jpg": (InvalidArgument, "0040-00000354", "parameter: wh"),
    "100w_10an.src": (InvalidArgument, "0040-00000344", "parameter: an"),
    "200w_100h_4e_100-200bgc": (InvalidArgument, "0040-00000332", "RED-GREEN-BLUE"),
    "200w_100h_4e_100-200-400bgc": (InvalidArgument, "0040-00000332", "from 0 to 255"),
    "100-50-100a": (InvalidArgument, "0040-00000205", "X-Y-WIDTH-HEIGHT"),
    "100-50-100-abca": (InvalidArgument, "0040-00000205", "parameter: a"),
    "100x100-1rc-1rc": (InvalidArgument, "0040-00000327", "WIDTHxHEIGHT-POSITION"),
    "axb-1rc": (InvalidArgument, "0040-00000327", "parameter: rc"),
    "100x100rc": (InvalidArgument, "0040-00000327", "parameter: rc"),
    "100x100-10rc": (InvalidArgument, "0040-00000328", "from 1 to 9"),
    "100x100-0rc": (InvalidArgument, "0040-00000328", "parameter: rc"),
    "100y100-10rc": (InvalidArgument, "0040-00000329", "parameter: rc"),
    "100x100x100-1rc": (InvalidArgument, "0040-00000330", "parameter: rc"),
    "ci": (InvalidArgument, "0040-00000235", "RADIUS-TYPE"),
    "100ci": (InvalidArgument, "0040-00000235", "parameter: ci"),
    "100-10ci": (InvalidArgument, "0040-00000234", "one of 0, 1, 2"),
    "5000-0ci": (InvalidArgument, "0040-00000236", "from 1 to 4096"),
    "a-0ci": (InvalidArgument, "0040-00000236", "parameter: ci"),
    "100x-0ic-0ic": (InvalidArgument, "0040-00000323", "SIZEx-INDEX"),
    "100xic": (InvalidArgument, "0040-00000323", "parameter: ic"),
    "100z-0ic": (InvalidArgument, "0040-00000325", "parameter: ic"),
    "5000y-0ic": (InvalidArgument, "0040-00000326", "from 1 to 4096"),
    "3-bl": (InvalidArgument, "0040-00000238", "RADIUS-SIGMA"),
    "300-2bl": (InvalidArgument, "0040-00000239", "from 1 to 50"),
    "3-51bl": (InvalidArgument, "", "from 1 to 50"),
    "100w.tiff": (InvalidArgument, "0040-00000206", "The value: tiff of parameter: format"),
    "100w.JPG": (InvalidArgument, "0040-00000206", "one of jpg"),
    "100w.": (InvalidArgument, "0040-00000206", "parameter: format"),
    "9w|8w|7w|6w|5w": (TooManyPipes, "", "Maximal number of pipes supported is 4"),
    "9w" + "|9w" * 5: (TooManyPipes, "", "has 6 parts"),
    "100w|info": (InvalidArgument, "", "info cannot be combined"),
    "exif|100w": (InvalidArgument, "", "exif cannot be combined"),
    "watermark3&object=cGFuZGEucG5n": (InvalidArgument, "0040-00000360", "KEY=VALUE"),
    "watermark=4&text=YQ": (InvalidArgument, "0040-00000360", "one of 1, 2, 3"),
    "watermark=&object=cGFuZGEucG5n&y=50": (InvalidArgument, "0040-00000371", "KEY=VALUE"),
    "watermark=1&object=cGFuZGEucG5n&y50": (InvalidArgument, "0040-00000371", "y50"),
    "watermark=1&object=cGFuZGEucG5n&y=zero": (InvalidArgument, "0040-00000371", "0 to 4096"),
    "watermark=1&object=cGFuZGEucG5n&foo=1": (InvalidArgument, "0040-00000371", "foo"),
    "watermark=1&object=cGFuZGEucG5n&t=200": (InvalidArgument, "0040-00000361", "0 to 100"),
    "watermark=1&object=cGFuZGEucG5n&x=5000": (InvalidArgument, "0040-00000362", "parameter: x"),
    "watermark=1&object=cGFuZGEucG5n&y=5000": (InvalidArgument, "0040-00000363", "parameter: y"),
    "watermark=1&object=cGFuZGEucG5n&voffset=5000": (InvalidArgument, "0040-00000364", "1000"),
    "watermark=1&object=cGFuZGEucG5n&p=10": (InvalidArgument, "0040-00000365", "from 1 to 9"),
    "watermark=1": (MissingArgument, "", "watermark=1 needs object"),
    "watermark=2": (MissingArgument, "0040-00000379", "watermark=2 needs text"),
    "watermark=3&text=YQ": (MissingArgument, "", "needs object"),
    "watermark=2&text=YQ&object=YQ": (InvalidArgument, "", "beside watermark=2"),
    "watermark=1&object=panda.png": (BadRequest, "0040-00000387", "Input is not base64 decoding."),
    "watermark=2&size=10&text=Hello!": (BadRequest, "0040-00000376", "parameter: text"),
    "watermark=2&text=YQ&type=a.b": (BadRequest, "", "parameter: type"),
    "watermark=2&text=" + b64("é" * 33): (InvalidArgument, "0040-00000377", "at most 64 bytes"),
    "watermark=2&size=0&text=YQ": (InvalidArgument, "0040-00000375", "from 1 to 1000"),
    "watermark=2&s=200&text=YQ": (InvalidArgument, "", "parameter: s"),
    "watermark=2&text=YQ&color=#000000": (BadRequest, "0040-00000384", "parameter: color"),
    "watermark=2&text=YQ&color=MDAwMDAw": (InvalidArgument, "0040-00000385", "#RRGGBB"),
    "watermark=2&text=YQ&color=I2ZmZmZmZw": (InvalidArgument, "0040-00000385", "#fffffg"),
    "watermark=2&text=YQ&order=10": (InvalidArgument, "0040-00000357", "parameter: order"),
    "watermark=2&text=YQ&align=5": (InvalidArgument, "0040-00000359", "parameter: align"),
    "watermark=2&text=YQ&interval=10000": (InvalidArgument, "0040-00000358", "interval"),
    "watermark=1&object=" + b64("panda.png@300P"): (InvalidArgument, "", "from 1 to 100"),
}
LATER = {
    # translated, and then refused where every process text is: what a watermark's object may be
    "watermark=1&object=" + b64("panda.png@9-1ci"): "circle is not supported",
    "watermark=1&object=" + b64("panda.png@50w_30b"): "bright is not supported",
    "watermark=2&text=YQ&type=YQ": "parameter: type",
}


def read(text):
    """What it means, in canonical words."""
    return str(process.parse(legacy.translate(text), Limits()))


@pytest.mark.parametrize("text", ITEMS)
def test_items(text):
    words = f"{ITEMS[text]}/" if ITEMS[text] else ""
    assert read(text) == f"image/auto-orient,0/{words}format,jpg"


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text):
    assert read(text) == TEXTS[text]


def test_what_a_translation_looks_like():
    text = "image/auto-orient,0/resize,m_fill,w_100,h_100,limit_0/format,jpg"
    assert legacy.translate("100w_100h_1e_1c.jpg") == text


@pytest.mark.parametrize("text", MARKS)
def test_watermarks(text):
    wanted = f"image/auto-orient,0/watermark,{MARKS[text]}/format,jpg"
    assert read(f"watermark={text}") == wanted


@pytest.mark.parametrize("name", OBJECTS)
def test_objects(name):
    made = process.parse(legacy.translate(f"watermark=1&object={b64(name)}"), Limits())
    (wanted,) = made.actions[1].needs()
    words = "/".join(map(str, wanted.actions))
    assert wanted.key + (f"?x-oss-process=image/{words}" if words else "") == OBJECTS[name]


@pytest.mark.parametrize("text", REFUSES, ids=lambda text: text[:50] or "nothing")
def test_refuses(text):
    kind, ec, part = REFUSES[text]
    with pytest.raises(kind) as caught:
        legacy.translate(text)
    assert type(caught.value) is kind
    assert caught.value.ec == ec
    assert part in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("text", LATER)
def test_refuses_with_the_new_words(text):
    with pytest.raises(OssError, match=LATER[text]):
        read(text)


# --- keys

SPLITS = {
    # key -> object, text
    "a.jpg@100w_100h_1e_1c.jpg": ("a.jpg", "100w_100h_1e_1c.jpg"),
    "a@b.jpg@info": ("a@b.jpg", "info"),
    "dir/a.jpg@100w|50h": ("dir/a.jpg", "100w|50h"),
    "a.jpg@watermark=2&text=YS9i/x": ("a.jpg", "watermark=2&text=YS9i/x"),
    "a.jpg@!thumb@9w": ("a.jpg@!thumb", "9w"),
    "a.jpg@!thumb": None,  # a style's
    "a.jpg@9w@!thumb": None,
    "a.jpg": None,
    "a.jpg@": None,
    "@9w": None,
}


@pytest.mark.parametrize("key", SPLITS)
def test_splits(key):
    found = legacy.split(Target("photos", key, (("x", "y"),)))
    wanted = SPLITS[key]
    assert (found and (found.key, found.process)) == (wanted and (wanted[0], "@" + wanted[1]))
    if found:
        assert (found.bucket, found.query[1:]) == ("photos", (("x", "y"),))
        assert not style.pure(found.process)  # source protection holds


def test_what_is_left_to_styles_is_one():
    found = style.split(Target("photos", "a.jpg@!thumb"), ("@!",))
    assert (found.key, found.process) == ("a.jpg", "style/thumb")
    assert style.pure(found.process)


def test_a_process_in_the_query_makes_the_key_mean_itself():
    assert legacy.split(Target("photos", "a.jpg@9w", (("x-oss-process", "image/info"),))) is None


def test_an_empty_process_in_the_query_is_none():
    found = legacy.split(Target("photos", "a.jpg@9w", (("x-oss-process", ""),)))
    assert (found.key, found.process) == ("a.jpg", "@9w")


def test_no_process_text_begins_with_the_mark():
    with pytest.raises(InvalidArgument):
        process.parse("@100w", Limits())


# --- styles


@pytest.mark.parametrize(
    ("content", "old"),
    [
        ("100w.jpg", True),
        ("0e_200w_200h_0c_0i_0o_90Q_1x.jpg", True),
        ("watermark=2&text=SGVsbG8gV29ybGQ", True),
        ("image/resize,w_100", False),
        ("image/resize,w_100|image/format,png", False),
        ("video/snapshot,t_0", False),
        ("style/x", False),
    ],
)
def test_contents_of_styles(content, old):
    assert legacy.is_old(content) is old
    assert legacy.renewed(content) == (legacy.translate(content) if old else content)


# --- any text

PIECES = st.sampled_from(
    "| _ . & = @ - x 0 1 9 100 -1 99999999999 １ lossless w h e l c p P i o r a rc ci ic bl sh b d "
    "q Q pr wh an bgc jpg src watermark=1 watermark=2 object= text= YQ cGFuZGEucG5nQDMwUA color= "
    "info exif \x00 é".split(" ")
)
ITEM = st.tuples(st.integers(-1, 400), st.sampled_from("w h e l c p x o r b d sh q Q pr".split()))


@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(PIECES, max_size=30).map("".join),
        st.lists(ITEM.map("{0[0]}{0[1]}".format), max_size=8).map("_".join),
        st.binary(max_size=40).map(
            lambda data: "watermark=1&object=" + base64.b64encode(data).decode()
        ),
    )
)
@example("\ud800w")
@example("watermark=1&object=" + b64("a@" + "9" * 200 + "w"))
def test_any_text_is_translated_or_refused(text):
    made = refused = None
    try:
        made = process.parse(legacy.translate(text), Limits())
    except OssError as error:
        refused = error
    if refused:
        assert refused.status == 400
    else:
        assert process.parse(str(made), Limits()) == made

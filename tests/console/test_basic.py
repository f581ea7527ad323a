"""Basic and advanced editing are of one text; an error stands under the word that has it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vipsgate.console import basic
from vipsgate.image import process
from vipsgate.image.actions import ACTIONS
from vipsgate.image.config import Limits
from vipsgate.image.params import encoded

LIMITS = Limits()
HELLO = encoded("Hello 图")
LOGO = encoded("logo.png?x-oss-process=image/resize,P_30")


def fields(text):
    return {name: value for name, value in basic.read(text, LIMITS)[0].items() if value}


@pytest.mark.parametrize(
    ("text", "said", "rest"),
    [
        ("image/resize,w_100", {"resize.w": "100"}, []),
        (
            "image/resize,m_fill,w_100,h_50,limit_0",
            {"resize.m": "fill", "resize.w": "100", "resize.h": "50", "resize.limit": "0"},
            [],
        ),
        ("image/quality,q_80/format,webp", {"quality.q": "80", "format.value": "webp"}, []),
        (
            f"image/watermark,text_{HELLO},g_nw",
            {"watermark.text": "Hello 图", "watermark.g": "nw"},
            [],
        ),
        (
            f"image/watermark,image_{LOGO}",
            {"watermark.image": "logo.png?x-oss-process=image/resize,P_30"},
            [],
        ),
        (
            "image/crop,w_9/resize,p_50/blur,r_3,s_2",
            {"resize.p": "50"},
            ["crop,w_9", "blur,r_3,s_2"],
        ),
        ("image/resize,w_9/resize,w_8", {"resize.w": "9"}, ["resize,w_8"]),
        ("image/format,src,1an", {"format.value": "src"}, ["format: 1an_"]),
        ("100w.jpg", {"resize.w": "100", "resize.limit": "0", "format.value": "jpg"}, None),
    ],
)
def test_reads(text, said, rest):
    found = fields(text)
    assert said.items() <= found.items()
    assert rest is None or basic.read(text, LIMITS)[1] == rest


@pytest.mark.parametrize(
    ("text", "change", "result"),
    [
        ("", {"resize.w": "100"}, "image/resize,w_100"),
        ("", {"resize.m": "fill"}, ""),
        ("image/resize,w_100", {"resize.w": "200"}, "image/resize,w_200"),
        ("image/resize,w_100", {"resize.w": ""}, ""),
        (
            "image/crop,w_9/resize,w_8/blur,r_3,s_2",
            {"resize.w": "7"},
            "image/crop,w_9/resize,w_7/blur,r_3,s_2",
        ),
        ("image/crop,w_9/resize,w_8", {"resize.w": ""}, "image/crop,w_9"),
        ("image/resize,w_9/resize,w_8", {"resize.w": "5"}, "image/resize,w_5/resize,w_8"),
        ("image/resize,w_9", {"format.value": "webp"}, "image/resize,w_9/format,webp"),
        (
            "image/resize,w_9",
            {"watermark.text": "Hello 图"},
            f"image/resize,w_9/watermark,text_{HELLO}",
        ),
        (
            f"image/watermark,text_{HELLO},voffset_9",
            {"watermark.g": "nw"},
            f"image/watermark,text_{HELLO},g_nw,voffset_9",
        ),
    ],
)
def test_writes(text, change, result):
    before = basic.read(text, LIMITS)[0] if text else {}
    assert basic.write(text, {**before, **change}, LIMITS) == result


WORDS = [
    "resize,w_100",
    "resize,m_pad,w_9,h_8,color_FF0000",
    "resize,l_100,limit_0",
    "crop,w_9,g_se",
    "sharpen,100",
    "auto-orient,0",
    "format,webp",
    "format,src,1an",
    "interlace,1",
    "quality,q_80",
    "quality,Q_70",
    "quality,lossless",
    "quality,90",
    "quality,q_lossless",
    "rotate,90",
    "circle,r_9",
    f"watermark,text_{HELLO},size_30,shadow_50",
    f"watermark,image_{LOGO},t_50,g_center",
    f"watermark,image_{LOGO},text_{HELLO},order_1,interval_3",
]


def few_marks(words):
    """No more pictures are laid on one than the limits allow."""
    return sum("image_" in word for word in words) <= LIMITS.watermarks


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).filter(few_marks))
def test_to_basic_and_back_changes_nothing(words):
    text = "image/" + "/".join(words)
    wanted = str(process.parse(text, LIMITS))
    assert basic.write(text, basic.read(text, LIMITS)[0], LIMITS) == wanted


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("image/resize,w_100/blurr,r_3", "blurr"),
        ("image/resize,w_99999", "w_99999"),
        ("image/resize,w_100,h_x/format,webp", "h_x"),
        ("image/crop,w_9|image/rotate,400", "400"),
        ("image/resize,m_fill", "resize,m_fill"),
        ("image/watermark,text_%%%", "text_%%%"),
        ("resize,w_100", "resize,w_100"),
        ("img/resize,w_100", "img"),
        ("image/format,jpeg2000", "jpeg2000"),
        ("image/", "image/"),
    ],
)
def test_an_error_stands_under_its_word(text, bad):
    problem = basic.check(text, LIMITS)
    assert problem
    assert text[problem.start : problem.end] == bad
    assert problem.message


@given(st.text(max_size=40))
@example("|")
def test_any_text_is_judged(text):
    problem = basic.check(f"image/{text}", LIMITS)
    if problem:
        assert 0 <= problem.start <= problem.end <= len(text) + len("image/")


def test_completion_knows_what_the_tables_know():
    assert basic.completions().keys() == ACTIONS.keys()
    assert basic.completions()["resize"]["w"] == "an integer from 0 to 16384"


def test_every_field_is_a_parameter():
    known = {
        basic.field_name(name, key) for name, keys in basic.completions().items() for key in keys
    }
    assert set(basic.names()) <= known

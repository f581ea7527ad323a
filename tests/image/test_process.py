"""The text of ``x-oss-process``: what it means, what is refused, that writing it back is stable."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import InvalidArgument, MissingArgument, OssError, TooManyPipes, Unimplemented
from vipsgate.image import process
from vipsgate.image.actions import ACTIONS
from vipsgate.image.config import Limits

LIMITS = Limits()

READS = {
    # text -> canonical
    "image/info": "image/info",
    "image/average-hue": "image/average-hue",
    "image/resize,w_100": "image/resize,w_100",
    "image/resize,w_200|image/format,png": "image/resize,w_200/format,png",
    # an empty action is passed over
    "image/resize,w_100/": "image/resize,w_100",
    "image//resize,w_1": "image/resize,w_1",
    "image///resize,w_9///rotate,90///": "image/resize,w_9/rotate,90",
    "image/resize,w_9/|image//crop/": "image/resize,w_9/crop",
    "image/info/": "image/info",
    "image//average-hue//": "image/average-hue",
    "video/snapshot,t_1/": "video/snapshot,t_1",
    "video//snapshot,t_1//": "video/snapshot,t_1",
    "image/watermark,text_QUJD/": "image/watermark,text_QUJD",
    "image/watermark,text_QUJD//rotate,90": "image/watermark,text_QUJD/rotate,90",
    "image/watermark,text_QUI/rotate,90": "image/watermark,text_QUI/rotate,90",
    "image/watermark,text_QQ/": "image/watermark,text_QQ",
    "image/watermark,text_QUI=//": "image/watermark,text_QUI",
    "image/watermark,text_QUJD,size_301/": "image/watermark,text_QUJD,size_301",
    # one behind Base64 that has need of it belongs to it
    "image/watermark,text_QUI/": "image/watermark,text_QUI_",
    "image/watermark,text_QUI//": "image/watermark,text_QUI_",
    "image/watermark,text_QUI//rotate,90": "image/watermark,text_QUI_/rotate,90",
    "image/watermark,text_Pz8/Pz8//": "image/watermark,text_Pz8_Pz8_",
    "image/crop|image/crop|image/crop|image/crop|image/crop|image/crop": "image" + "/crop" * 6,
    "image" + "/rotate,90" * 20: "image" + "/rotate,90" * 20,
    "image/quality,Q_80,q_90/resize,h_9,w_8": "image/quality,q_90,Q_80/resize,w_8,h_9",
    "image/auto-orient,1/format,jpeg/interlace,1": "image/auto-orient/format,jpg/interlace,1",
    "video/snapshot,m_fast,t_7000,f_jpg,w_800,h_600": "video/snapshot,t_7000,w_800,h_600,m_fast",
    "video/snapshot,t_0,f_png,w_0,h_0,ar_auto,x_1": "video/snapshot,t_0,f_png,ar_auto",
}
REFUSES = {
    # text -> class, EC, a part of the message
    "": (InvalidArgument, "", "image/, style/, video/ or sys/"),
    "resize,w_100": (InvalidArgument, "", "The value: resize,w_100 of parameter: x-oss-process"),
    "Image/resize,w_100": (InvalidArgument, "", "x-oss-process"),
    " image/info": (InvalidArgument, "", "x-oss-process"),
    "/image/info": (InvalidArgument, "", "x-oss-process"),
    "image/info|": (InvalidArgument, "", "x-oss-process"),
    "style": (InvalidArgument, "", "x-oss-process"),
    "image": (InvalidArgument, "0040-00000212", "needs an action"),
    "image/": (InvalidArgument, "0040-00000212", "needs an action"),
    "image/resize,w_1|image/": (InvalidArgument, "0040-00000212", "needs an action"),
    "image/slim,1": (InvalidArgument, "0040-00000213", "The action: slim is not supported"),
    "image//": (InvalidArgument, "0040-00000212", "needs an action"),
    "image/,": (InvalidArgument, "0040-00000213", "is not supported"),
    "image/resize,w_1/x/": (InvalidArgument, "0040-00000213", "x is not supported"),
    "image/Resize,w_1": (InvalidArgument, "0040-00000213", "Resize"),
    "image/resize,w_1/image/crop": (InvalidArgument, "0040-00000213", "image"),
    "image/" + "x" * 9000: (InvalidArgument, "0040-00000213", "x" * 64 + "... is not"),
    "image/resize,w_100/info": (InvalidArgument, "", "cannot be combined"),
    "image/info|image/resize,w_100": (InvalidArgument, "", "cannot be combined"),
    "image/info/info": (InvalidArgument, "", "cannot be combined"),
    "image/info,1": (InvalidArgument, "", "info takes no value"),
    "image" + "/crop" * 21: (InvalidArgument, "", "has 21 actions; it may have 20"),
    "image/crop|" * 6 + "image/crop": (
        *(TooManyPipes, "0040-00000211"),
        "Maximal number of pipes supported is 5",
    ),
    "|" * 70_000: (TooManyPipes, "0040-00000211", "there are 70000"),
    "style/thumb": (InvalidArgument, "", "x-oss-process"),  # the gate has not replaced it
    "video/": (InvalidArgument, "", "video/ expects snapshot"),
    "video/resize,w_1": (InvalidArgument, "", "resize is not supported. video/ expects snapshot"),
    "video/animation,f_gif": (Unimplemented, "", "video/animation"),
    "video/snapshot": (MissingArgument, "", "snapshot needs t"),
    "video/snapshot,w_800": (MissingArgument, "", "snapshot needs t"),
    "video/snapshot,t_-1": (InvalidArgument, "", "from 0 to 999999999"),
    "video/snapshot,t_7000,w_-800": (InvalidArgument, "0053-00000104", "to the video's width"),
    "video/snapshot,t_1,w_a": (InvalidArgument, "0053-00000104", "to the video's width"),
    "video/snapshot,t_1,h_-1": (InvalidArgument, "0053-00000105", "to the video's height"),
    "video/snapshot,t_1,f_webp": (InvalidArgument, "0053-00000107", "one of jpg, png"),
    "video/snapshot,t_1,m_slow": (InvalidArgument, "", "one of fast"),
    "video/snapshot,t_1,ar_h": (InvalidArgument, "", "one of auto"),
    "video/snapshot,t_1,t_2": (InvalidArgument, "", "given twice"),
    "video/snapshot,t_1/resize,w_9": (InvalidArgument, "", "cannot be combined"),
    "video/snapshot,t_1|image/resize,w_9": (InvalidArgument, "", "cannot be combined"),
    "image/resize,w_9|video/snapshot,t_1": (InvalidArgument, "", "cannot be combined"),
    "image/crop|sys/saveas,o_YQ": (InvalidArgument, "", "sys/saveas is for a POST"),
    "image/average-hue,1": (InvalidArgument, "", "average-hue takes no value"),
    "image/average-hue/resize,w_1": (InvalidArgument, "", "average-hue takes no value"),
    "image/average-hue/info": (InvalidArgument, "", "cannot be combined"),
}


def parse(text):
    return process.parse(text, LIMITS)


@pytest.mark.parametrize("text", READS)
def test_reads(text):
    assert str(parse(text)) == READS[text]
    assert parse(READS[text]) == parse(text)


@pytest.mark.parametrize("text", REFUSES, ids=lambda text: text[:40] or "nothing")
def test_refuses(text):
    kind, ec, part = REFUSES[text]
    with pytest.raises(kind) as caught:
        parse(text)
    assert caught.value.ec == ec
    assert part in caught.value.message
    assert len(caught.value.message) < 400


def test_limits_are_the_settings():
    few = Limits(actions=2, pipes=0)
    assert process.parse("image/crop/crop", few)
    for text in ("image/crop/crop/crop", "image/crop|image/crop"):
        with pytest.raises(OssError):
            process.parse(text, few)


def test_every_action_is_the_one_named():
    assert all(name == kind.name for name, kind in ACTIONS.items())
    assert not set(ACTIONS) & {*process.ANSWERS}


# --- any text

LEVEL = st.integers(1, 100)


def items(**kinds):
    """``key_value`` texts of some of the kinds, in any order; a kind without key is ``_``."""
    row = [
        st.one_of(st.just(None), kind.map(lambda v, k=key: v if k == "_" else f"{k}_{v}"))
        for key, kind in kinds.items()
    ]
    return st.tuples(*row).map(lambda got: [item for item in got if item]).flatmap(st.permutations)


def action(name, some):
    return some.map(lambda got: ",".join([name, *map(str, got)]))


SIDE = st.integers(0, 16384)
MORE = st.sampled_from(["r_1", "foo", "x-y_z", "_"])
VALID = st.one_of(
    action(
        "resize",
        st.tuples(
            st.sampled_from(["w_1", "h_16384", "l_7", "s_9", "p_50", "w_00012"]),
            items(
                m=st.sampled_from(["lfit", "mfit", "fill", "pad", "fixed"]),
                limit=st.integers(0, 1),
                color=st.from_regex(r"\A[0-9a-fA-F]{6}\Z"),
                unknown=MORE,
            ),
        ).map(lambda got: [*got[1], got[0]]),
    ),
    action(
        "crop",
        items(
            **dict.fromkeys("xywh", SIDE),
            g=st.sampled_from("nw north ne west center east sw south se".split()),
        ),
    ),
    st.integers(0, 360).map("rotate,{}".format),
    st.sampled_from(["auto-orient", "auto-orient,0", "auto-orient,1"]),
    st.sampled_from(["jpg", "jpeg", "png", "webp", "bmp", "gif", "tiff", "avif", "src,1an"]).map(
        "format,{}".format
    ),
    st.sampled_from(["interlace,0", "interlace,1"]),
    action(
        "quality",
        st.tuples(
            LEVEL.map("Q_{}".format),
            items(q=st.one_of(LEVEL, st.just("lossless")), _=st.just("lossless")),
        ).map(lambda got: [got[0], *got[1]]),
    ),
    LEVEL.map("quality,{}".format),
)


@settings(deadline=None)
@given(st.lists(VALID, min_size=1, max_size=20), st.data())
def test_canonical_text_is_a_fixed_point(words, data):
    text = "image/" + words[0]
    pipes = 0
    for word in words[1:]:
        piped = pipes < LIMITS.pipes and data.draw(st.booleans())
        text += ("|image/" if piped else "/") + word
        pipes += piped
    read = parse(text)
    assert len(read.actions) == len(words)
    assert parse(str(read)) == read
    assert str(parse(str(read))) == str(read)
    assert str(read).isascii()


PIECES = st.sampled_from(
    "image/ image style/ | / , _ resize crop rotate format quality auto-orient interlace info w_ "
    "h_ p_ m_ fill q_ Q_ g_se 1an lossless src jpg 0 1 90 360 99999999999 -1 1e3 １ ² é % + "
    "\x00".split()
)


WORDS = st.sampled_from(
    [*ACTIONS, "", "", "watermark,text_SGk", "watermark,image_YQ,", "info", ","]
)


@settings(deadline=None, max_examples=times(300))
@given(st.lists(WORDS, max_size=8))
@example(["watermark", "", "watermark"])
def test_empty_actions_anywhere_are_passed_over_or_the_rest_is_refused(words):
    try:
        read = parse("image/" + "/".join(words))
    except OssError:
        return
    assert read == parse(str(read))


@settings(deadline=None, max_examples=times(300))
@given(
    st.one_of(
        st.text(max_size=200),
        st.text(max_size=190).map("image/{}".format),
        st.lists(PIECES, max_size=40).map(lambda some: ("image/" + "".join(some))[:200]),
    )
)
@example("image/resize,w_" + "9" * 180)
@example("image/rotate,٣")
def test_any_text_is_read_or_refused(text):
    read = refused = None
    try:
        read = parse(text)
    except OssError as error:
        refused = error
    if refused:
        assert 400 <= refused.status < 500 or refused.code == "NotImplemented"
    else:
        assert parse(str(read)) == read

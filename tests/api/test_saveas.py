"""``sys/saveas`` and the body of a POST, as text."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.api.saveas import SaveAs, read_body, split
from vipsgate.errors import OssError

BODIES = {
    b"x-oss-process=image/resize,w_100": "image/resize,w_100",
    b"x-oss-process=image%2Fresize%2Cw_100%7Csys%2Fsaveas": "image/resize,w_100|sys/saveas",
    b"x-oss-process=image/watermark,text_a+b/c==\r\n": "image/watermark,text_a+b/c==",
    b"x-oss-process=style/a%20b": "style/a b",
}
REFUSED_BODIES = {
    b"": "InvalidRequest",
    b"image/resize,w_100": "InvalidRequest",
    b"x-oss-process": "InvalidRequest",
    b"x-oss-process=": "InvalidRequest",
    b"x-oss-async-process=image/crop": "InvalidRequest",
    b"x-oss-process=%ff": "InvalidArgument",
    b"x-oss-process=\xff": "InvalidArgument",
}


@pytest.mark.parametrize("body", BODIES)
def test_reads_a_body(body):
    assert read_body(body) == BODIES[body]


@pytest.mark.parametrize("body", REFUSED_BODIES)
def test_refuses_a_body(body):
    with pytest.raises(OssError) as caught:
        read_body(body)
    assert caught.value.code == REFUSED_BODIES[body]


SPLITS = {
    "image/crop": ("image/crop", None),
    "image/crop|image/resize,w_1": ("image/crop|image/resize,w_1", None),
    "image/crop|sys/saveas,o_dGVzdC5qcGc,b_dGVzdA": ("image/crop", SaveAs("test.jpg", "test")),
    "image/crop|sys/saveas,b_dGVzdA==,o_dGVzdC5qcGc=": ("image/crop", SaveAs("test.jpg", "test")),
    "style/a|image/crop|sys/saveas,o_5rmWL_8": None,
    "style/a|image/crop|sys/saveas,o_bWFkZS/opb/muZYuanBn": (
        "style/a|image/crop",
        SaveAs("made/西湖.jpg"),
    ),
    "style/a|sys/saveas,o_bWFkZS_opb_muZYuanBn,x_y": ("style/a", SaveAs("made/西湖.jpg")),
    # only at the end is it one; elsewhere the process itself is refused
    "image/crop|sys/saveas,o_YQ|image/crop": ("image/crop|sys/saveas,o_YQ|image/crop", None),
    "image/crop|sys/saveas,b_dGVzdA": "MissingArgument",
    "image/crop|sys/saveas": "MissingArgument",
    "image/crop|sys/saveas,o_": "MissingArgument",
    "image/crop|sys/saveas,o_@@": "BadRequest",
    "image/crop|sys/saveas,o_YQ,b_?": "BadRequest",
    "sys/saveas,o_YQ": "InvalidArgument",
    "|sys/saveas,o_YQ": "InvalidArgument",
}
SPLITS["style/a|image/crop|sys/saveas,o_5rmWL_8"] = "BadRequest"  # not UTF-8


@pytest.mark.parametrize("text", SPLITS)
def test_splits(text):
    if isinstance(SPLITS[text], str):
        with pytest.raises(OssError) as caught:
            split(text)
        assert caught.value.code == SPLITS[text]
    else:
        assert split(text) == SPLITS[text]


names = st.text(min_size=1)


@given(key=names, bucket=st.text(), safe=st.booleans(), padded=st.booleans())
def test_every_name_comes_back(key, bucket, safe, padded):
    def written(text):
        made = (base64.urlsafe_b64encode if safe else base64.b64encode)(text.encode()).decode()
        return made if padded else made.rstrip("=")

    text = f"image/crop|sys/saveas,o_{written(key)},b_{written(bucket)}"
    assert split(text) == ("image/crop", SaveAs(key, bucket))

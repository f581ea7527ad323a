"""Settings that leave a hole are told."""

import pytest

from vipsgate.buckets import Bucket
from vipsgate.console import holes
from vipsgate.image.config import Limits

GUARDED = {"enabled": True, "extensions": ["jpg"]}
SMALL = {"small": "image/resize,w_100"}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({}, []),
        ({"protection": GUARDED, "styles": SMALL}, []),
        ({"protection": {"enabled": True}, "styles": SMALL}, ["hole.covers_nothing"]),
        ({"protection": GUARDED}, ["hole.no_style"]),
        ({"acl": "public-read-write"}, ["hole.anybody_writes"]),
        ({"referer": {"whitelist": ["http://a"]}}, ["hole.empty_referer"]),
        ({"referer": {"whitelist": ["http://a"], "allow_empty": False}}, []),
        ({"referer": {"allow_empty": False}}, ["hole.empty_whitelist"]),
        ({"referer": {"blacklist": ["http://a"]}}, ["hole.blacklist_alone"]),
        ({"styles": {"all": "image/resize,p_100"}}, []),  # nothing is protected
    ],
    ids=str,
)
def test_of_settings(document, found):
    assert [hole.key for hole in holes.of(Bucket(**document), Limits())] == found


@pytest.mark.parametrize(
    ("text", "hole"),
    [
        ("image/resize,p_100", True),
        ("image/resize,w_5000", True),
        ("image/quality,q_100", True),
        ("image/format,png/auto-orient,1", True),
        ("image/rotate,0", True),
        ("image/resize,w_1000,limit_0", True),
        ("image/resize,w_100", False),
        ("image/resize,p_200/resize,w_50", False),
        ("image/blur,r_50,s_50", False),
        ("image/watermark,text_SGVsbG8", False),
        ("image/info", False),
        ("100w.jpg", False),
    ],
)
def test_a_style_that_gives_the_source(text, hole):
    bucket = Bucket(protection=GUARDED, styles={"s": text})
    assert (holes.Hole("hole.gives_all", "s") in holes.of(bucket, Limits())) is hole

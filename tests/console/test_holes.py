"""Settings that leave a hole are told."""

from base64 import urlsafe_b64encode

import pytest

from vipsgate.buckets import Bucket
from vipsgate.console import holes
from vipsgate.gate.access import Seen
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
        ("image/resize,p_200", True),
        ("image/resize,p_10/resize,w_1000,limit_0", False),  # large again, and blurred
        ("image/resize,m_pad,w_2000,h_2000,limit_0", True),
        ("image/crop,w_9000", True),
        ("image/crop,w_900", False),
        ("image/indexcrop,x_5000,i_0", True),
        ("image/bright,0/contrast,0", True),
        ("image/bright,1", False),
        ("image/rotate,90", True),
        ("image/circle,r_10", False),
        ("image/blur,r_50,s_50", False),
        ("image/watermark,text_SGVsbG8", False),
        ("image/info", False),
        ("100w.jpg", False),
    ],
)
def test_a_style_that_gives_the_source(text, hole):
    bucket = Bucket(protection=GUARDED, styles={"s": text})
    assert (holes.Hole("hole.gives_all", "s") in holes.of(bucket, Limits())) is hole


LOGO = urlsafe_b64encode(b"logo.png").decode().rstrip("=")
MARKED = {"marked": f"image/resize,w_100/watermark,image_{LOGO}", "plain": "image/resize,w_9"}
ALL = {"enabled": True, "extensions": ["*"]}


@pytest.mark.parametrize(
    ("acl", "protection", "logo", "hole"),
    [
        # of the bucket, what is protected, of the object; None where it is not there
        ("public-read", {}, "", ""),
        ("private", GUARDED, "", ""),
        ("public-read", GUARDED, "", "public"),
        ("private", GUARDED, "public-read", "public"),
        ("public-read", GUARDED, "private", ""),
        ("public-read", ALL, "", "protected"),
        ("private", ALL, "public-read", "protected"),
        ("private", ALL, "", ""),
        ("private", {}, None, "missing"),
        ("public-read", ALL, None, "missing"),
    ],
)
def test_of_watermark_objects(acl, protection, logo, hole):
    bucket = Bucket(acl=acl, protection=protection, styles=MARKED)
    assert holes.watermarks(bucket, Limits()) == {"marked": ("logo.png",)}
    objects = {"logo.png": None if logo is None else Seen("logo.png", logo, "image/png")}
    told = [item for item in holes.of(bucket, Limits(), objects) if item.object]
    expected = [holes.Hole(f"hole.watermark_{hole}", "marked", "logo.png")] if hole else []
    assert told == expected
    assert not [item for item in holes.of(bucket, Limits()) if item.object]  # nobody has looked

"""Source image protection: what is covered, and every way round it that was thought of."""

import pytest

from vipsgate.buckets import Bucket, Protection, ProtectionRule
from vipsgate.errors import AccessDenied
from vipsgate.gate import access, protection, sign
from vipsgate.gate.target import Target


def rules(*found, extensions=()):
    made = tuple(ProtectionRule(**rule) for rule in found)
    return Protection(enabled=True, extensions=extensions, rules=made)


JPG, ALL = rules(extensions=("jpg",)), rules(extensions=("*",))
BOTH = rules({"prefix": "img/", "suffix": ".png"})
COVERS = [
    (JPG, "a.jpg", True),
    (JPG, "a.JPG", True),
    (JPG, "dir.d/a.b.jpg", True),
    (rules(extensions=(".JPG",)), "a.jpg", True),
    (JPG, "a.jpeg", False),
    (JPG, "jpg", False),
    (JPG, "a.jpg.png", False),  # the bytes' own name; it is another object
    (JPG, "a.png", False),
    (Protection(extensions=("jpg",)), "a.jpg", False),  # not enabled
    (ALL, "a.webp", True),
    (ALL, "a.HEIC", True),
    (ALL, "a.txt", False),
    (BOTH, "img/a.png", True),  # row 106
    (BOTH, "img/a.jpg", False),
    (BOTH, "Img/a.png", False),
    (BOTH, "x/img/a.png", False),
    (rules({"suffix": ".JPG", "case_insensitive": True}), "a.jpg", True),  # row 107
    (rules({"suffix": ".JPG"}), "a.jpg", False),
    (rules({"prefix": "a/"}, {"prefix": "b/"}), "b/x", True),
]


@pytest.mark.parametrize(("settings", "key", "covered"), COVERS)
def test_covers(settings, key, covered):
    assert protection.covers(settings, key) is covered


@pytest.mark.parametrize("rule", [{}, {"case_insensitive": True}])
def test_a_rule_says_something(rule):
    with pytest.raises(ValueError, match="a prefix, a suffix, or both"):
        ProtectionRule(**rule)


ANYONE = access.Grant(Bucket(acl="public-read", protection=JPG), None)
SIGNED = access.Grant(ANYONE.bucket, sign.Credential("a", "b"))
DENIED = [
    # process, keys that are laid on it
    *(("a.jpg", process, ()) for process in ("", "image/info", "image/average-hue")),
    *(("a.jpg", process, ()) for process in ("image/resize,w_1", "image/format,src")),
    ("a.jpg", "style/s|image/crop", ()),
    ("a.jpg", "image/crop|style/s", ()),
    ("a.jpg", "style/s|style/s", ()),
    ("a.png", "image/watermark,image_YS5qcGc", ("a.jpg",)),
    ("a.png", "style/s|image/watermark,image_YS5qcGc", ("b.png", "a.jpg")),
]
SEEN = [("a.jpg", "style/s", ()), ("a.png", "", ()), ("a.png", "style/s", ("a.jpg",))]


def check(grant, asked, needs):
    for key in (asked.key, *needs):
        access.check_source(grant, asked, key)


@pytest.mark.parametrize(("key", "process", "needs"), DENIED)
def test_anonymous_callers_are_kept_out(key, process, needs):
    asked = Target("photos", key, (("x-oss-process", process),) if process else ())
    with pytest.raises(AccessDenied) as caught:
        check(ANYONE, asked, needs)
    assert caught.value.ec == "0040-00000031"
    check(SIGNED, asked, needs)


@pytest.mark.parametrize(("key", "process", "needs"), SEEN)
def test_what_anyone_may_see(key, process, needs):
    check(ANYONE, Target("photos", key, (("x-oss-process", process),)), needs)


@pytest.mark.parametrize(
    ("settings", "key", "kind", "covered"),
    [
        (ALL, "photo", "image/jpeg", True),
        (ALL, "photo", "IMAGE/x-odd", True),
        (ALL, "photo", "text/html", False),
        (ALL, "photo", "", False),
        (JPG, "photo", "image/jpeg", False),  # only * speaks of all pictures
    ],
)
def test_a_picture_by_its_type_under_another_name(settings, key, kind, covered):
    assert protection.covers(settings, key, kind) is covered

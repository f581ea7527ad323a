"""Source image protection: what is covered, and every way round it that was thought of."""

import pytest

from vipsgate.buckets import Bucket, Protection, ProtectionRule
from vipsgate.errors import AccessDenied
from vipsgate.gate import access, protection, sign
from vipsgate.gate.access import Seen
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
    *((BOTH, f"img{mark}a.png", True) for mark in ("\\", "\\\\", "\\/", "/\\")),  # for SeaweedFS
    (BOTH, "x\\img/a.png", False),
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


def check(grant, asked, needs=(), **facts):
    for key in (asked.key, *needs):
        access.check_source(grant, asked, Seen(key, **facts))


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


FACTS = [
    # settings, what is known besides the name, covered
    (ALL, {"kind": "image/jpeg"}, True),
    (ALL, {"kind": " IMAGE/x-odd"}, True),
    (ALL, {"kind": "image/svg+xml"}, True),
    (ALL, {"kind": "text/html"}, False),
    (ALL, {"kind": "imagery/x"}, False),
    (ALL, {}, False),
    (ALL, {"picture": True}, True),
    (ALL, {"picture": True, "kind": "text/plain"}, True),
    (rules(extensions=(".*",)), {"picture": True}, True),
    (JPG, {"kind": "image/jpeg"}, False),  # only * speaks of all pictures
    (JPG, {"picture": True}, False),
    (Protection(extensions=("*",)), {"picture": True, "kind": "image/png"}, False),  # not enabled
    # the names that a symlink leads to
    (JPG, {"aliases": ("a.jpg",)}, True),
    (JPG, {"aliases": ("b", "a.JPG", "c.png")}, True),
    (JPG, {"aliases": ("a.png",)}, False),
    (ALL, {"aliases": ("a.webp",)}, True),
    (BOTH, {"aliases": ("img/a.png",)}, True),
    (BOTH, {"aliases": ("img/a", "x/a.png")}, False),  # each name by itself
]


@pytest.mark.parametrize(("settings", "facts", "covered"), FACTS, ids=repr)
def test_facts_beside_the_name(settings, facts, covered):
    assert protection.covers(settings, "photo", **facts) is covered
    grant = access.Grant(Bucket(acl="public-read", protection=settings), None)
    asked = Target("photos", "photo")
    if covered:
        with pytest.raises(AccessDenied):
            check(grant, asked, **facts)
    else:
        check(grant, asked, **facts)
    check(access.Grant(grant.bucket, SIGNED.caller), asked, **facts)
    check(grant, Target("photos", "photo", (("x-oss-process", "style/s"),)), **facts)


PROCESSES = (
    *("image/resize,w_1", "image/info", "image/average-hue", "video/snapshot,t_0", "nonsense"),
    *("style/s|image/info", "image/crop|style/s", "style/s|sys/saveas,o_YQ", "legacy:100w", " "),
)


@pytest.mark.parametrize("key", ["a", "a.txt", "a.jpg.bak", "a.mp4"])
@pytest.mark.parametrize("process", PROCESSES)
def test_with_all_pictures_protected_a_process_is_for_one(key, process):
    asked = Target("photos", key, (("x-oss-process", process),))
    grant = access.Grant(Bucket(acl="public-read", protection=ALL), None)
    with pytest.raises(AccessDenied) as caught:
        check(grant, asked)
    assert (caught.value.ec, caught.value.rule) == ("0040-00000031", "protection")
    check(access.Grant(Bucket(acl="public-read", protection=JPG), None), asked)
    check(access.Grant(grant.bucket, SIGNED.caller), asked)


ASKS = [
    # settings, caller, key, process, kind, whether the first bytes have to be read
    (ALL, None, "a", "", "", True),
    (ALL, None, "a.txt", "", "text/plain", True),
    (ALL, None, "a.jpg", "", "", False),
    (ALL, None, "a", "", "image/png", False),
    (ALL, None, "a", "style/s", "", False),
    (ALL, None, "a", "image/info", "", False),
    (ALL, SIGNED.caller, "a", "", "", False),
    (JPG, None, "a", "", "", False),
    (Protection(), None, "a", "", "", False),
    (Protection(extensions=("*",)), None, "a", "", "", False),
]


@pytest.mark.parametrize(("settings", "caller", "key", "process", "kind", "asks"), ASKS)
def test_when_bytes_are_read(settings, caller, key, process, kind, asks):
    grant = access.Grant(Bucket(acl="public-read", protection=settings), caller)
    query = (("x-oss-process", process),) if process else ()
    assert access.asks_bytes(grant, Target("photos", key, query), Seen(key, kind=kind)) is asks

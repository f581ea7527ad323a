"""Which rule stops whom: a table of buckets, objects and what is asked for."""

import pytest

from vipsgate.buckets import Bucket
from vipsgate.errors import RULES, NoSuchKey
from vipsgate.gate.access import Seen
from vipsgate.gate.simulate import CALLERS, verdicts
from vipsgate.gate.target import PROCESS, Target

PUBLIC, PRIVATE = Bucket(acl="public-read"), Bucket(acl="private")
PROTECTED = Bucket(acl="public-read", protection={"enabled": True, "extensions": ["jpg"]})
CLOSED = Bucket(acl="private", protection={"enabled": True, "extensions": ["*"]})
STARRED = Bucket(acl="public-read", protection={"enabled": True, "extensions": ["*"]})
STRANGER = ("anonymous", "protection")
GUARDED = Bucket(acl="public-read", referer={"allow_empty": False, "whitelist": ["http://a"]})
JPEG, LOGO = Seen("a.jpg"), Seen("logo.png")
ALL = "anonymous reader writer owner"
ROWS = [
    # bucket, process, objects, Referer, who is stopped, by which rule
    (PUBLIC, "", [JPEG], "", "", ""),
    (PRIVATE, "", [JPEG], "", "anonymous", "bucket-acl"),
    (PRIVATE, "", [Seen("a.jpg", "public-read")], "", "", ""),
    (PUBLIC, "", [Seen("a.jpg", "private")], "", "anonymous", "object-acl"),
    (PROTECTED, "", [JPEG], "", "anonymous", "protection"),
    (PROTECTED, "image/resize,w_1", [JPEG], "", "anonymous", "protection"),
    (PROTECTED, "style/thumb", [JPEG], "", "", ""),
    (PROTECTED, "style/thumb|image/resize,w_1", [JPEG], "", "anonymous", "protection"),
    (PROTECTED, "", [LOGO], "", "", ""),
    (PROTECTED, "image/watermark", [LOGO, JPEG], "", "anonymous", "protection"),
    (PROTECTED, "style/thumb", [LOGO, JPEG], "", "", ""),
    (PUBLIC, "image/watermark", [JPEG, Seen("logo.png", "private")], "", "anonymous", "object-acl"),
    (PUBLIC, "", [Seen("a", link=Seen("b", "private"))], "", "anonymous", "object-acl"),
    (PROTECTED, "", [Seen("a", link=Seen("b.jpg"))], "", "anonymous", "protection"),
    (PUBLIC, "style/thumb", [Seen("a", link=Seen("b", "private"))], "", "anonymous", "object-acl"),
    (PUBLIC, "style/thumb", [JPEG, Seen("logo.png", "private")], "", "", ""),
    (CLOSED, "", [Seen("a", kind="image/jpeg")], "", "anonymous", "bucket-acl"),
    (CLOSED, "", [Seen("a.jpg")], "", "anonymous", "protection"),
    (CLOSED, "", [Seen("a", "public-read", "image/jpeg")], "", "anonymous", "protection"),
    # with * a picture is one whatever it is called, and a process is for one
    (STARRED, "", [Seen("a")], "", "", ""),
    (STARRED, "", [Seen("a", picture=True)], "", "anonymous", "protection"),
    (STARRED, "", [Seen("a", aliases=("a.png",))], "", "anonymous", "protection"),
    (STARRED, "image/info", [Seen("a")], "", "anonymous", "protection"),
    (STARRED, "style/thumb", [Seen("a", picture=True)], "", "", ""),
    (PROTECTED, "", [Seen("a", aliases=("b", "a.jpg"))], "", "anonymous", "protection"),
    (PROTECTED, "image/watermark", [LOGO, Seen("b", aliases=("a.jpg",))], "", *STRANGER),
    (GUARDED, "", [JPEG], "", ALL, "referer"),
    (GUARDED, "", [JPEG], "http:a/page", ALL, "referer"),
    (GUARDED, "", [JPEG], "http://a\\.a/page", ALL, "referer"),
    (GUARDED, "", [JPEG], "http://b/", ALL, "referer"),
    (GUARDED, "", [JPEG], "http://a/page", "", ""),
]


@pytest.mark.parametrize(("bucket", "text", "objects", "referer", "stopped", "rule"), ROWS)
def test_which_callers_each_rule_stops(bucket, text, objects, referer, stopped, rule):
    query = ((PROCESS, text),) if text else ()
    found = verdicts(Target("photos", objects[0].key, query), bucket, objects, referer)
    assert [*found] == [*CALLERS] == ALL.split()
    assert " ".join(who for who, error in found.items() if error) == stopped
    assert {error.rule for error in found.values() if error} == ({rule} if rule else set())
    assert rule in (*RULES, "")


def test_of_what_is_not_there_nothing_is_told_to_strangers():
    asked, missing = Target("photos", "a.jpg"), NoSuchKey("none")
    found = verdicts(asked, PRIVATE, (), missing=missing)
    assert found.pop("anonymous").rule == "bucket-acl"
    assert set(found.values()) == {missing}
    assert set(verdicts(asked, PUBLIC, (), missing=missing).values()) == {missing}
    assert verdicts(asked, PROTECTED, (), missing=missing)["anonymous"].rule == "protection"


def test_overrides_are_recognised_by_their_exact_spelling():
    asked = Target("photos", "a.jpg", (("Response-Content-Type", "text/html"),))
    found = verdicts(asked, PUBLIC, [JPEG])
    assert {error.code for error in found.values()} == {"InvalidArgument"}
    asked = Target("photos", "a.jpg", (("response-content-type", "text/html"),))
    found = verdicts(asked, PUBLIC, [JPEG])
    assert found.pop("anonymous").code == "InvalidRequest"
    assert set(found.values()) == {None}

"""URLs signed as for Alibaba Cloud CDN: right ones open one object, all others are 403."""

import contextlib
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.buckets import Bucket, CdnSigning, Protection
from vipsgate.errors import OssError
from vipsgate.gate import access
from vipsgate.gate.access import Seen
from vipsgate.gate.sign import CdnKey, cdn, sign_url
from vipsgate.gate.target import PROCESS, Target, resolve

NOW, KEY, OTHER = 1767225600.0, "aliyuncdnexp1234", "otherkey5678"
BUCKET, HOST = "photos", "img.example.com"
KINDS = ("A", "B", "C")
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def rules(kind, key=KEY, **more):
    return CdnSigning(type=kind, key=key, **more)


def made(kind, key, *, now=NOW, expires=60, within=True, secret=KEY, **more):
    """The request target of a signed URL, and the Host that it is sent to."""
    text = sign_url(
        CdnKey(kind, secret),
        BUCKET,
        key,
        now=now,
        expires=expires,
        endpoint=f"http://{HOST}",
        bucket_in_path=within,
        **more,
    )
    url = urlsplit(text)
    return f"{url.path}?{url.query}" if url.query else url.path, "" if within else HOST


def check(kind, line, host="", *, now=NOW, **more):
    target = resolve(line, host, {HOST: BUCKET}, "")
    assert target.bucket == BUCKET
    return cdn.check(rules(kind, **more), target, line, now)


def denied(kind, line, host="", **more):
    with pytest.raises(OssError) as caught:
        check(kind, line, host, **more)
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")
    return caught.value


VECTORS = {  # of Alibaba's guide, Type A, B and C signing
    "A": ("/video/standard/1K.html", "1444435200", ("0", "0"), "80cd3862d699b7118eed99103f2a3a4f"),
    "B": (
        *("/4/44/44c0909bcfc20a01afaf256ca99a8b8b.mp3", "201508150800", ()),
        "9044548ef1527deadafa49a890a377f0",
    ),
    "C": ("/test.flv", "55CE8100", (), "a37fa50a5fb8f71214b1e7c95ec7a1bd"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_guides_examples(kind):
    path, time, words, expected = VECTORS[kind]
    assert cdn.digest(kind, KEY, path, time, words) == expected
    lines = {
        "A": [f"{path}?auth_key={time}-0-0-{expected}"],
        "B": [f"/{time}/{expected}{path}"],
        "C": [f"/{expected}/{time}{path}", f"{path}?KEY1={expected}&KEY2={time}"],
    }
    for line in lines[kind]:
        now = {"A": 1444435200, "B": 1439596800, "C": 0x55CE8100}[kind]  # B: 08:00 in Beijing
        assert check(kind, line, HOST, now=now + 1800) == Target(BUCKET, path[1:])
        assert denied(kind, line, HOST, now=now + 1801).rule == "expired"


@pytest.mark.parametrize("within", [True, False], ids=["path", "host"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=times(100), deadline=None)
@given(name=NAMES, expires=st.integers(1, 10**6))
def test_what_is_signed_is_verified_and_nothing_else(kind, within, name, expires):
    key = f"a/{name}"
    try:
        line, host = made(kind, key, expires=expires, within=within)
        target = resolve(line, host, {HOST: BUCKET}, "")
    except OssError:
        return  # no object has this name
    assert cdn.check(rules(kind), target, line, NOW) == Target(BUCKET, key)
    assert cdn.check(rules(kind), target, line, NOW + expires) == Target(BUCKET, key)
    denied(kind, line, host, now=NOW + expires + 60)
    denied(kind, line, host, key=OTHER)
    assert check(kind, line, host, key=OTHER, backup_key=KEY) == Target(BUCKET, key)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=times(200), deadline=None)
@given(data=st.data())
def test_a_changed_url_opens_nothing(kind, data):
    """One sign of it is another one: then it is 403, or has nothing of a signature any more."""
    line, _ = made(kind, "folder/cat 1.jpg")
    at = data.draw(st.integers(len(BUCKET) + 2, len(line) - 1))
    new = data.draw(st.sampled_from("0123456789abcdefgXYZ-/_.%?&=").filter(lambda s: s != line[at]))
    changed = line[:at] + new + line[at + 1 :]
    with contextlib.suppress(OssError):
        target = resolve(changed, "", {}, "")
        found = cdn.check(rules(kind), target, changed, NOW)
        assert found is None or found == Target(BUCKET, "folder/cat 1.jpg")


def test_the_bucket_s_way_is_no_other_object():
    """``/photos/cat.jpg`` is ``cat.jpg`` here, and ``photos/cat.jpg`` on the bucket's own host."""
    for kind in KINDS:
        line, _ = made(kind, "cat.jpg")
        if kind == "A":
            denied(kind, line, HOST)
        else:  # not even read as a signature
            assert check(kind, line, HOST) is None
        inner, _ = made(kind, "cat.jpg", within=False)
        assert check(kind, f"/{BUCKET}{inner}") == Target(BUCKET, "cat.jpg")


@pytest.mark.parametrize("spelling", ["/a%20b%2Fc.jpg", "/a%20b/c.jpg", "/%61%20b/c.jpg"])
def test_a_path_is_taken_as_it_was_sent(spelling):
    time = f"{int(NOW):010d}"
    value = f"{time}-x-0-{cdn.digest('A', KEY, spelling, time, ('x', '0'))}"
    assert check("A", f"{spelling}?auth_key={value}", HOST).key == "a b/c.jpg"
    denied("A", f"/a%20b/c.jp%67?auth_key={value}", HOST) if "%2F" in spelling else None


def test_bytes_that_are_no_ascii_are_signed_by_nobody():
    """MD5 of a secret and a text goes on behind it, with the padding of its last block."""
    raw = "/a\udc80b.jpg"
    time = "202601010800"
    mark = cdn.md5(f"{KEY}{time}".encode() + b"/a\x80b.jpg", usedforsecurity=False).hexdigest()
    target = Target(BUCKET, f"{time}/{mark}/a\ufffdb.jpg")
    with pytest.raises(OssError, match="does not match"):
        cdn.check(rules("B"), target, f"/{time}/{mark}{raw}", NOW)


WRONG = {
    "A": [
        *("auth_key=", "auth_key", "auth_key=1", "auth_key=1767225600-0-0-", "auth%5Fkey=1"),
        "auth_key=1767225600-a-b-0-00000000000000000000000000000000",
        "auth_key=17672256000-0-0-00000000000000000000000000000000",
        "auth_key=1767225600-0-0-0000000000000000000000000000000G",
        "auth_key=1&auth_key=1",
    ],
    "C": [
        *("KEY1=", "KEY2=69559980", "KEY1=00000000000000000000000000000000"),
        "KEY1=00000000000000000000000000000000&KEY2=6955998",
        "KEY1=0&KEY1=0",
    ],
}


@pytest.mark.parametrize(
    ("kind", "query"), [(kind, query) for kind, rows in WRONG.items() for query in rows]
)
def test_a_signature_is_whole_or_it_is_403(kind, query):
    assert denied(kind, f"/{BUCKET}/a.jpg?{query}").rule == "cdn-signature"
    other = "C" if kind == "A" else "A"
    assert check(other, f"/{BUCKET}/a.jpg?{query}") is None


def test_signed_twice():
    line, _ = made("C", "a.jpg")
    assert "more than one way" in denied("C", f"{line}?KEY1=0&KEY2=0").message


@pytest.mark.parametrize("time", ["202613010800", "202602300800", "202601012500", "000101010000"])
def test_a_time_that_there_is_not(time):
    line = f"/{time}/{cdn.digest('B', KEY, '/a.jpg', time)}/a.jpg"
    assert denied("B", line, HOST).status == 403


@pytest.mark.parametrize("kind", KINDS)
def test_no_bucket_understands_another_type_or_none(kind):
    line, _ = made(kind, "a.jpg")
    for other in ("", *KINDS):
        if other != kind:
            chosen = rules(other) if other else CdnSigning()
            assert cdn.check(chosen, resolve(line, "", {}, ""), line, NOW) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_signed(kind):
    with pytest.raises(ValueError, match="GET and HEAD"):
        made(kind, "a.jpg", method="PUT")
    with pytest.raises(ValueError, match="expires"):
        made(kind, "a.jpg", expires=10**12)


# -- what it opens ---------------------------------------------------------------------------------

PRIVATE = Bucket(styles={"small": "image/resize,w_9"})
GUARDED = PRIVATE.model_copy(update={"protection": Protection(enabled=True, extensions=("jpg",))})


def grant(bucket=PRIVATE, query=(), headers=None, call="GetObject"):
    return access.by_cdn(Target(BUCKET, "a.jpg", tuple(query)), headers or {}, bucket, call)


def passes(bucket, process, *objects):
    target = Target(BUCKET, "a.jpg", ((PROCESS, process),) if process else ())
    try:
        access.check_objects(grant(bucket), target, objects)
    except OssError as error:
        return error.rule
    return ""


A, LAID, SHOWN = Seen("a.jpg"), Seen("secret.jpg"), Seen("logo.png", acl="public-read")


@pytest.mark.parametrize(
    ("bucket", "process", "objects", "rule"),
    [
        (PRIVATE, "", (A,), ""),
        (PRIVATE, "", (replace(A, acl="private"),), ""),
        (PRIVATE, "image/resize,w_9", (A,), ""),
        (PRIVATE, "", (replace(A, link=Seen("b.jpg", acl="private")),), ""),
        # the query is signed by nobody: another object is one that anybody may read
        (PRIVATE, "image/watermark,image_c2VjcmV0LmpwZw", (A, LAID), "bucket-acl"),
        (PRIVATE, "image/watermark,image_bG9nby5wbmc", (A, SHOWN), ""),
        (PRIVATE, "image/watermark,image_bG9nby5wbmc", (A, SHOWN, LAID), "bucket-acl"),
        # a style is the owner's
        (PRIVATE, "style/small", (A, LAID), ""),
        # and a protected source is seen through styles only, however it is asked for
        (GUARDED, "", (A,), "protection"),
        (GUARDED, "image/resize,w_9", (A,), "protection"),
        (GUARDED, "style/small|image/resize,w_9", (A,), "protection"),
        (GUARDED, "style/small", (A,), ""),
    ],
)
def test_it_opens_the_object_that_it_names(bucket, process, objects, rule):
    assert passes(bucket, process, *objects) == rule


def test_it_opens_no_other_call_and_no_override():
    for call in ("GetObjectACL", "PutObject", "PostProcess", "GetObjectMeta", "ListObjects"):
        with pytest.raises(OssError, match="GetObject and HeadObject"):
            grant(call=call)
    with pytest.raises(OssError, match="anonymous"):
        grant(query=[("response-content-type", "text/html")])
    for more in ({"headers": {"authorization": "OSS a:b"}}, {"query": [("Signature", "x")]}):
        with pytest.raises(OssError, match="more than one way"):
            grant(**more)


def test_who_may_keep_it():
    assert grant().took_signature(A)
    assert not grant().took_signature(SHOWN)
    assert not grant(Bucket(acl="public-read")).took_signature(A)


def test_a_key_is_not_shown():
    assert KEY not in repr(rules("A")) + repr(CdnKey("A", KEY)) + repr(
        Bucket(cdn_signing=rules("B"))
    )

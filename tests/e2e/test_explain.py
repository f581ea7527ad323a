"""``GET /explain/...`` on the admin port tells what the public port does, and why."""

import http.client
import json
import time
from contextlib import closing

import pytest
from support.console import session_of

from vipsgate.gate import sign

BUCKET, KEY = "examplebucket", "example.jpg"
OWNER = sign.Credential("key1", "secret1")
CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.examplebucket]
acl = "public-read"
separators = ["!"]
[buckets.examplebucket.styles]
small = "image/resize,w_40"
marked = "image/watermark,image_cGFuZGEucG5n"
[buckets.examplebucket.protection]
enabled = true
extensions = ["png"]
[buckets.starred]
acl = "public-read"
separators = ["!"]
styles.small = "image/resize,w_40"
protection = { enabled = true, extensions = ["*"] }
[buckets.guarded]
acl = "private"
[buckets.guarded.referer]
allow_empty = false
whitelist = ["http://a"]
"""
CALLERS = ["request", "anonymous", "reader", "writer", "owner"]


@pytest.fixture(scope="module")
def site(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    (folder / "vipsgate.toml").write_text(CONFIG)
    (root / "guarded").mkdir(exist_ok=True)
    (root / "guarded" / KEY).write_bytes((root / BUCKET / KEY).read_bytes())
    (root / "starred").mkdir(exist_ok=True)
    for name, data in {"a.dat": (root / BUCKET / KEY).read_bytes(), "note": b"a note"}.items():
        (root / "starred" / name).write_bytes(data)
    for name, aim in {"link": "a.dat", "to-note": "note", "to-jpg": "named.jpg"}.items():
        (root / "starred" / name).symlink_to(aim)
    (root / "starred" / "named.jpg").write_bytes(b"no picture, but for its name")
    with serving(root, "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture(scope="module", autouse=True)
def cookies(site):
    """Of an owner who has logged in at the console."""
    SESSION.update(session_of(site, "key1", "secret1"))


SESSION = {}


def explained(site, target, **headers):
    with closing(http.client.HTTPConnection(site.host, site.admin_port, timeout=10)) as link:
        link.request("GET", f"/explain{target}", headers={**SESSION, **headers})
        answer = link.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        return json.loads(answer.read())


def stopped(said):
    assert [*said["access"]] == CALLERS
    return {who: found["rule"] for who, found in said["access"].items() if not found["allowed"]}


def test_a_chain_and_its_plan(site):
    target = f"/{BUCKET}/{KEY}?x-oss-process=image/resize,w_200|image/rotate,90/format,webp"
    said = explained(site, target)
    assert said["target"] == {
        "bucket": BUCKET,
        "key": KEY,
        "process": "image/resize,w_200|image/rotate,90/format,webp",
    }
    assert said["process"]["text"] == "image/resize,w_200/rotate,90/format,webp"
    assert said["process"]["chain"] == ["resize,w_200", "rotate,90", "format,webp"]
    plan = said["plan"]
    assert (plan["source"]["width"], plan["source"]["height"]) == (400, 267)
    sizes = [(stage["action"], stage["to"]) for stage in plan["stages"]]
    assert ("resize,w_200", "200x134") in sizes
    assert ("rotate,90", "134x200") in sizes
    assert plan["memory"] > 1 << 20
    result = plan["result"]
    assert (result["format"], result["width"], result["height"]) == ("webp", 134, 200)
    assert said["refused"] is None
    assert stopped(said) == {}
    picture = site.ask(target)
    assert (picture.etag, picture.picture.size) == (said["etag"], (134, 200))


@pytest.mark.parametrize(
    ("target", "process", "keys"),
    [
        (f"/{BUCKET}/alpha.png!small", "image/resize,w_40", ["alpha.png"]),
        (f"/{BUCKET}/{KEY}?x-oss-process=style/marked", None, [KEY, "panda.png"]),
        (f"/{BUCKET}/{KEY}?x-oss-process=image/info", "image/info", [KEY]),
        (f"/{BUCKET}/{KEY}", "", [KEY]),
    ],
)
def test_styles_answers_and_objects_as_they_are(site, target, process, keys):
    said = explained(site, target)
    assert said["refused"] is None
    assert [item["key"] for item in said["objects"]] == keys
    assert process in (None, said["process"]["text"])
    assert (said["plan"] is None) == (process == "")
    assert stopped(said) == {}
    assert site.ask(target).status == 200


REFUSED = [
    # target, what stops everybody, and the rule that stops some
    (f"/{BUCKET}/alpha.png?x-oss-process=image/resize,w_9", "", "protection"),
    (f"/guarded/{KEY}", "", "referer"),
    (f"/{BUCKET}/{KEY}?x-oss-process=image/resize,w_0", "InvalidArgument", ""),
    (f"/{BUCKET}/{KEY}?x-oss-process=style/none", "NoSuchStyle", ""),
    (f"/{BUCKET}/alpha.png?x-oss-process=style/none", "NoSuchStyle", ""),
    (f"/{BUCKET}/missing.jpg", "NoSuchKey", ""),
    (f"/{BUCKET}/truncated.jpg?x-oss-process=image/resize,w_9", "", ""),
    (f"/{BUCKET}/note.txt?x-oss-process=image/resize,w_9", "BadRequest", ""),
    (f"/{BUCKET}/big21.jpg?x-oss-process=image/info", "ImageTooLarge", ""),
    (f"/{BUCKET}/{KEY}?seal", "NotImplemented", ""),
    (f"/{BUCKET}/{KEY}?callback=a", "NotImplemented", ""),
    ("/nowhere/a.jpg", "NoSuchBucket", ""),
    ("/B/a.jpg", "InvalidBucketName", ""),
]


@pytest.mark.parametrize(("target", "code", "rule"), REFUSED)
def test_a_refusal_is_the_public_ports(site, target, code, rule):
    said = explained(site, target)
    assert (said["refused"] or {}).get("code", "") == code
    if said["access"]:
        assert said["access"]["request"].get("rule", "") == rule
    answer = site.ask(target)
    if code or rule:
        assert answer.code == (code if not rule else "AccessDenied")


STARRED = [
    # method, what is asked for, whether a stranger is told
    *(("GET", f"/starred/{key}", False) for key in ("a.dat", "link", "to-jpg", "named.jpg")),
    *(("GET", f"/starred/{key}", True) for key in ("note", "to-note")),
    *(("GET", f"/starred/{key}?x-oss-process=image/info", False) for key in ("a.dat", "note")),
    ("GET", "/starred/a.dat?x-oss-process=style/small", True),
    ("GET", "/starred/a.dat?x-oss-process=style/small|image/crop", False),
    ("GET", "/starred/a.dat!small", True),
    ("GET", "/starred/missing.jpg", False),
    ("GET", "/starred/missing?x-oss-process=image/info", False),
    ("GET", f"/{BUCKET}/{KEY}?Response-Expires=x", False),
    ("HEAD", "/starred/a.dat!small?objectMeta", False),
    ("HEAD", "/starred/a.dat?objectMeta&x-oss-process=style/small", False),
    ("HEAD", "/starred/note?objectMeta", True),
    ("HEAD", f"/{BUCKET}/alpha.png!small?objectMeta", False),
    ("HEAD", f"/{BUCKET}/{KEY}!small?objectMeta", True),
]


@pytest.mark.parametrize(("method", "target", "told"), STARRED)
def test_strangers_are_told_what_is_explained(site, method, target, told):
    found = explained(site, target)
    said, answer = found["access"], site.ask(target, method=method)
    if said is None:  # no call has such a parameter
        assert (answer.code, told) == (found["refused"]["code"], False)
        return
    assert (answer.status == 200, answer.code) == (told, said["anonymous"].get("code", ""))
    assert said["request"] == said["anonymous"]
    assert said["anonymous"]["allowed"] is told
    if answer.code == "AccessDenied":
        assert said["anonymous"]["rule"] == "protection"
    if "missing" not in target:  # to those who may know, that is another answer
        wrong = not told and answer.code != "AccessDenied"
        assert {said[who]["allowed"] for who in CALLERS[2:]} == {not wrong}


def test_the_names_that_a_link_leads_to(site):
    assert explained(site, "/starred/link")["objects"][0]["aliases"] == ["a.dat"]
    assert explained(site, "/starred/a.dat")["objects"][0]["aliases"] == []


def test_this_very_request(site):
    target = sign.sign_url(OWNER, "guarded", KEY, now=time.time() - 60, expires=1, endpoint="")
    said = explained(site, target, Referer="http://a/")
    assert said["access"]["request"]["rule"] == "expired"
    assert stopped(said) == {"request": "expired", "anonymous": "bucket-acl"}
    target = sign.sign_url(OWNER, "guarded", KEY, now=time.time(), version=4, endpoint="")
    said = explained(site, target, Referer="http://a/")
    assert stopped(said) == {"anonymous": "bucket-acl"}
    assert site.ask(target, {"Referer": "http://a/"}).status == 200
    said = explained(site, target.replace("example.jpg", "other.jpg"), Referer="http://a/")
    assert said["access"]["request"]["code"] == "SignatureDoesNotMatch"
    assert "secret1" not in json.dumps(said)


def test_the_public_port_does_not_explain(site):
    assert site.ask(f"/explain/{BUCKET}/{KEY}").code == "NoSuchBucket"
    assert site.get(KEY, "explain/image/resize,w_9").code == "InvalidArgument"

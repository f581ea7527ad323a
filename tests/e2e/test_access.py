"""Object ACLs, bucket documents and overrides over HTTP: rows 88 to 90 and 121."""

import asyncio
import base64
import json
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

from vipsgate.gate import sign
from vipsgate.store.base import Properties
from vipsgate.store.local.store import LocalStore

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.shut]
[buckets.opened]
acl = "public-read"
[buckets.opened.styles]
marked = "image/resize,w_50/watermark,image_c2VjcmV0LnBuZw"
[buckets.guarded]
acl = "public-read-write"
[buckets.guarded.styles]
exists = "image/resize,w_200"
[buckets.guarded.protection]
enabled = true
extensions = ["jpg", "*"]
"""
SHUT, OPENED, GUARDED, FREE = "shut", "opened", "guarded", "free"
KEY = sign.Credential("key1", "secret1")
SEEN_S = 5  # within which an edit of a document is in force, the contract's


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def gate(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    (folder / "vipsgate.toml").write_text(CONFIG)
    picture = (root / "examplebucket" / "example.jpg").read_bytes()
    logo = (root / "examplebucket" / "panda.png").read_bytes()
    for bucket in (SHUT, OPENED, GUARDED, FREE):
        place = folder / "root" / bucket
        place.mkdir(parents=True)
        for name in ("example.jpg", "shown.jpg", "hidden.jpg"):
            (place / name).write_bytes(picture)
        for name in ("panda.png", "secret.png", "typed"):
            (place / name).write_bytes(logo)
    store = LocalStore(folder / "root")
    for name, properties in {
        "shown.jpg": Properties(acl="public-read"),
        "hidden.jpg": Properties(acl="private"),
        "secret.png": Properties(acl="private"),
        "typed": Properties(content_type="image/png"),
    }.items():
        for bucket in (SHUT, OPENED, GUARDED, FREE):
            asyncio.run(store.describe(bucket, name, properties))
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


def signed(bucket, key, process="", **query):
    options = {"now": time.time(), "region": "cn-hangzhou", "endpoint": "http://x"}
    url = urlsplit(sign.sign_url(KEY, bucket, key, process=process, **options))
    return f"{url.path}?{url.query}"


def in_headers(bucket, key, query=(), method="GET"):
    request = sign.Request(method, bucket, key, tuple(query), {})
    return sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")


LAID = {name: f"image/resize,w_50/watermark,image_{b64(name)}" for name in ("secret.png",)}
READS = [
    # bucket, path, status, part of the message
    (SHUT, "example.jpg", 403, "because of bucket acl."),  # row 88
    (SHUT, "missing.jpg", 403, "because of bucket acl."),  # and nobody learns what is there
    (SHUT, "shown.jpg", 200, ""),  # row 89
    (SHUT, "shown.jpg?x-oss-process=image/resize,w_50", 200, ""),
    (SHUT, "hidden.jpg", 403, "read permission on this object."),
    (OPENED, "hidden.jpg", 403, "read permission on this object."),  # row 90
    (OPENED, "hidden.jpg?x-oss-process=image/resize,w_50", 403, "read permission"),
    (OPENED, "hidden.jpg?x-oss-process=style/marked", 403, "read permission"),
    (OPENED, "example.jpg", 200, ""),
    (OPENED, "missing.jpg", 404, "does not exist"),
    # what a caller names is read with the caller's rights, what a style names with the owner's
    (OPENED, f"example.jpg?x-oss-process={LAID['secret.png']}", 403, "read permission"),
    (OPENED, "example.jpg?x-oss-process=style/marked", 200, ""),
    (OPENED, "example.jpg?x-oss-process=style/marked|image/crop,w_9", 403, "read permission"),
    (SHUT, f"shown.jpg?x-oss-process=image/watermark,image_{b64('panda.png')}", 403, "bucket acl."),
    (SHUT, f"shown.jpg?x-oss-process=image/watermark,image_{b64('none.png')}", 403, "bucket acl."),
    # a bucket without a document is private as soon as there are credentials
    (FREE, "example.jpg", 403, "because of bucket acl."),
    (FREE, "shown.jpg", 200, ""),
    # a picture under another name is one all the same
    (GUARDED, "typed", 403, "source image"),
    (GUARDED, "typed?x-oss-process=image/resize,w_5", 403, "source image"),
    (GUARDED, "typed?x-oss-process=style/exists", 200, ""),
]


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}], ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("bucket", "path", "status", "part"), READS)
def test_what_anyone_may_read(gate, bucket, path, status, part, method, headers):
    answer = gate.ask(f"/{bucket}/{path}", headers, method=method)
    if status == 200:
        assert answer.status in (200, 206, 304)
        assert "private" not in answer.headers.get("Cache-Control", "")
    else:
        assert answer.status == status
        assert part in answer.message
        assert not {"ETag", "Last-Modified", "Content-Range"} & set(answer.headers)


@pytest.mark.parametrize("bucket", [SHUT, OPENED])
@pytest.mark.parametrize(
    "line",
    [
        *("POST /?delete", "PUT /a?tagging", "POST /a?uploadId=b", "PUT /?cors", "PUT /?referer"),
        *("PUT /?lifecycle", "PUT /?website", "PUT /?style&styleName=a", "PUT /"),
        "PUT /?processConfiguration",
    ],
)
def test_who_may_not_is_told_before_the_body_is_there(gate, bucket, line):
    method, _, path = line.partition(" ")
    answer = gate.ask(f"/{bucket}{path}", {"Content-Length": "1000000"}, method=method)
    assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize("bucket", [SHUT, OPENED, GUARDED, FREE])
@pytest.mark.parametrize("key", ["example.jpg", "shown.jpg", "hidden.jpg", "typed"])
def test_a_signature_opens_them_and_keeps_shared_caches_out(gate, bucket, key):
    for process in ("", "image/resize,w_50"):
        anyone = gate.ask(f"/{bucket}/{key}?x-oss-process={process}")
        answer = gate.ask(signed(bucket, key, process))
        assert answer.status == 200
        private = answer.headers.get("Cache-Control", "") == "private"
        # an object itself has the headers that its writer has set, and no others
        assert private == (anyone.status == 403 and bool(process))


def test_a_private_watermark_makes_the_answer_private(gate):
    answer = gate.ask(signed(OPENED, "example.jpg", LAID["secret.png"]))
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "private")


# ways round source protection; each is a name or a call that might lead to the bytes
ROUND = [
    *("example.jpg.", "example.jpg%20", "example.jpg/", "./example.jpg", "x/../example.jpg"),
    *("/example.jpg", "%2Fexample.jpg", "example.jpg%00", "example.jpg%00.webp", "EXAMPLE.JPG"),
    *("example.jpg%2F", "example.jpg%5C", "example.jpg;a", "example.jpg%3Fx", "example.jpg%23"),
    *("example.jp%67", "example%252ejpg", "example.jpg.webp", "example.webp", "example"),
    "example.jpg?x-oss-process=style/exists%7Cimage/crop",
    "example.jpg?x-oss-process=style%252Fexists",
    "example.jpg?x-oss-process=STYLE/exists",
    "example.jpg?x-oss-process=style/exists%00",
    "example.jpg?x-oss-process=style/",
    "example.jpg?x-oss-process=video/snapshot,t_0",
    "example.jpg?x-oss-process=image/resize,w_1&x-oss-process=style/exists",
    "example.jpg?x-oss-process=style/exists&response-content-type=a",
    "example.jpg?objectMeta",
    "example.jpg?acl",
    "example.jpg?append",
    "example.jpg!exists?x-oss-process=image/info",
    f"panda.png?x-oss-process=style/exists|image/watermark,image_{b64('example.jpg')}",
    f"panda.png?x-oss-process=image/watermark,image_{b64('./example.jpg')}",
    f"panda.png?x-oss-process=image/watermark,image_{b64('x/../example.jpg')}",
    f"panda.png?x-oss-process=image/watermark,image_{b64('example.jpg?x-oss-process=style/exists')}",
    f"panda.png?x-oss-process=image/watermark,image_{b64('EXAMPLE.JPG')}",
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ROUND)
def test_no_way_round_protection(gate, path, method):
    answer = gate.ask(f"/{GUARDED}/{path}", method=method)
    assert 400 <= answer.status < 600, path
    assert answer.status != 500
    assert not {"ETag", "Last-Modified"} & set(answer.headers)


SAVE = f"|sys/saveas,o_{b64('stolen.bin')}"


@pytest.mark.parametrize(
    "process",
    [
        *("image/resize,w_9", "image/format,src", "image/info", "style/exists|image/crop"),
        *(f"{text}{SAVE}" for text in ("image/format,src", "style/exists")),
        f"image/format,src|sys/saveas,o_{b64('stolen.bin')},b_{b64(GUARDED)}",
    ],
)
def test_no_way_round_protection_by_post(gate, process):
    body = f"x-oss-process={process}".encode()
    answer = gate.ask(f"/{GUARDED}/example.jpg?x-oss-process", method="POST", body=body)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert gate.ask(signed(GUARDED, "stolen.bin")).status == 404


@pytest.mark.parametrize("key", ["example.jpg", "typed"])
def test_no_way_round_protection_by_a_copy(gate, key):
    answer = gate.ask(
        f"/{GUARDED}/stolen.bin",
        {"x-oss-copy-source": f"/{GUARDED}/{key}", "Content-Length": "0"},
        method="PUT",
    )
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert gate.ask(signed(GUARDED, "stolen.bin")).status == 404


def test_row_121_overrides(gate):
    query = (("response-content-type", "text/plain"), ("response-cache-control", "no-store"))
    text = "&".join(f"{name}={value.replace('/', '%2F')}" for name, value in query)
    assert gate.ask(f"/{OPENED}/example.jpg?{text}").code == "InvalidRequest"
    answer = gate.ask(f"/{OPENED}/example.jpg?{text}", in_headers(OPENED, "example.jpg", query))
    assert answer.status == 200
    assert (answer.kind, answer.headers["Cache-Control"]) == ("text/plain", "no-store")
    query = (("x-oss-process", "image/crop"), ("response-content-type", "text/html"))
    text = "x-oss-process=image/crop&response-content-type=text/html"
    answer = gate.ask(f"/{OPENED}/panda.png?{text}", in_headers(OPENED, "panda.png", query))
    assert (answer.status, answer.code) == (400, "InvalidRequest")


# -- documents in the store ------------------------------------------------------------------------


def ready(site):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/readyz", timeout=5) as answer:
        return answer.read().decode()


def until(fact):
    """Wait until it is so, as long as an edit may take."""
    end = time.monotonic() + SEEN_S
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_an_edit_is_in_force_within_five_seconds(gate):
    folder = gate.root / ".vipsgate" / "buckets"
    folder.mkdir(parents=True, exist_ok=True)
    document = folder / f"{FREE}.json"
    path = f"/{FREE}/example.jpg"
    assert gate.ask(path).status == 403

    said = {
        "acl": "public-read",
        "domains": ["pics.example.com"],
        "styles": {"s": "image/crop,w_7"},
    }
    document.write_text(json.dumps(said))
    until(lambda: gate.ask(path).status == 200)
    answer = gate.ask("/example.jpg?x-oss-process=style/s", host="pics.example.com")
    assert answer.picture.width == 7

    document.write_text('{"acl": "everyone"}')
    until(lambda: "acl = 'everyone'" in ready(gate))
    assert ready(gate).startswith(f"ready\nbucket {FREE}: ")
    assert gate.ask(path).status == 200  # the last good one
    assert "acl = 'everyone'" in gate.log.read_text()

    document.unlink()  # its bucket is there: the last good one stays until another is written
    until(lambda: "its document was deleted" in ready(gate))
    assert gate.ask(path).status == 200
    document.write_text("{}")
    until(lambda: gate.ask(path).status == 403)
    assert ready(gate) == "ready\n"


def test_what_is_declared_wins(gate):
    document = gate.root / ".vipsgate" / "buckets" / f"{SHUT}.json"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text('{"acl": "public-read"}')
    time.sleep(2.5)
    assert gate.ask(f"/{SHUT}/example.jpg").status == 403
    document.unlink()

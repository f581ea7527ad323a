"""Styles, separators, source protection and hotlink rules over HTTP: rows 80-83 and 101-113."""

import time
from urllib.parse import urlsplit

import pytest

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.styled]
acl = "public-read"
separators = ["!", "-", "@!"]
[buckets.styled.styles]
exists = "image/resize,w_200"
light = "image/resize,w_200/quality,bytes_3000"
marked = "image/resize,w_200/watermark,image_ZXhhbXBsZS5qcGc,g_nw"
[buckets.guarded]
acl = "public-read"
separators = ["!"]
[buckets.guarded.styles]
exists = "image/resize,w_200"
marked = "image/resize,w_200/watermark,image_ZXhhbXBsZS5qcGc,g_nw"
[buckets.guarded.protection]
enabled = true
extensions = ["jpg"]
rules = [{ prefix = "img/", suffix = ".png" }]
[buckets.linked]
acl = "public-read"
[buckets.linked.referer]
allow_empty = false
whitelist = ["http://www.example.com"]
blacklist = ["http://www.example.com/bad"]
"""
STYLED, GUARDED, LINKED = "styled", "guarded", "linked"


@pytest.fixture(scope="module")
def gate(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("styles")
    (folder / "vipsgate.toml").write_text(CONFIG)
    files = {
        "example.jpg": "example.jpg",
        "panda.png": "panda.png",
        "a-exists": "panda.png",  # an object whose name looks like a style of `a`
        "a": "example.jpg",
        "img/a.png": "panda.png",
        "img/a.webp": "panda.png",
    }
    for bucket in (STYLED, GUARDED, LINKED):
        for name, source in files.items():
            path = folder / "root" / bucket / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((root / "examplebucket" / source).read_bytes())
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site:
        yield site


SIZES = {
    "example.jpg?x-oss-process=style/exists": (200, 134),  # row 80
    "example.jpg?x-oss-process=style%2Fexists": (200, 134),
    "example.jpg!exists": (200, 134),  # row 82
    "example.jpg@!exists": (200, 134),
    "example.jpg-exists": (200, 134),
    "example.jpg%21exists": (200, 134),
    "example.jpg?x-oss-process=style/exists|image/crop,w_9,h_9": (9, 9),
    "example.jpg?x-oss-process=style/marked": (200, 134),
    "example.jpg!light": (200, 134),
    "a-exists": (60, 40),  # the object of that very name comes first
    "a!exists": (200, 134),
}


@pytest.mark.parametrize("path", SIZES)
def test_rows_80_and_82_styles(gate, path):
    answer = gate.ask(f"/{STYLED}/{path}")
    assert (answer.status, answer.picture.size) == (200, SIZES[path])


def test_a_size_that_a_style_names_is_kept(gate):
    assert len(gate.ask(f"/{STYLED}/example.jpg!light").body) <= 3000


def test_the_style_is_part_of_what_the_answer_is(gate):
    one = gate.ask(f"/{STYLED}/example.jpg?x-oss-process=style/exists")
    other = gate.ask(f"/{STYLED}/example.jpg?x-oss-process=image/resize,w_200")
    assert one.etag == other.etag != gate.ask(f"/{STYLED}/example.jpg").etag
    assert one.body == other.body


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("example.jpg?x-oss-process=style/none", "NoSuchStyle"),  # row 81
        ("example.jpg?x-oss-process=style/", "NoSuchStyle"),
        ("example.jpg?x-oss-process=style/exists/resize,w_1", "NoSuchStyle"),
        ("example.jpg!none", "NoSuchStyle"),
        ("example.jpg_exists", "NoSuchKey"),  # row 83: not one of this bucket's separators
        ("missing.jpg!exists", "NoSuchKey"),
        ("example.jpg!exists?x-oss-process=style/exists", "NoSuchKey"),
    ],
)
def test_rows_81_and_83_what_is_not_there(gate, path, code):
    answer = gate.ask(f"/{STYLED}/{path}")
    assert (answer.status, answer.code) == (404, code)


LAUNDERED = "image_ZXhhbXBsZS5qcGc"  # example.jpg
DENIED = [
    *("example.jpg", "example%2Ejpg", "exampl%65.jpg", "img/a.png", "img%2Fa.png"),
    *("example.jpg?x-oss-process=image/resize,w_100", "example.jpg?x-oss-process=image/info"),
    "example.jpg?x-oss-process=image/average-hue",
    "example.jpg?x-oss-process=style/exists|image/format,png",
    "example.jpg?x-oss-process=image/format,src|style/exists",
    "example.jpg?x-oss-process=style/exists|style/exists",
    f"panda.png?x-oss-process=image/watermark,{LAUNDERED}",
    f"panda.png?x-oss-process=style/exists|image/watermark,{LAUNDERED}",
    "example.jpg?x-oss-process=",
    "example.jpg?x-oss-process",
    "example.jpg?utm_source=style/exists",
]


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}], ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", DENIED)
def test_rows_101_102_and_106_protected(gate, path, method, headers):
    answer = gate.ask(f"/{GUARDED}/{path}", headers, method=method)
    assert (answer.status, answer.code, answer.ec) == (403, "AccessDenied", "0040-00000031")
    assert not {"ETag", "Last-Modified", "Content-Range"} & set(answer.headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("key", ["example.jpg", "panda.png", "missing.jpg"])
def test_what_is_not_understood_tells_nothing_of_an_object(gate, key, method):
    asked = [
        gate.ask(f"/{GUARDED}/{key}?X-OSS-PROCESS=style/exists", method=method),
        gate.ask(f"/{GUARDED}/{key}", {"x-oss-traffic-limit": "819200"}, method=method),
    ]
    for answer in asked:
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert not {"ETag", "Last-Modified"} & set(answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        "example.jpg?x-oss-process=style/exists",  # row 103
        "example.jpg!exists",
        "panda.png?x-oss-process=style/marked",  # laid on it by the owner's style
        *("panda.png", "panda.png?x-oss-process=image/resize,w_9", "img/a.webp"),  # row 105
    ],
)
def test_rows_103_and_105_what_anyone_may_see(gate, path):
    assert gate.ask(f"/{GUARDED}/{path}").status == 200


def test_row_104_signed_callers_are_free(gate):
    for process in ("", "image/resize,w_100", f"image/watermark,{LAUNDERED}"):
        assert gate.ask(signed(GUARDED, process)).status == 200


KEY = sign.Credential("key1", "secret1")


def signed(bucket, process=""):
    options = {"now": time.time(), "region": "cn-hangzhou", "endpoint": "http://x"}
    url = urlsplit(sign.sign_url(KEY, bucket, "example.jpg", process=process, **options))
    return f"{url.path}?{url.query}"


@pytest.mark.parametrize("process", ["", "?x-oss-process=image/resize,w_100"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_rows_108_to_113_hotlinks(gate, method, process):
    path = f"/{LINKED}/example.jpg{process}"
    for page, status in {
        "": 403,
        "http://www.example.com/p": 200,
        "http://www.example.com/bad": 403,
        "http://www.example.com.evil.net/": 403,
    }.items():
        answer = gate.ask(path, {"Referer": page} if page else {}, method=method)
        assert answer.status == status, page
        if status == 200:
            assert answer.headers["Vary"] == "Referer"
        else:
            assert answer.message == "You are denied by bucket referer policy."
            assert "ETag" not in answer.headers


def test_rows_110_and_111_signed_in_headers_or_in_the_url(gate):
    request = sign.Request("GET", LINKED, "example.jpg", (), {})
    headers = sign.sign_headers(KEY, request, now=time.time(), version=1, region="cn-hangzhou")
    assert gate.ask(f"/{LINKED}/example.jpg", headers).status == 200
    assert gate.ask(signed(LINKED)).status == 403
    assert gate.ask(signed(LINKED), {"Referer": "http://www.example.com/"}).status == 200

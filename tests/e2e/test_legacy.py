"""The old API behind ``@`` over HTTP: rows 129 to 133, and what protects a source from it."""

import json
import time
from urllib.parse import urlsplit

import pytest

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.old]
acl = "public-read"
legacy_at_api = true
[buckets.old.styles]
small = "100w.jpg"
exists = "image/resize,w_200"
[buckets.guarded]
acl = "public-read"
legacy_at_api = true
[buckets.guarded.styles]
small = "100w.jpg"
[buckets.guarded.protection]
enabled = true
extensions = ["jpg"]
[buckets.shut]
legacy_at_api = true
[buckets.modern]
acl = "public-read"
"""
BUCKETS = ("old", "guarded", "shut", "modern")
KEY = sign.Credential("key1", "secret1")


@pytest.fixture(scope="module")
def gate(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("legacy")
    (folder / "vipsgate.toml").write_text(CONFIG)
    for bucket in BUCKETS:
        place = folder / "root" / bucket
        place.mkdir(parents=True)
        for name in ("example.jpg", "f.jpg", "panda.png"):
            (place / name).write_bytes((root / "examplebucket" / name).read_bytes())
        (place / "example.jpg@50w").write_bytes((place / "panda.png").read_bytes())
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site:
        yield site


SIZES = {
    "f.jpg@100w_1o.jpg": (79, 100),  # row 129
    "f.jpg@100w_2o.jpg": (100, 127),
    "example.jpg@500w.jpg": (500, 334),  # row 130
    "example.jpg@100w_100h_1e_1c.png": (100, 100),  # row 131
    "example.jpg@100w%7C50w": (50, 34),
    "example.jpg@!exists": (200, 134),
    "example.jpg@!small": (100, 67),
    "example.jpg?x-oss-process=style/small": (100, 67),
    "example.jpg@100w_100h_1e_1c%7Cwatermark=1&object=cGFuZGEucG5nQDMwUA&t=90&p=9&x=10&y=10": (
        100,
        100,
    ),
    "example.jpg@50w": (60, 40),  # the object of that very name comes first
}


@pytest.mark.parametrize("path", SIZES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_rows_129_to_131(gate, path, method):
    answer = gate.ask(f"/old/{path}", method=method)
    assert answer.status == 200
    if method == "GET":
        assert answer.picture.size == SIZES[path]


def test_what_is_said_of_a_picture(gate):
    said = json.loads(gate.ask("/old/f.jpg@info").body)
    assert (said["height"], said["width"]) == (333, 424)
    assert json.loads(gate.ask("/old/example.jpg@imageAve").body)["RGB"].startswith("0x")
    assert "Orientation" in json.loads(gate.ask("/old/f.jpg@infoexif").body)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("panda.png@exif", 400, "BadRequest"),  # row 132
        ("example.jpg@1w%7C2w%7C3w%7C4w%7C5w", 400, "TooManyPipes"),  # row 133
        ("example.jpg@100z", 400, "InvalidArgument"),
        ("missing.jpg@100w", 404, "NoSuchKey"),
        ("example.jpg@!none", 404, "NoSuchStyle"),
        ("example.jpg@100w?x-oss-process=image/info", 404, "NoSuchKey"),
    ],
)
def test_rows_132_and_133_what_is_refused(gate, path, status, code):
    answer = gate.ask(f"/old/{path}")
    assert (answer.status, answer.code) == (status, code)


def test_it_is_off_unless_a_bucket_or_the_server_says_so(gate):
    for path in ("example.jpg@100w", "example.jpg@!exists"):
        assert gate.ask(f"/modern/{path}").code == "NoSuchKey"
    assert gate.ask("/modern/example.jpg?x-oss-process=@100w").code == "InvalidArgument"


@pytest.mark.parametrize(
    "path",
    [
        *("example.jpg@100w", "example.jpg@100w.jpg", "example.jpg@info", "example.jpg@.src"),
        *("example.jpg@imageAve", "example.jpg%40100w", "example.jpg@100w@!small"),
        *("example.jpg@!small%7C100w", "example.jpg@!small@100w"),
        "panda.png@watermark=1&object=ZXhhbXBsZS5qcGc",
        "panda.png@watermark=1&object=ZXhhbXBsZS5qcGdAMzBQ",
        "example.jpg?x-oss-process=@100w",
    ],
)
def test_no_way_round_protection(gate, path):
    answer = gate.ask(f"/guarded/{path}")
    assert answer.status in (403, 404)
    assert "ETag" not in answer.headers
    assert gate.ask("/guarded/example.jpg@!small").picture.size == (100, 67)


def test_a_private_bucket_is_signed_with_the_whole_text_as_key(gate):
    key = "example.jpg@100w.jpg"
    assert gate.ask(f"/shut/{key}").code == "AccessDenied"
    options = {"now": time.time(), "region": "cn-hangzhou", "endpoint": "http://x"}
    url = urlsplit(sign.sign_url(KEY, "shut", key, **options))
    assert gate.ask(f"{url.path}?{url.query}").picture.size == (100, 67)
    url = urlsplit(sign.sign_url(KEY, "shut", "example.jpg", **options))
    assert gate.ask(f"{url.path}@100w.jpg?{url.query}").code == "SignatureDoesNotMatch"


IMG_HOST = "modern.img-cn-hangzhou.aliyuncs.com"


def test_it_is_on_where_the_host_is_one_of_the_older_service(gate):
    """The guide's examples name such hosts; with and without the new API."""
    for path, size in (
        ("example.jpg@100w_100h_1e_1c.png", (100, 100)),
        ("example.jpg?x-oss-process=image/resize,w_100", (100, 67)),
        ("example.jpg@50w", (60, 40)),
    ):
        answers = [gate.ask(f"/{path}", host=IMG_HOST) for _ in range(3)]
        assert [(answer.status, answer.picture.size) for answer in answers] == [(200, size)] * 3
    # what that host is answered is nobody else's answer
    other = "modern.oss-cn-hangzhou.aliyuncs.com"
    assert gate.ask("/example.jpg@100w_100h_1e_1c.png", host=other).code == "NoSuchKey"


def test_such_a_host_opens_nothing(gate):
    host = "guarded.img-cn-hangzhou.aliyuncs.com"
    assert gate.ask("/example.jpg@100w", host=host).status == 403
    assert gate.ask("/example.jpg@!small", host=host).status == 200
    host = "shut.img-cn-hangzhou.aliyuncs.com"
    assert gate.ask("/example.jpg@100w", host=host).status == 403

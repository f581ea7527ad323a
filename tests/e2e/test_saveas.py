"""POST with a process in its body: rows 116 to 120."""

import base64
import io
import json
import time

import pytest
from PIL import Image

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "owner"
access_key_secret = "secret"
[[credentials]]
access_key_id = "writer"
access_key_secret = "secret"
role = "writer"
[[credentials]]
access_key_id = "reader"
access_key_secret = "secret"
role = "reader"
[buckets.photos]
acl = "public-read"
[buckets.photos.styles]
small = "image/resize,w_50"
[buckets.test]
[buckets.free]
acl = "public-read-write"
"""
SMALL = "image/resize,w_100"


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def gate(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saveas")
    (folder / "vipsgate.toml").write_text(CONFIG)
    for bucket in ("photos", "test", "free"):
        (folder / "root" / bucket).mkdir(parents=True)
        for name in ("example.jpg", "note.txt"):
            data = (root / "examplebucket" / name).read_bytes()
            (folder / "root" / bucket / name).write_bytes(data)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site:
        yield site


def ask(site, method, key, query=(), who="owner", bucket="photos", **options):
    headers = {}
    if who:
        request = sign.Request(method, bucket, key, tuple(query), {})
        key_pair = sign.Credential(who, "secret")
        headers = sign.sign_headers(
            key_pair, request, now=time.time(), version=4, region="cn-hangzhou"
        )
    text = "&".join(f"{name}={value}" for name, value in query)
    return site.ask(f"/{bucket}/{key}?{text}", headers, method=method, **options)


def post(site, process, who="owner", bucket="photos", key="example.jpg"):
    body = f"x-oss-process={process}".encode()
    return ask(site, "POST", key, [("x-oss-process", "")], who, bucket, body=body)


def stored(site, bucket, key):
    answer = ask(site, "GET", key, bucket=bucket)
    return Image.open(io.BytesIO(answer.body)).size if answer.status == 200 else answer.code


def test_row_116_in_another_bucket(gate):
    answer = post(gate, f"{SMALL}|sys/saveas,o_dGVzdC5qcGc,b_dGVzdA")
    assert (answer.status, answer.kind) == (200, "application/json")
    assert b'"status": "OK"' in answer.body  # the Java SDK's own test looks for the blank
    said = json.loads(answer.body)
    assert (said["bucket"], said["object"]) == ("test", "test.jpg")
    found = ask(gate, "GET", "test.jpg", bucket="test")
    assert (found.kind, len(found.body)) == ("image/jpeg", said["fileSize"])
    assert stored(gate, "test", "test.jpg") == (100, 67)


@pytest.mark.parametrize(
    ("process", "size"),
    [
        ("style/small", (50, 33)),
        ("image/rotate,90|image/resize,w_20", (20, 30)),
        ("image%2Fresize%2Cw_30", (30, 20)),  # as ali-oss writes it
    ],
)
def test_in_its_own_bucket(gate, process, size):
    key = f"made/{b64(process)}.jpg"
    answer = post(gate, f"{process}|sys/saveas,o_{b64(key)}")
    assert json.loads(answer.body)["bucket"] == ""
    assert stored(gate, "photos", key) == size


def test_what_is_there_is_overwritten_and_its_pictures_are_new(gate):
    for side in (80, 40):
        assert post(gate, f"image/resize,w_{side}|sys/saveas,o_{b64('over.jpg')}").status == 200
        answer = gate.ask("/photos/over.jpg?x-oss-process=image/info")
        assert json.loads(answer.body)["ImageWidth"] == {"value": str(side)}


def test_row_119_without_saveas_the_picture_comes_back(gate):
    for who in ("owner", "reader", ""):
        assert post(gate, SMALL, who).picture.size == (100, 67)
    assert json.loads(post(gate, "image/info").body)["ImageWidth"] == {"value": "400"}


REFUSED = [
    # who, process, status, code
    ("", f"{SMALL}|sys/saveas,o_YQ,b_dGVzdA", 403, "AccessDenied"),  # row 118
    ("", f"{SMALL}|sys/saveas,o_YQ", 403, "AccessDenied"),
    ("reader", f"{SMALL}|sys/saveas,o_YQ", 403, "AccessDenied"),
    ("owner", f"{SMALL}|sys/saveas,o_YQ,b_{b64('A_B')}", 400, "InvalidBucketName"),  # row 120
    ("owner", f"{SMALL}|sys/saveas,o_YQ,b_{b64('nowhere')}", 404, "NoSuchBucket"),
    ("owner", f"{SMALL}|sys/saveas,o_{b64('../x')}", 400, "InvalidObjectName"),
    ("owner", f"{SMALL}|sys/saveas,o_{b64('.vipsgate/x')}", 400, "InvalidObjectName"),
    ("owner", f"{SMALL}|sys/saveas,o_{b64('a//b')}", 400, "InvalidObjectName"),
    ("owner", f"{SMALL}|sys/saveas,o_{b64('x' * 1024)}", 400, "InvalidObjectName"),
    ("owner", f"{SMALL}|sys/saveas,o_@@", 400, "BadRequest"),
    ("owner", f"{SMALL}|sys/saveas", 400, "MissingArgument"),
    ("owner", "sys/saveas,o_YQ", 400, "InvalidArgument"),
    ("owner", f"sys/saveas,o_YQ|{SMALL}", 400, "InvalidArgument"),
    ("owner", "style/none|sys/saveas,o_YQ", 404, "NoSuchStyle"),
    ("owner", "image/slim|sys/saveas,o_YQ", 400, "InvalidArgument"),
    ("owner", "", 400, "InvalidRequest"),
]


@pytest.mark.parametrize(("who", "process", "status", "code"), REFUSED)
def test_refuses_and_stores_nothing(gate, who, process, status, code):
    answer = post(gate, process, who)
    assert (answer.status, answer.code) == (status, code)
    assert stored(gate, "photos", "a") == stored(gate, "test", "a") == "NoSuchKey"


def test_a_source_that_is_no_picture(gate):
    answer = post(gate, f"{SMALL}|sys/saveas,o_YQ", key="note.txt")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert post(gate, SMALL, key="missing.jpg").code == "NoSuchKey"


def test_saveas_needs_the_right_to_write_its_target(gate):
    assert post(gate, f"{SMALL}|sys/saveas,o_{b64('by-writer')}", "writer").status == 200
    anyone = f"{SMALL}|sys/saveas,o_{b64('by-anyone')},b_{b64('free')}"
    assert post(gate, anyone, "").status == 200
    assert stored(gate, "free", "by-anyone") == (100, 67)


def test_a_body_that_is_too_long_is_not_read(gate):
    """It may be as long as the request line that asks for the same."""
    text = b"x-oss-process=image/resize,w_100"
    for size, error in ((32768, (200, "")), (32769, (400, "EntityTooLarge"))):
        body = text + b"/" * (size - len(text))
        answer = ask(gate, "POST", "example.jpg", [("x-oss-process", "")], body=body)
        assert (answer.status, answer.code) == error

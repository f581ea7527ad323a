"""Signed requests over HTTP, as the SDKs and ``vipsgate sign`` make them: rows 88 and 91 to 100."""

import time
from urllib.parse import urlsplit

import pytest

from vipsgate.gate import sign

KEY = sign.Credential("key1", "secret1")
TOKEN = sign.Credential("key2", "secret2", "reader", "CAIStoken+/=")
CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "old-secret"
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[[credentials]]
access_key_id = "key2"
access_key_secret = "secret2"
role = "reader"
security_token = "CAIStoken+/="
[buckets.open]
acl = "public-read"
"""
BUCKET, PUBLIC = "examplebucket", "open"
THUMB = "image/resize,w_100"


@pytest.fixture(scope="module")
def gate(serving, root, tmp_path_factory):
    """A server whose buckets are private as soon as anybody has a key; ``open`` is not."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "vipsgate.toml").write_text(CONFIG)
    for name in (BUCKET, PUBLIC):
        (folder / "root" / name).mkdir(parents=True)
        for key in ("example.jpg", "panda.png"):
            (folder / "root" / name / key).write_bytes((root / BUCKET / key).read_bytes())
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


def target(credential=KEY, bucket=BUCKET, key="example.jpg", process=THUMB, **options):
    options = {"now": time.time(), "region": "cn-hangzhou", "endpoint": "http://x"} | options
    url = urlsplit(sign.sign_url(credential, bucket, key, process=process, **options))
    return f"{url.path}?{url.query}"


def headers(credential=KEY, query=(), method="GET", version=1, now=None):
    request = sign.Request(method, BUCKET, "example.jpg", tuple(query), {})
    now = time.time() if now is None else now
    return sign.sign_headers(credential, request, now=now, version=version, region="cn-hangzhou")


@pytest.mark.parametrize("process", ["", THUMB, "image/info", "image/average-hue"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("key", ["example.jpg", "missing.jpg"])
def test_row_88_anonymous_callers_learn_nothing(gate, key, method, process):
    query = f"?x-oss-process={process}" if process else ""
    answer = gate.ask(f"/{BUCKET}/{key}{query}", {"If-None-Match": "*"}, method=method)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.message == "You have no right to access this object because of bucket acl."
    assert not {"ETag", "Last-Modified", "Accept-Ranges"} & set(answer.headers)


@pytest.mark.parametrize("credential", [KEY, TOKEN], ids=lambda one: one.access_key_id)
@pytest.mark.parametrize("version", [1, 4])
def test_row_91_and_97_signed_urls(gate, version, credential):
    answer = gate.ask(target(credential, version=version))
    assert (answer.status, answer.picture.size) == (200, (100, 67))
    assert answer.headers["Cache-Control"] == "private"
    plain = gate.ask(target(credential, process="", version=version))
    assert plain.picture.size == (400, 267)
    assert gate.ask(target(credential, version=version, method="HEAD"), method="HEAD").status == 200
    open_to_all = gate.ask(target(credential, PUBLIC, version=version))
    assert open_to_all.status == 200
    assert "Cache-Control" not in open_to_all.headers


@pytest.mark.parametrize("credential", [KEY, TOKEN], ids=lambda one: one.access_key_id)
@pytest.mark.parametrize("version", [1, 4])
def test_signed_headers(gate, version, credential):
    query = [("x-oss-process", THUMB)]
    answer = gate.get("example.jpg", THUMB, headers=headers(credential, query, version=version))
    assert (answer.status, answer.picture.size) == (200, (100, 67))


@pytest.mark.parametrize("bucket", [BUCKET, PUBLIC])
@pytest.mark.parametrize("version", [1, 4])
def test_what_is_wrong_is_refused_on_public_objects_too(gate, version, bucket):
    good = target(bucket=bucket, version=version)
    ends = {
        # row 93, and the method
        good.replace("w_100", "w_200"): "SignatureDoesNotMatch",
        good.replace("example.jpg", "panda.png"): "SignatureDoesNotMatch",
        good.replace("?", "?x-oss-process=image/info&"): "SignatureDoesNotMatch",
        good + "&Expires=1&x-oss-expires=1": "InvalidArgument",
        good.replace("key1", "key9"): "InvalidAccessKeyId",  # row 96
        # rows 92 and 94
        target(bucket=bucket, version=version, now=time.time() - 4000): "AccessDenied",
        target(bucket=bucket, version=version, now=time.time() - 4000) + "x": "AccessDenied",
    }
    for text, code in ends.items():
        answer = gate.ask(text)
        assert answer.code == code, text
        assert answer.status in (400, 403)
    # of several processes the first counts
    assert gate.ask(good + "&x-oss-process=image/info").body == gate.ask(good).body
    answer = gate.ask(good, method="HEAD")
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert "example.jpg" in answer.error["StringToSign" if version == 1 else "CanonicalRequest"]


def test_row_92_the_words(gate):
    answer = gate.ask(target(now=time.time() - 4000))
    assert (answer.status, answer.code, answer.message) == (
        403,
        "AccessDenied",
        "Request has expired.",
    )


def test_row_95_without_the_signature_itself(gate):
    text = target(process="").partition("&Signature=")[0]
    answer = gate.ask(text)
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_row_99_skew(gate):
    now = time.time()
    assert gate.get("example.jpg", headers=headers(now=now - 14 * 60)).status == 200
    answer = gate.get("example.jpg", headers=headers(now=now - 16 * 60))
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")


def test_row_100_both_ways_at_once(gate):
    answer = gate.ask(target(), headers())
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_a_watermark_is_read_with_the_callers_right(gate):
    process = "image/resize,w_100/watermark,image_cGFuZGEucG5n"
    assert gate.ask(target(process=process)).picture.size == (100, 67)
    assert gate.ask(f"/{BUCKET}/example.jpg?x-oss-process={process}").status == 403
    assert gate.ask(f"/{PUBLIC}/example.jpg?x-oss-process={process}").status == 200


def test_the_official_sdk_reads(gate):
    oss2 = pytest.importorskip("oss2", reason="needs oss2: pip install '.[test]'")
    endpoint = f"http://127.0.0.1:{gate.port}"
    for auth in (oss2.Auth("key1", "secret1"), oss2.AuthV4("key1", "secret1")):
        bucket = oss2.Bucket(auth, endpoint, BUCKET, region="cn-hangzhou")
        body = bucket.get_object("example.jpg", process=THUMB).read()
        assert body[:3] == b"\xff\xd8\xff"
        assert bucket.head_object("example.jpg").content_length > len(body)
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            oss2.Bucket(oss2.Auth("key1", "wrong"), endpoint, BUCKET).get_object("example.jpg")
        assert caught.value.code == "SignatureDoesNotMatch"

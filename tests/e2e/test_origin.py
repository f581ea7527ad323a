"""A bucket that is elsewhere: served from an object store, and not written."""

import json
import time

import pytest

from vipsgate.buckets import Bucket
from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.declared]
acl = "public-read"
origin = "%s/theirs"
"""
KEY = sign.Credential("key1", "secret1")
RESIZE = "?x-oss-process=image/resize,w_50"


@pytest.fixture(scope="module")
def place(moto, root):
    url = moto.place()
    prefix = url.split("/", 3)[3]
    example = (root / "examplebucket" / "example.jpg").read_bytes()
    for key, data in {
        "theirs/dir/a.jpg": example,
        "theirs/note.txt": b"theirs",
        "theirs/.vipsgate/x": b"hidden",
        "others/note.txt": b"others",
    }.items():
        moto.client.put_object(Bucket=moto.bucket, Key=f"{prefix}/{key}", Body=data)
    return url


@pytest.fixture(scope="module")
def site(place, moto, serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("origin")
    (folder / "vipsgate.toml").write_text(CONFIG % place)
    (folder / "root" / "local").mkdir(parents=True)
    (folder / "root" / "local" / "note.txt").write_text("local")
    document(folder / "root", "local", {"acl": "public-read"})
    document(folder / "root", "theirs", {"acl": "public-read-write", "origin": f"{place}/theirs"})
    words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(folder / "root", *words, env=moto.env(), renderers=1) as site:
        yield site


def document(root, bucket, said):
    folder = root / ".vipsgate" / "buckets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{bucket}.json").write_text(json.dumps(said))


def call(site, method, bucket, key="", query=(), body=b"", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = sign.Request(method, bucket, key, tuple(query), sign.fields(headers.items()))
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" if value else name for name, value in query)
    headers = {"Content-Length": str(len(body)), **signed, **headers}
    return site.ask(f"/{bucket}/{key}?{text}", headers, method=method, body=body)


@pytest.mark.parametrize("bucket", ["theirs", "declared"])
def test_is_served(site, bucket):
    assert site.ask(f"/{bucket}/note.txt").body == b"theirs"
    assert site.ask(f"/{bucket}/dir/a.jpg{RESIZE}").picture.size == (50, 33)
    assert site.ask(f"/{bucket}/dir/a.jpg{RESIZE}").headers["X-Vipsgate-Cache"] == "hit"
    assert site.ask(f"/{bucket}/none").code == "NoSuchKey"
    assert site.ask(f"/{bucket}/.vipsgate/x").code == "NoSuchKey"
    listed = call(site, "GET", bucket, query=[("delimiter", "/")])
    assert b"<Key>note.txt</Key>" in listed.body
    assert b"<Prefix>dir/</Prefix>" in listed.body
    assert b"hidden" not in listed.body
    assert b".vipsgate" not in listed.body


def test_beside_it_all_is_as_it_was(site):
    assert site.ask("/local/note.txt").body == b"local"
    assert call(site, "PUT", "local", "b.txt", body=b"x").status == 200


WRITES = {
    "PutObject": ("PUT", "new.txt", (), {}),
    "DeleteObject": ("DELETE", "note.txt", (), {}),
    "PutObjectACL": ("PUT", "note.txt", [("acl", "")], {"x_oss_object_acl": "private"}),
    "InitiateMultipartUpload": ("POST", "new.txt", [("uploads", "")], {}),
    "CopyObject": ("PUT", "new.txt", (), {"x_oss_copy_source": "/theirs/note.txt"}),
}


@pytest.mark.parametrize("name", WRITES)
def test_is_not_written(site, moto, place, name):
    method, key, query, headers = WRITES[name]
    refused = call(site, method, "theirs", key, query, **headers)
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert "origin" in refused.message
    assert site.ask("/theirs/note.txt").body == b"theirs"
    prefix = place.split("/", 3)[3]
    found = moto.client.list_objects_v2(Bucket=moto.bucket, Prefix=f"{prefix}/theirs/")
    assert len(found["Contents"]) == 3


def test_may_be_copied_from(site):
    done = call(site, "PUT", "local", "copy.txt", x_oss_copy_source="/theirs/note.txt")
    assert done.status == 200
    assert site.ask("/local/copy.txt").body == b"theirs"


def test_another_origin_and_none_and_a_wrong_one(site, place):
    def until(body, status=200):
        end = time.monotonic() + 6
        while (answer := site.ask("/moving/note.txt")).body != body or answer.status != status:
            assert time.monotonic() < end, answer
            time.sleep(0.1)

    for name in ("theirs", "others"):
        document(site.root, "moving", {"acl": "public-read", "origin": f"{place}/{name}"})
        until(name.encode())
    document(site.root, "moving", {"acl": "public-read", "origin": "ftp://x"})
    time.sleep(2.5)
    until(b"others")  # broken documents change nothing
    (site.root / "moving").mkdir()
    (site.root / "moving" / "note.txt").write_text("here")
    document(site.root, "moving", {"acl": "public-read"})
    until(b"here")


def test_a_bucket_is_forgotten_and_its_objects_stay(site, moto, place):
    document(site.root, "brief", {"acl": "public-read", "origin": f"{place}/others"})
    end = time.monotonic() + 6
    while site.ask("/brief/note.txt").status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert call(site, "DELETE", "brief").status == 204
    assert site.ask("/brief/note.txt").code == "NoSuchBucket"
    prefix = place.split("/", 3)[3]
    assert moto.client.head_object(Bucket=moto.bucket, Key=f"{prefix}/others/note.txt")


@pytest.mark.parametrize("url", ["s3:/x", "file:///etc", "s3://", "http://a/b?c", "s3://a/b?c"])
def test_what_is_no_origin(url):
    with pytest.raises(ValueError, match="origin"):
        Bucket(origin=url)

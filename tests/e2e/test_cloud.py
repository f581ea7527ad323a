"""A server over an object store: what it answers, and what another client of the store sees."""

import hashlib
import io
import json
import time

import numpy as np
import pytest
from PIL import Image

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY = sign.Credential("key1", "secret1")
PUBLIC = json.dumps({"acl": "public-read"}).encode()
RULED = json.dumps(
    {"acl": "public-read", "protection": {"enabled": True, "rules": [{"prefix": "image/"}]}}
).encode()
RESIZE = "?x-oss-process=image/resize,w_50"


def jpeg(width=400, height=267, seed=1):
    noise = np.random.default_rng(seed).integers(
        0, 255, (height // 8, width // 8, 3), dtype="uint8"
    )
    file = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


class Cloud:
    """A place in an object store, as its owner sees it without vipsgate."""

    def __init__(self, server):
        self.server, self.url = server, server.place()
        self.prefix = self.url.split("/", 3)[3]

    def put(self, key, data, **options):
        self.server.client.put_object(
            Bucket=self.server.bucket, Key=f"{self.prefix}/{key}", Body=data, **options
        )

    def head(self, key):
        return self.server.client.head_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}")

    def names(self):
        found = self.server.client.list_objects_v2(Bucket=self.server.bucket, Prefix=self.prefix)
        return [item["Key"].removeprefix(f"{self.prefix}/") for item in found.get("Contents", [])]


@pytest.fixture(scope="module", params=["moto", "seaweedfs"])
def cloud(request):
    made = Cloud(request.getfixturevalue(request.param))
    made.put("photos/example.jpg", jpeg())
    made.put("photos/dir/note.txt", b"0123456789", ContentType="text/x-odd", Metadata={"who": "me"})
    made.put("photos/large.bin", np.random.default_rng(1).bytes(5 << 20))
    made.put(".vipsgate/buckets/photos.json", PUBLIC)
    made.put("closed/a.txt", b"x")
    made.put(".vipsgate/buckets/ruled.json", RULED)
    made.put("ruled/image/a.png", jpeg())
    return made


@pytest.fixture(scope="module")
def site(cloud, serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    (folder / "vipsgate.toml").write_text(CONFIG)
    words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(cloud.url, *words, env=cloud.server.env(), renderers=1) as site:
        yield site


def call(site, method, key="", query=(), body=b"", bucket="photos", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = sign.Request(method, bucket, key, tuple(query), sign.fields(headers.items()))
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" if value else name for name, value in query)
    headers = {"Content-Length": str(len(body)), **signed, **headers}
    return site.ask(f"/{bucket}/{key}?{text}", headers, method=method, body=body)


def test_an_object_as_it_is(site, cloud):
    answer = site.ask("/photos/dir/note.txt")
    assert (answer.status, answer.body, answer.kind) == (200, b"0123456789", "text/x-odd")
    assert answer.etag == f'"{hashlib.md5(b"0123456789").hexdigest().upper()}"'
    assert answer.headers["x-oss-meta-who"] == "me"
    assert site.ask("/photos/dir/note.txt", method="HEAD").headers["Content-Length"] == "10"
    assert site.ask("/photos/dir/note.txt", {"If-None-Match": answer.etag}).status == 304
    assert site.ask("/photos/none.txt").code == "NoSuchKey"
    assert site.ask("/none/none.txt").code == "NoSuchBucket"
    assert site.ask("/closed/a.txt").code == "AccessDenied"
    assert site.ask("/photos/dir").code == "NoSuchKey"


@pytest.mark.parametrize("span", [(0, 9), (4 << 20, (5 << 20) - 1), (100_000, 3_000_000)])
def test_a_part_of_one(site, span):
    data = np.random.default_rng(1).bytes(5 << 20)
    answer = site.ask("/photos/large.bin", {"Range": f"bytes={span[0]}-{span[1]}"})
    assert (answer.status, answer.body) == (206, data[span[0] : span[1] + 1])


def test_a_whole_one(site):
    assert site.ask("/photos/large.bin").body == np.random.default_rng(1).bytes(5 << 20)


def test_a_picture(site):
    first = site.ask(f"/photos/example.jpg{RESIZE}")
    assert first.picture.size == (50, 33)
    for _ in range(3):
        again = site.ask(f"/photos/example.jpg{RESIZE}")
        assert (again.body, again.headers["X-Vipsgate-Cache"]) == (first.body, "hit")
    info = json.loads(site.ask("/photos/example.jpg?x-oss-process=image/info").body)
    assert info["ImageWidth"]["value"] == "400"


def test_a_picture_replaced_behind_its_back_is_seen_within_a_moment(site, cloud):
    cloud.put("photos/other.jpg", jpeg(seed=2))
    before = site.ask(f"/photos/other.jpg{RESIZE}")
    cloud.put("photos/other.jpg", jpeg(seed=3))
    end = time.monotonic() + 5
    while (after := site.ask(f"/photos/other.jpg{RESIZE}")).etag == before.etag:
        assert time.monotonic() < end
    assert after.body != before.body


def test_writes(site, cloud):
    put = call(site, "PUT", "made/a.txt", body=b"data", x_oss_meta_Author="me", Content_Type="a/b")
    assert put.status == 200, put.body
    assert put.etag == f'"{hashlib.md5(b"data").hexdigest().upper()}"'
    theirs = cloud.head("photos/made/a.txt")
    assert (theirs["ContentType"], theirs["Metadata"]["author"]) == ("a/b", "me")
    ours = site.ask("/photos/made/a.txt")
    assert (ours.body, ours.kind, ours.etag) == (b"data", "a/b", put.etag)
    assert ours.headers["x-oss-meta-author"] == "me"
    assert ours.headers["x-oss-hash-crc64ecma"] == put.headers["x-oss-hash-crc64ecma"]
    forbidden = call(site, "PUT", "made/a.txt", body=b"2", x_oss_forbid_overwrite="true")
    assert forbidden.code == "FileAlreadyExists"
    assert call(site, "PUT", "made/a.txt", [("acl", "")], x_oss_object_acl="private").status == 200
    assert site.ask("/photos/made/a.txt").code == "AccessDenied"
    kept = call(site, "GET", "made/a.txt")
    assert (kept.body, kept.etag, kept.kind) == (b"data", put.etag, "a/b")
    copied = call(site, "PUT", "made/b.txt", x_oss_copy_source="/photos/made/a.txt")
    assert copied.status == 200
    assert site.ask("/photos/made/b.txt").body == b"data"
    assert call(site, "DELETE", "made/a.txt").status == 204
    assert call(site, "GET", "made/a.txt").code == "NoSuchKey"
    assert "photos/made/a.txt" not in cloud.names()


def test_a_listing(site):
    answer = call(site, "GET", "", [("delimiter", "/"), ("prefix", "")])
    assert b"<Key>example.jpg</Key>" in answer.body
    assert b"<Prefix>dir/</Prefix>" in answer.body
    assert b".vipsgate" not in answer.body


def test_an_upload_in_parts(site, cloud):
    begun = call(site, "POST", "made/parts.bin", [("uploads", "")])
    identity = begun.error["UploadId"]
    pieces = [np.random.default_rng(n).bytes(200_000) for n in range(3)]
    tags = []
    for number, piece in enumerate(pieces, 1):
        query = [("partNumber", str(number)), ("uploadId", identity)]
        tags.append(call(site, "PUT", "made/parts.bin", query, piece).etag)
    listed = call(site, "GET", "made/parts.bin", [("uploadId", identity)])
    assert all(tag.strip('"').encode() in listed.body for tag in tags)
    rows = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    done = call(site, "POST", "made/parts.bin", [("uploadId", identity)], body)
    assert done.status == 200, done.body
    answer = site.ask("/photos/made/parts.bin")
    assert answer.body == b"".join(pieces)
    assert answer.etag == done.etag
    assert answer.etag.endswith('-3"')
    assert answer.headers["x-oss-object-type"] == "Multipart"
    assert not [key for key in cloud.names() if key.startswith(".vipsgate/uploads")]


def test_buckets_and_their_documents(site, cloud):
    assert call(site, "PUT", bucket="another", x_oss_acl="public-read").status == 200
    assert ".vipsgate/buckets/another.json" in cloud.names()
    assert b"<Name>another</Name>" in site.ask("/", list_all(site)).body
    assert call(site, "PUT", "a.txt", body=b"x", bucket="another").status == 200
    assert call(site, "DELETE", bucket="another").code == "BucketNotEmpty"
    assert call(site, "DELETE", "a.txt", bucket="another").status == 204
    assert call(site, "DELETE", bucket="another").status == 204
    assert [key for key in cloud.names() if "another" in key] == []


def list_all(site):
    request = sign.Request("GET", "", "", (), sign.fields([]))
    return sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")


def test_a_document_edited_elsewhere_is_seen_within_five_seconds(site, cloud):
    cloud.put("edited/a.txt", b"x")
    cloud.put(".vipsgate/buckets/edited.json", PUBLIC)
    end = time.monotonic() + 5
    while site.ask("/edited/a.txt").status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    cloud.put(".vipsgate/buckets/edited.json", b"{}")
    end = time.monotonic() + 5
    while site.ask("/edited/a.txt").status == 200:
        assert time.monotonic() < end
        time.sleep(0.1)


INFO = "?x-oss-process=image/info"


@pytest.fixture(scope="module")
def large(moto, root):
    """A place with pictures of 20 MB, each told by its own means."""
    place = Cloud(moto)
    place.put(".vipsgate/buckets/photos.json", PUBLIC)
    noise = np.random.default_rng(1).integers(0, 255, (1200, 1600, 3), dtype="uint8")
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0131] = "a camera"
    exif[0x010E] = "x" * 60_000
    Image.fromarray(noise).save(file, "JPEG", quality=95, exif=exif)
    data = file.getvalue()
    place.put("photos/large.jpg", data + bytes((20 << 20) - len(data)))
    comments = 40 * (b"\xff\xfe" + (65535).to_bytes(2, "big") + bytes(65533))
    place.put("photos/late.jpg", data[:2] + comments + data[2:])
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    place.put("photos/noise.png", file.getvalue())
    return place


@pytest.mark.parametrize(
    ("key", "most"), [("large.jpg", 256 << 10), ("late.jpg", None), ("noise.png", None)]
)
def test_info_of_a_large_picture(large, moto, middleman, serving, key, most):
    with serving(large.url, env=moto.env(middleman.port), renderers=1) as site:
        before = middleman.down
        answer = site.ask(f"/photos/{key}{INFO}")
        told = json.loads(answer.body)
        taken = middleman.down - before
        size = large.head(f"photos/{key}")["ContentLength"]
        assert told["FileSize"]["value"] == str(size)
        assert (told["ImageWidth"]["value"], told["ImageHeight"]["value"]) == ("1600", "1200")
        if most:
            assert 0 < taken < most, f"{taken} bytes were transferred"
            assert size > 20_000_000
            assert told["Software"]["value"] == "a camera"
        else:
            assert taken > size
        # what needs the pixels has all of them, also when it is asked for at the same time
        assert site.ask(f"/photos/{key}{RESIZE}").picture.size == (50, 38)


def test_a_film_that_is_too_large_to_be_fetched(large, moto, serving):
    large.put("photos/film.mp4", b"\0\0\0\x18ftypisom" + bytes(100_000))
    env = moto.env() | {"VIPSGATE_STORE__VIDEO_FETCH_BYTES": "100000"}
    with serving(large.url, env=env, renderers=1) as site:
        answer = site.ask("/photos/film.mp4?x-oss-process=video/snapshot,t_0,f_jpg")
        assert (answer.status, answer.code) == (400, "ImageTooLarge")
        assert "100000" in answer.message


def test_a_film(large, moto, serving, film, number):
    large.put("photos/clip.mp4", film("mp4", "h264", size=(64, 48), count=30, gop=10))
    with serving(large.url, env=moto.env(), renderers=1) as site:
        answer = site.ask("/photos/clip.mp4?x-oss-process=video/snapshot,t_0,f_png")
        assert answer.picture.size == (64, 48)


def test_a_picture_under_another_name_is_told_by_its_beginning(moto, middleman, serving):
    """With * it is protected; of an object that is far away a few KB are fetched for that, once."""
    cloud = Cloud(moto)
    starred = {"acl": "public-read", "protection": {"enabled": True, "extensions": ["*"]}}
    cloud.put(".vipsgate/buckets/starred.json", json.dumps(starred).encode())
    cloud.put("starred/scan.dat", jpeg() + bytes(3 << 20))
    cloud.put("starred/note.dat", b"a note " * 500_000)
    env = {**moto.env(middleman.port), "VIPSGATE_STORE__FRESH_SECONDS": "0"}
    with serving(cloud.url, env=env, renderers=1) as site:
        for path, method in (
            ("scan.dat", "GET"),
            ("scan.dat", "HEAD"),
            ("scan.dat?objectMeta", "HEAD"),
        ):
            before = middleman.down
            answer = site.ask(f"/starred/{path}", method=method)
            assert (answer.status, answer.ec) == (403, "0040-00000031")
            assert middleman.down - before < 1 << 16
        for _ in range(2):
            assert site.ask("/starred/note.dat").body == b"a note " * 500_000
        cloud.put("starred/note.dat", jpeg() + bytes(3 << 20))
        assert site.ask("/starred/note.dat").status == 403


def test_a_symlink(site, cloud):
    """It is kept like any object, and another client of the store sees where it leads."""
    query = [("symlink", "")]
    said = call(site, "PUT", "link", query, x_oss_symlink_target="dir%2Fnote.txt", x_oss_meta_a="b")
    assert said.status == 200
    read = site.ask("/photos/link")
    assert (read.body, read.headers["x-oss-object-type"]) == (b"0123456789", "Symlink")
    assert (read.kind, read.headers["x-oss-meta-a"]) == ("text/x-odd", "b")
    assert call(site, "GET", "link", query).headers["x-oss-symlink-target"] == "dir/note.txt"
    assert site.ask("/photos/link", {"Range": "bytes=2-4"}).body == b"234"
    listed = call(site, "GET", query=[("prefix", "link")]).body
    assert b"<Type>Symlink</Type><Size>0</Size>" in listed
    assert call(site, "GET", "link", query).etag.encode() in listed.replace(b"&quot;", b'"')
    assert cloud.head("photos/link")["ContentLength"] == len("dir/note.txt")
    call(site, "PUT", "link", query, x_oss_symlink_target="example.jpg")
    assert site.ask(f"/photos/link{RESIZE}").picture.size == (50, 33)
    assert call(site, "DELETE", "link").status == 204
    assert site.ask("/photos/link").code == "NoSuchKey"


@pytest.mark.parametrize("key", ["image/a.png", "image%5Ca.png", "image%5C%5Ca.png"])
def test_a_rule_holds_however_the_store_reads_a_backslash(site, key):
    assert site.ask(f"/ruled/{key}").status == 403

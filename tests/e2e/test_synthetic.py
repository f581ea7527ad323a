"""A bucket of pictures that are painted when they are asked for, over HTTP."""

import hashlib
import io
import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from support.console import session_of

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.load]
acl = "public-read"
origin = "synthetic"
separators = ["!"]
[buckets.load.styles]
thumb = "image/resize,w_50"
[buckets.open]
acl = "public-read-write"
origin = "synthetic"
[buckets.shut]
acl = "private"
origin = "synthetic"
separators = ["!"]
[buckets.shut.styles]
thumb = "image/resize,w_50"
[buckets.slow]
acl = "public-read"
origin = "synthetic"
delay_ms = 150
[buckets.bad]
acl = "public-read"
origin = "synthetic"
error_rate = 0.3
[buckets.broken]
acl = "public-read"
origin = "synthetic"
error_rate = 1.0
"""
KEY = sign.Credential("key1", "secret1")
PHOTO = "photo-400x300-1.jpg"
RESIZE = "?x-oss-process=image/resize,w_100"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    (folder / "vipsgate.toml").write_text(CONFIG)
    (folder / "root" / "plain").mkdir(parents=True)
    (folder / "root" / ".vipsgate" / "buckets").mkdir(parents=True)
    document(folder / "root", "plain", {"acl": "public-read"})
    document(folder / "root", "told", {"acl": "public-read", "origin": "synthetic"})
    return folder


@pytest.fixture(scope="module")
def site(folder, serving):
    with started(folder, serving, "cache") as site:
        yield site


def started(folder, serving, cache):
    words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / cache)]
    return serving(folder / "root", *words)


def document(root, bucket, said):
    (root / ".vipsgate" / "buckets" / f"{bucket}.json").write_text(json.dumps(said))


def call(site, method, bucket, key="", query=(), body=b"", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = sign.Request(method, bucket, key, tuple(query), sign.fields(headers.items()))
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" if value else name for name, value in query)
    headers = {"Content-Length": str(len(body)), **signed, **headers}
    return site.ask(f"/{bucket}/{key}?{text}", headers, method=method, body=body)


def digest(answer):
    assert answer.status == 200, answer.body
    return hashlib.sha256(answer.body).hexdigest()


# -- what is there ---------------------------------------------------------------------------------

MIME = {"jpg": "image/jpeg", "tiff": "image/tiff"}
PICTURES = {
    "photo-120x90-1.jpg": ("JPEG", 1, False),
    "photo-120x90-1.png": ("PNG", 1, False),
    "photo-120x90-1.webp": ("WEBP", 1, False),
    "photo-120x90-1.gif": ("GIF", 1, False),
    "photo-120x90-1.tiff": ("TIFF", 1, False),
    "photo-120x90-1.bmp": ("BMP", 1, False),
    "photo-120x90-1.avif": ("AVIF", 1, False),
    "alpha-120x90-1.png": ("PNG", 1, True),
    "alpha-120x90-1.webp": ("WEBP", 1, True),
    "alpha-120x90-1.gif": ("GIF", 1, True),
    "alpha-120x90-1.tiff": ("TIFF", 1, True),
    "alpha-120x90-1.bmp": ("BMP", 1, True),
    "alpha-120x90-1.avif": ("AVIF", 1, True),
    "anim-120x90x7-1.gif": ("GIF", 7, False),
    "anim-120x90x7-1.webp": ("WEBP", 7, False),
}


@pytest.mark.parametrize("key", PICTURES)
def test_every_kind_and_format(site, key):
    form, frames, alpha = PICTURES[key]
    answer = site.ask(f"/load/{key}")
    ending = key.rpartition(".")[2]
    assert answer.kind == MIME.get(ending, f"image/{ending}")
    with Image.open(io.BytesIO(answer.body)) as picture:
        found = picture.format, picture.size, getattr(picture, "n_frames", 1)
        assert found == (form, (120, 90), frames)
        assert ("A" in picture.convert("RGBA").getbands()) >= alpha
        if alpha:
            assert picture.convert("RGBA").getchannel("A").getextrema() == (0, 255)
    told = json.loads(site.ask(f"/load/{key}?x-oss-process=image/info").body)
    assert (told["ImageWidth"]["value"], told["ImageHeight"]["value"]) == ("120", "90")
    assert told["FileSize"]["value"] == str(len(answer.body))
    assert told["FrameCount"]["value"] == str(frames)


def test_is_an_object_like_any_other(site):
    whole = site.ask(f"/load/{PHOTO}")
    assert whole.headers["Content-Length"] == str(len(whole.body))
    head = site.ask(f"/load/{PHOTO}", method="HEAD")
    assert (head.etag, head.headers["Content-Length"]) == (whole.etag, str(len(whole.body)))
    part = site.ask(f"/load/{PHOTO}", {"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, whole.body[100:200])
    same = site.ask(f"/load/{PHOTO}", {"If-None-Match": whole.etag})
    assert (same.status, same.body) == (304, b"")
    since = whole.headers["Last-Modified"]
    assert site.ask(f"/load/{PHOTO}", {"If-Modified-Since": since}).status == 304
    assert site.ask(f"/load/{PHOTO}", {"If-Match": '"other"'}).status == 412
    meta = site.ask(f"/load/{PHOTO}?objectMeta", method="HEAD")
    assert meta.etag == whole.etag


def test_pictures_are_made_of_it(site):
    path = f"/load/photo-640x480-2.jpg{RESIZE}"
    first, *rest = [site.ask(path) for _ in range(4)]
    assert first.picture.size == (100, 75)
    assert first.headers["X-Vipsgate-Cache"] == "miss"
    assert {answer.headers["X-Vipsgate-Cache"] for answer in rest} == {"hit"}
    assert {digest(answer) for answer in rest} == {digest(first)}
    part = site.ask(path, {"Range": "bytes=0-9"})
    assert part.body == first.body[:10]
    assert site.ask("/load/photo-640x480-2.jpg!thumb").picture.size == (50, 38)
    film = site.ask("/load/anim-120x90x7-1.gif?x-oss-process=image/resize,w_60/format,webp")
    assert (film.picture.size, film.picture.n_frames) == ((60, 45), 7)
    mark = "YWxwaGEtNDB4MzAtMS5wbmc"  # alpha-40x30-1.png
    assert site.ask(f"/load/{PHOTO}?x-oss-process=image/watermark,image_{mark}").status == 200


def test_folders_and_buckets_do_not_matter(site):
    one = site.ask(f"/load/{PHOTO}")
    for path in (f"/load/a/{PHOTO}", f"/load/a/b%20c/%E8%A5%BF/{PHOTO}", f"/told/{PHOTO}"):
        other = site.ask(path)
        assert (digest(other), other.etag) == (digest(one), one.etag)
    assert digest(site.ask("/load/photo-400x300-2.jpg")) != digest(one)


def test_the_same_after_a_restart_and_from_another_server(site, folder, serving):
    keys = [PHOTO, "alpha-120x90-1.png", "anim-120x90x7-1.webp", f"{PHOTO}{RESIZE}"]
    before = [site.ask(f"/load/{key}") for key in keys]
    for cache in ("cache2", "cache2"):  # the second finds what the first has left
        with started(folder, serving, cache) as other:
            for key, one in zip(keys, before, strict=True):
                head = other.ask(f"/load/{key}", method="HEAD")
                answer = other.ask(f"/load/{key}")
                assert (digest(answer), answer.etag) == (digest(one), one.etag)
                assert (head.etag, head.headers["Content-Length"]) == (one.etag, str(len(one.body)))
                assert answer.headers["Last-Modified"] == one.headers["Last-Modified"]


def test_looks_like_a_photograph_to_whoever_pays_for_it(site):
    answer = site.ask("/load/photo-1600x1200-9.jpg")
    assert 0.2 < len(answer.body) / (1600 * 1200) < 0.5


def test_many_at_once(site):
    paths = [f"/load/{number}/photo-1500x1000-77.jpg" for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        assert len({digest(answer) for answer in pool.map(site.ask, paths)}) == 1


def test_nothing_is_stored(site, folder):
    sources = {site.ask(f"/load/{key}").body for key in PICTURES}
    site.ask(f"/load/{PHOTO}{RESIZE}")
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert any("cache" in path.parts for path in kept)  # of what was made of them
    assert not [path for path in kept if any(one in path.read_bytes() for one in sources)]
    in_root = {path.name for path in (folder / "root").rglob("*") if path.is_file()}
    assert in_root == {"plain.json", "told.json"}


# -- what is not -----------------------------------------------------------------------------------

NONE = [
    "photo.jpg",
    "photo-400x300-1",
    "photo-400x300-1.jpeg",
    "photo-400x300-1.JPG",
    "photo-400x300-1.heic",
    "photo-400x300-1.jpg.png",
    "photo-400x300-1.jpg/more",
    "photo-400x300--1.jpg",
    "photo-400x300-01.jpg",
    "photo-0x300-1.jpg",
    "photo-400x300x2-1.gif",
    "photo-%EF%BC%94x3-1.jpg",
    "photo-400x300-1%0A.jpg",
    "alpha-400x300-1.jpg",
    "anim-400x300-1.gif",
    "anim-400x300x501-1.gif",
    "anim-4000x3000x499-1.webp",
    "photo-30001x1-1.jpg",
    "photo-99999x99999-1.jpg",
    "photo-999999999999999999999x1-1.jpg",
    "photo-20000x20000-1.jpg",
    "photo-15000x15000-1.png",
    "paint/photo",
    "paint",
    ".vipsgate/buckets/load.json",
]


@pytest.mark.parametrize("key", NONE)
def test_everything_else_is_not_there(site, key):
    begun = time.monotonic()
    for query in ("", RESIZE):
        answer = site.ask(f"/load/{key}{query}")
        assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert site.ask(f"/load/{key}", method="HEAD").status == 404
    assert time.monotonic() - begun < 5  # nothing was painted for that


def test_the_message_says_why(site):
    assert "KIND-WIDTHxHEIGHT" in site.ask("/load/cat.jpg").message
    assert "30000" in site.ask("/load/photo-30001x1-1.jpg").message


def test_a_bucket_that_is_not_configured_so_has_none(site):
    assert site.ask(f"/plain/{PHOTO}").code == "NoSuchKey"
    assert site.ask(f"/none/{PHOTO}").code == "NoSuchBucket"


WORDS = [
    "paint/photo-9x9-1.jpg",
    "explain/paint/photo-9x9-1.jpg",
    "image/paint/photo-9x9-1.jpg",
    "image/paint,photo-9x9-1.jpg",
    "image/resize,w_9|paint/photo-9x9-1.jpg",
    "paint/photo-9x9-1.jpg|image/resize,w_9",
    "video/paint/photo-9x9-1.jpg",
    "style/paint/photo-9x9-1.jpg",
    "sys/paint/photo-9x9-1.jpg",
    "%70aint/photo-9x9-1.jpg",
    "paint%2Fphoto-9x9-1.jpg",
]


@pytest.mark.parametrize("text", WORDS)
def test_no_process_text_paints(site, text):
    for bucket in ("load", "plain"):
        key = PHOTO if bucket == "load" else "none.jpg"
        answer = site.ask(f"/{bucket}/{key}?x-oss-process={text}")
        assert answer.status in (400, 404)
        assert "image/" not in answer.kind
    told = f"x-oss-process={text}".encode()
    posted = call(site, "POST", "load", PHOTO, [("x-oss-process", "")], body=told)
    assert posted.status in (400, 404)


def test_a_style_that_would_paint_is_broken(site):
    said = {"acl": "public-read", "styles": {"x": "paint/photo-9x9-1.jpg"}}
    document(site.root, "plain", said)
    try:
        end = time.monotonic() + 6
        while "bucket plain: styles.x" not in ready(site):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert site.ask("/plain/none.jpg?x-oss-process=style/x").status in (400, 404)
    finally:
        document(site.root, "plain", {"acl": "public-read"})


def ready(site):
    return private(site, "/readyz")


def private(site, path):
    headers = session_of(site, "key1", "secret1")
    url = f"http://127.0.0.1:{site.admin_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.read().decode()


def test_is_explained_like_any_other(site):
    told = json.loads(private(site, f"/explain/load/{PHOTO}{RESIZE}"))
    assert told["plan"]["source"]["width"] == 400
    assert told["etag"] == site.ask(f"/load/{PHOTO}{RESIZE}").etag
    assert told["access"]["anonymous"]["allowed"]


# -- who may -----------------------------------------------------------------------------------

WRITES = {
    "PutObject": ("PUT", "photo-9x9-1.jpg", (), {}),
    "PutObject elsewhere": ("PUT", "new.txt", (), {}),
    "DeleteObject": ("DELETE", PHOTO, (), {}),
    "PutObjectACL": ("PUT", PHOTO, [("acl", "")], {"x_oss_object_acl": "private"}),
    "InitiateMultipartUpload": ("POST", "new.txt", [("uploads", "")], {}),
    "CopyObject": ("PUT", "new.txt", (), {"x_oss_copy_source": f"/load/{PHOTO}"}),
}


@pytest.mark.parametrize("bucket", ["load", "open", "told"])
@pytest.mark.parametrize("name", WRITES)
def test_is_not_written(site, bucket, name):
    method, key, query, headers = WRITES[name]
    before = site.ask(f"/{bucket}/{PHOTO}")
    refused = call(site, method, bucket, key, query, **headers)
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert "origin" in refused.message
    assert digest(site.ask(f"/{bucket}/{PHOTO}")) == digest(before)


def test_anybody_may_not_write_either(site):
    for bucket in ("load", "open", "shut"):
        for method in ("PUT", "DELETE"):
            refused = site.ask(f"/{bucket}/{PHOTO}", {"Content-Length": "0"}, method=method)
            assert (refused.status, refused.code) == (403, "AccessDenied")


def test_may_be_copied_from(site):
    done = call(site, "PUT", "plain", "copy.jpg", x_oss_copy_source=f"/load/{PHOTO}")
    try:
        assert done.status == 200
        assert site.ask("/plain/copy.jpg").body == site.ask(f"/load/{PHOTO}").body
    finally:
        assert call(site, "DELETE", "plain", "copy.jpg").status == 204


def test_is_listed_as_empty(site):
    listed = call(site, "GET", "load", query=[("list-type", "2")])
    assert listed.status == 200
    assert b"<KeyCount>0</KeyCount>" in listed.body
    assert b"<Contents>" not in listed.body


DEAR = "photo-6000x5000-%d.jpg"  # over a second
ASKED = {
    "the object": ("GET", "/shut/%s"),
    "a picture of it": ("GET", f"/shut/%s{RESIZE}"),
    "a style": ("GET", "/shut/%s!thumb"),
    "its ACL": ("GET", "/shut/%s?acl"),
    "its headers": ("HEAD", "/shut/%s"),
    "its facts": ("HEAD", "/shut/%s?objectMeta"),
    "another in its place": ("PUT", "/shut/%s"),
}


@pytest.mark.parametrize("name", ASKED)
def test_nothing_is_painted_for_who_may_not_have_it(site, name):
    method, path = ASKED[name]
    path %= DEAR % list(ASKED).index(name)
    begun = time.monotonic()
    assert site.ask(path, {"Content-Length": "0"}, method=method).code == "AccessDenied"
    assert time.monotonic() - begun < 3
    assert call(site, "GET", "shut", PHOTO).picture.size == (400, 300)


# -- delay and faults --------------------------------------------------------------------------


def test_a_delay_is_for_every_request_and_holds_up_no_other(site):
    site.ask(f"/slow/{PHOTO}{RESIZE}")
    for _ in range(3):  # also of what is known and kept
        begun = time.monotonic()
        assert site.ask(f"/slow/{PHOTO}{RESIZE}").headers["X-Vipsgate-Cache"] == "hit"
        assert 0.15 <= time.monotonic() - begun < 3
    with ThreadPoolExecutor(20) as pool:
        begun = time.monotonic()
        answers = list(pool.map(site.ask, [f"/slow/{PHOTO}"] * 20))
        quick = site.ask(f"/load/{PHOTO}")
        assert {answer.status for answer in (*answers, quick)} == {200}
        assert time.monotonic() - begun < 20 * 0.15


def test_faults_are_a_share_of_all_requests_and_are_not_kept(site):
    path = f"/bad/{PHOTO}{RESIZE}"
    answers = [site.ask(path) for _ in range(200)]
    failed = [answer for answer in answers if answer.status != 200]
    assert 40 <= len(failed) <= 80
    for answer in failed:
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert answer.headers["Retry-After"] == "1"
        assert answer.error["BucketName"] == "bad"
    assert len({digest(answer) for answer in answers if answer.status == 200}) == 1
    assert {site.ask(f"/load/{PHOTO}{RESIZE}").status for _ in range(20)} == {200}


def test_all_may_fail(site):
    for path in (f"/broken/{PHOTO}", f"/broken/{PHOTO}{RESIZE}", "/broken/none.jpg"):
        assert site.ask(path).code == "ServiceUnavailable"
        assert site.ask(path, method="HEAD").status == 503


def test_another_acl_leaves_it_as_slow_and_faulty_as_it_was(site):
    said = {"acl": "public-read", "origin": "synthetic", "delay_ms": 1.5, "error_rate": 0.25}
    document(site.root, "kept", said)
    end = time.monotonic() + 6
    while (
        done := call(site, "PUT", "kept", query=[("acl", "")], x_oss_acl="private")
    ).status != 200:
        assert time.monotonic() < end, done
        time.sleep(0.1)
    path = site.root / ".vipsgate" / "buckets" / "kept.json"
    kept = json.loads(path.read_text())
    path.unlink()
    assert kept == {"origin": "synthetic", "delay_ms": 1.5, "error_rate": 0.25}


def test_a_document_may_turn_it_on_and_off(site):
    def until(status, said):
        document(site.root, "turned", {"acl": "public-read", **said})
        end = time.monotonic() + 6
        while site.ask(f"/turned/{PHOTO}").status != status:
            assert time.monotonic() < end
            time.sleep(0.1)

    until(200, {"origin": "synthetic"})
    until(503, {"origin": "synthetic", "error_rate": 1})
    until(200, {"origin": "synthetic", "error_rate": 0})
    until(404, {})
    (site.root / ".vipsgate" / "buckets" / "turned.json").unlink()

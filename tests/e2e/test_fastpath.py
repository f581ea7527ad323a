"""Requests that are known: whatever changes, the next answer is the right one."""

import os
import re
import shutil
import time
import urllib.request

import pytest

from vipsgate.gate import sign
from vipsgate.store.local import settled

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY = sign.Credential("key1", "secret1")
PATH = "/photos/example.jpg?x-oss-process=image/resize,w_100"
STYLED = "/photos/example.jpg!small"
OBJECT, PAGE = "/photos/example.jpg", "/photos/page.html"
MARKED = "/photos/example.jpg?x-oss-process=image/watermark,image_cGFuZGEucG5n"
PUBLIC = '{"acl": "public-read", "separators": ["!"], "styles": {"small": "image/resize,w_%d"}%s}'


BOTH = pytest.mark.parametrize("site", ["memory", "disk"], indirect=True)


@pytest.fixture(params=["memory"])
def site(request, serving, tmp_path, root):
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    (tmp_path / "root" / "photos").mkdir(parents=True)
    for name in ("example.jpg", "panda.png"):
        shutil.copy(root / "examplebucket" / name, tmp_path / "root" / "photos" / name)
    (tmp_path / "root" / "photos" / "page.html").write_text("<p>")
    words = ["--config", str(tmp_path / "vipsgate.toml"), "--cache-dir", str(tmp_path / "cache")]
    env = {"VIPSGATE_CACHE__MEMORY_BYTES": "0"} if request.param == "disk" else {}
    document(tmp_path / "root", PUBLIC % (70, ""))
    with serving(tmp_path / "root", *words, env=env) as site:
        for path in (PATH, STYLED, MARKED, OBJECT, PAGE):
            known(site, path)
        yield site


def document(root, text):
    folder = root / ".vipsgate" / "buckets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "photos.json").write_text(text)


def until(fact):
    end = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.05)


def known(site, path):
    """Ask until the answer is that of a known request; they all have to be the same."""
    first = site.ask(path)
    for _ in range(4):
        answer = site.ask(path)
        assert answer.status == 200
        assert (answer.body, answer.etag, answer.kind) == (first.body, first.etag, first.kind)
    assert (answer.headers["X-Vipsgate-Cache"] == "hit") is ("x-oss-process" in path or "!" in path)
    names = set(first.headers) ^ set(answer.headers)
    assert not names, names
    assert answer.headers["x-oss-request-id"] != first.headers["x-oss-request-id"]


def settle(site, *paths):
    """Ask for objects until their requests are known, whose files stay as they are."""
    for path in paths:
        site.ask(path)
    time.sleep(settled.SECONDS + 0.2)
    for path in paths:
        known(site, path)


def call(site, method, key, query=(), **headers):
    request = sign.Request(method, "photos", key, tuple(query), sign.fields(headers.items()))
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" for name, value in query)
    headers = {"Content-Length": "0", **signed, **headers}
    answer = site.ask(f"/photos/{key}?{text}", headers, method=method)
    assert answer.status in (200, 204), answer.body
    return answer


@BOTH
def test_a_header_that_asks_for_more(site):
    assert site.ask(PATH, {"x-oss-traffic-limit": "819200"}).code == "NotImplemented"
    assert site.ask(PATH, {"X-OSS-Process": "image/info"}).code == "NotImplemented"
    assert site.ask(PATH, {"x-oss-request-payer": "requester"}).status == 200


def test_objects_on_one_connection(site):
    """Where the connection stays open, the answer is sent without a task of its own."""
    settle(site, OBJECT, PAGE)
    client, before = site.connection(), opens(site)
    for path, more in ((OBJECT, set()), (PAGE, {"content-security-policy"})):
        bodies, names, ids = set(), set(), set()
        for _ in range(4):
            client.request("GET", path)
            answer = client.getresponse()
            bodies.add(answer.read())
            names.add(frozenset(name.lower() for name, _ in answer.getheaders()))
            ids.add(answer.getheader("x-oss-request-id"))
        assert bodies == {(site.root / path[1:]).read_bytes()}
        (fields,) = names
        assert fields >= {"etag", "last-modified", "accept-ranges", "date", "content-type"} | more
        assert "server-timing" not in fields
        assert len(ids) == 4
    client.close()
    assert opens(site) == before + 2  # once for each, as this client writes Host otherwise


def opens(site):
    """How often an object has been opened on the way of all requests."""
    text = urllib.request.urlopen(f"http://{site.host}:{site.admin_port}/metrics").read().decode()
    found = re.findall(
        r'^vipsgate_store_duration_seconds_count\{operation="open"\} (\S+)', text, re.M
    )
    return float(found[0])


def test_an_object_that_is_edited_in_its_place(site):
    """Its length stays, and its time is put back; one that becomes longer is another one, too."""
    settle(site, PAGE)
    file, before = site.root / "photos" / "page.html", site.ask(PAGE)
    times = file.stat()
    with file.open("r+b") as page:
        page.write(b"<b>")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = site.ask(PAGE)
    assert (before.body, after.body) == (b"<p>", b"<b>")
    assert after.etag != before.etag
    known(site, PAGE)
    file.write_text("x" * 100_000)
    assert site.ask(PAGE).body == b"x" * 100_000
    file.unlink()
    assert site.ask(PAGE).code == "NoSuchKey"
    file.symlink_to("/etc/hostname")
    assert site.ask(PAGE).code == "NoSuchKey"


@BOTH
def test_another_source(site):
    before = site.ask(PATH)
    shutil.copy(site.root / "photos" / "panda.png", site.root / "photos" / "example.jpg")
    after = site.ask(PATH)
    assert (after.status, after.etag == before.etag) == (200, False)
    assert after.kind == "image/png"
    (site.root / "photos" / "example.jpg").unlink()
    assert site.ask(PATH).code == "NoSuchKey"


@BOTH
def test_an_objects_acl(site):
    settle(site, OBJECT)
    call(site, "PUT", "example.jpg", [("acl", "")], **{"x-oss-object-acl": "private"})
    for path in (PATH, STYLED, MARKED, OBJECT):
        assert site.ask(path).code == "AccessDenied"
    call(site, "PUT", "example.jpg", [("acl", "")], **{"x-oss-object-acl": "default"})
    known(site, PATH)
    call(site, "PUT", "panda.png", [("acl", "")], **{"x-oss-object-acl": "private"})
    assert site.ask(PATH).status == 200
    assert site.ask(MARKED).code == "AccessDenied"  # it was laid on it by the caller


def test_a_buckets_acl(site):
    settle(site, OBJECT, PAGE)
    call(site, "PUT", "", [("acl", "")], **{"x-oss-acl": "private"})
    for path in (PATH, STYLED, MARKED, OBJECT, PAGE):
        assert site.ask(path).code == "AccessDenied"


def test_protection_and_hotlinks(site):
    settle(site, OBJECT)
    document(site.root, PUBLIC % (70, ', "protection": {"enabled": true, "extensions": ["jpg"]}'))
    until(lambda: site.ask(PATH).status == 403)
    assert site.ask(OBJECT).code == "AccessDenied"
    assert site.ask(STYLED).status == 200
    rules = ', "referer": {"allow_empty": false, "whitelist": ["http://a"]}'
    document(site.root, PUBLIC % (70, rules))
    until(lambda: "referer policy" in site.ask(PATH).message)
    for _ in range(4):
        assert site.ask(PATH, {"Referer": "http://a/"}).status == 200
        assert site.ask(PATH).status == 403


@BOTH
def test_a_symlink(site):
    """What changes at either end of it is seen at once."""
    path, styled = (PATH.replace("example.jpg", "link"), STYLED.replace("example.jpg", "link"))

    def link(target):
        call(site, "PUT", "link", [("symlink", "")], **{"x-oss-symlink-target": target})

    link("example.jpg")
    for one in (path, styled):
        known(site, one)
    assert site.ask(path).body == site.ask(PATH).body
    for key in ("link", "example.jpg"):
        call(site, "PUT", key, [("acl", "")], **{"x-oss-object-acl": "private"})
        assert {site.ask(one).code for one in (path, styled)} == {"AccessDenied"}
        call(site, "PUT", key, [("acl", "")], **{"x-oss-object-acl": "default"})
        for one in (path, styled):
            known(site, one)
    link("panda.png")
    assert site.ask(path).kind == "image/png"
    known(site, path)
    shutil.copy(site.root / "photos" / "example.jpg", site.root / "photos" / "panda.png")
    assert site.ask(path).kind == "image/jpeg"
    (site.root / "photos" / "panda.png").unlink()
    assert site.ask(path).code == "SymlinkTargetNotExist"
    call(site, "DELETE", "link")
    assert site.ask(path).code == "NoSuchKey"


RULED = PUBLIC % (70, ', "protection": {"enabled": true, "rules": [{"prefix": "private/"}]}')


def test_a_link_to_a_protected_object(site):
    """Renamed folders and links to them change nothing about the file itself."""
    bucket = site.root / "photos"
    (bucket / "sub").mkdir()
    shutil.copy(bucket / "example.jpg", bucket / "sub" / "a.jpg")
    document(site.root, RULED)
    plain = "/photos/sub/a.jpg"
    path = f"{plain}?x-oss-process=image/resize,w_100"
    until(lambda: site.ask(path.replace("sub", "private")).status == 403)
    known(site, path)
    settle(site, plain)
    (bucket / "sub").rename(bucket / "private")
    assert site.ask(path).code == site.ask(plain).code == "NoSuchKey"
    (bucket / "sub").symlink_to("private")
    assert site.ask(path).code == site.ask(plain).code == "AccessDenied"
    assert site.ask("/photos/sub/a.jpg!small").status == 200
    (bucket / "sub").unlink()
    (bucket / "private").rename(bucket / "sub")
    known(site, path)
    (bucket / "sub").rename(bucket / "open")
    (bucket / "sub").symlink_to("open")
    known(site, path)
    (bucket / "open").rename(bucket / "private")
    (bucket / "open").symlink_to("private")
    assert site.ask(path).code == site.ask(plain).code == "AccessDenied"


def test_another_style(site):
    document(site.root, PUBLIC % (50, ""))
    until(lambda: site.ask(STYLED).picture.width == 50)


def test_a_literal_object_comes_first(site):
    shutil.copy(site.root / "photos" / "panda.png", site.root / "photos" / "example.jpg!small")
    answer = site.ask(STYLED)
    assert answer.body == (site.root / "photos" / "panda.png").read_bytes()


def test_a_laid_on_object(site):
    before = site.ask(MARKED)
    shutil.copy(site.root / "photos" / "example.jpg", site.root / "photos" / "panda.png")
    assert site.ask(MARKED).etag != before.etag


@BOTH
def test_particular_requests(site):
    whole = site.ask(PATH)
    assert site.ask(PATH, {"Range": "bytes=0-9"}).body == whole.body[:10]
    assert site.ask(PATH, {"If-None-Match": whole.etag}).status == 304
    assert site.ask(PATH, {"If-Match": '"x"'}).status == 412
    assert site.ask(PATH, method="HEAD").body == b""
    assert site.ask(PATH, {"Authorization": "OSS a:b"}).status == 403
    assert site.ask(f"{PATH}&Signature=x").status == 403
    assert site.ask(PATH, host="photos.oss-cn-hangzhou.aliyuncs.com").code == "NoSuchKey"
    assert site.ask(PATH).body == whole.body
    data = (site.root / "photos" / "example.jpg").read_bytes()
    assert site.ask(OBJECT, {"Range": "bytes=0-9"}).body == data[:10]
    assert site.ask(OBJECT, {"If-None-Match": site.ask(OBJECT).etag}).status == 304
    assert site.ask(OBJECT, method="HEAD").body == b""
    assert site.ask(f"{OBJECT}?response-content-type=text/html").status == 400
    assert site.ask(f"{OBJECT}?acl").code == "AccessDenied"
    assert site.ask(OBJECT).body == data


def test_purged(site):
    assert site.ask(PATH).headers["X-Vipsgate-Cache"] == "hit"
    call(site, "DELETE", "panda.png")
    assert site.ask(MARKED).code == "WatermarkError"
    assert site.ask(PATH).status == 200

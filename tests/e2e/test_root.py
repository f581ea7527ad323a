"""A server whose disk is away: 503 and not 404, nothing made in its place, all there afterwards."""

import concurrent.futures
import os
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest

from vipsgate.gate import sign

CONFIG = """
[store]
stale_seconds = {stale}
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.photos]
acl = "public-read"
[buckets.photos.styles]
small = "image/resize,w_40"
"""
KEY = sign.Credential("key1", "secret1")
RESIZED = "/photos/example.jpg?x-oss-process=image/resize,w_100"
STYLED = "/photos/example.jpg?x-oss-process=style/small"
WRONG = "/photos/example.jpg?x-oss-process=image/resize,w_0"


@pytest.fixture(params=[600])
def site(request, serving, root, tmp_path):
    place = tmp_path / "disk" / "root"
    (place / "photos").mkdir(parents=True)
    shutil.copy(root / "examplebucket" / "example.jpg", place / "photos")
    (place / ".vipsgate" / "buckets").mkdir(parents=True)
    (place / ".vipsgate" / "buckets" / "plain.json").write_text('{"acl": "public-read"}')
    (place / "plain").mkdir()
    file = tmp_path / "vipsgate.toml"
    file.write_text(CONFIG.format(stale=request.param))
    with serving(place, "--config", str(file), "--cache-dir", str(tmp_path / "cache")) as site:
        yield site


def call(site, method, bucket, key="", query=(), body=b"", **more):
    request = sign.Request(method, bucket, key, tuple(query), sign.fields(more.items()))
    headers = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" for name, value in query)
    headers = {"Content-Length": str(len(body)), **headers, **more}
    return site.ask(f"/{bucket}/{key}?{text}".replace("//", "/"), headers, method=method, body=body)


def ready(site, query=""):
    try:
        url = f"http://127.0.0.1:{site.admin_port}/readyz{query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


CALLS = {
    "object": lambda site: site.ask("/photos/example.jpg"),
    "HEAD": lambda site: site.ask("/photos/example.jpg", method="HEAD"),
    "a range": lambda site: site.ask("/photos/example.jpg", {"Range": "bytes=0-9"}),
    "no object": lambda site: site.ask("/photos/none.jpg"),
    "no bucket": lambda site: site.ask("/nowhere/none.jpg"),
    "a new picture": lambda site: site.ask("/photos/example.jpg?x-oss-process=image/resize,w_9"),
    "of a document's bucket": lambda site: site.ask("/plain/none.jpg"),
    "signed": lambda site: call(site, "GET", "photos", "example.jpg"),
    "put": lambda site: call(site, "PUT", "photos", "new.jpg", body=b"data"),
    "put over": lambda site: call(site, "PUT", "photos", "example.jpg", body=b"data"),
    "put large": lambda site: call(site, "PUT", "photos", "l", body=bytes(1 << 20)),
    "copy": lambda site: call(
        site, "PUT", "photos", "copy.jpg", **{"x-oss-copy-source": "/photos/example.jpg"}
    ),
    "delete": lambda site: call(site, "DELETE", "photos", "example.jpg"),
    "delete none": lambda site: call(site, "DELETE", "photos", "none.jpg"),
    "acl": lambda site: call(site, "GET", "photos", "example.jpg", [("acl", "")]),
    "saveas": lambda site: call(
        site,
        "POST",
        "photos",
        "example.jpg",
        [("x-oss-process", "")],
        b"x-oss-process=image/resize,w_10|sys/saveas,o_bmV3LmpwZw",
    ),
    "begin an upload": lambda site: call(site, "POST", "photos", "u", [("uploads", "")]),
    "list": lambda site: call(site, "GET", "photos"),
    "list uploads": lambda site: call(site, "GET", "photos", "", [("uploads", "")]),
    "list buckets": lambda site: site.ask(
        "/",
        sign.sign_headers(
            KEY,
            sign.Request("GET", "", "", (), {}),
            now=time.time(),
            version=4,
            region="cn-hangzhou",
        ),
    ),
    "make a bucket": lambda site: call(site, "PUT", "another"),
    "remove a bucket": lambda site: call(site, "DELETE", "plain"),
    "change a bucket": lambda site: call(
        site, "PUT", "plain", "", [("acl", "")], **{"x-oss-acl": "private"}
    ),
}


@pytest.fixture(params=["gone", "the folder below the mount"])
def away(request, site):
    """``away()``: the disk goes; ``away(False)``: it is back, and nothing was made in its place."""
    aside = site.root.with_name("aside")

    def turn(go=True):
        if go:
            site.root.rename(aside)
            if request.param != "gone":
                site.root.mkdir()
        else:
            aside.rename(site.root)  # over an empty folder, and over no other

    return turn


def test_nothing_is_404_nothing_is_made_and_all_is_there_afterwards(site, away):
    hits = [RESIZED, STYLED]
    before = {}
    for path in hits:
        for _ in range(3):
            before[path] = site.ask(path)
            assert before[path].status == 200
    files = sorted(path for path in site.root.rglob("*") if path.is_file())
    away()
    for name, ask in CALLS.items():
        answer = ask(site)
        assert (answer.status, answer.code) == (503, "ServiceUnavailable"), name
        assert int(answer.headers["Retry-After"]) >= 1
        assert "disk" not in answer.message  # where it is, is nobody's business
    # what is known is still answered as it was
    for path in hits * 2:
        again = site.ask(path)
        assert (again.status, again.body) == (200, before[path].body)
        assert again.headers["X-Vipsgate-Cache"] == "hit"
        assert again.etag == before[path].etag
    assert site.ask(RESIZED, {"Range": "bytes=0-9"}).status == 503
    assert site.ask(WRONG).status in (400, 503)
    status, text = ready(site)
    assert status == 503
    assert text.startswith(f"the store is away: {site.root}: ")
    assert ready(site, "?despite=store")[0] == 200
    away(False)
    assert ready(site) == (200, "ready\n")
    assert sorted(path for path in site.root.rglob("*") if path.is_file()) == files
    assert site.ask("/photos/example.jpg").status == 200
    assert site.ask("/photos/none.jpg").status == 404
    assert site.ask("/plain/none.jpg").status == 404
    for path in hits:
        assert site.ask(path).body == before[path].body
    assert call(site, "PUT", "photos", "new.jpg", body=b"data").status == 200
    assert site.ask("/photos/new.jpg").body == b"data"
    log = site.log.read_text()
    assert log.count("ERROR: the store is away: ") == 1
    assert "the store is there again" in log


@pytest.mark.parametrize("site", [0], indirect=True)
def test_what_is_known_is_not_answered_for_longer_than_said(site, away):
    for _ in range(3):
        assert site.ask(RESIZED).status == 200
    away()
    until(lambda: site.ask(RESIZED).status == 503)
    away(False)
    for _ in range(3):
        assert site.ask(RESIZED).status == 200


def reloaded(site):
    """When a configuration was taken over last."""
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/metrics", timeout=5) as answer:
        name = "\nvipsgate_config_last_reload_success_timestamp_seconds "
        return answer.read().decode().partition(name)[2].partition("\n")[0]


def test_rights_are_asked_again_when_they_are_others(site, away, tmp_path):
    """What was known is known no more after a reload: its ACL cannot be looked at."""
    for _ in range(3):
        assert site.ask(RESIZED).status == 200
    away()
    before = reloaded(site)
    site.process.send_signal(signal.SIGHUP)  # as by whoever rotates logs
    until(lambda: reloaded(site) != before)
    assert site.ask(RESIZED).status == 200
    file = tmp_path / "vipsgate.toml"
    file.write_text(file.read_text().replace("public-read", "private"))
    site.process.send_signal(signal.SIGHUP)
    until(lambda: site.ask(RESIZED).status in (403, 503))
    away(False)
    assert site.ask(RESIZED).status == 403


def until(fact):
    end = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_writes_while_the_disk_goes_and_comes(site, away):
    """Whoever was told 200 has it; nobody is told anything else but 503; nothing is half there."""
    stop, kept, seen = threading.Event(), {}, set()

    def write(number):
        turn = 0
        while not stop.is_set():
            turn += 1
            key, data = f"dir{number}/{turn % 9}.bin", os.urandom(200_000)
            answer = call(site, "PUT", "photos", key, body=data)
            seen.add(answer.status)
            if answer.status == 200:
                kept[key] = data
            if turn % 4 == 0:
                answer = call(site, "DELETE", "photos", key)
                seen.add(answer.status)
                if answer.status == 204:
                    kept.pop(key, None)

    def read():
        while not stop.is_set():
            answer = site.ask("/photos/example.jpg")
            assert answer.status in (200, 503, 404), answer.status
            assert answer.status != 200 or answer.body.startswith(b"\xff\xd8")
            assert site.ask(RESIZED).status in (200, 503, 404)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        work = [pool.submit(write, number) for number in range(3)] + [pool.submit(read)]
        for turn in range(12):
            time.sleep(0.05 + 0.01 * turn)
            away()
            time.sleep(0.03 * (turn % 4))
            away(False)
        stop.set()
        for one in work:
            one.result()
    assert seen <= {200, 204, 503}
    assert seen >= {200, 503}
    for key, data in kept.items():
        assert site.ask(f"/photos/{key}").body == data
    listed = call(site, "GET", "photos").body.decode()
    assert {key for key in kept if key not in listed} == set()
    assert not [path for path in site.root.rglob("*/drafts/*") if path.is_file()]


def test_a_bucket_behind_a_link_whose_place_is_away(site):
    elsewhere = site.root.parent / "disk2"
    elsewhere.mkdir()
    shutil.copy(site.root / "photos" / "example.jpg", elsewhere)
    (site.root / "far").symlink_to(elsewhere)
    path = "/far/example.jpg"
    assert call(site, "GET", "far", "example.jpg").status == 200
    elsewhere.rename(site.root.parent / "aside2")
    for answer in (
        site.ask(path),
        call(site, "GET", "far", "example.jpg"),
        call(site, "PUT", "far", "a", body=b"data"),
        call(site, "GET", "far"),
        call(site, "PUT", "far"),
        call(site, "DELETE", "far"),
    ):
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert site.ask("/photos/example.jpg").status == 200
    assert ready(site)[0] == 200
    (site.root.parent / "aside2").rename(elsewhere)
    assert call(site, "GET", "far", "example.jpg").status == 200

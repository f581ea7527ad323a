"""The cache over HTTP: where answers come from, who gets them, and what one burst costs."""

import concurrent.futures
import os
import shutil
import time
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.console import session_of

from vipsgate.gate import sign

CONFIG = """
[cache]
memory_bytes = 1000000
disk_bytes = 50000000
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.photos]
acl = "public-read"
[buckets.shut]
[buckets.guarded]
acl = "public-read"
[buckets.guarded.styles]
small = "image/resize,w_100"
[buckets.guarded.protection]
enabled = true
extensions = ["jpg"]
"""
KEY = sign.Credential("key1", "secret1")
SMALL = "image/resize,w_100"


@pytest.fixture
def folder(tmp_path, root):
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    for bucket in ("photos", "shut", "guarded"):
        (tmp_path / "root" / bucket).mkdir(parents=True)
        for name in ("example.jpg", "panda.png"):
            shutil.copy(root / "examplebucket" / name, tmp_path / "root" / bucket / name)
    return tmp_path


@pytest.fixture
def start(serving, folder):
    def starting(**options):
        words = ["--config", str(folder / "vipsgate.toml")]
        return serving(folder / "root", *words, "--cache-dir", str(folder / "cache"), **options)

    return starting


def ask(site, path, process=SMALL, **options):
    return site.ask(f"/{path}?x-oss-process={process}", **options)


def where(site, path, process=SMALL, **options):
    answer = ask(site, path, process, **options)
    assert answer.status == 200
    assert answer.headers["Server-Timing"].startswith("queue;dur=")
    return answer.headers["X-Vipsgate-Cache"]


def signed(bucket, key, process=SMALL):
    options = {"now": time.time(), "region": "cn-hangzhou", "endpoint": "http://x"}
    url = urlsplit(sign.sign_url(KEY, bucket, key, process=process, **options))
    return f"{url.path}?{url.query}"


def purge(site, path):
    url = f"http://127.0.0.1:{site.admin_port}/cache/{path}"
    headers = session_of(site, "key1", "secret1")
    request = urllib.request.Request(url, method="DELETE", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.status


def derivatives(folder):
    files = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    return [path for path in files if not {".purges", ".locks"} & {*path.parts}]


def test_missed_once_and_hit_ever_after(start, folder):
    with start() as site:
        first, second = ask(site, "photos/example.jpg"), ask(site, "photos/example.jpg")
        assert [one.headers["X-Vipsgate-Cache"] for one in (first, second)] == ["miss", "hit"]
        assert first.body == second.body
        names = ("ETag", "Last-Modified", "Content-Type", "Content-Length")
        assert [first.headers[name] for name in names] == [second.headers[name] for name in names]
        assert where(site, "photos/example.jpg", "image/resize,w_0100") == "hit"  # the same work
        assert where(site, "photos/example.jpg", "image/info") == "miss"
        assert where(site, "photos/example.jpg", "image/info") == "hit"
        part = ask(site, "photos/example.jpg", headers={"Range": "bytes=10-19"})
        assert (part.status, part.body) == (206, first.body[10:20])
        head = ask(site, "photos/example.jpg", method="HEAD")
        assert (head.headers["X-Vipsgate-Cache"], head.body) == ("hit", b"")
        assert head.headers["Content-Length"] == str(len(first.body))
        same = ask(site, "photos/example.jpg", headers={"If-None-Match": first.etag})
        assert same.status == 304
    with start() as site:  # and after another start
        again = ask(site, "photos/example.jpg")
        assert (again.headers["X-Vipsgate-Cache"], again.body) == ("hit", first.body)


def test_large_ones_come_from_the_disk(start):
    with start() as site:
        process = "image/resize,w_900,limit_0/format,bmp"  # too large for this memory
        first, second = (ask(site, "photos/example.jpg", process) for _ in range(2))
        # what is stored is stored beside the answer
        assert second.headers["X-Vipsgate-Cache"] in ("hit", "joined")
        assert ask(site, "photos/example.jpg", process).headers["X-Vipsgate-Cache"] == "hit"
        assert first.body == second.body
        part = ask(site, "photos/example.jpg", process, headers={"Range": "bytes=-7"})
        assert part.body == first.body[-7:]


def test_another_source_is_another_picture(start, folder):
    with start() as site:
        path = folder / "root" / "photos" / "example.jpg"
        before = ask(site, "photos/example.jpg")
        shutil.copy(folder / "root" / "photos" / "panda.png", path)
        after = ask(site, "photos/example.jpg")
        assert after.headers["X-Vipsgate-Cache"] == "miss"
        assert (after.etag, after.body) != (before.etag, before.body)


def test_purged_by_source(start, folder):
    with start() as site:
        for path in ("photos/example.jpg", "photos/panda.png"):
            assert [where(site, path), where(site, path)] == ["miss", "hit"]
        time.sleep(0.2)  # what is stored is stored beside the answer
        assert len(derivatives(folder)) == 2
        assert purge(site, "photos/example.jpg") == 204
        assert purge(site, "photos/none%20at%20all") == 204
        assert len(derivatives(folder)) == 1
        assert where(site, "photos/panda.png") == "hit"
        assert where(site, "photos/example.jpg") == "miss"


def test_a_put_and_a_delete_purge(start, folder):
    with start() as site:
        assert where(site, "photos/example.jpg") == "miss"
        time.sleep(0.2)
        request = sign.Request("DELETE", "photos", "example.jpg", (), {})
        headers = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
        assert site.ask("/photos/example.jpg", headers, method="DELETE").status == 204
        assert derivatives(folder) == []


def test_the_gate_comes_first(start):
    with start() as site:
        for bucket, key in (("shut", "example.jpg"), ("guarded", "example.jpg")):
            for _ in range(2):
                assert site.ask(signed(bucket, key)).status == 200
            for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}):
                answer = ask(site, f"{bucket}/{key}", headers=headers)
                assert (answer.status, answer.code) == (403, "AccessDenied")
                assert "X-Vipsgate-Cache" not in answer.headers
        # the same picture by a style is the same work, and anyone may have it
        answer = site.ask("/guarded/example.jpg?x-oss-process=style/small")
        assert (answer.status, answer.headers["X-Vipsgate-Cache"]) == (200, "hit")
        assert "Cache-Control" not in answer.headers


def test_errors_are_not_kept(start, folder):
    with start() as site:
        (folder / "root" / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
        for _ in range(2):
            answer = ask(site, "photos/bad.jpg")
            assert answer.status in (400, 403)
            assert "X-Vipsgate-Cache" not in answer.headers
        time.sleep(0.2)
        assert derivatives(folder) == []


def test_200_at_once_render_once(start, root, folder):
    """Over two servers that share the folder."""
    with start() as one, start() as other:
        process = "image/resize,w_2000,limit_0/blur,r_20,s_10"
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            sites = [(one, other)[number % 2] for number in range(200)]
            answers = list(pool.map(lambda site: ask(site, "photos/example.jpg", process), sites))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        seen = Counter(answer.headers["X-Vipsgate-Cache"] for answer in answers)
        assert seen["miss"] <= 2
        rendered = [
            answer for answer in answers if "render;dur=0.00" not in answer.headers["Server-Timing"]
        ]
        assert len(rendered) == 1


def test_a_cut_file_is_made_again(start, folder):
    with start() as site:
        before = ask(site, "photos/example.jpg")
        time.sleep(0.2)
    (file,) = derivatives(folder)
    file.write_bytes(file.read_bytes()[:-40])
    with start() as site:
        after = ask(site, "photos/example.jpg")
        assert (after.headers["X-Vipsgate-Cache"], after.body) == ("miss", before.body)


def test_a_folder_that_cannot_be_had_stops_the_start(serving, folder):
    (folder / "file").write_text("")
    with (
        pytest.raises(AssertionError, match=r"cache\.dir = .*file"),
        serving(folder / "root", "--cache-dir", str(folder / "file")),
    ):
        pass


def test_equal_pictures_are_made_once_without_a_cache_too(serving, folder):
    process = "image/resize,w_2000,limit_0/blur,r_20,s_10"
    with serving(folder / "root") as site, concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(site, "photos/example.jpg", process), range(20)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        seen = Counter(answer.headers["X-Vipsgate-Cache"] for answer in answers)
        assert set(seen) <= {"bypass", "joined"}
        assert seen["joined"] >= 1
        # each that did not join came when no other was under way
        rendered = [a for a in answers if "render;dur=0.00" not in a.headers["Server-Timing"]]
        assert len(rendered) == seen["bypass"]


def test_without_a_cache(serving, folder):
    with serving(folder / "root") as site:
        assert [where(site, "photos/example.jpg") for _ in range(2)] == ["bypass"] * 2
    assert not Path(os.fspath(folder / "cache")).exists()

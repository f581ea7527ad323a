"""A disk without room: writes are refused and leave nothing, reads go on.

Where it is the cache's, what was not used for longest makes room.
"""

import os
import subprocess
import time

import pytest

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.photos]
acl = "public-read"
"""
KEY = sign.Credential("key1", "secret1")
ROOM = 6 << 20  # bytes of the whole disk


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("needs the right to mount a tmpfs: run it as root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def site(serving, disk, tmp_path, root):
    (disk / "photos").mkdir()
    picture = (root / "examplebucket" / "example.jpg").read_bytes()
    (disk / "photos" / "example.jpg").write_bytes(picture)
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    with serving(disk, "--config", str(tmp_path / "vipsgate.toml")) as site:
        yield site


def ask(site, method, key, query=(), body=b"", **headers):
    request = sign.Request(method, "photos", key, tuple(query), sign.fields(headers.items()))
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" for name, value in query)
    target = f"/photos/{key}?{text}"
    return site.ask(target, {**signed, **headers}, method=method, body=body)


def files(disk):
    return {path: path.stat().st_size for path in disk.rglob("*") if path.is_file()}


def test_writes_are_refused_whole_and_reads_go_on(site, disk):
    data = os.urandom(ROOM // 2)
    assert ask(site, "PUT", "first", body=data).status == 200
    before = files(disk)
    saveas = b"x-oss-process=image/resize,w_1500,limit_0/format,bmp|sys/saveas,o_YQ"
    for write in (
        lambda: ask(site, "PUT", "second", body=data),
        lambda: ask(site, "PUT", "first", body=os.urandom(ROOM)),
        lambda: ask(
            site, "PUT", "copy", **{"x-oss-copy-source": "/photos/first", "Content-Length": "0"}
        ),
        lambda: ask(site, "POST", "example.jpg", [("x-oss-process", "")], saveas),
    ):
        answer = write()
        assert (answer.status, answer.code) == (507, "InsufficientStorage")
        assert answer.message == "The store has no room left for this object."
        assert files(disk) == before
        assert site.ask("/photos/first").body == data
        assert site.ask("/photos/example.jpg?x-oss-process=image/resize,w_50").status == 200
    assert ask(site, "DELETE", "first").status == 204
    assert ask(site, "PUT", "second", body=data).status == 200


def test_a_cache_that_fills_its_disk_keeps_new_pictures(serving, disk, tmp_path, root):
    """Its budget is larger than the disk."""
    (tmp_path / "vipsgate.toml").write_text("[cache]\nmemory_bytes = 0\n")
    settings = ("--config", str(tmp_path / "vipsgate.toml"), "--cache-dir", str(disk / "cache"))
    with serving(root, *settings) as site:

        def answer(width):
            got = site.get("example.jpg", f"image/resize,w_{width}/format,bmp")
            assert got.status == 200
            return got

        first = answer(400)
        filling = ROOM // len(first.body) + 1
        for width in range(399, 399 - filling, -1):
            answer(width)
        for width in range(399 - filling, 300, -1):  # some of them come between two scans
            new = answer(width)
            again = answer(width)
            assert again.body == new.body
            if again.headers["X-Vipsgate-Cache"] == "hit":
                break
            time.sleep(0.2)
        else:
            pytest.fail("nothing new is kept")
        assert answer(400).body == first.body
        assert "the cache's disk is full" in site.log.read_text()
    assert not list((disk / "cache" / ".new").iterdir())

"""A server whose object store is away: what is still answered, and in whose words the rest."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PUBLIC = json.dumps({"acl": "public-read"}).encode()
RESIZE = "?x-oss-process=image/resize,w_50"
QUICK = {"VIPSGATE_STORE__TIMEOUT_SECONDS": "0.5", "VIPSGATE_STORE__FRESH_SECONDS": "0"}


@pytest.fixture
def place(moto, root):
    url = moto.place()
    prefix = url.split("/", 3)[3]
    example = (root / "examplebucket" / "example.jpg").read_bytes()
    for key, data in {
        "photos/a.jpg": example,
        "photos/b.jpg": example,
        "photos/large.bin": bytes(8 << 20),
        ".vipsgate/buckets/photos.json": PUBLIC,
    }.items():
        moto.client.put_object(Bucket=moto.bucket, Key=f"{prefix}/{key}", Body=data)
    return url


@pytest.fixture
def site(place, moto, middleman, serving, tmp_path):
    env = {**moto.env(middleman.port), **QUICK}
    with serving(place, "--cache-dir", str(tmp_path), env=env) as site:
        yield site
        middleman.set("pass")


def ready(site, query=""):
    try:
        url = f"http://127.0.0.1:{site.admin_port}/readyz{query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(("mode", "status"), [("gone", 502), ("hang", 504), ("fault", 502)])
def test_away(site, middleman, mode, status):
    first = site.ask(f"/photos/a.jpg{RESIZE}")
    plain = site.ask("/photos/a.jpg")
    assert (first.status, plain.status) == (200, 200)
    middleman.set(mode)
    refused = site.ask("/photos/b.jpg")
    assert (refused.status, refused.code) == (
        status,
        {502: "BadGateway", 504: "GatewayTimeout"}[status],
    )
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.error["RequestId"] == refused.headers["x-oss-request-id"]
    end = time.monotonic() + 10
    while ready(site)[0] != 503:
        assert time.monotonic() < end
        site.ask("/photos/b.jpg")
    assert "store" in ready(site)[1]
    assert ready(site, "?despite=store") == (200, "ready\n")
    begun = time.monotonic()
    assert site.ask("/photos/b.jpg").status == 502
    assert time.monotonic() - begun < 3
    # what has been made is still answered, as it was
    for _ in range(3):
        again = site.ask(f"/photos/a.jpg{RESIZE}")
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["X-Vipsgate-Cache"] == "hit"
    assert site.ask("/photos/a.jpg", {"If-None-Match": plain.etag}).status == 304
    # what has not, is not
    assert site.ask(f"/photos/a.jpg{RESIZE},h_9").status in (502, 504)
    assert site.ask("/photos/a.jpg").status in (502, 504)
    middleman.set("pass")
    end = time.monotonic() + 20
    while ready(site)[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert site.ask("/photos/b.jpg").status == 200


def test_a_body_that_breaks_off_is_gone_on_with(site, middleman):
    middleman.cut = 1 << 20
    assert site.ask("/photos/large.bin").body == bytes(8 << 20)
    assert middleman.cut == 0


def test_a_body_that_ends_early_is_told_by_the_connection(site, middleman):
    with site.socket() as line:
        line.sendall(b"GET /photos/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        seen = line.recv(65536)
        middleman.set("gone")
        while data := line.recv(65536):
            seen += data
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"Content-Length: 8388608" in head
    assert len(body) < 8388608
    assert b"HTTP/1.1 502" not in body


@pytest.fixture
def run(moto, middleman, place):
    def running(*words):
        import os

        return subprocess.run(
            [sys.executable, "-m", "vipsgate", *words],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **moto.env(middleman.port), **QUICK, "VIPSGATE_STORE__URL": place},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return running


def test_there_is_no_start_without_a_store(run, middleman):
    middleman.set("gone")
    done = run("serve", "--port", "0", "--admin-port", "0")
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_says_whether_it_can_be_had(run, middleman, place):
    there = run("check")
    assert f"{place}: 1 buckets" in there.stdout.replace("\n", "")
    middleman.set("gone")
    away = run("check")
    assert away.returncode == 1
    assert "The object store cannot be reached" in away.stdout


def test_a_fleet_shares_what_has_been_made(place, moto, middleman, serving, tmp_path):
    shared = moto.place()
    env = {**moto.env(middleman.port), **QUICK, "VIPSGATE_CACHE__URL": shared}
    path, first = f"/photos/a.jpg{RESIZE}", None
    for node, where in (("one", "miss"), ("two", "hit")):
        with serving(place, "--cache-dir", str(tmp_path / node), env=env) as site:
            answer = site.ask(path)
            assert (answer.status, answer.headers["X-Vipsgate-Cache"]) == (200, where)
            first = first or answer.body
            assert answer.body == first
            if where == "hit":
                request = urllib.request.Request(
                    f"http://127.0.0.1:{site.admin_port}/cache/photos/a.jpg", method="DELETE"
                )
                with urllib.request.urlopen(request, timeout=5) as purged:
                    assert purged.status == 204
    found = moto.client.list_objects_v2(Bucket=moto.bucket, Prefix=shared.split("/", 3)[3])
    # but for the record of the purge, which tells the other nodes
    assert [row["Key"].rpartition(".purges/")[2] for row in found["Contents"]] == ["rules.json"]

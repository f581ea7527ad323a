"""A server with a bucket on a file system that hangs: that one is 504, the others do not wait."""

import concurrent.futures
import errno
import shutil
import signal
import time
import urllib.request

import pytest
from support import fuse

CONFIG = """
[store]
timeout_seconds = 1
fresh_seconds = 0
[buckets.slow]
acl = "public-read-write"
[buckets.quick]
acl = "public-read-write"
"""
SECONDS = 1.0  # of the configuration
RESIZE = "?x-oss-process=image/resize,w_40"
HIT = f"/slow/example.jpg{RESIZE}"


@pytest.fixture(scope="module", autouse=True)
def _needs_fuse():
    if reason := fuse.missing():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def place(root, tmp_path_factory):
    """A folder with two buckets, and the files of the one that is mounted."""
    folder = tmp_path_factory.mktemp("blocking")
    top, behind = folder / "root", folder / "behind"
    for bucket in (top / "quick", top / "slow", behind):
        bucket.mkdir(parents=True)
    for bucket in (top / "quick", behind):
        shutil.copy(root / "examplebucket" / "example.jpg", bucket)
        (bucket / "large.bin").write_bytes(bytes(9 << 20))
    (folder / "vipsgate.toml").write_text(CONFIG)
    with fuse.mounted(behind, top / "slow") as files:
        yield top, files


@pytest.fixture(scope="module")
def site(place, serving, tmp_path_factory):
    with serving(*command(place), "--cache-dir", str(tmp_path_factory.mktemp("cache"))) as site:
        yield site


@pytest.fixture
def files(place):
    yield place[1]
    place[1].failing = {}
    place[1].go_on()


def command(place):
    return place[0], "--config", str(place[0].parent / "vipsgate.toml")


def admin(site, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}{path}", timeout=5) as answer:
        return answer.read().decode()


def stuck(site):
    lines = admin(site, "/metrics").splitlines()
    return next(
        float(line.split()[-1]) for line in lines if line.startswith("vipsgate_store_stuck_threads")
    )


CALLS = {
    "object": lambda site, n: site.ask("/slow/large.bin"),
    "HEAD": lambda site, n: site.ask("/slow/none", method="HEAD"),
    "a new picture": lambda site, n: site.ask(f"/slow/example.jpg{RESIZE},h_{n + 1}"),
    "no object": lambda site, n: site.ask(f"/slow/none{n}"),
    "put": lambda site, n: site.ask(f"/slow/new{n}", method="PUT", body=b"data"),
    "put large": lambda site, n: site.ask(f"/slow/l{n}", method="PUT", body=bytes(2 << 20)),
    "delete": lambda site, n: site.ask("/slow/new0", method="DELETE"),
}


def timed(call, *args):
    begun = time.monotonic()
    answer = call(*args)
    return answer, time.monotonic() - begun


def test_a_bucket_that_hangs(site, files):
    first, plain = site.ask(HIT), site.ask("/quick/large.bin")
    assert (first.status, plain.status) == (200, 200)
    assert site.ask("/slow/large.bin").body == plain.body
    assert site.ask(HIT).headers["X-Vipsgate-Cache"] == "hit"
    files.hang()
    with concurrent.futures.ThreadPoolExecutor(64) as clients:
        calls = [
            (name, clients.submit(timed, call, site, n))
            for name, call in CALLS.items()
            for n in range(3)
        ]
        slowest = 0.0
        while not all(future.done() for _, future in calls):  # meanwhile
            for path, status in {"/quick/example.jpg" + RESIZE: 200, "/quick/none": 404}.items():
                answer, took = timed(site.ask, path)
                assert answer.status == status
                slowest = max(slowest, took)
            _, took = timed(admin, site, "/healthz")
            slowest = max(slowest, took)
            answer, took = timed(site.ask, HIT)
            assert (answer.status, answer.body) == (200, first.body)
            assert answer.headers["X-Vipsgate-Cache"] == "hit"
            assert took < 2  # what is known is asked for again, for a second
    assert slowest < SECONDS
    for name, future in calls:
        answer, took = future.result()
        assert answer.status in (503, 504), name
        if answer.body:
            assert answer.code in ("ServiceUnavailable", "GatewayTimeout"), name
        assert int(answer.headers["Retry-After"]) >= 1
        assert took < 4 * SECONDS, name
    assert 504 in {future.result()[0].status for _, future in calls}
    assert 1 <= stuck(site) <= 16
    files.go_on()
    end = time.monotonic() + 10
    while stuck(site):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert site.ask("/slow/large.bin").body == plain.body
    for name, call in CALLS.items():
        assert call(site, 0).status in (200, 204, 404), name


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ENOTCONN, errno.ESTALE], ids=errno.errorcode.get
)
def test_a_bucket_that_fails(site, files, number):
    files.failing = {"*": number}
    for name, call in CALLS.items():
        assert call(site, number).status in (503, 504), name
    assert site.ask("/quick/example.jpg").status == 200
    files.failing = {}
    assert site.ask("/slow/example.jpg").status == 200


def test_start_and_stop_while_it_hangs(place, files, serving):
    """A bucket that hangs keeps a server neither from its start nor from its end."""
    files.hang()
    with serving(*command(place)) as site:
        assert site.ask("/quick/example.jpg").status == 200
        with concurrent.futures.ThreadPoolExecutor(1) as clients:
            call = clients.submit(site.ask, "/slow/large.bin")
            time.sleep(0.2)
            begun = time.monotonic()
            site.process.send_signal(signal.SIGTERM)
            assert call.result().status == 504  # what is under way is answered
            assert site.process.wait(15) == 0
        assert time.monotonic() - begun < 15

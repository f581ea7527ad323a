"""A server with several fronts: to its clients, its owner and its supervisor it is one."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from support.server import BUCKET, PATIENCE_S, REPOSITORY, children

from vipsgate.fronts.scoreboard import LATE_SECONDS
from vipsgate.gate import sign, target
from vipsgate.server.processes import HANG_SECONDS

KEY = sign.Credential("ownerKey", "ownerSecret")
CONFIG = """
[[credentials]]
access_key_id = "ownerKey"
access_key_secret = "ownerSecret"
[cache]
disk_bytes = 0
[buckets.declared]
acl = "private"
"""
SLOW = "image/resize,w_1500,limit_0/format,avif"  # a second of work
COUNT = 3


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    file = tmp_path_factory.mktemp("fronts") / "vipsgate.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory, root):
    """A store of this module's own, which it may change."""
    result = tmp_path_factory.mktemp("store")
    (result / BUCKET).mkdir()
    for name in ("example.jpg", "noise.jpg"):
        source = root / BUCKET / name
        if source.exists():
            (result / BUCKET / name).write_bytes(source.read_bytes())
    (result / "declared").mkdir()
    (result / "declared" / "a.txt").write_text("a")
    return result


@pytest.fixture(scope="module")
def site(serving, folder, config):
    cache = ("--cache-dir", str(config.parent / "cache"), "--config", str(config))
    with serving(folder, *cache, fronts=COUNT, renderers=COUNT) as running:
        signed(running, "PUT", f"/{BUCKET}/?acl", **{"x-oss-acl": "public-read"})
        yield running


def signed(site, method, line, body=b"", link=None, **headers):
    """A request of the owner's, and its status and body."""
    about = target.resolve(line, "", {}, "")
    headers = dict(headers)
    request = sign.Request(
        method, about.bucket, about.key, about.query, sign.fields(headers.items())
    )
    headers |= sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    with nullcontext(link) if link else closing(site.connection()) as used:
        used.request(method, line, body, headers)
        answer = used.getresponse()
        return answer.status, answer.read()


@contextmanager
def links(site, count):
    """Connections that stay open, spread over all fronts."""
    opened = []
    for _ in range(count):
        link = site.connection()
        link.connect()
        opened.append(link)
    try:
        yield opened
    finally:
        for link in opened:
            link.close()


def get(link, line):
    link.request("GET", line)
    answer = link.getresponse()
    return answer.status, answer.headers, answer.read()


def served(site):
    """Open connections of the public port, by front."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if int(row[1][-4:], 16) == site.port and row[3] == "01"}
    result = {}
    for pid in site.fronts():
        names = []
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                names.append(os.readlink(entry.path))
        result[pid] = sum(name[8:-1] in inodes for name in names if name.startswith("socket:"))
    return result


def metric(site, name):
    link = http.client.HTTPConnection(site.host, site.admin_port, timeout=PATIENCE_S)
    link.request("GET", "/metrics")
    text = link.getresponse().read().decode()
    link.close()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def until(holds, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("count", [COUNT, 8, 30])
def test_connections_are_spread_evenly_however_few(site, count):
    until(lambda: not sum(served(site).values()))
    with links(site, count) as opened:
        for link in opened:
            assert get(link, f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_20")[0] == 200
        numbers = served(site).values()
        assert sum(numbers) == count
        assert max(numbers) - min(numbers) <= 1


def test_those_that_leave_make_room_where_they_were(site):
    until(lambda: not sum(served(site).values()))
    with links(site, 3 * COUNT) as opened:
        for link in opened:
            get(link, f"/{BUCKET}/none")
        for link in opened[::COUNT]:
            link.close()
        until(lambda: sum(served(site).values()) == 2 * COUNT)
        with links(site, COUNT) as others:
            for link in others:
                get(link, f"/{BUCKET}/none")
            assert set(served(site).values()) == {COUNT}


def test_the_parent_knows_no_http_and_no_pixels(site):
    parent = Path(f"/proc/{site.process.pid}/maps").read_text()
    front = Path(f"/proc/{site.fronts()[0]}/maps").read_text()
    assert "aiohttp" in front
    assert not re.search("aiohttp|uvloop|vips-|libvips", parent)
    assert not re.search("libvips", front)


def test_equal_pictures_on_several_fronts_are_made_once(site):
    before = metric(site, "vipsgate_stage_duration_seconds_count")
    with links(site, 2 * COUNT) as opened, ThreadPoolExecutor(2 * COUNT) as pool:
        line = f"/{BUCKET}/example.jpg?x-oss-process={SLOW}"
        answers = list(pool.map(lambda link: get(link, line), opened))
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1
    tiers = Counter(headers["X-Vipsgate-Cache"] for _, headers, _ in answers)
    assert tiers["miss"] == 1, tiers
    assert metric(site, "vipsgate_stage_duration_seconds_count") - before == 3  # stages of one job


def test_whoever_is_first_may_leave(site):
    """The others have the picture all the same."""
    line = f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_1501,limit_0/format,avif"
    with links(site, COUNT) as opened, ThreadPoolExecutor(COUNT) as pool:
        opened[0].request("GET", line)
        time.sleep(0.2)
        others = [pool.submit(get, link, line) for link in opened[1:]]
        time.sleep(0.1)
        opened[0].sock.close()
        assert {other.result()[0] for other in others} == {200}


def test_what_is_waited_for_by_nobody_is_given_up_on_whichever_front(site):
    line = f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_3000,limit_0/format,avif"
    with links(site, COUNT) as opened:
        for link in opened:
            link.request("GET", line)
        until(lambda: metric(site, "vipsgate_permits_in_use") > 0)
    until(lambda: metric(site, "vipsgate_permits_in_use") == 0)


def test_a_change_of_rights_is_one_on_all_fronts_at_once(site):
    with links(site, 2 * COUNT) as opened:
        for number in range(6):
            acl, status = (("private", 403), ("public-read", 200))[number % 2]
            writer = opened[number]
            answer = signed(site, "PUT", f"/{BUCKET}/?acl", link=writer, **{"x-oss-acl": acl})
            assert answer == (200, b"")
            told = [get(link, f"/{BUCKET}/example.jpg")[0] for link in opened]
            assert told == [status] * len(opened)


def test_a_bucket_comes_and_goes_on_all_fronts_at_once(site):
    with links(site, 2 * COUNT) as opened:
        for _ in range(2):
            assert signed(site, "PUT", "/coming/", link=opened[0])[0] == 200
            told = [signed(site, "GET", "/coming/?acl", link=link)[0] for link in opened]
            assert told == [200] * len(opened)
            assert signed(site, "DELETE", "/coming/", link=opened[1])[0] == 204
            told = [signed(site, "GET", "/coming/?acl", link=link)[0] for link in opened]
            assert told == [404] * len(opened)


def test_an_object_that_is_written_is_another_one_on_all_fronts_at_once(site, folder):
    data = (folder / BUCKET / "example.jpg").read_bytes()
    with links(site, 2 * COUNT) as opened:
        for number in range(4):
            line = f"/{BUCKET}/written.jpg"
            body = data + bytes([number])
            assert signed(site, "PUT", line, body, link=opened[number])[0] == 200
            assert {get(link, line)[2] for link in opened} == {body}
            process = f"{line}?x-oss-process=image/resize,w_30"
            etags = {get(link, process)[1]["ETag"] for link in opened for _ in range(2)}
            assert len(etags) == 1


def test_a_purge_is_one_on_all_fronts_at_once(site):
    until(lambda: not sum(served(site).values()))
    line = f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_41"
    with links(site, 2 * COUNT) as opened:
        for kind, text in (("key", "example.jpg"), ("prefix", "exam"), ("key", "example.jpg")):
            for _ in range(2):
                tiers = [get(link, line)[1]["X-Vipsgate-Cache"] for link in opened]
            assert set(tiers) == {"hit"}
            admin = http.client.HTTPConnection(site.host, site.admin_port, timeout=PATIENCE_S)
            assert signed(site, "DELETE", f"/purge/{kind}/{BUCKET}/{text}", link=admin)[0] == 204
            admin.close()
            tiers = [get(link, line)[1]["X-Vipsgate-Cache"] for link in opened]
            assert tiers.count("miss") == COUNT, tiers  # one on each


def test_metrics_are_those_of_all(site):
    before = metric(site, "vipsgate_requests_total")
    with links(site, 12) as opened:
        for link in opened:
            get(link, f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_20")
        assert metric(site, "vipsgate_requests_total") - before == 12
        assert metric(site, "vipsgate_connections") == 12
    assert metric(site, "vipsgate_renderers") == len(site.pids())
    assert metric(site, "vipsgate_fronts") == COUNT
    assert metric(site, "vipsgate_queue_limit") == 10_000
    assert metric(site, "vipsgate_info") == 1


def test_sighup_is_for_all_fronts(site, config):
    with links(site, 2 * COUNT) as opened:
        for acl, status in (("public-read", 200), ("private", 403)):
            config.write_text(CONFIG.replace("private", acl))
            site.process.send_signal(signal.SIGHUP)
            for link in opened:
                until(lambda: get(link, "/declared/a.txt")[0] == status)  # noqa: B023


def test_a_front_that_is_killed_takes_only_its_own_along(site):
    """And is replaced; what others are asked meanwhile is answered."""
    before = site.fronts()
    line = f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_"
    stop, faults, answered = threading.Event(), [], []

    def load(number):
        with links(site, 1) as (link,):
            count = 0
            while not stop.is_set():
                count += 1
                try:
                    status, _, _ = get(link, f"{line}{20 + number * 50 + count % 40}")
                    answered.append(number)
                    if status != 200:
                        faults.append(f"{number}: {status}")
                except (OSError, http.client.HTTPException) as error:
                    faults.append(f"{number}: {error!r}")
                    return

    loads = [threading.Thread(target=load, args=(number,)) for number in range(3 * COUNT)]
    for one in loads:
        one.start()
    until(lambda: len(set(answered)) == len(loads))
    orphans = children(before[1])
    os.kill(before[1], signal.SIGKILL)
    until(lambda: len(site.fronts()) == COUNT and before[1] not in site.fronts())
    until(lambda: metric(site, "vipsgate_fronts") == COUNT)
    with links(site, 6 * COUNT) as opened:  # some of them are the new one's
        assert {get(link, f"{line}20")[0] for link in opened} == {200}
        until(lambda: min(served(site).values()) > 0)
    stop.set()
    for one in loads:
        one.join()
    assert len(faults) == 3, faults  # one for each connection that it had, and none of the others
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in orphans))
    assert "has ended; starting another" in site.log.read_text()


def test_the_first_front_is_replaced_with_the_admin_port(site):
    first = site.fronts()[0]
    os.kill(first, signal.SIGKILL)
    until(lambda: first not in site.fronts() and len(site.fronts()) == COUNT)
    assert metric(site, "vipsgate_fronts") == COUNT  # who connects meanwhile waits


def test_counters_do_not_fall_when_fronts_end(site):
    """Prometheus would take that for a restart, and count all that is left once more."""
    name = "vipsgate_requests_total"
    with links(site, 2 * COUNT) as opened:
        for link in opened:
            get(link, f"/{BUCKET}/example.jpg")
    for front in site.fronts():  # one of them keeps the totals
        before = metric(site, name)
        os.kill(front, signal.SIGKILL)
        until(lambda: front not in site.fronts() and len(site.fronts()) == COUNT)  # noqa: B023
        until(lambda: metric(site, "vipsgate_fronts") == COUNT)
        assert metric(site, name) == before


@pytest.mark.slow  # it is killed after 15 s
def test_a_front_that_hangs_gets_nothing_and_is_replaced(serving, folder, config):
    with serving(folder, "--config", str(config), fronts=2, renderers=2) as site:
        signed(site, "PUT", f"/{BUCKET}/?acl", **{"x-oss-acl": "public-read"})
        hung = site.fronts()[1]
        os.kill(hung, signal.SIGSTOP)
        time.sleep(LATE_SECONDS + 0.5)
        for number in range(20):
            begun = time.monotonic()
            assert site.get("example.jpg", f"image/resize,w_{30 + number}").status == 200
            assert time.monotonic() - begun < LATE_SECONDS
        until(lambda: hung not in site.fronts(), HANG_SECONDS + PATIENCE_S)
        until(lambda: metric(site, "vipsgate_fronts") == 2)


def test_what_is_under_way_is_finished(serving, folder, config):
    with serving(folder, "--config", str(config), fronts=2) as site, links(site, 4) as opened:
        signed(site, "PUT", f"/{BUCKET}/?acl", **{"x-oss-acl": "public-read"})
        for number, link in enumerate(opened):
            link.request(
                "GET", f"/{BUCKET}/example.jpg?x-oss-process=image/resize,w_{900 + number}"
            )
        time.sleep(0.05)
        site.process.send_signal(signal.SIGTERM)
        answers = [link.getresponse() for link in opened]
        assert {answer.status for answer in answers} == {200}
        assert all(answer.read() for answer in answers)
        assert site.process.wait(PATIENCE_S) == 0


def test_connections_are_bounded_for_all_together(serving, folder, config):
    env = {"VIPSGATE_SERVER__CONNECTIONS": "6"}
    with (
        serving(folder, "--config", str(config), fronts=2, env=env) as site,
        links(site, 6) as opened,
    ):
        for link in opened:
            assert get(link, "/")[0] == 403
        time.sleep(1.1)  # they are unused
        with links(site, 1) as (link,):
            assert get(link, "/")[0] == 403
        until(lambda: sum(served(site).values()) <= 6)


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            ["--port", "{taken}"],
            1,
            "http://127.0.0.1:{taken}: Address already in use; choose",
        ),
        (["--cache-dir", "/proc/none"], 2, "cache.dir"),
        (["--fronts", "65"], 2, "server.fronts"),
    ],
    ids=["port", "cache", "fronts"],
)
def test_what_cannot_start_says_why_once(folder, options, code, text):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = [option.format(taken=port) for option in options]
        command = [sys.executable, "-m", "vipsgate", "serve", str(folder), "--admin-port", "0"]
        command += ["--port", "0", "--fronts", "2", "--renderers", "1", *options]
        result = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert result.returncode == code
    assert result.stderr.count(text.format(taken=port)) == 1, result.stderr
    assert "Traceback" not in result.stderr

"""``/metrics`` of a real server, read by the parser of prometheus-client."""

import http.client
import os
import signal
import time
from contextlib import closing

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

CONFIG = """
[buckets.examplebucket]
acl = "public-read"
[buckets.examplebucket.styles]
small = "image/resize,w_40"
[buckets.examplebucket.protection]
enabled = true
extensions = ["png"]
[buckets.guarded]
acl = "public-read"
[buckets.guarded.referer]
allow_empty = false
whitelist = ["http://a"]
"""
PICTURE = "image/resize,w_50"


def admin(site, path, **headers):
    with closing(http.client.HTTPConnection(site.host, site.admin_port, timeout=10)) as link:
        link.request("GET", path, headers=headers)
        answer = link.getresponse()
        return answer, answer.read().decode()


class Metrics:
    """All values at one moment."""

    def __init__(self, site):
        _, text = admin(site, "/metrics")
        self.found = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name, **labels):
        return self.found.get((name, frozenset(labels.items())), 0)


@pytest.fixture(scope="module")
def site(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "vipsgate.toml").write_text(CONFIG)
    (root / "guarded").mkdir(exist_ok=True)
    options = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(root, *options, fronts=1) as site:  # test_fronts has those of several
        yield site


def test_a_picture_from_each_tier(site):
    before = Metrics(site)
    for _ in range(4):  # made, kept, learnt, known
        assert site.get("example.jpg", PICTURE).status == 200
    after = Metrics(site)

    def more(name, **labels):
        return after(name, **labels) - before(name, **labels)

    labels = {"bucket": "examplebucket", "style": "(none)"}
    assert more("vipsgate_pictures_total", **labels, cache="miss") == 1
    assert more("vipsgate_pictures_total", **labels, cache="memory") == 3
    assert more("vipsgate_requests_total", method="GET", status="200", code="") == 4
    for stage in ("queue", "probe", "render"):
        assert more("vipsgate_stage_duration_seconds_count", stage=stage) == 1
    probe = more("vipsgate_stage_duration_seconds_sum", stage="probe")
    assert 0 < probe < more("vipsgate_render_seconds_total", **labels)
    assert more("vipsgate_store_duration_seconds_count", operation="open") == 1
    assert more("vipsgate_request_duration_seconds_count", cache="memory") == 3


def test_styles_and_denials(site):
    before = Metrics(site)
    assert site.get("alpha.png", "style/small").status == 200
    assert site.get("alpha.png", "style/none").code == "NoSuchStyle"
    assert site.get("alpha.png", PICTURE).code == "AccessDenied"
    assert site.ask("/guarded/example.jpg").code == "AccessDenied"
    assert site.ask("/nowhere/example.jpg").code == "NoSuchBucket"
    after = Metrics(site)

    def more(name, **labels):
        return after(name, **labels) - before(name, **labels)

    labels = {"bucket": "examplebucket", "style": "small", "cache": "miss"}
    assert more("vipsgate_pictures_total", **labels) == 1
    for bucket, rule in (("examplebucket", "protection"), ("guarded", "referer")):
        assert more("vipsgate_denials_total", bucket=bucket, rule=rule) == 1
    for status, code in ((403, "AccessDenied"), (404, "NoSuchStyle"), (404, "NoSuchBucket")):
        counted = more("vipsgate_requests_total", method="GET", status=str(status), code=code)
        assert counted == 1 + (status == 403)
    texts = [text for _, labels in after.found for _, text in labels]
    assert not [text for text in texts if "resize" in text or "nowhere" in text]


def test_refusals_on_a_connection_that_stays_open_are_counted_as_such(site):
    before = Metrics(site)
    with closing(site.connection()) as link:
        link.request("GET", "/examplebucket/none.jpg")
        assert link.getresponse().read()
        link.request("GET", "/examplebucket/example.jpg")
        assert link.getresponse().read()
    after, name = Metrics(site), "vipsgate_requests_total"
    for labels in ({"status": "404", "code": "NoSuchKey"}, {"status": "200", "code": ""}):
        assert after(name, method="GET", **labels) == 1 + before(name, method="GET", **labels)


def test_the_pool_is_seen(site):
    seen = Metrics(site)
    for lane, permits in {"quick": 2, "heavy": 2, "animated": 1}.items():
        assert seen("vipsgate_permits", lane=lane) == permits
        assert seen("vipsgate_permits_in_use", lane=lane) == 0
        assert seen("vipsgate_queue_length", lane=lane) == 0
    assert seen("vipsgate_permitted_bytes") == 0
    assert seen("vipsgate_queue_limit") == 10_000
    assert seen("vipsgate_renderers") == 3
    assert seen("vipsgate_renderer_starts_total") >= 3
    assert 3e7 < seen("vipsgate_renderer_resident_bytes_max") < 1e9
    assert seen("vipsgate_renderers_resident_bytes") > seen("vipsgate_renderer_resident_bytes_max")
    assert seen("process_resident_memory_bytes") > 1e7


def test_a_lost_renderer_is_counted(site):
    before = Metrics(site)
    os.kill(site.pids()[0], signal.SIGKILL)
    end = time.monotonic() + 5
    while Metrics(site)("vipsgate_renderer_starts_total") == before(
        "vipsgate_renderer_starts_total"
    ):
        assert time.monotonic() < end
        time.sleep(0.05)
    died = {"reason": "died"}
    after = Metrics(site)
    assert after("vipsgate_renderer_ends_total", **died) == 1 + before(
        "vipsgate_renderer_ends_total", **died
    )


def test_a_client_that_leaves_is_counted(site):
    with site.socket() as line:
        path = "/examplebucket/big21.jpg"
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        line.recv(10)
    end = time.monotonic() + 5
    while not Metrics(site)("vipsgate_requests_total", method="GET", status="499", code=""):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_openmetrics_is_spoken_too(site):
    answer, text = admin(site, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers.get_content_type() == "application/openmetrics-text"
    assert list(openmetrics.text_string_to_metric_families(text))

"""What is counted, and that no client can make labels without end."""

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from vipsgate.errors import NoSuchKey, ServiceUnavailable
from vipsgate.observe.counters import BOUNDS, BUCKETS, NONE, OTHER, STYLES, Counters, Histogram
from vipsgate.observe.record import CURRENT, RequestRecord
from vipsgate.observe.recorder import Recorder


class Reader:
    """``reader(name, **labels)``: a value as Prometheus would see it."""

    def __init__(self, counters):
        self.registry = CollectorRegistry()
        self.registry.register(counters)

    def __call__(self, name, **labels):
        return self.registry.get_sample_value(f"vipsgate_{name}", labels)

    def values(self, name, label):
        """All values of a label."""
        return {
            sample.labels[label]
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"vipsgate_{name}"
        }


def answered(counters, method="GET", status=200, size=10, seconds=0.002, **known):
    record = RequestRecord(0.0, "ID")
    for name, value in known.items():
        setattr(record, name, value)
    counters.answered(record, method, status, size, seconds)


def test_a_request_is_counted_once_everywhere():
    counters = Counters()
    read = Reader(counters)
    answered(counters, bucket="photos", exists=True, cache="miss", style="thumb", render=0.5)
    answered(counters, bucket="photos", exists=True, cache="memory", style="thumb")
    answered(
        counters, bucket="photos", exists=True, status=403, code="AccessDenied", rule="referer"
    )
    assert read("requests_total", method="GET", status="200", code="") == 2
    assert read("requests_total", method="GET", status="403", code="AccessDenied") == 1
    assert read("pictures_total", bucket="photos", style="thumb", cache="miss") == 1
    assert read("pictures_total", bucket="photos", style="thumb", cache="memory") == 1
    assert read("render_seconds_total", bucket="photos", style="thumb") == 0.5
    assert read("denials_total", bucket="photos", rule="referer") == 1
    assert read("sent_bytes_total", bucket="photos") == 30
    assert read("request_duration_seconds_count", cache="miss") == 1
    assert read("request_duration_seconds_count", cache=NONE) == 1


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [(0.0, "0.00025"), (0.00025, "0.00025"), (0.0002501, "0.0005"), (59.9, "60.0"), (99, "+Inf")],
)
def test_a_time_is_below_the_bounds_it_is_below(seconds, bound):
    counters = Counters()
    answered(counters, seconds=seconds)
    read = Reader(counters)
    bounds = [*map(str, BOUNDS), "+Inf"]
    for number, le in enumerate(bounds):
        found = read("request_duration_seconds_bucket", cache=NONE, le=le)
        assert found == (number >= bounds.index(bound)), le
    assert read("request_duration_seconds_sum", cache=NONE) == pytest.approx(seconds)


def test_labels_have_an_end():
    counters = Counters()
    for number in range(3 * BUCKETS):
        answered(counters, bucket=f"b{number}", exists=True, method=f"M{number}")
        answered(counters, bucket=f"nowhere{number}")
        answered(counters, bucket="b0", exists=True, cache="miss", style=f"s{number}")
    read = Reader(counters)
    buckets = read.values("sent_bytes_total", "bucket")
    assert buckets == {*(f"b{number}" for number in range(BUCKETS)), OTHER, NONE}
    styles = read.values("pictures_total", "style")
    assert styles == {*(f"s{number}" for number in range(STYLES)), OTHER}
    assert read.values("requests_total", "method") == {"GET", OTHER}
    assert read("sent_bytes_total", bucket=OTHER) == 20 * BUCKETS


class Store:
    """Raises what it is told."""

    def __init__(self):
        self.error = None

    def has(self, bucket):
        return True

    def object_acls(self, bucket):
        return True

    def reread(self, bucket, key, fingerprint, most, *, aliases=False):
        return None

    def fingerprint(self, bucket, key):
        return 7

    def draft(self, bucket):
        return bucket

    async def stat(self, bucket, key, *, deep=False):
        if self.error:
            raise self.error
        return bucket, key, deep

    open = list = describe = delete = create = remove = buckets = stat


async def test_a_store_is_timed_and_its_faults_are_counted():
    watch, plain = Recorder(), Store()
    store, read = watch.store(plain), Reader(watch.counters)
    record = RequestRecord(0.0, "ID")
    CURRENT.set(record)
    assert await store.stat("b", "k", deep=True) == ("b", "k", True)
    assert (store.fingerprint("b", "k"), store.has("b"), store.draft("b")) == (7, True, "b")
    assert [name for name, *_ in record.spans] == ["store.stat"]
    for error, count in ((NoSuchKey("no"), 0), (ServiceUnavailable("away"), 1), (OSError(5), 2)):
        plain.error = error
        with pytest.raises(type(error)):
            await store.open("b", "k")
        assert read("store_errors_total", operation="open") == count
    assert read("store_errors_total", operation="stat") == 0
    assert read("store_duration_seconds_count", operation="open") == 3
    assert read("store_duration_seconds_count", operation="stat") == 1


def test_a_spread_without_anything_is_nothing():
    assert sum(Histogram().counts) == 0


class Broken:
    def add(self, *_):
        raise RuntimeError("a fault for this test")


def test_what_cannot_be_noted_fails_no_answer(caplog):
    watch = Recorder(log=Broken())
    record = watch.begin("4711")
    watch.end(record, SimpleNamespace(method="GET"), SimpleNamespace(status=200, content_length=1))
    assert "request 4711 could not be recorded" in caplog.text
    assert Reader(watch.counters)("requests_total", method="GET", status="200", code="") == 1

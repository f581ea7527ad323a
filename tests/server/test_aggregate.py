"""The metrics of several fronts as those of one, also of fronts that have ended."""

import os

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from vipsgate.server.aggregate import Aggregate, Totals, plain


class Front:
    """A front that has answered so many requests, and has so many connections open."""

    def __init__(self, requests, connections=0):
        self.requests, self.connections = requests, connections

    def collect(self):
        metric = CounterMetricFamily("vipsgate_requests", "", labels=("status",))
        metric.add_metric(("200",), self.requests)
        yield metric
        yield HistogramMetricFamily(
            "vipsgate_waits",
            "",
            buckets=[("1", self.requests), ("+Inf", self.requests)],
            sum_value=2,
        )
        yield GaugeMetricFamily("vipsgate_connections", "", self.connections)
        yield GaugeMetricFamily("process_start_time_seconds", "", 7)


def values(collector):
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def scrape(totals, replies):
    """Return the totals after a scrape to which fronts replied, and what was scraped."""
    parts = {process: plain(front) for process, front in replies.items()}
    totals = totals.after(parts)
    return totals, values(totals.metrics(parts))


def test_counters_and_gauges_are_sums_and_what_is_the_process_s_a_maximum():
    assert values(Aggregate([plain(Front(2, 5)), plain(Front(3, 1))])) == {
        "vipsgate_requests_total 200": 5,
        "vipsgate_waits_bucket 1": 5,
        "vipsgate_waits_bucket +Inf": 5,
        "vipsgate_waits_count": 5,
        "vipsgate_waits_sum": 4,
        "vipsgate_connections": 6,
        "process_start_time_seconds": 7,
    }


@pytest.mark.parametrize("steps", [1, 3])
def test_what_a_front_has_counted_that_ends_stays_in_the_sums(steps):
    """Whether the next one is there by the next scrape or not."""
    totals, _ = scrape(Totals(), {(0, 10): Front(100), (1, 11): Front(50, 9)})
    for _ in range(steps - 1):  # nobody replies as front 1
        totals, found = scrape(totals, {(0, 10): Front(101)})
        assert found["vipsgate_requests_total 200"] == 151
        assert found["vipsgate_waits_count"] == 151
        assert found["vipsgate_connections"] == 0
    totals, found = scrape(totals, {(0, 10): Front(102), (1, 12): Front(1, 2)})
    assert found["vipsgate_requests_total 200"] == 153
    assert found["vipsgate_connections"] == 2
    totals, found = scrape(totals, {(0, 10): Front(103), (1, 13): Front(4)})
    assert found["vipsgate_requests_total 200"] == 158
    assert set(totals.latest) == {(0, 10), (1, 13)}


def test_one_that_is_late_counts_as_at_its_latest_reply():
    totals, _ = scrape(Totals(), {(0, 10): Front(100), (1, 11): Front(50)})
    totals, found = scrape(totals, {(0, 10): Front(100)})
    assert found["vipsgate_requests_total 200"] == 150
    totals, found = scrape(totals, {(0, 10): Front(100), (1, 11): Front(70)})
    assert found["vipsgate_requests_total 200"] == 170


@pytest.fixture
def file():
    descriptor = os.memfd_create("totals")
    yield descriptor
    os.close(descriptor)


def test_the_next_one_that_is_scraped_goes_on_with_the_totals(file):
    totals, _ = scrape(Totals(), {(0, 10): Front(100), (1, 11): Front(50)})
    totals, _ = scrape(totals, {(0, 10): Front(100), (1, 12): Front(5)})
    totals.save(file)
    _, found = scrape(Totals.load(file), {(0, 20): Front(1), (1, 12): Front(6)})
    assert found["vipsgate_requests_total 200"] == 157


def test_a_shorter_save_leaves_nothing_of_a_longer_one(file):
    for count in (1000, 1):
        totals, _ = scrape(Totals(), {(n, n + 1): Front(1) for n in range(count)})
        totals.save(file)
    assert set(Totals.load(file).latest) == {(0, 1)}


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-1], lambda data: b"0" * 9]
)
def test_totals_that_are_not_whole_are_none(file, damage):
    totals, _ = scrape(Totals(), {(0, 10): Front(100)})
    totals.save(file)
    data = damage(os.pread(file, 1 << 20, 0))
    os.ftruncate(file, 0)
    os.pwrite(file, data, 0)
    assert Totals.load(file) == Totals()

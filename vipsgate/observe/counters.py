"""Counters of requests and answers, for Prometheus.

They are plain numbers in dictionaries, which only the event loop changes, and become metrics when
they are read. A hit takes 0.25 ms, of which the counters of prometheus-client, with their locks,
would be a part (bench/observed.py). Labels are bounded: text of a client is never a label, and only
the first buckets and styles are named; the others are :data:`OTHER`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .record import RequestRecord

BUCKETS = 64  # buckets that are named
STYLES = 64  # styles that are named of each bucket, which has at most 50 (OSS guide, Image styles)
OTHER, NONE = "(other)", "(none)"  # not valid as names of buckets or styles
METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"))
# bounds in seconds: a hit takes 0.0003, a picture 0.002 to 2; the last but one is the default
# deadline
BOUNDS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 15.0, 60.0),
)
LE = (*map(floatToGoString, BOUNDS), "+Inf")


class Counter:
    """A counter: sums by labels.

    Args:
        name: Name without ``_total``.
        meaning: Help text.
        labels: Names of the labels.
    """

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.sums: defaultdict[tuple[str, ...], float] = defaultdict(int)
        self._about = name, meaning, labels

    def metric(self) -> Metric:
        """Return the metric with its present values."""
        name, meaning, labels = self._about
        family = CounterMetricFamily(name, meaning, labels=labels)
        for values, total in list(self.sums.items()):
            family.add_metric(values, total)
        return family


class Histogram:
    """The distribution of a time: counts by bounds, and the sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(LE)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Add a time in seconds."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Histograms:
    """A histogram: times by one label."""

    def __init__(self, name: str, meaning: str, label: str) -> None:
        self.by: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._about = name, meaning, label

    def metric(self) -> Metric:
        """Return the metric with its present values."""
        name, meaning, label = self._about
        family = HistogramMetricFamily(name, meaning, labels=(label,))
        for value, spread in list(self.by.items()):
            seen, rows = 0, []
            for bound, count in zip(LE, spread.counts, strict=True):
                seen += count
                rows.append((bound, float(seen)))
            family.add_metric((value,), rows, spread.total)
        return family


class Names:
    """Labels for names: the first ones are kept, and further ones are :data:`OTHER`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """Return the label of a name."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class Counters(Collector):
    """All counters of a server.

    Attributes:
        in_progress: Requests whose answer has not begun.
        notes: Answers with ``X-Vipsgate-Notes``, by the names of the notes.
    """

    def __init__(self) -> None:
        self.in_progress = 0
        self.notes: defaultdict[str, int] = defaultdict(int)
        self.requests = Counter(
            "vipsgate_requests",
            "Requests answered, by status and OSS code; 499: the client left, or a body was cut.",
            *("method", "status", "code"),
        )
        self.durations = Histograms(
            "vipsgate_request_duration_seconds",
            "From a request to its answer, by where a picture came from; (none) is no picture.",
            "cache",
        )
        self.stages = Histograms(
            "vipsgate_stage_duration_seconds",
            "Parts of making a picture: queue, probe (its header), render (with its encoding).",
            "stage",
        )
        self.waits = Histograms(
            "vipsgate_queue_wait_seconds",
            "Seconds that pictures have waited for a renderer, predicted and real.",
            "wait",
        )
        self.store = Histograms(
            "vipsgate_store_duration_seconds", "Calls to the store, by operation.", "operation"
        )
        self.store_errors = Counter(
            "vipsgate_store_errors", "Failed calls to the store.", "operation"
        )
        self.pictures = Counter(
            "vipsgate_pictures",
            "Pictures sent, by style and by where they came from.",
            *("bucket", "style", "cache"),
        )
        self.looks = Counter(
            "vipsgate_looks",
            "Analyses of a picture for g_auto and g_face, by where the result came from.",
            *("gravity", "cache"),
        )
        self.masters = Counter(
            "vipsgate_masters",
            "Masters of large sources: made and kept, and lent to a renderer with their source.",
            "event",
        )
        self.work = Counter(
            "vipsgate_render_seconds", "Seconds that renderers have worked.", "bucket", "style"
        )
        self.sent = Counter("vipsgate_sent_bytes", "Bytes of the bodies of answers.", "bucket")
        self.denials = Counter(
            "vipsgate_denials", "Requests that a rule has denied.", "bucket", "rule"
        )
        self.fetches = Counter(
            "vipsgate_origin_fetches",
            "Missing objects requested from other servers (mirror), by outcome; remembered: the "
            "server was not asked again.",
            *("bucket", "result"),
        )
        self.fetched_bytes = Counter(
            "vipsgate_origin_fetched_bytes", "Bytes of objects fetched for a mirror.", "bucket"
        )
        self.fetch_times = Histograms(
            "vipsgate_origin_fetch_duration_seconds",
            "From the request to another server to the end of its object, by outcome.",
            "result",
        )
        for gravity in ("auto", "face"):
            self.looks.sums[gravity, "miss"] = 0
        for event in ("made", "lent"):
            self.masters.sums[event,] = 0
        for stage in ("queue", "probe", "render"):
            self.stages.by[stage] = Histogram()
        for wait in ("predicted", "real"):
            self.waits.by[wait] = Histogram()
        self._buckets = Names(BUCKETS)
        self._styles: defaultdict[str, Names] = defaultdict(lambda: Names(STYLES))

    def answered(
        self, record: RequestRecord, method: str, status: int, size: int, seconds: float
    ) -> None:
        """Count a request that has been answered.

        Args:
            record: The record of the request.
            method: Method of the request.
            status: HTTP status of the answer.
            size: Bytes of the answer's body.
            seconds: Time from the arrival of the request to its answer.
        """
        method = method if method in METHODS else OTHER
        self.requests.sums[method, str(status), record.code] += 1
        self.durations.by[record.cache or NONE].add(seconds)
        bucket = self._buckets.label(record.bucket) if record.exists else NONE
        self.sent.sums[bucket,] += size
        if record.rule:
            self.denials.sums[bucket, record.rule] += 1
        if record.notes:
            for note in {note.partition("=")[0] for note in record.notes}:
                self.notes[note] += 1
        if record.cache:
            style = self._styles[bucket].label(record.style) if record.style else NONE
            self.pictures.sums[bucket, style, record.cache] += 1
            if record.render:
                self.work.sums[bucket, style] += record.render

    def fetched(
        self, bucket: str, result: str, size: int = 0, seconds: float | None = None
    ) -> None:
        """Count a missing object that was requested from another server.

        Args:
            bucket: The bucket that does not have it.
            result: The outcome, which is a label.
            size: Bytes that were received.
            seconds: Time that it took; ``None`` if no request was sent.
        """
        name = self._buckets.label(bucket)
        self.fetches.sums[name, result] += 1
        self.fetched_bytes.sums[name,] += size
        if seconds is not None:
            self.fetch_times.by[result].add(seconds)

    def collect(self) -> Iterator[Metric]:
        """Return all metrics with their present values."""
        for item in vars(self).values():
            if isinstance(item, Counter | Histograms):
                yield item.metric()

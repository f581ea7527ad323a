"""Counts of what has been answered, for Prometheus.

They are plain numbers in plain tables, which only the loop changes, and become metrics when they
are read: a hit takes 0.25 ms, and each counter of prometheus-client, with its lock, a part of that
(bench/observed.py). Labels are bounded: what a client writes is never one; of buckets and styles
the first ones are named, the rest is :data:`OTHER`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .record import RequestRecord

BUCKETS = 64  # that are named
STYLES = 64  # that are named, of a bucket; it has 50 at a time (OSS guide, Image styles)
OTHER, NONE = "(other)", "(none)"  # no bucket and no style can have these names
METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"))
# seconds: a hit takes 0.0003, a picture 0.002 to 2; the last but one is the default deadline
BOUNDS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 15.0, 60.0),
)
LE = (*map(floatToGoString, BOUNDS), "+Inf")


class Counter:
    """Sums by labels: a counter.

    Args:
        name: Without ``_total``.
        meaning: What is counted.
        labels: Names of the labels.
    """

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.sums: defaultdict[tuple[str, ...], float] = defaultdict(int)
        self._about = name, meaning, labels

    def metric(self) -> Metric:
        """As it is now."""
        name, meaning, labels = self._about
        family = CounterMetricFamily(name, meaning, labels=labels)
        for values, total in list(self.sums.items()):
            family.add_metric(values, total)
        return family


class Histogram:
    """How often a time was how long, and how long all were together."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(LE)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Histograms:
    """Times by one label: a histogram."""

    def __init__(self, name: str, meaning: str, label: str) -> None:
        self.by: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._about = name, meaning, label

    def metric(self) -> Metric:
        """As it is now."""
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
    """The first so many names are themselves, the rest is one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """What stands for it."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class Counters(Collector):
    """All that is counted.

    Attributes:
        in_progress: Requests whose answer has not begun.
        notes: Answers that were not to the letter, by the name of what they say of it.
    """

    def __init__(self) -> None:
        self.in_progress = 0
        self.notes: defaultdict[str, int] = defaultdict(int)
        self.requests = Counter(
            "vipsgate_requests",
            "Requests answered, by status and OSS code; 499: the client left before.",
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
            "What pictures have waited for a renderer, as predicted and in fact.",
            "wait",
        )
        self.store = Histograms(
            "vipsgate_store_duration_seconds", "Calls to the store, by operation.", "operation"
        )
        self.store_errors = Counter(
            "vipsgate_store_errors", "Calls that the store could not do.", "operation"
        )
        self.pictures = Counter(
            "vipsgate_pictures",
            "Pictures sent, by style and by where they came from.",
            *("bucket", "style", "cache"),
        )
        self.looks = Counter(
            "vipsgate_looks",
            "Looks at a picture, for g_auto and g_face, by where the place came from.",
            *("gravity", "cache"),
        )
        self.masters = Counter(
            "vipsgate_masters",
            "Masters of large sources: made and kept, and lent to a renderer with their source.",
            "event",
        )
        self.work = Counter(
            "vipsgate_render_seconds", "Time that renderers have worked.", "bucket", "style"
        )
        self.sent = Counter("vipsgate_sent_bytes", "Bytes of the bodies of answers.", "bucket")
        self.denials = Counter(
            "vipsgate_denials", "Requests that a rule has denied.", "bucket", "rule"
        )
        self.fetches = Counter(
            "vipsgate_origin_fetches",
            "Missing objects asked of other servers (mirror), by what came of it; remembered: the "
            "server was not asked again.",
            *("bucket", "result"),
        )
        self.fetched_bytes = Counter(
            "vipsgate_origin_fetched_bytes", "Bytes of objects fetched for a mirror.", "bucket"
        )
        self.fetch_times = Histograms(
            "vipsgate_origin_fetch_duration_seconds",
            "From the request to another server to the end of its object, by what came of it.",
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
        """A request has been answered.

        Args:
            record: What is known of it.
            method: As sent.
            status: Of HTTP.
            size: Bytes of the body.
            seconds: From its coming to its answer.
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
        """A missing object has been asked of another server.

        Args:
            bucket: That does not have it.
            result: What came of it.
            size: Bytes that came.
            seconds: That it took; ``None`` where nobody was asked.
        """
        name = self._buckets.label(bucket)
        self.fetches.sums[name, result] += 1
        self.fetched_bytes.sums[name,] += size
        if seconds is not None:
            self.fetch_times.by[result].add(seconds)

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        for item in vars(self).values():
            if isinstance(item, Counter | Histograms):
                yield item.metric()

"""Combines the metrics of all fronts of a server: each sample is a sum or a maximum.

The front with the admin port collects those of the others when it is scraped. The counters of a
front remain in the sums after it has ended, or if it does not reply in time. Otherwise the sums
would fall, which Prometheus takes for a restart of the server, counting the rest again. So the
counters of every front are kept as they were at its latest reply. What a front has counted since
then is lost if it is killed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ..fronts.channel import Reply
from ..fronts.peers import Peers
from ..worker.protocol import Message
from . import gauges

METRICS = "metrics"  # the kind of call
# metrics of the process, which are not in gauges.ROWS
SHARED = ("vipsgate_info", "process_start_time_seconds", "process_max_fds")
LARGEST = frozenset((*SHARED, *(row.name for row in gauges.ROWS if row.shared)))

COUNTED = ("counter", "histogram")  # the types of metrics that only rise
CHECKSUM = 4  # size of a CRC-32, in bytes

Process = tuple[int, int]  # the number of a front, and its process id
Plain = list[Any]  # name, help, type, and rows of sample, labels and value


def plain(collector: Collector) -> list[Plain]:
    """Return the metrics of a collector as plain values."""
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        ]
        for metric in collector.collect()
    ]


class Aggregate(Collector):
    """The combined metrics of several fronts.

    Args:
        parts: The metrics of each front.
    """

    def __init__(self, parts: Iterable[list[Plain]]) -> None:
        self._metrics: dict[str, Metric] = {}
        values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
        for name, text, kind, rows in (metric for part in parts for metric in part):
            self._metrics.setdefault(name, Metric(name, text, kind))
            for sample, labels, value in rows:
                place = name, sample, tuple(labels.items())
                before = values.get(place)
                both = max if name in LARGEST else _sum
                values[place] = value if before is None else both(before, value)
        for (name, sample, labels), value in values.items():
            self._metrics[name].add_sample(sample, dict(labels), value)

    def collect(self) -> Iterator[Metric]:
        """Return an iterator over all metrics."""
        return iter(self._metrics.values())


def _sum(one: float, other: float) -> float:
    return one + other


def serve(peers: Peers, registry: CollectorRegistry) -> None:
    """Start to reply with the metrics of this front when another one collects them."""

    async def reply(body: Message, descriptors: list[int]) -> Reply:
        file = os.memfd_create("vipsgate-metrics", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(file), "wb") as writer:
            writer.write(orjson.dumps(plain(registry)))
        return {"front": peers.front, "pid": os.getpid()}, (file,)

    peers.channel.on_call(METRICS, reply)


def only_counted(metrics: list[Plain]) -> list[Plain]:
    """Return those metrics that only rise: counters and histograms."""
    return [metric for metric in metrics if metric[2] in COUNTED]


@dataclass(frozen=True, slots=True)
class Totals:
    """The last known counters of all fronts.

    Attributes:
        ended: The sums over all fronts that have ended.
        latest: The counters of the others at the latest reply of each, by the number of the front
            and its process id.
    """

    ended: list[Plain] = field(default_factory=list)
    latest: Mapping[Process, list[Plain]] = field(default_factory=dict)

    def after(self, replies: Mapping[Process, list[Plain]]) -> Totals:
        """Return the totals after these replies.

        A front has ended if another process has replied under its number.
        """
        numbers = {number for number, _ in replies}
        silent = {one: part for one, part in self.latest.items() if one not in replies}
        gone = [part for (number, _), part in silent.items() if number in numbers]
        ended = plain(Aggregate([self.ended, *gone])) if gone else self.ended
        late = {one: part for one, part in silent.items() if one[0] not in numbers}
        return Totals(ended, late | {one: only_counted(part) for one, part in replies.items()})

    def metrics(self, replies: Mapping[Process, list[Plain]]) -> Aggregate:
        """Return the metrics of all fronts: replies, and the last known counters of the others."""
        late = [part for one, part in self.latest.items() if one not in replies]
        return Aggregate([*replies.values(), *late, self.ended])

    def save(self, descriptor: int) -> None:
        """Write the totals to a file, for another process."""
        rows = [[*one, part] for one, part in self.latest.items()]
        data = orjson.dumps([self.ended, rows])
        data = zlib.crc32(data).to_bytes(CHECKSUM) + data
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)

    @classmethod
    def load(cls, descriptor: int) -> Totals:
        """Return the totals in a file; none if it is empty, or its writer was killed meanwhile."""
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        checksum, data = data[:CHECKSUM], data[CHECKSUM:]
        if not data or int.from_bytes(checksum) != zlib.crc32(data):
            return cls()
        ended, rows = orjson.loads(data)
        return cls(ended, {(number, pid): part for number, pid, part in rows})


class Aggregator:
    """The metrics of all fronts, for the one that is scraped.

    Args:
        peers: The other fronts.
        registry: The metrics of this one.
    """

    def __init__(self, peers: Peers, registry: CollectorRegistry) -> None:
        self._peers, self._registry = peers, registry
        self._totals = Totals.load(peers.scoreboard.totals)  # of the front that was scraped before

    async def collect(self) -> Collector:
        """Return the metrics of all fronts; those that do not reply have their last counters."""
        replies = {(self._peers.front, os.getpid()): plain(self._registry)}
        for body, files in await self._peers.channel.gather(METRICS):
            with os.fdopen(files[0], "rb") as reader:
                reader.seek(0)
                replies[body["front"], body["pid"]] = orjson.loads(reader.read())
        self._totals = self._totals.after(replies)
        self._totals.save(self._peers.scoreboard.totals)
        return self._totals.metrics(replies)

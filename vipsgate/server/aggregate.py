"""The metrics of all fronts of a server as those of one: each sample is a sum, or a maximum.

Each front tells its own as they are; whichever has the admin port puts them together when it is
asked, so nothing is counted twice, and nothing for a front that nobody asks about. What a front has
counted that ends goes with it, as at a restart: counters fall, which Prometheus takes for one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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
# of the process, which gauges.ROWS do not list
SHARED = ("vipsgate_info", "process_start_time_seconds", "process_max_fds")
LARGEST = frozenset((*SHARED, *(row.name for row in gauges.ROWS if row.shared)))

Plain = list[Any]  # name, help, type, and rows of sample, labels and value


def plain(collector: Collector) -> list[Plain]:
    """Metrics as plain values."""
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
    """The metrics of several fronts as those of one.

    Args:
        parts: Those of each.
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
        """All of them."""
        return iter(self._metrics.values())


def _sum(one: float, other: float) -> float:
    return one + other


def serve(peers: Peers, registry: CollectorRegistry) -> None:
    """Reply with the metrics of this front to others that collect them, from now on."""

    async def reply(body: Message, descriptors: list[int]) -> Reply:
        file = os.memfd_create("vipsgate-metrics", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(file), "wb") as writer:
            writer.write(orjson.dumps(plain(registry)))
        return {}, (file,)

    peers.channel.on_call(METRICS, reply)


async def collect_all(peers: Peers, registry: CollectorRegistry) -> Collector:
    """Return the metrics of all fronts that reply in time as those of one."""
    parts = [plain(registry)]
    for _, files in await peers.channel.gather(METRICS):
        with os.fdopen(files[0], "rb") as reader:
            reader.seek(0)
            parts.append(orjson.loads(reader.read()))
    return Aggregate(parts)

"""Gauges for Prometheus: the state of the server at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..image.notes import NOTES

if TYPE_CHECKING:
    from ..delivery.services import Services
    from ..renderers.state import State
    from ..web.server import Server


@dataclass(frozen=True, slots=True)
class View:
    """The state that a row is read from.

    Attributes:
        services: The services of the server.
        pool: The current state of its renderers.
        port: The server of the public port.
        limit: The most open connections of the public port; 0 for no limit.
    """

    services: Services
    pool: State
    port: Server
    limit: int


@dataclass(frozen=True, slots=True)
class Row:
    """A metric.

    Attributes:
        name: As Prometheus has it, but for ``_total`` of a counter.
        help: What it says.
        read: Its value, or one for each value of ``label``; ``None`` where there is none.
        label: The label; empty for a single value.
        counts: Whether it only rises.
        shared: Whether each front says the same, or the largest value counts, not the sum.
    """

    name: str
    help: str
    read: Callable[[View], float | Mapping[str, float] | None]
    label: str = ""
    counts: bool = False
    shared: bool = False

    def family(self, view: View) -> Metric | None:
        """Return the metric with its current value, or ``None`` if it has none."""
        value = self.read(view)
        if value is None:
            return None
        family = CounterMetricFamily if self.counts else GaugeMetricFamily
        if not isinstance(value, Mapping):
            return family(self.name, self.help, value)
        metric = family(self.name, self.help, labels=(self.label,))
        for word, number in value.items():
            metric.add_metric((word,), number)
        return metric


def _log_dropped(view: View) -> float:
    log = view.services.recorder.log
    return log.dropped if log else 0


def _cache_used(view: View) -> float | None:
    cache = view.services.cache
    return cache.memory.used if cache else None


def _cache_limit(view: View) -> float | None:
    services = view.services
    return services.settings.cache.memory_bytes if services.cache else None


def _notes(view: View) -> Mapping[str, float]:
    counted = view.services.recorder.counters.notes
    return {name: counted.get(name, 0) for name in NOTES}


def _stuck_threads(view: View) -> float:
    return getattr(view.services.store, "stuck", 0)  # of a folder only


ROWS = (
    Row(
        "vipsgate_requests_in_progress",
        "Requests that are being answered.",
        lambda view: view.services.recorder.counters.in_progress,
    ),
    Row("vipsgate_fronts", "Front processes.", lambda view: 1),
    Row(
        "vipsgate_jobs_lent",
        "Pictures that the renderers of another front have been asked for, as they had nothing "
        "else to do.",
        lambda view: view.pool.lent,
        counts=True,
    ),
    Row(
        "vipsgate_draining",
        "1 while the server is ending.",
        lambda view: int(view.services.draining.is_set()),
        shared=True,
    ),
    Row(
        "vipsgate_document_faults",
        "Bucket documents that are broken.",
        lambda view: len(view.services.registry.faults),
        shared=True,
    ),
    Row(
        "vipsgate_config_last_reload_successful",
        "1 where the configuration was taken over when it was read last.",
        lambda view: int(not view.services.configuration.refused),
        shared=True,
    ),
    Row(
        "vipsgate_config_last_reload_success_timestamp_seconds",
        "When a configuration was taken over last.",
        lambda view: view.services.configuration.succeeded,
        shared=True,
    ),
    Row(
        "vipsgate_store_stuck_threads",
        "Threads in a call of a file system whose time is over.",
        _stuck_threads,
    ),
    Row(
        "vipsgate_log_dropped_lines",
        "Lines of the access log that a slow or full disk has not taken.",
        _log_dropped,
        counts=True,
    ),
    Row(
        "vipsgate_permits",
        "Pictures that may be worked on.",
        lambda view: view.pool.permits,
        label="lane",
    ),
    Row(
        "vipsgate_permits_in_use",
        "Pictures that are worked on.",
        lambda view: view.pool.working,
        label="lane",
    ),
    Row(
        "vipsgate_queue_length",
        "Pictures that wait for a renderer.",
        lambda view: view.pool.waiting,
        label="lane",
    ),
    Row(
        "vipsgate_permitted_bytes",
        "Memory that pictures other than quick ones may take now.",
        lambda view: view.pool.held,
    ),
    Row(
        "vipsgate_queue_limit",
        "Pictures that may wait before 503.",
        lambda view: view.pool.queue,
        shared=True,
    ),
    Row(
        "vipsgate_predicted_wait_seconds",
        "What the next picture would wait for a renderer, as predicted.",
        lambda view: view.pool.waits,
        label="lane",
        shared=True,
    ),
    Row(
        "vipsgate_predicted_wait_limit_seconds",
        "What it may wait before 503.",
        lambda view: view.pool.queue_seconds,
        shared=True,
    ),
    Row(
        "vipsgate_refusals",
        "Pictures that were not made for now: the predicted wait was too long, too many "
        "waited, they took too much memory, or the deadline came.",
        lambda view: view.pool.refusals,
        label="reason",
        counts=True,
    ),
    Row(
        "vipsgate_connections", "Open connections of the public port.", lambda view: view.port.count
    ),
    Row(
        "vipsgate_connections_limit",
        "Connections that may be open; beyond, unused ones are closed, and others wait.",
        lambda view: view.limit,
        shared=True,
    ),
    Row(
        "vipsgate_refusals_held",
        "Refusals that are held back, so that clients who retry at once take no core.",
        lambda view: view.services.throttle.held,
    ),
    Row("vipsgate_renderers", "Renderer processes.", lambda view: len(view.pool.memory)),
    Row(
        "vipsgate_renderers_resident_bytes",
        "Memory of all renderers; the front's is process_resident_memory_bytes.",
        lambda view: sum(view.pool.memory),
    ),
    Row(
        "vipsgate_renderer_resident_bytes_max",
        "Memory of the largest renderer.",
        lambda view: max(view.pool.memory, default=0),
        shared=True,
    ),
    Row(
        "vipsgate_renderer_starts",
        "Renderer processes started.",
        lambda view: view.pool.starts,
        counts=True,
    ),
    Row(
        "vipsgate_renderer_ends",
        "Renderers that ended: died by themselves; killed for their memory, or because they "
        "did not stop; replaced because they held too much memory while idle.",
        lambda view: view.pool.ends,
        label="reason",
        counts=True,
    ),
    Row(
        "vipsgate_notes",
        "Answers with X-Vipsgate-Notes, by the names in it.",
        _notes,
        label="note",
        counts=True,
    ),
    Row(
        "vipsgate_webhook_events",
        "Events for caches in front: sent; failed, after all tries; dropped, as too many waited. "
        "And retried, requests that were sent again.",
        lambda view: view.services.webhooks.counts,
        label="result",
        counts=True,
    ),
    Row(
        "vipsgate_webhook_events_waiting",
        "Events that caches in front have not been told yet.",
        lambda view: view.services.webhooks.waiting,
    ),
    Row("vipsgate_cache_memory_bytes", "Pictures kept in memory.", _cache_used),
    Row(
        "vipsgate_cache_memory_limit_bytes", "Memory that they may take.", _cache_limit, shared=True
    ),
)


class Gauges(Collector):
    """The gauges of a server.

    Args:
        services: The services of the server.
        version: The version of vipsgate.
        port: The server of the public port.
        limit: The most open connections of the public port; 0 for no limit.
    """

    def __init__(self, services: Services, version: str, port: Server, limit: int) -> None:
        self._services, self._version = services, version
        self._port, self._limit = port, limit

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their current values."""
        renderers = self._services.renderers
        info = GaugeMetricFamily("vipsgate_info", "What runs here.", labels=("version", "renderer"))
        info.add_metric((self._version, renderers.version), 1)
        yield info
        view = View(self._services, renderers.state(), self._port, self._limit)
        yield from filter(None, (row.family(view) for row in ROWS))


def registry(counted: Collector, moment: Collector) -> CollectorRegistry:
    """Return a registry of all metrics: counters, gauges and those of the process."""
    result = CollectorRegistry()
    result.register(counted)
    result.register(moment)
    ProcessCollector(registry=result)
    return result


class Moment(Collector):
    """A snapshot of all metrics, to be serialised in a thread; 10,000 take 50 ms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = list(registry.collect())

    def collect(self) -> Iterator[Metric]:
        """Return an iterator over the metrics."""
        return iter(self._metrics)

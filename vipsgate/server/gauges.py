"""Gauges for Prometheus: the state of the server at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from ..delivery.services import Services
    from ..web.connection import Server


class Gauges(Collector):
    """Lanes, renderers, the cache, the documents of the buckets.

    Args:
        services: What is looked at.
        version: vipsgate's.
        port: The public one's connections.
        limit: Connections that may be open there; 0 for no limit.
    """

    def __init__(self, services: Services, version: str, port: Server, limit: int) -> None:
        self._services, self._version = services, version
        self._port, self._limit = port, limit

    def collect(self) -> Iterator[Metric]:
        """All of it as it is now."""
        services = self._services
        pool = services.renderers.state()
        info = GaugeMetricFamily("vipsgate_info", "What runs here.", labels=("version", "renderer"))
        info.add_metric((self._version, services.renderers.version), 1)
        yield info
        yield GaugeMetricFamily(
            "vipsgate_requests_in_progress",
            "Requests that are being answered.",
            services.recorder.meters.in_progress,
        )
        yield GaugeMetricFamily(
            "vipsgate_draining", "1 while the server is ending.", int(services.draining.is_set())
        )
        yield GaugeMetricFamily(
            "vipsgate_document_faults",
            "Bucket documents that are broken.",
            len(services.registry.faults),
        )
        yield GaugeMetricFamily(
            "vipsgate_config_last_reload_successful",
            "1 where the configuration was taken over when it was read last.",
            int(not services.configuration.refused),
        )
        yield GaugeMetricFamily(
            "vipsgate_config_last_reload_success_timestamp_seconds",
            "When a configuration was taken over last.",
            services.configuration.succeeded,
        )
        yield CounterMetricFamily(
            "vipsgate_log_dropped_lines",
            "Lines of the access log that a slow or full disk has not taken.",
            services.recorder.log.dropped if services.recorder.log else 0,
        )
        yield _by_lane("vipsgate_permits", "Pictures that may be worked on.", pool.permits)
        yield _by_lane("vipsgate_permits_in_use", "Pictures that are worked on.", pool.working)
        yield _by_lane("vipsgate_queue_length", "Pictures that wait for a renderer.", pool.waiting)
        yield GaugeMetricFamily(
            "vipsgate_permitted_bytes",
            "Memory that pictures other than quick ones may take now.",
            pool.held,
        )
        yield GaugeMetricFamily(
            "vipsgate_queue_limit", "Pictures that may wait before 503.", pool.queue
        )
        yield _by_lane(
            "vipsgate_predicted_wait_seconds",
            "What the next picture would wait for a renderer, as predicted.",
            pool.waits,
        )
        yield GaugeMetricFamily(
            "vipsgate_predicted_wait_limit_seconds",
            "What it may wait before 503.",
            pool.queue_seconds,
        )
        yield _by_reason(
            "vipsgate_refusals",
            "Pictures that were not made for now: the predicted wait was too long, too many "
            "waited, they took too much memory, or the deadline came.",
            pool.refusals,
        )
        yield GaugeMetricFamily(
            "vipsgate_connections",
            "Open connections of the public port.",
            self._port.count,
        )
        yield GaugeMetricFamily(
            "vipsgate_connections_limit",
            "Connections that may be open; beyond, unused ones are closed, and others wait.",
            self._limit,
        )
        yield GaugeMetricFamily(
            "vipsgate_refusals_held",
            "Refusals that are held back, so that clients who retry at once take no core.",
            services.throttle.held,
        )
        yield GaugeMetricFamily("vipsgate_renderers", "Renderer processes.", len(pool.memory))
        yield GaugeMetricFamily(
            "vipsgate_renderers_resident_bytes",
            "Memory of all renderers; the front's is process_resident_memory_bytes.",
            sum(pool.memory),
        )
        yield GaugeMetricFamily(
            "vipsgate_renderer_resident_bytes_max",
            "Memory of the largest renderer.",
            max(pool.memory, default=0),
        )
        yield CounterMetricFamily(
            "vipsgate_renderer_starts", "Renderer processes started.", pool.starts
        )
        yield _by_reason(
            "vipsgate_renderer_ends",
            "Renderers that ended: died by themselves; killed for their memory, or because they "
            "did not stop; replaced because they held too much memory while idle.",
            pool.ends,
        )
        if services.cache:
            yield GaugeMetricFamily(
                "vipsgate_cache_memory_bytes",
                "Pictures kept in memory.",
                services.cache.memory.used,
            )
            yield GaugeMetricFamily(
                "vipsgate_cache_memory_limit_bytes",
                "Memory that they may take.",
                services.settings.cache.memory_bytes,
            )


def registry(counted: Collector, moment: Collector) -> CollectorRegistry:
    """All metrics of this server: what has been counted, what is so now, and the process's."""
    result = CollectorRegistry()
    result.register(counted)
    result.register(moment)
    ProcessCollector(registry=result)
    return result


class Moment(Collector):
    """All metrics as they were, to be written out while the loop goes on; 10,000 take 50 ms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = list(registry.collect())

    def collect(self) -> Iterator[Metric]:
        """As they were."""
        return iter(self._metrics)


def _by_lane(name: str, meaning: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=("lane",))
    for lane, value in values.items():
        family.add_metric((lane,), value)
    return family


def _by_reason(name: str, meaning: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=("reason",))
    for reason, count in counts.items():
        family.add_metric((reason,), count)
    return family

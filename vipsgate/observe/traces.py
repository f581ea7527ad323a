"""Spans of OpenTelemetry, with the extra ``otel``: a request, its store, queue and render.

They are created when there is an answer, from times in the request's record, so that no part of a
request waits for them, and they take nothing if they are off. Their destination is set by the
variables of OpenTelemetry, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``. Secrets are removed from keys
and process texts as in the access log.
"""

from __future__ import annotations

import os
import threading
import time

from aiohttp import web
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .accesslog import TEXT, redacted
from .counters import METHODS
from .record import RequestRecord

CLOSE_TIMEOUT = 2.0  # seconds for the last spans when the server ends
SERVERS_FAULT = 500  # the lowest status that makes a server's span an error; OpenTelemetry, HTTP


class Traces:
    """Creates spans and exports them.

    Args:
        version: The version of vipsgate.
        exporter: The exporter.
    """

    def __init__(self, version: str, exporter: SpanExporter) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME", "vipsgate")
        about = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: version})
        self._provider = TracerProvider(resource=about, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("vipsgate", version)
        self._parents = TraceContextTextMapPropagator()

    def add(self, record: RequestRecord, request: web.BaseRequest, status: int, size: int) -> None:
        """Export the spans of a request that has been answered.

        Args:
            record: The record of the request.
            request: The request, whose ``traceparent`` names the parent (W3C Trace Context).
            status: HTTP status of the answer.
            size: Bytes of the answer's body.
        """
        method = request.method if request.method in METHODS else "_OTHER"
        zero = time.time_ns() - time.perf_counter_ns()  # perf_counter's zero since the epoch
        whole = self._tracer.start_span(
            method,
            self._parents.extract(request.headers),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.response.status_code": status,
                "http.response.body.size": size,
                "url.path": redacted(f"/{record.bucket}/{record.key}"),
                "vipsgate.request_id": record.identity,
                "vipsgate.bucket": record.bucket,
                "vipsgate.process": redacted(record.process[:TEXT]),
                "vipsgate.cache": record.cache,
                "vipsgate.code": record.code,
            },
            start_time=zero + int(record.begun * 1e9),
        )
        if status >= SERVERS_FAULT:
            whole.set_status(Status(StatusCode.ERROR, record.code))
        inside = set_span_in_context(whole)
        for name, begun, ended in record.spans:
            part = self._tracer.start_span(name, inside, start_time=zero + int(begun * 1e9))
            part.end(zero + int(ended * 1e9))
        whole.end()

    def close(self) -> None:
        """Send what is left, if that can be done soon."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(CLOSE_TIMEOUT)


def otlp(version: str) -> Traces:
    """Return traces that are exported over HTTP to ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
    return Traces(version, OTLPSpanExporter())

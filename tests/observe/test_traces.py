"""Spans: whose part a request is, what is inside it, and what is not there without the extra."""

from types import SimpleNamespace

import pytest
from multidict import CIMultiDict

from vipsgate.observe.record import RequestRecord
from vipsgate.observe.recorder import Recorder

pytest.importorskip("opentelemetry.sdk", reason="pip install 'vipsgate[otel]'")

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from vipsgate.observe.traces import Traces

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def spans(status=200, headers=None, **known):
    """The spans of one request, by name."""
    exporter = InMemorySpanExporter()
    watch = Recorder(traces=Traces("1.2", exporter))
    record = watch.begin("ID")
    for name, value in known.items():
        setattr(record, name, value)
    request = SimpleNamespace(method="GET", headers=CIMultiDict(headers or {}))
    watch.end(record, request, SimpleNamespace(status=status, content_length=7))
    watch.close()
    return record, {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_and_its_parts():
    record = RequestRecord(0.0, "ID")
    begun = record.begun
    parts = [("store.stat", begun, begun + 1), ("queue", begun + 1, begun + 2)]
    record, found = spans(bucket="photos", key="a.jpg", cache="miss", spans=parts)
    whole = found.pop("GET")
    assert whole.kind is SpanKind.SERVER
    assert whole.parent is None
    assert whole.attributes["url.path"] == "/photos/a.jpg"
    assert whole.attributes["vipsgate.cache"] == "miss"
    assert whole.attributes["http.response.status_code"] == 200
    assert whole.resource.attributes["service.name"] == "vipsgate"
    assert whole.resource.attributes["service.version"] == "1.2"
    assert [*found] == ["store.stat", "queue"]
    for part in found.values():
        assert part.parent.span_id == whole.context.span_id
        assert part.end_time - part.start_time == pytest.approx(1e9, abs=1000)
    assert found["queue"].start_time - found["store.stat"].end_time < 1000


def test_a_trace_goes_on():
    _, found = spans(headers={"Traceparent": f"00-{TRACE}-{PARENT}-01"})
    context = found["GET"].context
    assert (f"{context.trace_id:032x}", f"{found['GET'].parent.span_id:016x}") == (TRACE, PARENT)


@pytest.mark.parametrize("text", ["", "00-0-0-01", "x" * 5000, f"00-{TRACE}-{PARENT}-00"])
def test_an_invalid_or_unsampled_traceparent_is_ignored(text):
    _, found = spans(headers={"traceparent": text})
    assert len(found) == (not text.endswith("-00"))  # sampled where nobody has said no


def test_faults_of_the_server_are_errors():
    assert spans(503, code="CpuLimitExceeded")[1]["GET"].status.status_code is StatusCode.ERROR
    assert spans(404, code="NoSuchKey")[1]["GET"].status.status_code is StatusCode.UNSET


def test_no_secret_is_in_a_span():
    _, found = spans(bucket="b", key="a?Signature=abc", process="image/x&Signature=abc")
    assert "abc" not in str(found["GET"].attributes)

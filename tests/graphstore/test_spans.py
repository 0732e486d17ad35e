"""Real spans: named by what they are, linked with their causes, without anybody's id."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from graphstore import tracing
from graphstore.spans import MAX_LINKS, Tracing
from graphstore.trace_header import header_of

TRACES = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 400)]


class Record(NamedTuple):
    headers: list[tuple[str, bytes]]


def record(parent: str) -> Record:
    return Record([("producer", b"shop"), ("traceparent", parent.encode())])


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.use_tracing(Tracing("worker", SimpleSpanProcessor(exporter)))
    yield exporter
    tracing.use_tracing(None)


def links(span: ReadableSpan) -> list[int]:
    return [link.context.trace_id for link in span.links]


def test_a_request_is_named_by_its_route_and_its_messages_by_the_request(spans: InMemorySpanExporter) -> None:
    with tracing.request_span("POST", TRACES[6]):
        parent = tracing.traceparent()
        tracing.end_request("events", 503)
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("POST events", SpanKind.SERVER)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "events",
        "http.response.status_code": 503,
    }
    assert not span.status.is_ok
    assert span.context.trace_id == 7
    assert span.parent is not None and span.parent.span_id == 7
    assert header_of(parent) == [("traceparent", f"00-{7:032x}-{span.context.span_id:016x}-01".encode())]
    assert tracing.traceparent() is None


def test_a_batch_of_one_cause_is_a_part_of_its_trace(spans: InMemorySpanExporter) -> None:
    with tracing.batch_span("store", "interactions", [record(TRACES[0]), Record([]), record(TRACES[0])]):
        tracing.note(lists=2)
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind, span.context.trace_id, links(span)) == (
        "store interactions", SpanKind.CONSUMER, 1, [1]
    )  # fmt: skip
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 3
    assert span.attributes["messaging.destination.name"] == "interactions"
    assert span.attributes["sagestream.lists"] == 2


def test_a_batch_of_many_causes_links_to_each_up_to_a_bound(spans: InMemorySpanExporter) -> None:
    with tracing.batch_span("store", "seen", [record(parent) for parent in TRACES[:2]]):
        pass
    with tracing.batch_span("store", "seen", [record(parent) for parent in TRACES]):
        pass
    few, many = spans.get_finished_spans()
    assert links(few) == [1, 2]
    assert few.parent is None
    assert links(many) == list(range(1, MAX_LINKS + 1))


@pytest.mark.parametrize("odd", ["", "00-x-y-01", "é" * 9, f"00-{0:032x}-{0:016x}-01", "a" * 100_000])
def test_a_header_that_is_none_names_no_trace(spans: InMemorySpanExporter, odd: str) -> None:
    with tracing.batch_span("store", "seen", [record(odd)]), tracing.request_span("GET", odd):
        pass
    assert [(span.parent, links(span)) for span in spans.get_finished_spans()] == [(None, [])] * 2


def test_an_error_marks_the_span_and_goes_on(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), tracing.batch_span("store", "seen", [record(TRACES[0])]):
        raise ValueError("no")
    (span,) = spans.get_finished_spans()
    assert not span.status.is_ok


def test_the_service_is_the_process_unless_opentelemetrys_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> object:
        exporter = InMemorySpanExporter()
        tracing.use_tracing(Tracing("nearline", SimpleSpanProcessor(exporter)))
        with tracing.request_span("GET", None):
            pass
        tracing.use_tracing(None)
        (span,) = exporter.get_finished_spans()
        return span.resource.attributes["service.name"]

    assert name() == "sagestream-nearline"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-7")
    assert name() == "shop-7"

"""Spans: makes the spans of `graphstore.tracing` with OpenTelemetry's SDK. Only that module imports this one.

Arrives: method and route of a request, or a batch of Kafka records. Leaves: spans with the names of OpenTelemetry's
semantic conventions for HTTP and messaging. No span holds the id of a shopper or of an item.

A batch has many causes, so its span links to each (https://opentelemetry.io/docs/specs/semconv/messaging/). When all
its records name one span, that span is its parent, too: then the way of one event is one trace.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import util as multiprocessing_util
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from graphstore.trace_header import HEADER, Record

MAX_LINKS = 128
"""OpenTelemetry's own bound, OTEL_SPAN_LINK_COUNT_LIMIT. A batch of a thousand events looks no further."""
EXIT_PRIORITY = 10
"""After the outbox (100), which still sends events at the exit of a process."""

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Spans of one process, given to `processor`."""

    def __init__(self, process: str, processor: SpanProcessor) -> None:
        named = Resource.create({"service.name": f"sagestream-{process}", "service.namespace": "sagestream"})
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count before the names given here.
        resource = named.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("sagestream")
        # Also in a web process that multiprocessing has made, where `atexit` does not run.
        multiprocessing_util.Finalize(None, self._provider.shutdown, exitpriority=EXIT_PRIORITY)

    @contextmanager
    def request_span(self, method: str, parent: str | None) -> Iterator[None]:
        """Trace a web request."""
        with self._tracer.start_as_current_span(
            method,
            context=_context_of(parent) if parent else Context(),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
        ):
            yield

    def end_request(self, route: str, status: int) -> None:
        """Name the current span by its route."""
        span = trace.get_current_span()
        if span.is_recording():
            span.update_name(f"{getattr(span, 'name', '')} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def batch_span(self, name: str, topic: str, records: Sequence[Record]) -> Iterator[None]:
        """Trace the work on a batch of records."""
        parents = _parents_of(records)
        contexts = [trace.get_current_span(_context_of(parent)).get_span_context() for parent in parents]
        with self._tracer.start_as_current_span(
            f"{name} {topic}",
            context=_context_of(parents[0]) if len(parents) == 1 else Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(context) for context in contexts if context.is_valid],
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.batch.message_count": len(records),
            },
        ):
            yield

    def traceparent(self) -> str | None:
        """Return the current span as a header."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get(HEADER)

    def note(self, figures: Mapping[str, Any]) -> None:
        """Add figures to the current span."""
        trace.get_current_span().set_attributes({f"sagestream.{name}": value for name, value in figures.items()})


def exporting(process: str) -> Tracing:
    """Return a tracing that sends its spans by OTLP over HTTP, in batches, in a thread of its own."""
    return Tracing(process, BatchSpanProcessor(OTLPSpanExporter()))


def _context_of(parent: str) -> Context:
    """Return the context that a `traceparent` names. One that is malformed names none."""
    return _propagator.extract({HEADER: parent}, context=Context())


def _parents_of(records: Sequence[Record]) -> list[str]:
    """Return the different `traceparent` headers of the records, at most `MAX_LINKS`."""
    found: dict[str, None] = {}
    for record in records:
        for name, value in record.headers or ():
            if name == HEADER:
                found[value.decode("ascii", "replace")] = None
        if len(found) >= MAX_LINKS:
            break
    return list(found)

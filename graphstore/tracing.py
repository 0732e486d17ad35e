"""Tracing: spans from a posted event to the shopper's changed list, by OpenTelemetry where somebody asks for it.

Arrives: requests and batches of Kafka records. Leaves: spans, and the Kafka header `traceparent` (W3C Trace Context),
so that the next process goes on with the trace. Next: the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names.

Off, which is the default, nothing here imports OpenTelemetry, and a span is a context that does nothing
(`graphstore.spans` makes the real ones). All settings are OpenTelemetry's own variables.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from graphstore.trace_header import Record

if TYPE_CHECKING:
    from graphstore.spans import Tracing

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED = "OTEL_SDK_DISABLED"

_OFF: AbstractContextManager[None] = nullcontext()
_tracing: "Tracing | None" = None


def begin_tracing(process: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Trace this process if the environment names a collector. Return whether it does.

    Without the extra `otel` it logs that nothing is traced: a missing trace must not stop a shop.
    """
    if not any(environment.get(name) for name in ENDPOINTS) or environment.get(DISABLED, "").lower() == "true":
        return False
    try:
        from graphstore.spans import exporting
    except ImportError as error:
        logger.warning("no traces, because the extra otel is not installed: %s", error)
        return False
    use_tracing(exporting(process))
    return True


def use_tracing(tracing: "Tracing | None") -> None:
    """Make spans with `tracing` from now on, or none with None."""
    global _tracing
    _tracing = tracing


def request_span(method: str, parent: str | None) -> AbstractContextManager[None]:
    """Return the span of a web request. `parent` is the caller's `traceparent`, if it is trusted."""
    return _OFF if _tracing is None else _tracing.request_span(method, parent)


def end_request(route: str, status: int) -> None:
    """Name the span of the current request by its route, and tell its outcome."""
    if _tracing is not None:
        _tracing.end_request(route, status)


def batch_span(name: str, topic: str, records: Sequence[Record]) -> AbstractContextManager[None]:
    """Return the span of the work on a batch of records, with links to the traces that its records name."""
    return _OFF if _tracing is None else _tracing.batch_span(name, topic, records)


def traceparent() -> str | None:
    """Return the current span as a `traceparent`, None without one."""
    return None if _tracing is None else _tracing.traceparent()


def note(**figures: Any) -> None:
    """Add figures to the current span, such as how many lists were written."""
    if _tracing is not None:
        _tracing.note(figures)

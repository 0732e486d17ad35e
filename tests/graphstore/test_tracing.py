"""Traces are off, and cost nothing, unless a collector is named."""

import subprocess
import sys

import pytest

from graphstore import tracing
from graphstore.trace_header import header_of

PROGRAM = """
import sys, os
from graphstore.tracing import *
assert begin_tracing("worker") is {begins}
with request_span("POST", None), batch_span("store", "interactions", [object()]):
    end_request("events", 202)
    note(lists=1)
    parent = traceparent()
import serving.nearline, serving.web.outbox, stream.worker.worker
ours = [name for name in sys.modules if name.startswith(("graphstore.spans", "opentelemetry.exporter"))]
print(ours, parent)
"""


@pytest.mark.parametrize("variables", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}])
def test_without_a_collector_no_exporter_is_loaded(variables: dict[str, str]) -> None:
    """Although it is installed here. redis-py looks for OpenTelemetry's API and SDK by itself."""
    command = [sys.executable, "-c", PROGRAM.format(begins=False)]
    done = subprocess.run(command, env={"PATH": "", **variables}, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[] None\n", "")


def test_a_span_that_is_off_is_the_same_object_each_time() -> None:
    spans = {id(tracing.request_span("GET", None)) for _ in range(9)} | {id(tracing.batch_span("a", "b", []))}
    assert len(spans) == 1
    assert header_of(tracing.traceparent()) == []


def test_a_collector_without_the_extra_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "graphstore.spans", None)
    assert not tracing.begin_tracing("worker", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert "no traces, because the extra otel is not installed" in caplog.text
    assert tracing.traceparent() is None

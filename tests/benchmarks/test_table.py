"""The report: fixed keys, medians, and bounds that are held to what was measured."""

import pytest

from benchmarks.drain import DrainResult
from benchmarks.ingest import QUICK
from benchmarks.meters import Mark, Span
from benchmarks.parts import BrokerReport, Report, median_run
from benchmarks.table import as_json, as_markdown
from benchmarks.visible import summary


def drained(cpu_us: float, wall_us: float = 100.0) -> DrainResult:
    return DrainResult(Span(1_000_000, cpu_us, wall_us), peak_mb=cpu_us)


def report() -> Report:
    contenders = {
        "faust_empty": [drained(60.0), drained(80.0), drained(70.0)],
        "aiokafka_empty": [drained(4.0)],
        "aiokafka_sqlite": [drained(40.0)],
        "faust_sqlite": [drained(50.0)],
        "faust_postgresql": [drained(40.0, 100.0), drained(40.0, 100.0)],
        "two_workers": [drained(45.0, 50.0), drained(45.0, 80.0)],
    }
    span = Span(100, 1.0, 10.0)
    kafka = BrokerReport(contenders, producer=12_345.6, visible=summary([float(n) for n in range(101)], span))
    return Report(QUICK, {"kafka": kafka, "embedded": BrokerReport(visible=summary([400.0], span))})


def test_figures_at_the_top_are_those_of_apache_kafka() -> None:
    found = as_json(report())
    assert found["broker"] == "kafka"
    assert found["events_per_cpu_second"] == {
        "faust_empty": 14_286,
        "aiokafka_empty": 250_000,
        "aiokafka_sqlite": 25_000,
        "faust_sqlite": 20_000,
        "faust_postgresql": 25_000,
        "direct_sqlite": None,
        "direct_postgresql": None,
    }
    assert found["two_workers_ratio"] == 1.62
    assert found["visible_ms"] == {"p50": 50.0, "p99": 99.0}
    assert found["producer_events_per_cpu_second"] == 12_346
    assert found["peak_rss_mb"] == 50.0
    assert found["cost_ratio_10m_to_100k"] is None


def test_bounds() -> None:
    bounds = as_json(report())["bounds"]
    assert {name: held["met"] for name, held in bounds.items() if held["value"] is not None} == {
        "faust_sqlite to faust_empty": True,
        "faust_postgresql to faust_empty": True,
        "faust_sqlite to aiokafka_sqlite": False,
        "faust_postgresql to aiokafka_sqlite": True,
        "two_workers_ratio": True,
        "visible p99 ms, kafka": True,
        "visible p99 ms, embedded": False,
    }
    assert bounds["faust_sqlite to aiokafka_sqlite"]["value"] == 0.8


def test_the_table_has_a_column_a_broker() -> None:
    lines = as_markdown(as_json(report())).splitlines()
    assert lines[0].endswith("| Apache Kafka | embedded broker |")
    assert "| faust_empty | 70.0 · 14,286 · 10,000 | – |" in lines
    assert "| produced to visible in Redis, p50 / p99 ms | 50.0 / 99.0 | 400.0 / 400.0 |" in lines
    assert "| faust_sqlite to aiokafka_sqlite | 0.8 | at least 0.9 | missed |" in lines


@pytest.mark.parametrize(("costs", "kept"), [([3.0, 1.0, 2.0], 2.0), ([3.0, 1.0], 1.0), ([5.0], 5.0)])
def test_the_median_run_is_kept(costs: list[float], kept: float) -> None:
    assert median_run([drained(cost) for cost in costs]).span.cpu_us == kept


def test_a_span_is_what_lies_between_two_marks() -> None:
    span = Span.between(Mark(100, 1.0, 10.0), Mark(300, 1.5, 14.0))
    assert (span.events_per_cpu_second, span.events_per_second, span.cpu_us) == (400.0, 50.0, 2_500.0)

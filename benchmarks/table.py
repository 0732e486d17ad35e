"""Table: the report as one JSON object with fixed keys, and as a table with the required bounds.

Arrives: `benchmarks.parts.Report`. Leaves: JSON and Markdown.

The figures at the top level are from Apache Kafka when it was measured, otherwise from the embedded broker. `brokers`
holds the figures of each broker. Parts that did not run are null.
"""

from dataclasses import asdict
from typing import Any

from benchmarks.bounds import judged, rows
from benchmarks.drain import DrainResult
from benchmarks.limits import KINDS
from benchmarks.parts import BrokerReport, Report, median_run
from benchmarks.program import rounded
from benchmarks.services import DATABASES

CONTENDERS = (*KINDS, "faust_sqlite", "faust_postgresql")

BOUNDS = {
    "faust_sqlite to faust_empty": (1.0, "at least"),
    "faust_postgresql to faust_empty": (1.0, "at least"),
    "faust_sqlite to aiokafka_sqlite": (0.9, "at least"),
    "faust_postgresql to aiokafka_sqlite": (0.9, "at least"),
    "direct_sqlite": (20_000.0, "at least"),
    "direct_postgresql": (20_000.0, "at least"),
    "two_workers_ratio": (1.4, "at least"),
    "cost_ratio_10m_to_100k": (1.5, "at most"),
    "visible p99 ms, kafka": (100.0, "below"),
    "visible p99 ms, embedded": (300.0, "below"),
}


def as_json(report: Report) -> dict[str, Any]:
    """Return the object that `--json` writes."""
    kind = "kafka" if "kafka" in report.brokers else "embedded"
    main = report.brokers.get(kind, BrokerReport())  # type: ignore[call-overload]
    direct = {name: median_run(runs) for name, runs in report.direct.items()}
    rates = {name: rounded(main.rate(name)) for name in CONTENDERS}
    rates |= {
        f"direct_{name}": rounded(direct[name].span.events_per_cpu_second) if name in direct else None
        for name in DATABASES
    }
    ratios = [grown.cost_ratio for grown in report.growth.values()]
    found: dict[str, Any] = {
        "broker": kind,
        "events_per_cpu_second": rates,
        "two_workers_ratio": rounded(main.two_workers_ratio, 2),
        "cost_ratio_10m_to_100k": rounded(max(ratios, default=None), 2),
        "visible_ms": {"p50": main.visible.p50, "p99": main.visible.p99} if main.visible else None,
        "producer_events_per_cpu_second": rounded(main.producer),
        "peak_rss_mb": rounded(max(_peaks(report), default=None), 1),
        "sizes": asdict(report.sizes),
        "brokers": {name: _broker(found) for name, found in report.brokers.items()},
        "direct": {name: [_stored(run) for run in runs] for name, runs in report.direct.items()},
        "growth": {
            name: {
                "cost_ratio": rounded(grown.cost_ratio, 2),
                "cost_ratio_with_database": rounded(grown.cost_ratio_with_database, 2),
                "small": [_stored(run) for run in grown.small],
                "large": [_stored(run) for run in grown.large],
                "resident_mb": grown.resident_mb,
            }
            for name, grown in report.growth.items()
        },
    }
    found["bounds"] = judged(_bounded(found), BOUNDS, digits=2)
    return found


def as_markdown(found: dict[str, Any]) -> str:
    """Return the same for a README: one row for each contender, one column for each broker."""
    kinds = list(found["brokers"])
    names = {"kafka": "Apache Kafka", "embedded": "embedded broker"}
    lines = [
        "| CPU µs an event · events a CPU second · events a second by the clock | "
        + " | ".join(names[kind] for kind in kinds)
        + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for name in (*CONTENDERS, "two_workers"):
        cells = [_cell(found["brokers"][kind]["contenders"].get(name)) for kind in kinds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, runs in found["direct"].items():
        middle = sorted(runs, key=lambda run: float(run["cpu_us"]))[(len(runs) - 1) // 2]
        lines.append(f"| direct_{name} | {_cell(middle)} |" + " |" * (len(kinds) - 1))
    visible = [found["brokers"][kind]["visible_ms"] for kind in kinds]
    shown = [f"{one['p50']} / {one['p99']}" if one else "–" for one in visible]
    lines.append(f"| produced to visible in Redis, p50 / p99 ms | {' | '.join(shown)} |")
    return "\n".join([*lines, *rows(found["bounds"])])


def _cell(run: dict[str, Any] | None) -> str:
    if run is None:
        return "–"
    return f"{run['cpu_us']} · {run['events_per_cpu_second']:,} · {run['events_per_second']:,}"


def _bounded(found: dict[str, Any]) -> dict[str, float | None]:
    """Return the figures that have a bound."""
    rates = found["events_per_cpu_second"]
    values: dict[str, float | None] = {**rates, **{key: found[key] for key in BOUNDS if key in found}}
    for name in BOUNDS:
        first, _, second = name.partition(" to ")
        if second:
            values[name] = rates[first] / rates[second] if rates[first] and rates[second] else None
    for kind, broker in found["brokers"].items():
        values[f"visible p99 ms, {kind}"] = broker["visible_ms"] and broker["visible_ms"]["p99"]
    return values


def _broker(found: BrokerReport) -> dict[str, Any]:
    return {
        "contenders": {name: _drained(median_run(runs)) for name, runs in found.contenders.items()},
        "runs_cpu_us": {name: [rounded(run.span.cpu_us, 1) for run in runs] for name, runs in found.contenders.items()},
        "two_workers_ratio": rounded(found.two_workers_ratio, 2),
        "producer_events_per_cpu_second": rounded(found.producer),
        "memory": _drained(found.memory) if found.memory else None,
        "visible_ms": asdict(found.visible) if found.visible else None,
    }


def _drained(run: DrainResult) -> dict[str, Any]:
    return {
        **_span(run),
        "peak_rss_mb": rounded(run.peak_mb, 1),
        "rss_mb_at_10_50_95_percent": list(run.resident_mb),
        "database_us": rounded(run.database_us, 1),
        "redis_us": rounded(run.redis_us, 1),
        "broker_us": rounded(run.broker_us, 1),
    }


def _stored(run: Any) -> dict[str, Any]:
    return {**_span(run), "rss_mb": run.resident_mb, "database_us": rounded(run.database_us, 1)}


def _span(run: Any) -> dict[str, Any]:
    return {
        "cpu_us": rounded(run.span.cpu_us, 1),
        "events_per_cpu_second": rounded(run.span.events_per_cpu_second),
        "events_per_second": rounded(run.span.events_per_second),
    }


def _peaks(report: Report) -> list[float]:
    """Return the peaks of the worker over all backlogs, and of the direct path."""
    drained = [run for broker in report.brokers.values() for run in broker.contenders.get("faust_sqlite", [])]
    drained += [broker.memory for broker in report.brokers.values() if broker.memory]
    return [run.peak_mb for run in drained] + [
        mb for grown in report.growth.values() for mb in grown.resident_mb.values()
    ]

"""Parts: the parts of the benchmark, each measures one thing and writes its figures into the report.

Arrives: services and sizes. Leaves: `Report`. Next: `benchmarks.table`.

The contenders run in turn within one run, `repeats` times, and the median by CPU for each event counts. Other load on
the machine then affects all of them in the same way.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.backlog import produce
from benchmarks.direct import StoreResult
from benchmarks.drain import DrainResult, drain_limit, drain_worker
from benchmarks.growth import Growth, GrowthSizes, measure_direct, measure_growth
from benchmarks.limits import KINDS
from benchmarks.services import DATABASES, BenchmarkServices, BrokerKind, open_stream
from benchmarks.visible import Visible, measure_visible
from benchmarks.workload import Workload, span_ms

PARTS = ("drain", "direct", "growth", "memory", "visible")
"""In the order of their execution."""

LogLine = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """Sizes of all parts."""

    events: int
    growth: GrowthSizes
    memory_events: int
    visible_rate: float
    visible_seconds: float
    repeats: int
    direct_events: int


@dataclass
class BrokerReport:
    """The figures of one broker."""

    contenders: dict[str, list[DrainResult]] = field(default_factory=dict)
    producer: float | None = None
    memory: DrainResult | None = None
    visible: Visible | None = None

    def rate(self, name: str) -> float | None:
        """Return events per CPU second of the median run."""
        found = self.contenders.get(name)
        return median_run(found).span.events_per_cpu_second if found else None

    @property
    def two_workers_ratio(self) -> float | None:
        """Rate of two workers to one worker by the clock: the median of the turns."""
        pairs = zip(self.contenders.get("faust_postgresql", []), self.contenders.get("two_workers", []), strict=False)
        ratios = [two.span.events_per_second / one.span.events_per_second for one, two in pairs]
        return statistics.median(ratios) if ratios else None


@dataclass
class Report:
    """All figures. A part that did not run is absent."""

    sizes: Sizes
    brokers: dict[BrokerKind, BrokerReport] = field(default_factory=dict)
    direct: dict[str, list[StoreResult]] = field(default_factory=dict)
    growth: dict[str, Growth] = field(default_factory=dict)


def median_run(runs: Sequence[Any]) -> Any:
    """Return the run with the median CPU for each event, the cheaper one of two middle runs."""
    return sorted(runs, key=lambda run: float(run.span.cpu_us))[(len(runs) - 1) // 2]


def run_parts(
    report: Report,
    parts: Sequence[str],
    kinds: Sequence[BrokerKind],
    services: BenchmarkServices,
    cache: Path | None,
    log_line: LogLine,
) -> None:
    """Run the parts and write into the report. Its figures stay when a later part fails."""
    for kind in kinds:
        found = report.brokers.setdefault(kind, BrokerReport())
        for part, measure in (("drain", _drain), ("memory", _memory), ("visible", _visible)):
            if part in parts:
                log_line(f"{kind}: {part}")
                measure(found, kind, report.sizes, services, log_line)
    for database in DATABASES:
        if "direct" in parts:
            log_line(f"{database}: direct")
            for _ in range(report.sizes.repeats):
                stored = measure_direct(services, database, report.sizes.direct_events, log_line=log_line)
                report.direct.setdefault(database, []).append(stored)
        if "growth" in parts:
            log_line(f"{database}: growth to {report.sizes.growth.large:,} rows")
            report.growth[database] = measure_growth(
                services, database, report.sizes.growth, cache=cache, log_line=log_line
            )


def _drain(found: BrokerReport, kind: BrokerKind, sizes: Sizes, services: BenchmarkServices, log_line: LogLine) -> None:
    contenders: Mapping[str, Callable[[], DrainResult]]
    with open_stream(services.directory, kind) as stream:
        source = _recent(sizes.events)
        produced = produce(stream.config, source, sizes.events, linger_ms=stream.linger_ms, log_line=log_line)
        found.producer = produced.events_per_cpu_second
        contenders = {
            **{name: lambda name=name: drain_limit(services, stream, name, sizes.events) for name in KINDS},  # type: ignore[misc]
            "faust_sqlite": lambda: drain_worker(services, stream, "sqlite", sizes.events),
            "faust_postgresql": lambda: drain_worker(services, stream, "postgresql", sizes.events),
            "two_workers": lambda: drain_worker(services, stream, "postgresql", sizes.events, workers=2),
        }
        for turn in range(sizes.repeats):
            for name, drain in contenders.items():
                drained = drain()
                found.contenders.setdefault(name, []).append(drained)
                span = drained.span
                log_line(
                    f"{kind} {turn + 1}: {name} {span.cpu_us:.1f} µs an event, {span.events_per_second:,.0f} a second"
                )


def _memory(
    found: BrokerReport, kind: BrokerKind, sizes: Sizes, services: BenchmarkServices, log_line: LogLine
) -> None:
    """Drain a long backlog through one worker."""
    with open_stream(services.directory, kind) as stream:
        backlog = _recent(sizes.memory_events)
        produce(stream.config, backlog, sizes.memory_events, linger_ms=stream.linger_ms, log_line=log_line)
        found.memory = drain_worker(services, stream, "sqlite", sizes.memory_events)


def _visible(
    found: BrokerReport, kind: BrokerKind, sizes: Sizes, services: BenchmarkServices, log_line: LogLine
) -> None:
    with open_stream(services.directory, kind) as stream:
        found.visible = measure_visible(services, stream, "sqlite", sizes.visible_rate, sizes.visible_seconds)
        log_line(f"{kind}: visible after {found.visible.p50} ms, p99 {found.visible.p99} ms")


def _recent(count: int) -> Workload:
    """Return a workload that ends now, so its events fill the trending windows."""
    return Workload(np.random.default_rng(1), begin=time.time_ns() // 1_000_000 - span_ms(count))

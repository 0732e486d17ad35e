"""Serving: the CPU time of a served list and its latency: `python benchmarks/serving.py --json OUT`.

Arrives: sizes. Leaves: one JSON object, the same as a table on standard output, and progress on standard error. The
program starts all that it needs (Redis, a broker for the impressions, web processes on free ports), except wrk, and
stops it at the end.

Contenders, all under the same server with one process, which wrk asks in turn for random shoppers' lists:

- `bare`: a WSGI application that reads the same two keys and encodes the same 20 items (`benchmarks.bare`);
- `hot`: the product, a list of 20 items that a slot shows, so that its impression goes to Kafka;
- `hot_filters`: the same with a filter, a boost and exploration: rules that look at one item at a time;
- `hot_rules`: with all of them, also caps, a quota, fatigue, re-purchase and diversity, which look at the whole list;
- `django`: as `hot`, without the front.

CPU is user and system time of the web process (`psutil`), for each request, under as many connections as wrk keeps
busy. Latency is measured with half as many requests a second as the contender answers at most. One machine runs
everything, so rates by the clock also depend on wrk, Redis and the broker.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import lists
from benchmarks.bounds import judged, rows
from benchmarks.program import begin, log_line, reported, rounded
from benchmarks.services import BenchmarkServices, open_services, open_stream
from benchmarks.web_process import WebProcess, running_web
from benchmarks.wrk import Load, find_wrk
from graphstore.redis.connection import open_redis
from sagestream.playground.embedded import find_kafka

PARTS = ("cpu", "half_load", "two_processes", "ranker")
CONTENDERS = ("bare", "hot", "hot_filters", "hot_rules", "django")
QUERIES = {
    "bare": "",
    "hot": "?slot=plain",
    "hot_filters": "?slot=filtered",
    "hot_rules": "?slot=ruled",
    "django": "?slot=plain",
}
EXPLORING = ("filtered", "ruled")
RANKER_ITEMS = (5_000, 100_000)
BUSY_CONNECTIONS = 16
"""Twice as many as the web process has threads for readers: one of them is always ready."""
SHOPPERS_CONNECTIONS = 64
WARM_SECONDS = 3.0
SEED = 20

RULES = """
[plain]
kind = "for_you"

[filtered]
kind = "for_you"
[filtered.rules]
only = { price_min = 1.0, without_categories = ["shelf 39"] }
boost = [{ items = { brands = ["brand 1", "brand 2"] }, factor = 2.0 }]

[ruled]
kind = "for_you"
[ruled.rules]
per_category = 3
per_brand = 3
diversity = 0.2
fatigue_after = 3
bought_within_days = 14
only = { price_min = 1.0, without_categories = ["shelf 39"] }
boost = [{ items = { brands = ["brand 1", "brand 2"] }, factor = 2.0 }]
quota = [{ items = { categories = ["aisle 1"] }, at_least = 2 }]
"""
"""The slots of the run, as a shop writes them in `slots.toml`. Exploration comes from an experiment."""

BOUNDS: Mapping[str, tuple[float, str]] = {
    "hot to bare": (1.7, "at most"),
    "hot_filters to bare": (1.7, "at most"),
    "hot_rules to bare": (1.7, "at most"),
    "half_load p99 ms": (20.0, "below"),
    "half_load p99 ms, hot_rules": (20.0, "below"),
    "half_load p99 ms, two processes": (20.0, "below"),
    "ranker p50 ms, 5000": (5.0, "at most"),
    "ranker p99 ms, 5000": (15.0, "at most"),
    "ranker p99 ms, 100000": (40.0, "at most"),
}


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run. `seconds` is the length of one measurement."""

    shoppers: int = 100_000
    items: int = 10_000
    seconds: float = 10.0
    repeats: int = 5


QUICK = Sizes(shoppers=200, items=300, seconds=1.0, repeats=1)


@dataclass
class Report:
    """The figures. Parts that did not run are empty."""

    sizes: Sizes
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    half_load: dict[str, Load] = field(default_factory=dict)
    two_processes_ratio: float | None = None
    two_processes_cpu_us: float | None = None
    ranker_ms: dict[str, dict[str, float]] = field(default_factory=dict)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments. Exits with 2 when they are not valid."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    default = Sizes()
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--shoppers", type=int, default=default.shoppers, help="shoppers with a list")
    parser.add_argument("--items", type=int, default=default.items, help="items of the catalogue")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="length of each measurement")
    parser.add_argument(
        "--repeats", type=int, default=default.repeats, help="turns of the contenders; the median counts"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: does it run at all; the figures mean nothing"
    )
    found = parser.parse_args(given)
    if min(found.shoppers, found.items, found.repeats) < 1 or found.seconds < 1:
        parser.error("sizes are at least 1")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run the parts. Return 0, or 1 when a part failed. The figures so far are written in both cases."""
    options = parse_arguments(given)
    begin()
    sizes = QUICK if options.quick else Sizes(options.shoppers, options.items, options.seconds, options.repeats)
    report = Report(sizes)

    def run() -> None:
        if {*options.only} - {"ranker"}:
            find_wrk()
            with tempfile.TemporaryDirectory(prefix="sagestream-benchmark-") as directory:
                measure(report, options.only, Path(directory), log_line)
        if "ranker" in options.only:
            measure_ranker(report, log_line)

    return reported(run, lambda: as_json(report), as_markdown, options.json)


def measure(report: Report, parts: Sequence[str], directory: Path, say: Callable[[str], None]) -> None:
    """Start the services and run the parts that need wrk."""
    sizes = report.sizes
    slots = directory / "slots.toml"
    slots.write_text(RULES)
    kind = "kafka" if find_kafka() else "embedded"
    with ExitStack() as stack:
        services = stack.enter_context(open_services(directory, None))
        stream = stack.enter_context(open_stream(directory, kind))  # type: ignore[arg-type]
        say(f"filling Redis: {sizes.shoppers:,} shoppers, {sizes.items:,} items; impressions go to {kind}")
        with open_redis(services.redis_url) as redis:
            now = int(time.time() * 1000)
            lists.fill(redis, shoppers=sizes.shoppers, items=sizes.items, as_of=now, rng=np.random.default_rng(SEED))
            lists.explore(redis, EXPLORING)
        settings = {**stream.settings, "slots_file": slots}
        webs = {
            name: stack.enter_context(running_web(services, name, settings))
            for name in CONTENDERS
            if "cpu" in parts or name == "hot"
        }
        _measure_cpu(report, webs, say)
        if "half_load" in parts:
            for name in ("hot", "hot_filters", "hot_rules"):
                if name in webs:
                    report.half_load[name] = _at_half(report, webs[name], report.rates[name], say)
        if "two_processes" in parts:
            _measure_two(report, stack, services, settings, webs["hot"], say)


def _measure_cpu(report: Report, webs: Mapping[str, WebProcess], say: Callable[[str], None]) -> None:
    """Ask the contenders in turn, as fast as they answer."""
    sizes = report.sizes
    for name, web in webs.items():
        web.load(QUERIES[name], shoppers=sizes.shoppers, seconds=min(WARM_SECONDS, sizes.seconds), connections=16)
    for turn in range(sizes.repeats):
        for name, web in webs.items():
            load, cpu_us = web.load(
                QUERIES[name], shoppers=sizes.shoppers, seconds=sizes.seconds, connections=BUSY_CONNECTIONS
            )
            report.cpu_us.setdefault(name, []).append(cpu_us)
            report.rates.setdefault(name, []).append(load.rate)
            say(f"turn {turn + 1}, {name}: {cpu_us:.0f} µs of CPU a request, {load.rate:,.0f} requests a second")


def _at_half(report: Report, web: WebProcess, rates: Sequence[float], say: Callable[[str], None]) -> Load:
    """Measure the latency with half as many requests a second as `rates` says that can be answered."""
    wanted = statistics.median(rates) / 2
    load, _ = web.load(
        QUERIES[web.name],
        shoppers=report.sizes.shoppers,
        seconds=2 * report.sizes.seconds,
        connections=SHOPPERS_CONNECTIONS,
        pause_ms=1000 * SHOPPERS_CONNECTIONS / wanted,
    )
    say(f"half load, {web.name}: {load.rate:,.0f} requests a second, p50 {load.p50} ms, p99 {load.p99} ms")
    return load


def _measure_two(
    report: Report,
    stack: ExitStack,
    services: BenchmarkServices,
    settings: Mapping[str, object],
    one: WebProcess,
    say: Callable[[str], None],
) -> None:
    """Compare two web processes of one server with one, in turns."""
    sizes = report.sizes
    two = stack.enter_context(running_web(services, "hot", settings, processes=2))
    how = {"shoppers": sizes.shoppers, "connections": 2 * BUSY_CONNECTIONS}
    two.load(QUERIES["hot"], seconds=min(WARM_SECONDS, sizes.seconds), **how)
    ratios, rates, used = [], [], []
    for _ in range(sizes.repeats):
        alone, _ = one.load(QUERIES["hot"], seconds=sizes.seconds, **how)
        both, cpu_us = two.load(QUERIES["hot"], seconds=sizes.seconds, **how)
        ratios.append(both.rate / alone.rate)
        rates.append(both.rate)
        used.append(cpu_us)
        say(f"two processes: {both.rate:,.0f} requests a second, {ratios[-1]:.2f} times one; {cpu_us:.0f} µs")
    report.two_processes_ratio = statistics.median(ratios)
    report.two_processes_cpu_us = statistics.median(used)
    report.half_load["two_processes"] = _at_half(report, two, rates, say)


def measure_ranker(report: Report, say: Callable[[str], None]) -> None:
    """Measure the online ranking of `benchmarks.ranker`."""
    try:
        from benchmarks import ranker  # late: it loads torch
    except ImportError as error:
        say(f"the ranker is not measured: {error}")
        return
    for items in RANKER_ITEMS:
        report.ranker_ms[str(items)] = ranker.measure(items)
        say(f"ranker, {items:,} items: {report.ranker_ms[str(items)]}")


def as_json(report: Report) -> dict[str, Any]:
    """Return the object that `--json` writes."""
    cpu_us = {name: _middle(report.cpu_us.get(name), 1) for name in CONTENDERS}
    half = {name: {"p50": load.p50, "p99": load.p99} for name, load in report.half_load.items()}
    found: dict[str, Any] = {
        "cpu_us": cpu_us,
        "half_load_ms": half.get("hot"),
        "two_processes_ratio": rounded(report.two_processes_ratio, 2),
        "ranker_ms": {str(items): report.ranker_ms.get(str(items)) for items in RANKER_ITEMS},
        "ratio_to_bare": {
            name: rounded(statistics.median(_ratios(report, name)), 2) if name in report.cpu_us else None
            for name in CONTENDERS[1:]
        },
        "runs_cpu_us": {name: [rounded(run, 1) for run in runs] for name, runs in report.cpu_us.items()},
        "requests_per_second": {name: _middle(report.rates.get(name), 0) for name in CONTENDERS},
        "half_load": {
            name: {"requests_per_second": rounded(load.rate, 0), "p50": load.p50, "p99": load.p99}
            for name, load in report.half_load.items()
        },
        "two_processes_cpu_us": rounded(report.two_processes_cpu_us, 1),
        "sizes": vars(report.sizes),
    }
    values = {
        "hot to bare": found["ratio_to_bare"]["hot"],
        "hot_filters to bare": found["ratio_to_bare"]["hot_filters"],
        "hot_rules to bare": found["ratio_to_bare"]["hot_rules"],
        "half_load p99 ms": half.get("hot", {}).get("p99"),
        "half_load p99 ms, hot_rules": half.get("hot_rules", {}).get("p99"),
        "half_load p99 ms, two processes": half.get("two_processes", {}).get("p99"),
    }
    for items in RANKER_ITEMS:
        ranked = found["ranker_ms"][str(items)] or {}
        values |= {f"ranker {name} ms, {items}": ranked.get(name) for name in ("p50", "p99")}
    found["bounds"] = judged(values, BOUNDS)
    return found


def _ratios(report: Report, name: str) -> list[float]:
    """Return the ratios to the bare application, turn by turn: both met the same load of the machine."""
    return [ours / bare for ours, bare in zip(report.cpu_us[name], report.cpu_us["bare"], strict=True)]


def as_markdown(found: dict[str, Any]) -> str:
    """Return the same for a README."""
    lines = ["| | CPU µs a request | to bare | requests a second |", "|---|---|---|---|"]
    for name in CONTENDERS:
        ratio = found["ratio_to_bare"].get(name)
        cells = (found["cpu_us"][name], ratio, found["requests_per_second"][name])
        lines.append(f"| {name} | {' | '.join('–' if cell is None else f'{cell:,g}' for cell in cells)} |")
    lines += ["", "| half of saturation | requests a second | p50 ms | p99 ms |", "|---|---|---|---|"]
    for name, load in found["half_load"].items():
        lines.append(f"| {name} | {load['requests_per_second']:,} | {load['p50']:g} | {load['p99']:g} |")
    return "\n".join([*lines, *rows(found["bounds"])])


def _middle(runs: Sequence[float] | None, digits: int) -> float | None:
    return None if not runs else rounded(statistics.median(runs), digits)


if __name__ == "__main__":
    sys.exit(main())

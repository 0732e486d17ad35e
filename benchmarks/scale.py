"""Scale: what each stage of a shop's life costs, by size, and how it grows: `python -m benchmarks.scale --json OUT`.

Arrives: sizes as shoppers:items:events. Leaves: one JSON object and a table: CPU seconds, peak memory and bytes of each
stage, and slopes. Next: docs/scale.md.

The stages are those of a real shop, each in a process of its own: events into SQL and Redis, a snapshot, a full
training, two percent new events, an update, all lists, and the lists of 2,000 shoppers by near-line. The shops are
synthetic (`benchmarks.workload`), with the skew of real ones. The services are an own Redis, and SQLite or PostgreSQL.

A slope is the exponent b of cost = a · events^b: 1 is linear. Shoppers and items grow with the events.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.direct import Drawn, Segment, store_segments
from benchmarks.program import begin, log_line, reported
from benchmarks.services import BenchmarkServices, DatabaseKind, environment, open_services
from benchmarks.slope import slope
from benchmarks.workload import ShopSize
from graphstore.redis.connection import open_redis
from graphstore.session import open_engine, read

SIZES = ("10000:1000:100000", "30000:3000:300000", "100000:10000:1000000")
NEW_SHARE = 0.02
"""The events between a full training and an update, as a share of all."""


@dataclass(frozen=True)
class Shop:
    """One size."""

    shoppers: int
    items: int
    events: int

    @classmethod
    def parse(cls, text: str) -> "Shop":
        """Read shoppers:items:events. Raises `argparse.ArgumentTypeError`."""
        try:
            shop = cls(*(int(part) for part in text.split(":")))
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(f"{text!r} is not shoppers:items:events") from None
        if min(shop.shoppers, shop.items, shop.events) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} has a number below 1")
        return shop

    def __str__(self) -> str:
        return f"{self.shoppers:,} shoppers, {self.items:,} items, {self.events:,} events"


@dataclass(frozen=True)
class Cost:
    """What one stage cost, and what it made."""

    cpu_seconds: float
    peak_mb: float
    told: Mapping[str, Any]

    def as_json(self, *told: str) -> dict[str, Any]:
        """Return the figures, with these of its own; its own CPU seconds are without the start of the process."""
        figures = {"cpu_seconds": self.cpu_seconds, "peak_mb": self.peak_mb} | {name: self.told[name] for name in told}
        return {name: round(value, 2) for name, value in figures.items()}


def run(command: Sequence[str], settings: Mapping[str, str]) -> Cost:
    """Run a child that ends with one JSON object on standard output. Raises `RuntimeError` when it fails.

    CPU seconds are those of the child and of its own children, with their start.
    """
    child = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **settings}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {said.decode()[-500:]}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, json.loads(said))


def measure(
    services: BenchmarkServices, kind: DatabaseKind, shop: Shop, *, full: str, published: int | None
) -> dict[str, Any]:
    """Return the costs of all stages of one shop. `published` shoppers get lists by the publisher, None: all."""
    url = services.database(kind)
    state = services.directory / f"state-{shop.events}"
    settings = environment({"database_url": url, "redis_url": services.redis_url, "state_dir": state})
    new = max(1, int(NEW_SHARE * shop.events))
    services.empty_redis()
    found: dict[str, Any] = {}

    def keep(stage: str, cost: dict[str, Any]) -> None:
        found[stage] = cost
        log_line(f"{shop}: {stage}: {cost}")

    def ingest(stage: str, count: int, seed: int, begun: int) -> None:
        stored = store_segments(
            url,
            services.redis_url,
            [Segment(stage, count)],
            services.directory / "ingest.json",
            drawn=Drawn(seed, begun, ShopSize(shop.shoppers, shop.items)),
            log_line=log_line,
        )[stage]
        keep(stage, {"cpu_seconds": round(stored.span.cpu_seconds, 2), "peak_mb": round(stored.resident_mb)})

    ingest("events", shop.events, seed=1, begun=0)
    keep("snapshot", run(["sagestream", "preprocess", "--json"], settings).as_json())
    keep("full training", run(["sagestream", "train", "--kind", full, "--json"], settings).as_json())
    ingest("new events", new, seed=2, begun=shop.events)
    keep("update", run(["sagestream", "train", "--kind", "incremental", "--json"], settings).as_json())
    some = [] if published is None else ["--shoppers", str(published)]
    for stage, more in (("publish", some), ("near-line", [])):
        keep(stage, run(["benchmarks.scale_stages", stage, *more], settings).as_json("lists", "cpu_seconds"))
    found["bytes"] = {
        "sql": _sql_bytes(url),
        "redis": _redis_bytes(services.redis_url),
        "snapshots and bundles": sum(file.stat().st_size for file in state.rglob("*") if file.is_file()),
    }
    log_line(f"{shop}: {found['bytes']}")
    shutil.rmtree(state, ignore_errors=True)
    return found


def _sql_bytes(url: str) -> int:
    engine = open_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            file = Path(str(engine.url.database))
            return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))
        with read(engine) as connection:
            return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    finally:
        engine.dispose()


def _redis_bytes(url: str) -> int:
    with open_redis(url) as redis:
        return int(redis.info("memory")["used_memory"])


def slopes(sizes: Mapping[Shop, Mapping[str, Any]]) -> dict[str, float]:
    """Return the slope of each stage's CPU seconds and of each store's bytes; empty for one size.

    A store that is empty has none.
    """
    by_size = {str(shop.events): costs for shop, costs in sizes.items()}
    held = {size: costs["bytes"] for size, costs in by_size.items()}
    stages, stores = _names(sizes)
    found = {stage: slope({size: costs[stage] for size, costs in by_size.items()}, "cpu_seconds") for stage in stages}
    found |= {f"bytes: {store}": slope(held, store) for store in stores if all(one[store] for one in held.values())}
    return {name: value for name, value in found.items() if value is not None}


def _names(sizes: Mapping[Shop, Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the stages, and the stores whose bytes were counted."""
    names = dict.fromkeys(name for costs in sizes.values() for name in costs)
    return [name for name in names if name != "bytes"], [*next(iter(sizes.values()), {"bytes": {}})["bytes"]]


def as_markdown(sizes: Mapping[Shop, Mapping[str, Any]], grown: Mapping[str, float]) -> str:
    """Return the table: CPU seconds and peak memory by stage, bytes by store, and the slopes."""
    shops = sorted(sizes, key=lambda shop: shop.events)
    stages, stores = _names(sizes)
    lines = [f"| | {' | '.join(map(str, shops))} | slope |", "|---|" + "---|" * (len(shops) + 1)]
    for stage in stages:
        costs = [sizes[shop][stage] for shop in shops]
        cells = [f"{cost['cpu_seconds']:,.1f} CPU s, {cost['peak_mb']:,} MB" for cost in costs]
        lines.append(f"| {stage} | {' | '.join(cells)} | {grown.get(stage, '')} |")
    for store in stores:
        cells = [f"{sizes[shop]['bytes'][store] / 1e6:,.1f} MB" for shop in shops]
        lines.append(f"| {store} | {' | '.join(cells)} | {grown.get(f'bytes: {store}', '')} |")
    return "\n".join(lines)


def main(given: Sequence[str] | None = None) -> int:
    """Measure all sizes, the smallest first."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--sizes", type=Shop.parse, nargs="+", default=[Shop.parse(size) for size in SIZES])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--full", choices=("graphsage", "closed_form"), default="graphsage", help="the full training")
    parser.add_argument("--lists", type=int, help="how many shoppers the publisher makes lists for; without it all")
    options = parser.parse_args(given)
    begin()
    sizes: dict[Shop, dict[str, Any]] = {}

    def measure_all() -> None:
        with (
            tempfile.TemporaryDirectory(prefix="sagestream-scale-") as directory,
            open_services(Path(directory), None) as services,
        ):
            for shop in sorted(options.sizes, key=lambda shop: shop.events):
                sizes[shop] = measure(services, options.database, shop, full=options.full, published=options.lists)

    def as_json() -> dict[str, Any]:
        told = {str(shop): costs for shop, costs in sizes.items()}
        return {"database": options.database, "sizes": told, "slopes": slopes(sizes)}

    return reported(measure_all, as_json, lambda _: as_markdown(sizes, slopes(sizes)), options.json)


if __name__ == "__main__":
    sys.exit(main())

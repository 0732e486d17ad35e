"""Freshness: the time from a shopper's event to the changed list: `python benchmarks/freshness.py --json OUT`.

Arrives: rates and sizes. Leaves: one JSON object, the same as a table on standard output, and progress on standard
error. The program starts all services and processes and stops them at the end: Redis, a database, Apache Kafka when
`KAFKA_HOME` is set, else the embedded broker, and the product's worker, near-line and ranker.

Parts: `steady` sends events at a rate, half of them of shoppers with a history. `burst` sends many within a second, and
then some more: those who come last must not wait for those before. `new_items` adds items to the catalogue and asks the
ranker for them until it ranks them.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.bounds import judged, rows
from benchmarks.fresh_shop import FreshShop, running_shop
from benchmarks.fresh_watch import STAGES, Delay, Watch, delays, touches
from benchmarks.program import begin, log_line, reported, rounded
from benchmarks.services import (
    DATABASES,
    BenchmarkServices,
    BrokerKind,
    DatabaseKind,
    Stream,
    open_services,
    open_stream,
    ranks,
)
from graphstore.redis.connection import open_redis
from sagestream.playground.embedded import find_kafka
from serving.online.client import RankerClient
from stream import events
from stream.events import CatalogItem
from stream.kafka.producer import EventProducer

PARTS = ("steady", "burst", "new_items")
DROPPED_SECONDS = 5.0
ARRIVE_SECONDS = 120.0
"""Maximum time for the last list. A later one is an error and not a slow one."""
BURST_SECONDS = 1.0
LATE_EVENTS = 50
"""Events after a burst, whose shoppers must not wait for those of the burst."""
LATE_RATE = 50.0
NEW_ITEMS = 5
ASK_SECONDS = 0.05
NEW_ITEM_SECONDS = 60.0

BOUNDS = {
    "known p50 ms": (100.0, "below"),
    "known p99 ms": (300.0, "below"),
    "new p50 ms": (100.0, "below"),
    "new p99 ms": (300.0, "below"),
    "burst absorbed s": (15.0, "at most"),
    "new item s": (5.0, "at most"),
}


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run. `rate` is in events a second."""

    rate: float = 1_000.0
    seconds: float = 60.0
    burst: int = 10_000
    items: int = 5_000
    known: int = 10_000


QUICK = Sizes(rate=50.0, seconds=6.0, burst=200, items=300, known=100)


@dataclass
class Report:
    """The figures. Parts that did not run are empty."""

    sizes: Sizes
    broker: BrokerKind
    steady: list[Delay] = field(default_factory=list)
    burst: list[Delay] = field(default_factory=list)
    late: list[Delay] = field(default_factory=list)
    absorbed_seconds: float | None = None
    new_item_seconds: list[float] = field(default_factory=list)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments. Exits with 2 when they are not valid."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    default = Sizes()
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--rate", type=float, default=default.rate, help="events a second")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="how long they are sent")
    parser.add_argument("--burst", type=int, default=default.burst, help="events within a second")
    parser.add_argument("--items", type=int, default=default.items, help="items of the catalogue")
    parser.add_argument("--known", type=int, default=default.known, help="shoppers with a history")
    parser.add_argument("--broker", choices=("kafka", "embedded"), help="default: Apache Kafka where it is found")
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="where the graph is")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: does it run at all; the figures mean nothing"
    )
    found = parser.parse_args(given)
    if found.seconds <= DROPPED_SECONDS or found.rate <= 0:
        parser.error("the first five seconds are dropped: send events for longer")
    if min(found.burst, found.items, found.known) < 1:
        parser.error("sizes are at least 1")
    if found.broker == "kafka" and find_kafka() is None:
        parser.error("Apache Kafka was not found: set KAFKA_HOME to a distribution, with Java 17")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run the parts. Return 0, or 1 when a part failed. The figures so far are written in both cases."""
    options = parse_arguments(given)
    begin()
    sizes = (
        QUICK if options.quick else Sizes(options.rate, options.seconds, options.burst, options.items, options.known)
    )
    report = Report(sizes, options.broker or ("kafka" if find_kafka() else "embedded"))

    def run() -> None:
        with tempfile.TemporaryDirectory(prefix="sagestream-benchmark-") as directory:
            measure(report, options.only, options.database, Path(directory), log_line)

    return reported(run, lambda: as_json(report), as_markdown, options.json)


def measure(
    report: Report, parts: Sequence[str], database: DatabaseKind, directory: Path, say: Callable[[str], None]
) -> None:
    """Start a shop and run the parts."""
    sizes = report.sizes
    with open_services(directory, None) as services, open_stream(directory, report.broker) as stream:
        say(f"filling {database}: {sizes.known:,} known shoppers, {sizes.items:,} items; broker {report.broker}")
        with running_shop(services, stream, database, items=sizes.items, known=sizes.known) as shop:
            if "new_items" in parts:
                _measure_new_items(report, shop, stream, say)
            if "steady" in parts:
                sent, found = _followed(services, stream, shop, sizes, [(sizes.rate, int(sizes.rate * sizes.seconds))])
                first = min(at for _, at in sent)
                report.steady = [one for one in found if one.sent >= first + DROPPED_SECONDS]
                say(f"steady: {_summary([one.whole for one in report.steady])} ms")
            if "burst" in parts:
                shots = [(sizes.burst / BURST_SECONDS, sizes.burst), (LATE_RATE, LATE_EVENTS)]
                sent, found = _followed(services, stream, shop, sizes, shots)
                report.burst, report.late = found[: sizes.burst], found[sizes.burst :]
                ends = [one.sent + one.whole / 1000 for one in report.burst]
                report.absorbed_seconds = max(ends) - min(at for _, at in sent)
                say(
                    f"burst: absorbed in {report.absorbed_seconds:.1f} s; "
                    f"who comes after it: {_summary([one.whole for one in report.late])} ms"
                )


def _followed(
    services: BenchmarkServices, stream: Stream, shop: FreshShop, sizes: Sizes, shots: Sequence[tuple[float, int]]
) -> tuple[list[tuple[str, float]], list[Delay]]:
    """Send each shot, a rate and a number of events, and follow all events to their lists."""
    sent: list[tuple[str, float]] = []
    with open_redis(services.redis_url) as redis, Watch(redis, shop.version) as watch:
        for rate, count in shots:
            output = services.directory / f"sent-{secrets.token_hex(4)}.json"
            command = [sys.executable, "-m", "benchmarks.fresh_events", "--rate", str(rate), "--count", str(count)]
            command += ["--known", str(sizes.known), "--items", str(sizes.items), "--prefix", secrets.token_hex(4)]
            command += ["--linger-ms", str(stream.linger_ms), "--output", str(output)]
            subprocess.run(command, env={**os.environ, **stream.environment}, check=True)
            sent += [(user, at) for user, at in json.loads(output.read_text())]
        last = dict(sent)
        missing = watch.wait_for_lists(last, since=min(at for _, at in sent), seconds=ARRIVE_SECONDS)
        if missing:
            raise RuntimeError(f"{len(missing)} of {len(last)} shoppers got no list within {ARRIVE_SECONDS:g} s")
        time.sleep(1.0)  # a known shopper's second event may still be on its way
    return sent, delays(sent, watch.stored, touches(stream.config), watch.listed)


def _measure_new_items(report: Report, shop: FreshShop, stream: Stream, say: Callable[[str], None]) -> None:
    """Add items one by one, and ask the ranker until it ranks each of them."""
    client = RankerClient(shop.ranker_url, timeout_ms=5_000)
    with EventProducer(stream.config, linger_ms=stream.linger_ms) as producer:
        for number in range(NEW_ITEMS):
            item_id = f"new-{number}-{secrets.token_hex(4)}"
            begun = time.time()
            item = CatalogItem(
                event_time=events.utc(int(begun * 1000)),
                item_id=item_id,
                title=f"New thing {number}",
                categories=["c1"],
            )
            producer.send(events.CATALOG, item, key=item_id)
            producer.flush()
            while not ranks(client, item_id):
                if time.time() - begun > NEW_ITEM_SECONDS:
                    raise RuntimeError(f"the ranker does not rank {item_id} after {NEW_ITEM_SECONDS:g} s")
                time.sleep(ASK_SECONDS)
            report.new_item_seconds.append(time.time() - begun)
    client.close()
    say(f"new items: {max(report.new_item_seconds):.2f} s at most")


def as_json(report: Report) -> dict[str, Any]:
    """Return the object that `--json` writes."""
    known = [one.whole for one in report.steady if one.user.startswith("known-")]
    new = [one.whole for one in report.steady if not one.user.startswith("known-")]
    found: dict[str, Any] = {
        "rate": report.sizes.rate,
        "broker": report.broker,
        "known_ms": _summary(known),
        "new_ms": _summary(new),
        "stages_ms": {
            name: _summary([one.stages[place] for one in report.steady]) for place, name in enumerate(STAGES)
        },
        "new_item_seconds": rounded(max(report.new_item_seconds, default=None), 2),
        "burst": {
            "events": len(report.burst) or report.sizes.burst,
            "absorbed_seconds": rounded(report.absorbed_seconds, 1),
            "ms": _summary([one.whole for one in report.burst]),
            "late_ms": _summary([one.whole for one in report.late]),
            "stages_ms": {
                name: _summary([one.stages[place] for one in report.burst]) for place, name in enumerate(STAGES)
            },
        },
        "sizes": vars(report.sizes),
    }
    values = {
        **{
            f"{who} {name} ms": (found[f"{who}_ms"] or {}).get(name)
            for who in ("known", "new")
            for name in ("p50", "p99")
        },
        "burst absorbed s": found["burst"]["absorbed_seconds"],
        "new item s": found["new_item_seconds"],
    }
    found["bounds"] = judged(values, BOUNDS)
    return found


def as_markdown(found: dict[str, Any]) -> str:
    """Return the same for a README."""
    delays_ms = {
        f"known shoppers, {found['rate']:g} a second": found["known_ms"],
        "new shoppers": found["new_ms"],
        **{name.replace("_", " "): found["stages_ms"][name] for name in STAGES},
        f"burst of {found['burst']['events']:,}": found["burst"]["ms"],
        "who comes just after it": found["burst"]["late_ms"],
    }
    lines = [f"| {found['broker']} | p50 ms | p99 ms |", "|---|---|---|"]
    lines += [f"| {name} | {one['p50']:,g} | {one['p99']:,g} |" for name, one in delays_ms.items() if one]
    return "\n".join([*lines, *rows(found["bounds"])])


def _summary(values: Iterable[float]) -> dict[str, float] | None:
    found = np.array(list(values))
    if not found.size:
        return None
    p50, p99 = np.percentile(found, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}


if __name__ == "__main__":
    sys.exit(main())

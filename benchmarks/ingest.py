"""Ingest: how fast the graph takes events, and the cost of an event: `python benchmarks/ingest.py --json OUT`.

Arrives: sizes. Leaves: one JSON object with the keys of `benchmarks.table`, the same as a table on standard output, and
progress on standard error. The program starts all services and stops them at the end: Redis, PostgreSQL, the embedded
broker, and Apache Kafka when `KAFKA_HOME` is set.

CPU seconds are user and system time of the consuming process, without its start. The CPU of the services is shown
beside them.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.growth import GrowthSizes
from benchmarks.parts import PARTS, Report, Sizes, run_parts
from benchmarks.program import begin, log_line
from benchmarks.services import BrokerKind, open_services
from benchmarks.table import as_json, as_markdown
from sagestream.playground.embedded import find_kafka

ROWS_SMALL = 100_000
"""Rows of the small graph, and events that are then stored into each graph."""

QUICK = Sizes(
    events=12_000,
    growth=GrowthSizes(small=1_000, large=10_000, events=500, turns=1),
    memory_events=2_000,
    visible_rate=200.0,
    visible_seconds=6.0,
    repeats=1,
    direct_events=1_500,
)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments. Exits with 2 when they are not valid."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--events", type=int, default=300_000, help="events of the backlog that contenders drain")
    parser.add_argument("--rows-large", type=int, default=10_000_000, help="rows of the large graph")
    parser.add_argument("--memory-events", type=int, default=1_000_000, help="backlog of the worker's memory run")
    parser.add_argument("--visible-seconds", type=float, default=60.0, help="how long events are followed into Redis")
    parser.add_argument("--visible-rate", type=float, default=1_000.0, help="how many of them a second")
    parser.add_argument("--repeats", type=int, default=1, help="turns of the contenders; the median counts")
    parser.add_argument("--broker", choices=("kafka", "embedded", "both"), default="both", help="both: those found")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--cache", type=Path, help="directory that keeps the filled databases for the next run")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: does it run at all; the figures mean nothing"
    )
    found = parser.parse_args(given)
    if min(found.events, found.rows_large, found.memory_events, found.repeats) < 1:
        parser.error("sizes are at least 1")
    if found.visible_seconds <= 5 or found.visible_rate <= 0:
        parser.error("the first five seconds are dropped: follow events for longer")
    if found.broker == "kafka" and find_kafka() is None:
        parser.error("Apache Kafka was not found: set KAFKA_HOME to a distribution, with Java 17")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run the requested parts. Return 0, or 1 when a part failed. The figures so far are written in both cases."""
    options = parse_arguments(given)
    begin()
    sizes = (
        QUICK
        if options.quick
        else Sizes(
            events=options.events,
            growth=GrowthSizes(small=ROWS_SMALL, large=options.rows_large, events=ROWS_SMALL),
            memory_events=options.memory_events,
            visible_rate=options.visible_rate,
            visible_seconds=options.visible_seconds,
            repeats=options.repeats,
            direct_events=options.events,
        )
    )
    report = Report(sizes)
    directory = Path(tempfile.mkdtemp(prefix="sagestream-benchmark-"))
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    try:
        with open_services(directory, options.cache and options.cache.resolve()) as services:
            run_parts(report, options.only, brokers(options.broker), services, options.cache, log_line)
    except (RuntimeError, TimeoutError) as error:
        log_line(f"failed: {error}")
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        figures = as_json(report)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(as_markdown(figures))
    return 0


def brokers(choice: str) -> list[BrokerKind]:
    """Return the brokers to measure. For "both", only the brokers that can run here."""
    if choice == "kafka":
        return ["kafka"]
    return ["kafka", "embedded"] if choice == "both" and find_kafka() else ["embedded"]


if __name__ == "__main__":
    sys.exit(main())

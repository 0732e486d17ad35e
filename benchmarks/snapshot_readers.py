"""Snapshot readers: what one connection and several need to read the events of a snapshot from PostgreSQL.

Arrives: a number of events, numbers of readers. Leaves: seconds by the clock, and CPU seconds of the client and of the
server, as medians of several turns. Next: docs/scale.md. Start it as `python -m benchmarks.snapshot_readers`.

The server itself makes the events. The numbers of readers take turns, so other load on the machine meets all of them.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.meters import cpu_seconds
from benchmarks.program import begin, log_line, reported
from benchmarks.services import BenchmarkServices, open_services
from graphstore.session import open_engine, read
from graphstore.snapshots.eventlog import Events, Seen
from graphstore.snapshots.readers import read_events

END = 2_000_000_000_000
"""Epoch ms after all events."""

MAKE = text(
    """
    INSERT INTO interactions (event_id, event_type, user_key, item_key, event_time, ingest_time, value)
    SELECT 'e' || n, 1 + n % 3, 1 + floor(random() * :users), 1 + floor(random() * :items), :end - :events + n,
           :end, CASE n % 4 WHEN 0 THEN random() * 100 END
    FROM generate_series(1, :events) AS n
    """
)

COSTS = ("seconds", "client_cpu_seconds", "server_cpu_seconds")


def fill(engine: Engine, events: int) -> None:
    """Write so many events of a tenth as many shoppers and a hundredth as many items."""
    with engine.begin() as connection:
        sizes = {"users": max(1, events // 10), "items": max(1, events // 100)}
        connection.execute(MAKE, {"events": events, "end": END - 1} | sizes)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE interactions"))


def turn(services: BenchmarkServices, url: str, events: int, readers: int) -> tuple[dict[str, float], Events]:
    """Read all events once with fresh connections, and return what it cost, and the events."""
    engine, server = open_engine(url), services.database_pid(url)
    assert server is not None
    try:
        with read(engine) as connection:
            clock, own, theirs = time.monotonic(), time.process_time(), cpu_seconds(server, family=True)
            found = read_events(connection, Seen(END, events), readers=readers)
            ended = time.monotonic(), time.process_time(), cpu_seconds(server, family=True)
    finally:
        engine.dispose()
    costs = (after - before for after, before in zip(ended, (clock, own, theirs), strict=True))
    return dict(zip(COSTS, costs, strict=True)), found


def measure(
    services: BenchmarkServices, url: str, readers: Sequence[int], *, events: int, turns: int
) -> dict[int, dict[str, float]]:
    """Return the medians by number of readers. Raises `RuntimeError` when they do not read the same."""
    costs: dict[int, list[dict[str, float]]] = {count: [] for count in readers}
    first: Events | None = None
    for number in range(turns):
        for count in readers:
            cost, found = turn(services, url, events, count)
            costs[count].append(cost)
            first = found if first is None else first
            if found.tobytes() != first.tobytes() or len(found) != events:
                raise RuntimeError(f"{count} readers read other events")
        log_line(f"turn {number + 1} of {turns}")
    return {count: {name: median(one[name] for one in costs[count]) for name in COSTS} for count in readers}


def as_markdown(found: dict[str, Any]) -> str:
    """Return the table of all numbers of readers."""
    lines = ["| readers | s | CPU s of the client | of the server |", "|---|---|---|---|"]
    for count, cost in found["readers"].items():
        lines.append(f"| {count} | {' | '.join(f'{cost[name]:.2f}' for name in COSTS)} |")
    return "\n".join(lines)


def main(given: Sequence[str] | None = None) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args(given)
    begin()
    costs: dict[int, dict[str, float]] = {}

    def measure_all() -> None:
        with (
            tempfile.TemporaryDirectory(prefix="sagestream-readers-") as directory,
            open_services(Path(directory), None) as services,
        ):
            url = services.database("postgresql")
            engine = open_engine(url)
            fill(engine, options.events)
            engine.dispose()
            costs.update(measure(services, url, options.readers, events=options.events, turns=options.turns))

    return reported(measure_all, lambda: {"events": options.events, "readers": costs}, as_markdown, options.json)


if __name__ == "__main__":
    sys.exit(main())

"""Monitor: what a pass costs, and how long it keeps writers waiting: `python benchmarks/monitor.py --json OUT`.

Arrives: numbers of impressions. Leaves: one JSON object and the same as a table on standard output. For each size a
SQLite file is filled through the usual ingest; then the first pass finds every shopper marked, as after a migration or
a long outage; then a steady pass finds one percent new lists with their clicks.

CPU seconds are of this process. The longest hold is the time from SQLite's BEGIN IMMEDIATE to the end of the commit, as
a writer would wait for it; on a busy machine its CPU time tells what an idle one would show.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
from sqlalchemy import Engine, event

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import migrate, open_engine, read, write
from graphstore.tables import EVENT_TYPES
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.attribution import count_dirty_shoppers
from monitoring.config import MonitoringConfig
from monitoring.dirty_windows import DAY_PAUSE_MS, count_dirty_windows
from monitoring.run import Monitor

BEGIN = 1_735_689_600_000
"""Epoch ms of the first list, 2025-01-01."""
DAY_MS = 86_400_000
DAYS = 7
LIST_ITEMS = 10
LISTS_A_SHOPPER = 4
CLICKS_A_LIST = 0.3
BOUGHT_SHARE = 0.1
NEW_SHARE = 0.01
BATCH_LISTS = 500
CLICK, PURCHASE = EVENT_TYPES.index("click"), EVENT_TYPES.index("purchase")


@dataclass(frozen=True)
class PassCost:
    """What the passes took until nothing was left."""

    passes: int
    cpu_seconds: float
    longest_pass_seconds: float
    longest_hold_seconds: float
    longest_hold_cpu_seconds: float
    holds: int


class Holds:
    """Measures how long each write transaction of an engine holds SQLite's write lock."""

    def __init__(self, engine: Engine) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self._began: dict[int, tuple[float, float]] = {}
        event.listen(engine, "after_cursor_execute", self._execute)
        event.listen(engine, "checkin", self._end)

    def _execute(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement == "BEGIN IMMEDIATE":
            self._began[id(cursor.connection)] = time.perf_counter(), time.process_time()

    def _end(self, connection: Any, _record: Any) -> None:
        began = self._began.pop(id(connection), None)
        if began is not None:
            self.seconds.append(time.perf_counter() - began[0])
            self.cpu_seconds.append(time.process_time() - began[1])


def fill(engine: Engine, first: int, lists: int, *, begin: int, end: int) -> None:
    """Store `lists` lists with numbers from `first` on, spread over begin <= t < end (epoch ms), and their events."""
    rng = np.random.default_rng(first)
    times = np.sort(rng.integers(begin, end, lists)).tolist()
    shoppers = rng.integers(0, max(lists // LISTS_A_SHOPPER, 1), lists).tolist()
    for start in range(0, lists, BATCH_LISTS):
        shown, events = [], []
        for number in range(start, min(start + BATCH_LISTS, lists)):
            request, user = f"request-{first + number:09d}", f"visitor-{shoppers[number]:08d}"
            wanted = rng.integers(0, 10_000, LIST_ITEMS).tolist()
            shown += [
                ImpressionRow(
                    request, place, user, f"sku-{item:06d}", "home", times[number], "m1", "champion", 1.0, 1.0, "batch"
                )
                for place, item in enumerate(wanted)
            ]
            if rng.random() < CLICKS_A_LIST:
                item = f"sku-{wanted[int(rng.integers(LIST_ITEMS))]:06d}"
                named, at = request if rng.random() < 0.5 else None, times[number]
                events.append(InteractionRow(f"c-{request}", CLICK, user, item, at + 5_000, request_id=named))
                if rng.random() < BOUGHT_SHARE:
                    events.append(InteractionRow(f"p-{request}", PURCHASE, user, item, at + 9_000, 9.5, 1))
        with write(engine) as connection:
            insert_impressions(connection, shown)
            ingest_interactions(connection, events, now=end)


def measure(engine: Engine, directory: Path, *, now: int) -> PassCost:
    """Run passes from `now` (epoch ms) on until nothing is left, so far apart that each counts days."""
    monitor = Monitor(engine, config=MonitoringConfig(), state_dir=directory)
    holds = Holds(engine)
    began, longest, passes = time.process_time(), 0.0, 0
    while True:
        start = time.perf_counter()
        monitor.count(now=now + passes * DAY_PAUSE_MS)
        longest = max(longest, time.perf_counter() - start)
        passes += 1
        with read(engine) as connection:
            if not count_dirty_shoppers(connection) and not count_dirty_windows(connection):
                break
    cpu = time.process_time() - began
    held, held_cpu = max(holds.seconds), max(holds.cpu_seconds)
    return PassCost(passes, round(cpu, 3), round(longest, 3), round(held, 4), round(held_cpu, 4), len(holds.seconds))


def run(impressions: int, directory: Path) -> dict[str, Any]:
    """Measure the first and a steady pass at this number of impressions."""
    database = directory / f"{impressions}.db"
    url = f"sqlite:///{database}"
    migrate(url)
    engine = open_engine(url)
    lists, end = impressions // LIST_ITEMS, BEGIN + DAYS * DAY_MS
    fill(engine, 0, lists, begin=BEGIN, end=end)
    first = measure(engine, directory, now=end)
    fill(engine, lists, max(1, round(lists * NEW_SHARE)), begin=end, end=end + 60_000)
    engine.dispose()  # the next pass has no listeners of the first
    engine = open_engine(url)
    steady = measure(engine, directory, now=end + 60_000)
    engine.dispose()
    database.unlink()
    return {"first": asdict(first), "steady": asdict(steady)}


def as_markdown(found: dict[str, Any]) -> str:
    """Return the table for docs/benchmarks.md."""
    lines = [
        "| impressions | pass | passes | CPU s | longest pass s | write transactions | longest hold ms (CPU ms) |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, kinds in found["sizes"].items():
        for kind, cost in kinds.items():
            hold = f"{1000 * cost['longest_hold_seconds']:.0f} ({1000 * cost['longest_hold_cpu_seconds']:.0f})"
            cells = [f"{int(size):,}", kind, cost["passes"], f"{cost['cpu_seconds']:.2f}"]
            cells += [f"{cost['longest_pass_seconds']:.2f}", cost["holds"], hold]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main(given: Sequence[str] | None = None) -> int:
    """Measure each size, write the figures, print the table. Return 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--impressions", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    options = parser.parse_args(given)
    sizes: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sagestream-benchmark-") as directory:
        for impressions in options.impressions:
            print(f"{impressions:,} impressions", file=sys.stderr, flush=True)
            sizes[str(impressions)] = run(impressions, Path(directory))
    found = {"items_a_list": LIST_ITEMS, "days": DAYS, "sizes": sizes}
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

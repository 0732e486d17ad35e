"""Growth: the cost of an event while the graph grows, in an empty, a small and a large graph.

Arrives: databases. Leaves: the direct path's rates, the cost ratio of the large to the small graph, and the memory
during the fill. Next: `benchmarks.table`.

The same ingest fills the large graph, without Redis. The fill takes long, so a cache directory can keep the database.
The cache name contains the schema revision and the size.
"""

import hashlib
import json
import secrets
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

from benchmarks import workload
from benchmarks.direct import Drawn, Segment, StoreResult, store_segments
from benchmarks.drain import SKIP
from benchmarks.meters import cpu_seconds, write_json
from benchmarks.services import BenchmarkServices, DatabaseKind
from graphstore.session import migrations

MEMORY_MARKS = (0.1, 0.5, 1.0)
"""Shares of the large graph at which the memory of the filling process is measured."""

LogLine = Callable[[str], None]


@dataclass(frozen=True)
class GrowthSizes:
    """The rows of both graphs, the events that are stored into each in a turn, and the number of turns."""

    small: int
    large: int
    events: int
    turns: int = 3


@dataclass(frozen=True)
class Growth:
    """Results for a small and a large graph, measured in turn, and the filling process' memory (MB) by rows."""

    small: Sequence[StoreResult]
    large: Sequence[StoreResult]
    resident_mb: dict[str, float]

    @property
    def cost_ratio(self) -> float:
        """CPU of the storing process for each event, large to small graph: the median of the turns."""
        pairs = zip(self.small, self.large, strict=True)
        return statistics.median(large.span.cpu_us / small.span.cpu_us for small, large in pairs)

    @property
    def cost_ratio_with_database(self) -> float:
        """The same ratio with the database's own CPU."""
        pairs = zip(self.small, self.large, strict=True)
        return statistics.median(_both(large) / _both(small) for small, large in pairs)


def _both(stored: StoreResult) -> float:
    return stored.span.cpu_us + (stored.database_us or 0.0)


def measure_direct(
    services: BenchmarkServices, database: DatabaseKind, count: int, *, log_line: LogLine
) -> StoreResult:
    """Store into an empty graph and Redis. The first tenth is not counted."""
    url = services.database(database)
    _run(services, url, [Segment("begun", int(SKIP * count))], seed=2, begun=0, log_line=log_line)
    return _run(services, url, [Segment("direct", count)], seed=3, begun=int(SKIP * count), log_line=log_line)["direct"]


def measure_growth(
    services: BenchmarkServices,
    database: DatabaseKind,
    sizes: GrowthSizes,
    *,
    cache: Path | None,
    log_line: LogLine,
) -> Growth:
    """Store events into a small and a large graph, in turn.

    Other load on the machine then affects both in the same way. The large graph is filled first or comes from the
    cache.
    """
    name = f"filled_{sizes.large}_{_fingerprint()}" if cache else f"filled_{secrets.token_hex(4)}"
    known = cache / f"{name}.{database}.json" if cache else None
    large_url = services.database(database, name, cache)
    if known and known.exists():
        fill: dict[str, Any] = json.loads(known.read_text())
    else:
        fill = {"begun": sizes.large, "resident_mb": _fill(services, large_url, sizes.large, log_line)}
    small: list[StoreResult] = []
    large: list[StoreResult] = []
    for turn in range(sizes.turns):
        small_url = services.database(database)
        _run(services, small_url, [Segment("fill", sizes.small, redis=False)], seed=4, begun=0, log_line=log_line)
        small += _run(
            services, small_url, [Segment("small", sizes.events)], seed=5, begun=sizes.small, log_line=log_line
        ).values()
        seed = secrets.randbits(60)  # event ids that no earlier run added to a kept graph
        large += _run(
            services, large_url, [Segment("large", sizes.events)], seed=seed, begun=fill["begun"], log_line=log_line
        ).values()
        fill["begun"] += sizes.events
        if known:
            write_json(known, fill)
        costs = [f"{stored.span.cpu_us:.1f}" for stored in (small[-1], large[-1])]
        log_line(
            f"{database} {turn + 1}: {costs[0]} µs of CPU an event in the small graph, {costs[1]} in the large one"
        )
    return Growth(small, large, fill["resident_mb"])


def _fill(services: BenchmarkServices, url: str, rows: int, log_line: LogLine) -> dict[str, float]:
    """Store `rows` events and return the storing process' resident MB at the marks, by rows."""
    marks = [int(share * rows) for share in MEMORY_MARKS]
    parts = [after - before for before, after in zip([0, *marks], marks, strict=False)]
    segments = [Segment(f"{mark:,}", part, redis=False) for mark, part in zip(marks, parts, strict=True)]
    filled = _run(services, url, segments, seed=6, begun=0, log_line=log_line)
    return {mark: stored.resident_mb for mark, stored in filled.items()}


def _run(
    services: BenchmarkServices, url: str, segments: list[Segment], *, seed: int, begun: int, log_line: LogLine
) -> dict[str, StoreResult]:
    """Store the segments in one child. The database's CPU is known only for a single segment."""
    services.empty_redis()
    pid = services.database_pid(url)
    before = cpu_seconds(pid, family=True) if pid else 0.0
    output = services.directory / f"direct-{secrets.token_hex(4)}.json"
    found = store_segments(url, services.redis_url, segments, output, drawn=Drawn(seed, begun), log_line=log_line)
    if pid and len(found) == 1:
        ((name, stored),) = found.items()
        used = 1e6 * (cpu_seconds(pid, family=True) - before) / stored.span.events
        return {name: StoreResult(**{**vars(stored), "database_us": used})}
    return found


def _fingerprint() -> str:
    """Return a hash of the schema and the workload, so a kept graph from other code is not used."""
    head = ScriptDirectory.from_config(migrations("sqlite://")).get_current_head()
    source = Path(workload.__file__).read_bytes()
    return hashlib.blake2b(f"{head}".encode() + source, digest_size=6).hexdigest()

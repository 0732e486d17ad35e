"""Direct path: stores events from memory into the graph through `stream.replay.store`, without a broker.

Arrives: a database, and the segments to store one after another. Leaves: the span and the memory of each segment, as
JSON. Next: `benchmarks.growth`.

It runs in its own process (`python -m benchmarks.direct`), so its memory is only the memory of this path. The span does
not include the generation of events. It includes JSON decoding, because a replay from a file decodes JSON, too.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.meters import Mark, Span, own_mark, resident_mb, write_json
from benchmarks.services import environment
from benchmarks.workload import ShopSize, Workload
from graphstore.config import GraphstoreConfig
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from stream import events, replay
from stream.worker.sink import Sink

CHUNK = 20_000
"""Events in memory at a time, a multiple of the path's own batch size."""


@dataclass(frozen=True)
class Segment:
    """A number of events to store. `redis` False stores them only in SQL, to fill a database."""

    name: str
    events: int
    redis: bool = True


@dataclass(frozen=True)
class Drawn:
    """Which events: those that `seed` generates for the shop after `begun` events, which are stored already."""

    seed: int
    begun: int = 0
    shop: ShopSize = field(default_factory=ShopSize)


@dataclass(frozen=True)
class StoreResult:
    """The cost of a segment."""

    span: Span
    resident_mb: float
    database_us: float | None = None


def store_segments(
    database_url: str,
    redis_url: str,
    segments: Sequence[Segment],
    output: Path,
    *,
    drawn: Drawn,
    log_line: Callable[[str], None],
) -> dict[str, StoreResult]:
    """Store the segments in a child process."""
    command = [sys.executable, "-m", "benchmarks.direct", "--seed", str(drawn.seed), "--begun", str(drawn.begun)]
    command += ["--users", str(drawn.shop.users), "--items", str(drawn.shop.items)]
    command += ["--output", str(output), "--segments", json.dumps([asdict(segment) for segment in segments])]
    settings = environment({"database_url": database_url, "redis_url": redis_url})
    child = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        for line in child.stdout:
            log_line(line.rstrip())
        if child.wait():
            raise RuntimeError(f"the direct path ended with {child.returncode}, see above")
    finally:
        child.kill()
        child.wait()
    return {
        name: StoreResult(Span(**results["span"]), results["resident_mb"])
        for name, results in json.loads(output.read_text()).items()
    }


def store(segments: Sequence[Segment], workload: Workload, graph: GraphstoreConfig, output: Path) -> None:
    """Store the segments one after another, in the child, through one connection each to SQL and Redis."""
    engine, redis = open_engine(graph.sqlalchemy_url), open_redis(graph.redis_url)
    results: dict[str, Any] = {}
    for segment in segments:
        sink = Sink(engine, redis if segment.redis else None)
        source = workload.events(segment.events)
        done, cpu, wall = 0, 0.0, 0.0
        while chunk := [events.encode(event) for event in islice(source, CHUNK)]:
            first = own_mark(0)
            replay.store(sink, decode(chunk), now=now_ms, report=lambda _: None)
            part = Span.between(first, own_mark(len(chunk)))
            done, cpu, wall = done + part.events, cpu + part.cpu_seconds, wall + part.wall_seconds
            if done % 1_000_000 == 0:
                print(f"{segment.name}: {done:,} stored, {part.cpu_us:.0f} µs of CPU an event", flush=True)
        span = Span.between(Mark(0, 0.0, 0.0), Mark(done, cpu, wall))
        results[segment.name] = {"span": asdict(span), "resident_mb": round(resident_mb(os.getpid()), 1)}
    write_json(output, results)
    redis.close()
    engine.dispose()


def decode(chunk: Sequence[bytes]) -> Iterator[events.Interaction]:
    """Yield the events of the JSON, validated as in the worker."""
    now = events.utc(now_ms())
    for raw in chunk:
        yield events.decode(raw, events.Interaction, now=now)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.direct", description=__doc__.partition("\n")[0])
    parser.add_argument("--segments", required=True, help="JSON, see `Segment`")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--begun", type=int, default=0)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    workload = Workload(np.random.default_rng(given.seed), ShopSize(given.users, given.items))
    workload.skip(given.begun)
    segments = [Segment(**segment) for segment in json.loads(given.segments)]
    store(segments, workload, GraphstoreConfig(), given.output)


if __name__ == "__main__":
    main(sys.argv[1:])

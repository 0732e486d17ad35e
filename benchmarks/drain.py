"""Drain: measures the worker and the limits on the same backlog, one after another.

Arrives: a broker with a backlog. Leaves: spans of CPU and clock. Next: `benchmarks.table`.

Each contender starts in its own process and its own consumer group, at the beginning of the log. The first `SKIP` of
the backlog is the warm-up. After it, the CPU time of the contender and of the services is counted. The worker is the
product's `sagestream worker`; the benchmark follows it through the offsets that it stores in SQL.
"""

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, text

from benchmarks.meters import Mark, PeakMemory, Span, cpu_seconds, resident_mb
from benchmarks.services import BenchmarkServices, DatabaseKind, Stream, environment, is_ready, pid_of
from graphstore.session import open_engine, read
from sagestream.playground.embedded import free_port, sagestream_command
from sagestream.playground.processes import Child
from stream import events

SKIP = 0.1
END = 0.95
"""Share of the backlog where the measurement ends, because two workers do not end at the same time."""

START_SECONDS = 60.0
DRAIN_SECONDS = 3_600.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class DrainResult:
    """The result of one contender. `database_us`, `redis_us` and `broker_us` are the services' CPU for each event."""

    span: Span
    peak_mb: float = 0.0
    resident_mb: Sequence[float] = ()
    """Resident MB at the marks `SKIP`, a half and `END` of the backlog."""
    database_us: float | None = None
    redis_us: float | None = None
    broker_us: float | None = None


def drain_limit(services: BenchmarkServices, stream: Stream, kind: str, total: int) -> DrainResult:
    """Drain with a consumer of `benchmarks.limits`."""
    services.empty_redis()
    output = services.directory / f"{kind}-{secrets.token_hex(3)}.json"
    settings = {**stream.settings, "worker_group": _group(), "redis_url": services.redis_url}
    if kind == "aiokafka_sqlite":
        settings["database_url"] = services.database("sqlite")
    command = [sys.executable, "-m", "benchmarks.limits", kind, "--total", str(total)]
    command += ["--skip", str(int(SKIP * total)), "--output", str(output)]
    child = Child(kind, command, services.directory / f"{kind}.log", environment(settings))
    child.start()
    try:
        pid, memory = pid_of(child), PeakMemory(pid_of(child))
        _wait(lambda: output.exists() or not child.alive, DRAIN_SECONDS, kind)
        peak = memory.stop()
        if not output.exists():
            raise RuntimeError(f"{kind} (process {pid}) ended:\n{child.tail()}")
    finally:
        child.stop()
    return DrainResult(Span.read(output), peak)


def drain_worker(
    services: BenchmarkServices, stream: Stream, database: DatabaseKind, total: int, *, workers: int = 1
) -> DrainResult:
    """Drain with the product's worker, or with several workers of one group."""
    url = services.database(database)
    services.empty_redis(url)
    engine = open_engine(url)
    try:
        with run_workers(services, stream, url, _group(), workers) as running_workers:
            return _follow(services, stream, url, engine, running_workers, total)
    finally:
        engine.dispose()


@dataclass(frozen=True)
class RunningWorker:
    """A worker and the port of its probe."""

    child: Child
    port: int

    @property
    def ready(self) -> bool:
        """Whether the worker has its partitions and reads them."""
        return is_ready(self.port)


@contextmanager
def run_workers(
    services: BenchmarkServices, stream: Stream, database_url: str, group: str, count: int = 1
) -> Iterator[list[RunningWorker]]:
    """Run `count` processes of `sagestream worker` and stop them at the end."""
    workers = []
    try:
        for number in range(1, count + 1):
            port = free_port()
            settings = {
                **stream.settings,
                "worker_group": group,
                "worker_id": f"{group}-{number}",
                "probe_port": port,
                "database_url": database_url,
                "redis_url": services.redis_url,
                "state_dir": services.directory / "state",
            }
            log = services.directory / f"worker-{number}.log"
            child = Child(f"worker {number}", sagestream_command("worker"), log, environment(settings))
            child.start()
            workers.append(RunningWorker(child, port))
        yield workers
    finally:
        for worker in workers:
            worker.child.request_stop()
        for worker in workers:
            worker.child.stop()


def _follow(
    services: BenchmarkServices, stream: Stream, url: str, engine: Engine, workers: Sequence[RunningWorker], total: int
) -> DrainResult:
    pids = [pid_of(worker.child) for worker in workers]
    memory = PeakMemory(*pids)
    service_pids = {"database": services.database_pid(url), "redis": services.redis_pid, "broker": stream.pid}

    def marks() -> tuple[Mark, dict[str, float]]:
        mark = Mark(progress(engine), sum(cpu_seconds(pid) for pid in pids), time.monotonic())
        return mark, {name: cpu_seconds(pid, family=True) for name, pid in service_pids.items() if pid is not None}

    def reached(events_done: float) -> bool:
        for worker in workers:
            pid_of(worker.child)
        return progress(engine) >= events_done

    resident = []
    _wait(lambda: reached(0) and all(worker.ready for worker in workers), START_SECONDS, "the worker")
    _wait(lambda: reached(SKIP * total), DRAIN_SECONDS, "the worker")
    first, before = marks()
    if first.events > total / 2:
        raise RuntimeError(f"half of the backlog was gone before all workers had begun: more than {total:,} events")
    for share in (SKIP, 0.5, END):
        _wait(lambda share=share: reached(share * total), DRAIN_SECONDS, "the worker")  # type: ignore[misc]
        resident.append(round(max(resident_mb(pid) for pid in pids), 1))
    last, after = marks()
    span = Span.between(first, last)
    used = {name: 1e6 * (after[name] - before[name]) / span.events for name in after}
    return DrainResult(span, memory.stop(), resident, used.get("database"), used["redis"], used["broker"])


def progress(engine: Engine) -> int:
    """Return the number of messages of `interactions` that are durable in SQL."""
    statement = text("SELECT coalesce(sum(next_offset), 0) FROM stream_progress WHERE topic = :topic")
    with read(engine) as connection:
        return int(connection.execute(statement, {"topic": events.INTERACTIONS}).scalar_one())


def _group() -> str:
    return f"benchmark-{secrets.token_hex(4)}"


def _wait(done: Callable[[], bool], seconds: float, who: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{who} was not through after {seconds:g} s")
        time.sleep(POLL_SECONDS)

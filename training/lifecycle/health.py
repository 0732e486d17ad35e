"""Health: what the scheduler's probe and Prometheus say about the training runs.

Arrives: the rows of `training_runs` at each tick. Leaves: words for `/readyz`, and gauges. Next: `stream.probe`,
`sagestream doctor` and the alarms of docs/operations.md.

Times are kept as points in time, not as ages: an age that nobody updates any more would look young for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection, func, select

from graphstore.session import now_ms
from graphstore.tables import retrain_requests, training_runs
from stream.probe import OK
from training.config import TrainingConfig
from training.lifecycle import registry
from training.lifecycle.heartbeat import DEAD_SECONDS
from training.lifecycle.registry import RunRow
from training.lifecycle.requests import MAX_ATTEMPTS, failures_in_a_row
from training.lifecycle.retrain import data_time, longest_backoff_seconds

RUN_START = Gauge("sagestream_training_run_start_timestamp_seconds", "When the running run began", ["kind"])
HEARTBEAT = Gauge("sagestream_training_heartbeat_timestamp_seconds", "The last heartbeat of the running run", ["kind"])
LAST_SUCCESS = Gauge(
    "sagestream_training_last_success_timestamp_seconds", "When the last run ended that made a model", ["kind"]
)
FAILURES = Gauge("sagestream_training_failures_in_a_row", "How many of the newest runs failed", ["kind"])
RUNS = Counter("sagestream_training_runs_total", "Runs of this scheduler that ended, by outcome", ["kind", "outcome"])
WAITING_REQUESTS = Gauge("sagestream_retrain_requests_waiting", "Retrain requests that wait for a run")
CHAMPION_AS_OF = Gauge("sagestream_champion_as_of_timestamp_seconds", "When the events of the champion were read")

KINDS = ("closed_form", "graphsage", "incremental")
NO_RUN = "no run"
NEVER = "never"


@dataclass(frozen=True)
class _Seen:
    """What the last look has found. Times are epoch ms."""

    running: RunRow | None = None
    success: RunRow | None = None
    failing: str = ""
    waits_for: str = ""


class TrainingHealth:
    """The state of the trainings as of the last tick. The scheduler looks, other threads ask. `now` is epoch ms."""

    def __init__(self, *, now: Callable[[], int] = now_ms) -> None:
        self._now = now
        self._seen = _Seen()

    def look(self, connection: Connection, config: TrainingConfig, *, waits_for: str, now: int) -> None:
        """Read the runs and set the gauges. `waits_for` says why no run begins although something asks for one."""
        running = _running(connection)
        for gauge in (RUN_START, HEARTBEAT):
            gauge.clear()
        if running is not None:
            RUN_START.labels(running.kind).set(running.started_at / 1000)
            HEARTBEAT.labels(running.kind).set((running.heartbeat_at or running.started_at) / 1000)
        success, failing = None, ""
        for kind in KINDS:
            newest = registry.newest_runs_of(connection, kind, newest=MAX_ATTEMPTS)
            failures = failures_in_a_row(newest)
            FAILURES.labels(kind).set(failures)
            last = _last_success(connection, kind)
            if last is not None and last.finished_at is not None:
                LAST_SUCCESS.labels(kind).set(last.finished_at / 1000)
                if success is None or last.finished_at > (success.finished_at or 0):
                    success = last
            tried = now - (newest[0].finished_at or 0) if newest else 0
            # A kind that is not tried any more is no trouble any more.
            if failures >= MAX_ATTEMPTS and tried < 2000 * longest_backoff_seconds(newest[0].kind, config):
                failing = f"the last {failures} {kind} runs failed: {newest[0].error}"
        _show_state(connection)
        self._seen = _Seen(running, success, failing, waits_for)

    def count(self, run: RunRow) -> None:
        """Count a run of this scheduler that has ended."""
        RUNS.labels(run.kind, run.status).inc()

    @property
    def state(self) -> str:
        """Return "ok", or why training is in trouble."""
        running = self._seen.running
        if running is not None:
            silent = self._age_seconds(running.heartbeat_at or running.started_at)
            if silent > DEAD_SECONDS:
                return f"run {running.run_id} is silent for {silent:.0f} s"
        return self._seen.failing or OK

    def words(self) -> dict[str, str]:
        """Return how old the running run and the last success are, and what a run waits for."""
        running, success = self._seen.running, self._seen.success
        told = {"running": NO_RUN, "last success": NEVER}
        if running is not None:
            age = self._age_seconds(running.started_at)
            beat = self._age_seconds(running.heartbeat_at or running.started_at)
            told["running"] = f"{running.kind} for {age:.0f} s, heartbeat {beat:.0f} s ago"
        if success is not None:
            told["last success"] = f"{success.kind} {self._age_seconds(success.finished_at or 0):.0f} s ago"
        return told | ({"waits": self._seen.waits_for} if self._seen.waits_for else {})

    def _age_seconds(self, time: int) -> float:
        return max(0.0, (self._now() - time) / 1000)


def _running(connection: Connection) -> RunRow | None:
    """Return the running run with the oldest heartbeat: the one that is in trouble first."""
    last = func.coalesce(training_runs.c.heartbeat_at, training_runs.c.started_at)
    query = select(training_runs.c.run_id).where(training_runs.c.status == registry.RUNNING).order_by(last)
    name = connection.scalar(query.limit(1))
    return None if name is None else registry.get_run(connection, str(name))


def _last_success(connection: Connection, kind: str) -> RunRow | None:
    made = training_runs.c.status.in_((registry.PROMOTED, registry.KEPT))
    query = select(training_runs.c.run_id).where(made, training_runs.c.kind == kind)
    name = connection.scalar(query.order_by(training_runs.c.finished_at.desc()).limit(1))
    return None if name is None else registry.get_run(connection, str(name))


def _show_state(connection: Connection) -> None:
    waiting = select(func.count()).where(retrain_requests.c.status == registry.WAITING)
    WAITING_REQUESTS.set(int(connection.scalar(waiting) or 0))
    champion = registry.champion(connection)
    if champion is not None:
        CHAMPION_AS_OF.set(data_time(connection, champion) / 1000)

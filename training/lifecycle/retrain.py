"""Retrain: decides when to train and which kind of run, from the database alone.

Arrives: pending requests, the number of new interactions, the earlier runs. Leaves: a new run that owns the requests,
or nothing. Next: `training.lifecycle.scheduler` starts the run.

All state is in rows, not in a scheduler's memory. The next start marks a run of a killed process as failed, and its
requests become pending again.
"""

import logging
from itertools import takewhile

from sqlalchemy import Connection, func, select

from graphstore.tables import interactions
from training.config import TrainingConfig
from training.lifecycle import registry
from training.lifecycle.registry import Kind

logger = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 3_600.0
RECENT_RUNS = 100
MAX_ATTEMPTS = 3
"""After this many failed runs in a row the requests are dropped."""
MAX_TRIGGER_LENGTH = 500


def due(connection: Connection, config: TrainingConfig, *, now: int) -> tuple[Kind, str] | None:
    """Return the kind of run that is due and its trigger, or None.

    With a pending request one new interaction is enough. Without a request it takes `retrain_min_events`. After
    failures in a row the wait doubles, from one tick up to an hour.

    The first model is closed_form. GraphSAGE trains from scratch when its last run is at least `retrain_full_seconds`
    old. All other runs are incremental.
    """
    runs = registry.list_runs(connection, newest=RECENT_RUNS)
    failures = failures_in_a_row(runs)
    if failures:
        wait_seconds = min(config.scheduler_tick_seconds * 2.0**failures, MAX_BACKOFF_SECONDS)
        if now < (runs[0].finished_at or runs[0].started_at) + wait_seconds * 1000:
            return None
    seen = registry.last_seen_interaction(connection)
    new = int(connection.scalar(select(func.count()).where(interactions.c.interaction_key > seen)) or 0)
    requests = registry.pending_requests(connection)
    if requests and new:
        trigger = "; ".join(f"{request.requested_by}: {request.reason}" for request in requests)
    elif new >= config.retrain_min_events:
        trigger = f"{new} new events"
    else:
        return None
    return _kind(connection, runs, config, now=now), trigger[:MAX_TRIGGER_LENGTH]


def _kind(connection: Connection, runs: list[registry.RunRow], config: TrainingConfig, *, now: int) -> Kind:
    if registry.champion(connection) is None:
        return "closed_form"
    full = [run.started_at for run in runs if run.kind == "graphsage" and run.status != registry.FAILED]
    if not full or now - max(full) >= config.retrain_full_seconds * 1000:
        return "graphsage"
    return "incremental"


def enter(connection: Connection, kind: Kind, trigger: str, *, now: int) -> str:
    """Insert a run, give it the pending requests, and return its id."""
    run_id = registry.next_run_id(connection, now=now)
    registry.start_run(connection, run_id, kind=kind, trigger=trigger, now=now)
    registry.take_requests(connection, run_id)
    return run_id


def settle(connection: Connection, *, now: int, run_id: str | None = None, max_attempts: int = MAX_ATTEMPTS) -> None:
    """Mark runs that still run as failed, and return the requests of failed runs to pending.

    Call it after a run has ended, with its `run_id`, and at the start for all runs. After `max_attempts` failures in a
    row the requests are dropped.
    """
    dead = registry.fail_abandoned(connection, now=now, run_id=run_id)
    for name in [run_id] if run_id is not None else dead:
        run = registry.get_run(connection, name)
        if run is None or run.status != registry.FAILED:
            continue
        failures = failures_in_a_row(registry.list_runs(connection, newest=RECENT_RUNS))
        if failures < max_attempts:
            released = registry.release_requests(connection, name)
            logger.warning("run %s failed (%s); %d requests wait again", name, run.error, released)
        else:
            logger.error("run %s failed (%s), the %d. in a row: its requests are dropped", name, run.error, failures)


def failures_in_a_row(runs: list[registry.RunRow]) -> int:
    """Return how many of the newest runs have failed in a row. `runs` are newest first."""
    return sum(1 for _ in takewhile(lambda run: run.status == registry.FAILED, runs))

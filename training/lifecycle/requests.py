"""Requests: the life of a retrain request, from waiting to its answer.

Arrives: rows that `training.lifecycle.registry.request_retrain` wrote, and the ends of runs. Leaves: the status and the
outcome of each request. Next: `training.lifecycle.retrain` reads which requests wait.

A request waits until a run takes it. A run that is promoted or kept answers it. A run that found too little to judge a
model on is postponed, and its requests wait on. After a failed run they wait again, until too many runs of this kind
have failed in a row.
"""

import json
import logging
from itertools import takewhile

from sqlalchemy import ColumnElement, Connection, select, update

from graphstore.tables import retrain_requests
from training.lifecycle.heartbeat import DIED, fail_dead
from training.lifecycle.registry import (
    FAILED,
    POSTPONED,
    RUNNING,
    WAITING,
    RetrainRequest,
    RunRow,
    finish_run,
    get_run,
    newest_runs_of,
)

logger = logging.getLogger(__name__)

ANSWERED = "answered"
DROPPED = "dropped"

MAX_ATTEMPTS = 3
"""After this many failed runs of one kind in a row their requests are dropped."""


def waiting_requests(connection: Connection) -> list[RetrainRequest]:
    """Return the requests that wait, oldest first."""
    return _read(connection, retrain_requests.c.status == WAITING)


def take_requests(connection: Connection, run_id: str, *, full: bool) -> list[RetrainRequest]:
    """Give the waiting requests to a run and return them. One run answers all that it can.

    A run that is not `full` leaves the requests for a full one waiting.
    """
    taken = [request for request in waiting_requests(connection) if full or not request.full]
    keys = [request.request_key for request in taken]
    connection.execute(
        update(retrain_requests).where(retrain_requests.c.request_key.in_(keys)).values(run_id=run_id, status=RUNNING)
    )
    return taken


def settle(
    connection: Connection,
    *,
    now: int,
    run_id: str | None = None,
    error: str = DIED,
    new_leader: bool = False,
    max_attempts: int = MAX_ATTEMPTS,
) -> list[str]:
    """Close dead runs, and give every request whose run has ended its next status. Return the ids of the dead runs.

    Call it at each tick, and as `new_leader` at the start. Call it after a run with its `run_id`: when the run has not
    ended in the table, it has failed with `error`. A repeated call changes nothing.
    """
    if run_id is not None:
        finish_run(connection, run_id, status=FAILED, now=now, error=error)
    dead = fail_dead(connection, now=now, new_leader=new_leader)
    held = select(retrain_requests.c.run_id).where(retrain_requests.c.status == RUNNING).distinct()
    names = {str(name) for name in connection.scalars(held)} | set(dead) | ({run_id} if run_id else set())
    for name in sorted(names):
        run = get_run(connection, name)
        if run is not None and run.status != RUNNING:
            _end(connection, run, now=now, max_attempts=max_attempts)
    return dead


def failures_in_a_row(runs: list[RunRow]) -> int:
    """Return how many of the newest runs have failed in a row. `runs` are newest first."""
    return sum(1 for _ in takewhile(lambda run: run.status == FAILED, runs))


def _end(connection: Connection, run: RunRow, *, now: int, max_attempts: int) -> None:
    if run.status == POSTPONED:
        _release(connection, run)
        return
    if run.status != FAILED:
        made = "" if run.model_version is None else f": {run.model_version}"
        _close(connection, run, status=ANSWERED, outcome=f"{run.status}{made}", now=now)
        return
    failures = failures_in_a_row(newest_runs_of(connection, run.kind, newest=max_attempts))
    if failures < max_attempts:
        released = _release(connection, run)
        logger.warning("run %s failed (%s); %d requests wait again", run.run_id, run.error, released)
    else:
        outcome = f"{failures} {run.kind} runs failed in a row: {run.error}"
        _close(connection, run, status=DROPPED, outcome=outcome, now=now)
        logger.error("run %s failed (%s), the %d. in a row: its requests are dropped", run.run_id, run.error, failures)


def _release(connection: Connection, run: RunRow) -> int:
    """Let the run's requests wait again, with the reason as their outcome so far."""
    done = connection.execute(
        update(retrain_requests)
        .where(retrain_requests.c.run_id == run.run_id, retrain_requests.c.status == RUNNING)
        .values(run_id=None, status=WAITING, outcome=f"{run.status}: {run.error}")
    )
    return int(done.rowcount)


def _close(connection: Connection, run: RunRow, *, status: str, outcome: str, now: int) -> int:
    done = connection.execute(
        update(retrain_requests)
        .where(retrain_requests.c.run_id == run.run_id, retrain_requests.c.status == RUNNING)
        .values(status=status, outcome=outcome, finished_at=run.finished_at or now)
    )
    return int(done.rowcount)


def get_request(connection: Connection, request_key: int) -> RetrainRequest:
    """Return the request with this key. Raises `ValueError` when there is none."""
    (found,) = _read(connection, retrain_requests.c.request_key == request_key)
    return found


def _read(connection: Connection, condition: ColumnElement[bool]) -> list[RetrainRequest]:
    rows = connection.execute(select(retrain_requests).where(condition).order_by(retrain_requests.c.request_key))
    return [RetrainRequest(**{**row._asdict(), "figures": json.loads(row.figures)}) for row in rows]

"""Heartbeat: the process that trains writes every few seconds into its run that it is alive.

Arrives: a run in `training_runs`. Leaves: `heartbeat_at` in its row, and a verdict on runs whose process is dead. Next:
`training.lifecycle.requests` offers the requests of dead runs again.

A thread writes the heartbeat, so a process that is stopped, killed or swapped out falls silent. Rejected: the process
id as a sign of life, because another machine or container cannot see it, and a number is used again.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import reason
from graphstore.log_context import logged_with
from graphstore.session import write
from graphstore.tables import ID_LENGTH, training_runs
from training.lifecycle.registry import FAILED, RUNNING, finish_run

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
DEAD_SECONDS = 120.0
"""A run without a heartbeat for this long is dead. The margin covers a busy database and clocks that differ."""

DIED = "the process ended before the run did"
"""The error of a run whose process is dead."""

SCHEDULER: Literal["scheduler"] = "scheduler"
TRAIN: Literal["train"] = "train"


def owner_name(role: Literal["scheduler", "train"]) -> str:
    """Return the name of this process in `training_runs.owner`: its role, its host and its process id."""
    return f"{role} {socket.gethostname()}:{os.getpid()}"[:ID_LENGTH]


@contextmanager
def beating(
    engine: Engine, run_id: str, *, now: Callable[[], int], seconds: float = HEARTBEAT_SECONDS
) -> Iterator[None]:
    """Write the heartbeat of the run, now and every `seconds`, until the context ends."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.is_set():
            try:
                with write(engine) as connection:
                    _beat(connection, run_id, now=now())
            except SQLAlchemyError as error:
                logger.warning("the heartbeat of run %s was not written: %s", run_id, reason(error))
            stop.wait(seconds)

    def logged_beat() -> None:
        with logged_with(run_id=run_id):
            beat()

    thread = threading.Thread(target=logged_beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(connection: Connection, run_id: str, *, now: int) -> None:
    connection.execute(
        update(training_runs)
        .where(training_runs.c.run_id == run_id, training_runs.c.status == RUNNING)
        .values(heartbeat_at=now)
    )


def dead_runs(connection: Connection, *, now: int, new_leader: bool = False) -> list[str]:
    """Return the running runs whose process is dead.

    A run is dead when its last heartbeat is older than `DEAD_SECONDS`. For a `new_leader` every run of a scheduler is
    dead: only the leader trains, and the child of an earlier leader ends with it.
    """
    last = func.coalesce(training_runs.c.heartbeat_at, training_runs.c.started_at)
    silent = last < now - int(DEAD_SECONDS * 1000)
    dead = silent | training_runs.c.owner.startswith(f"{SCHEDULER} ") if new_leader else silent
    query = select(training_runs.c.run_id).where(training_runs.c.status == RUNNING, dead)
    return [str(name) for name in connection.scalars(query.order_by(training_runs.c.started_at))]


def fail_dead(connection: Connection, *, now: int, new_leader: bool = False) -> list[str]:
    """Mark the dead runs as failed and return their ids. Only the holder of the leader lock calls it."""
    dead = dead_runs(connection, now=now, new_leader=new_leader)
    for run_id in dead:
        finish_run(connection, run_id, status=FAILED, now=now, error=DIED)
    return dead

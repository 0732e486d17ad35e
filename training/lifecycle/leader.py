"""Leader lock: only one of all schedulers on one database works.

Arrives: the database and the state directory. Leaves: a lock that a process holds until it releases it or dies. Next:
`training.lifecycle.scheduler` works while it holds the lock.

It is a `graphstore.advisory_lock`, which ends with its process, however the process died.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Engine

from graphstore.advisory_lock import Lock, database_lock

logger = logging.getLogger(__name__)

ADVISORY_KEY = 0x5361_6765
"""A number that no other program on the database uses."""

LeaderLock: TypeAlias = Lock


def leader_lock(engine: Engine, path: Path) -> LeaderLock:
    """Return the lock for this database. `path` is the lock file for SQLite."""
    return database_lock(engine, ADVISORY_KEY, path)


def wait_for_leadership(
    lock: LeaderLock,
    stop: threading.Event,
    *,
    retry_seconds: float,
    beat: Callable[[], object] = lambda: None,
) -> bool:
    """Try until this process holds the lock (True) or `stop` is set (False). `beat` is called before each try."""
    waiting = False
    while not stop.is_set():
        beat()
        if lock.acquire():
            return True
        if not waiting:
            logger.info("another scheduler leads, this one waits")
            waiting = True
        stop.wait(retry_seconds)
    return False

"""Leader lock: only one of all schedulers on one database works.

Arrives: the database and the state directory. Leaves: a lock that a process holds until it releases it or dies. Next:
`training.lifecycle.scheduler` works while it holds the lock.

On PostgreSQL it is an advisory lock of a session with its own connection. The server frees it when the connection ends,
also after a kill. On SQLite all processes share a machine, so it is a locked file.
"""

import logging
import threading
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from graphstore.locks import FileLock

logger = logging.getLogger(__name__)

ADVISORY_KEY = 0x5361_6765
"""A number that no other program on the database uses."""


class LeaderLock(Protocol):
    """A lock that at most one process holds."""

    def acquire(self) -> bool:
        """Try once without waiting. Return True when this process holds the lock now."""
        ...

    def held(self) -> bool:
        """Return whether this process still holds the lock. A lost connection loses the lock."""
        ...

    def release(self) -> None:
        """Release the lock. Without the lock, nothing happens."""
        ...


def leader_lock(engine: Engine, path: Path) -> LeaderLock:
    """Return the lock for this database. `path` is the lock file for SQLite."""
    return AdvisoryLock(engine) if engine.dialect.name == "postgresql" else FileLock(path)


def wait_for_leadership(lock: LeaderLock, stop: threading.Event, *, retry_seconds: float) -> bool:
    """Try until this process holds the lock (True) or `stop` is set (False)."""
    waiting = False
    while not stop.is_set():
        if lock.acquire():
            return True
        if not waiting:
            logger.info("another scheduler leads, this one waits")
            waiting = True
        stop.wait(retry_seconds)
    return False


class AdvisoryLock:
    """`pg_try_advisory_lock` on a connection that has no other use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        if self._connection is not None:
            return True
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}):
            self._connection = connection
            return True
        connection.close()
        return False

    def held(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            logger.error("the connection of the leader lock is lost: %s", error)
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
            return False
        return True

    def release(self) -> None:
        if self._connection is not None:
            # Do not return it to the pool: the lock belongs to the session and must end with it.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

"""The leader lock: of all schedulers on one database, one works.

Arrives: the database and the state directory. Leaves: a lock that a process holds until it lets go or dies. Next:
`training.lifecycle.scheduler` works while it holds it.

On PostgreSQL an advisory lock of the session, on a connection of its own: the server frees it when the connection
ends, however the process died. On SQLite, where all processes share a machine, a locked file.
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
"""Any number that no other program on the database takes."""


class LeaderLock(Protocol):
    """Held by at most one process."""

    def acquire(self) -> bool:
        """Try once, without waiting; True where it is held now."""
        ...

    def held(self) -> bool:
        """Whether it still is: a connection may have been lost."""
        ...

    def release(self) -> None:
        """Let go; nothing where it is not held."""
        ...


def leader_lock(engine: Engine, path: Path) -> LeaderLock:
    """The lock that fits the database; `path` is the file for SQLite."""
    return AdvisoryLock(engine) if engine.dialect.name == "postgresql" else FileLock(path)


def wait_for_leadership(lock: LeaderLock, stop: threading.Event, *, retry_seconds: float) -> bool:
    """Try until the lock is held (True) or `stop` is set (False)."""
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
    """`pg_try_advisory_lock` on a connection that does nothing else."""

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
            # Not back into the pool: the lock belongs to the session and must end with it.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

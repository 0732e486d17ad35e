"""Advisory lock: one process at a time on one PostgreSQL database, whatever machine it is on.

Arrives: an engine and a number. Leaves: a lock of a session with its own connection. The server frees it when the
connection ends, also after a kill. Next: the leader of the schedulers; the id of a worker. On SQLite all processes
share a machine, and `graphstore.locks.FileLock` does the same.
"""

import logging
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from graphstore.locks import FileLock

logger = logging.getLogger(__name__)


class Lock(Protocol):
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


def database_lock(engine: Engine, key: int, path: Path) -> Lock:
    """Return the lock with this key on PostgreSQL, and on the file at `path` for SQLite."""
    return AdvisoryLock(engine, key) if engine.dialect.name == "postgresql" else FileLock(path)


class AdvisoryLock:
    """`pg_try_advisory_lock` on a connection that has no other use. `key` is a signed number of 64 bits."""

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine
        self._key = key
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Try once. Raises `sqlalchemy.exc.SQLAlchemyError` when the database is away."""
        if self._connection is not None:
            return True
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}):
            self._connection = connection
            return True
        connection.close()
        return False

    def held(self) -> bool:
        """Return whether the connection, and with it the lock, is still there."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            logger.error("the connection of the lock is lost: %s", error)
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
            return False
        return True

    def release(self) -> None:
        """Unlock, and end the session, which frees the lock in any case."""
        if self._connection is not None:
            try:
                self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
            except SQLAlchemyError as error:
                logger.warning("the lock ends with its connection: %s", error)
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

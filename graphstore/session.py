"""Opening the database: one engine a process, made with the settings that the store relies on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url

BUSY_TIMEOUT_SECONDS = 30.0


class UnsupportedDatabase(ValueError):
    """The URL is of neither SQLite nor PostgreSQL."""


def open_engine(url: str) -> Engine:
    """An engine on `url`, SQLite (WAL, one writer at a time) or PostgreSQL (psycopg).

    On SQLite every transaction begins as IMMEDIATE where it writes: a read that is later upgraded to a write fails
    with "database is locked" instead of waiting. The directory of a SQLite file is created.
    """
    target = make_url(url)
    if target.get_backend_name() == "postgresql":
        return create_engine(target.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    if target.get_backend_name() != "sqlite":
        raise UnsupportedDatabase(f"{target.get_backend_name()} is not supported: SQLite or PostgreSQL")
    if target.database and target.database != ":memory:":
        Path(target.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(target, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late, see `write`
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # NORMAL loses nothing to a killed process; a power cut may undo the last commits, never corrupt.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # Measured at ten million rows: each event dirties a page of three large trees, which a longer log gathers.
    cursor.execute("PRAGMA cache_size = -262144")
    cursor.execute("PRAGMA wal_autocheckpoint = 16000")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed when the block ends, rolled back when it raises."""
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """One read transaction: every query in the block sees the same state."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            with connection.begin():
                connection.exec_driver_sql("BEGIN")
                yield connection
        else:
            with connection.execution_options(isolation_level="REPEATABLE READ").begin():
                yield connection


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to `revision` (Alembic). Call it once, before several workers start: DDL races."""
    open_engine(url).dispose()
    command.upgrade(migrations(url), revision)


def migrations(url: str) -> Config:
    """Alembic's configuration: our migrations against the database `url`."""
    config = Config()
    config.set_main_option("script_location", str(files("graphstore").joinpath("migrations")))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def now_ms() -> int:
    """The wall clock in epoch milliseconds, for the outermost callers only."""
    return time.time_ns() // 1_000_000

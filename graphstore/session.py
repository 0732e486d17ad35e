"""Opens the database: one engine in each process, with the settings that the store needs.

Alembic is loaded only to migrate or to compare revisions: it takes 12 MB in each process.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from graphstore.addresses import DATABASE_EXAMPLE, check_database_url
from graphstore.errors import UnusableFile, UserError, file_errors
from graphstore.private_files import DIRECTORY_MODE

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 10
"""How long PostgreSQL may take to accept a connection, where `connect_timeout` in the URL does not say otherwise. A
server that hangs still takes connections, and psycopg would wait for its first word for two minutes."""

DATABASE_NOTE = "database: "
"""Begins the note that an error of a database carries: its URL, without the password."""


class UnsupportedDatabase(UserError):
    """The URL is of neither SQLite nor PostgreSQL."""


class NoDatabase(UserError):
    """The file of a SQLite database does not exist."""


def open_engine(url: str, *, connect_seconds: int = CONNECT_SECONDS) -> Engine:
    """Open `url`: SQLite (WAL, one writer at a time) or PostgreSQL (psycopg).

    On SQLite a write transaction begins as IMMEDIATE. A transaction that begins with a read and writes later fails with
    "database is locked" instead of waiting. Creates the directory of a SQLite file. Raises `UnsupportedDatabase`.
    """
    target = parsed_url(url)
    if target.get_backend_name() == "postgresql":
        engine = create_engine(
            target.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={} if "connect_timeout" in target.query else {"connect_timeout": connect_seconds},
        )
        event.listen(engine, "handle_error", _name_database)
        return engine
    if target.get_backend_name() != "sqlite":
        raise UnsupportedDatabase(f"{target.get_backend_name()} is not supported: SQLite or PostgreSQL")
    if target.database and target.database != ":memory:":
        with file_errors(target.database):
            Path(target.database).parent.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    engine = create_engine(target, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "handle_error", _name_database)
    return engine


def open_existing(url: str, *, connect_seconds: int = CONNECT_SECONDS) -> Engine:
    """As `open_engine`, for a database that must be there: nothing is created. Raises `NoDatabase`."""
    target = parsed_url(url)
    if target.get_backend_name() == "sqlite":
        path = Path(target.database or "")
        try:
            with file_errors(path):
                path.stat()
        except UnusableFile as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise NoDatabase(
                f"there is no database at {path}: `sagestream init`, or `sagestream import … --direct`"
            ) from None
    return open_engine(url, connect_seconds=connect_seconds)


def parsed_url(url: str) -> URL:
    """The parts of a database's URL. Raises `UnsupportedDatabase` for text that is none."""
    try:
        return make_url(check_database_url(url))
    except ValueError as error:
        raise UnsupportedDatabase(str(error)) from None
    except ArgumentError:  # its words repeat the URL
        raise UnsupportedDatabase(f"this is no URL of a database, as {DATABASE_EXAMPLE}") from None


def _name_database(context: ExceptionContext) -> None:
    """Errors of drivers seldom say which database it was."""
    if context.sqlalchemy_exception is not None and context.engine is not None:
        context.sqlalchemy_exception.add_note(f"{DATABASE_NOTE}{context.engine.url}")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver sends its own BEGIN too late, see `write`
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # With NORMAL a killed process loses nothing. A power cut may lose the last commits but cannot corrupt the file.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # Each event changes a page in three large trees. A longer log writes such a page once (measured at 10M rows).
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
    """Bring the schema to `revision` (Alembic). Call it once, before workers start: concurrent DDL fails."""
    from alembic import command

    open_engine(url).dispose()
    command.upgrade(migrations(url), revision)


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """The schema's revision in the database (None: it holds no tables of ours), and the newest that the code knows."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    newest = ScriptDirectory.from_config(migrations(str(engine.url))).get_current_head()
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), newest


def migrations(url: str) -> "Config":
    """Return Alembic's configuration for our migrations and the database `url`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("graphstore").joinpath("migrations")))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def now_ms() -> int:
    """Return the wall clock in epoch milliseconds. Only for the outermost callers; others get `now` as an argument."""
    return time.time_ns() // 1_000_000

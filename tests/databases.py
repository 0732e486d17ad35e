"""Databases of the tests' own. The schema is migrated once a process and copied from then on.

A migration of an empty SQLite file takes a tenth of a second of processor time, of PostgreSQL a fifth; a copy takes
some milliseconds. What migrations do is tested in `tests/graphstore/test_session.py`.
"""

import secrets
import tempfile
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from graphstore.session import migrate

EACH_DATABASE = ("sqlite", pytest.param("postgresql", marks=pytest.mark.service))
"""Parameters of a test or fixture that runs on both."""


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "graph.db"
        migrate(f"sqlite:///{path}")
        assert not path.with_name("graph.db-wal").exists(), "the file alone is not the whole database"
        return path.read_bytes()


def migrated_sqlite(path: Path) -> str:
    """The URL of a new SQLite file at `path`, with the schema of today and no rows. The directory is created."""
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


class Databases:
    """Makes databases on a PostgreSQL server that is the tests' own."""

    def __init__(self, url: str) -> None:
        self._server = make_url(url).set(drivername="postgresql+psycopg")
        # Nobody needs these rows after a power cut.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._run(f"ALTER SYSTEM SET {setting} = off")
        self._run("SELECT pg_reload_conf()")

    def empty(self) -> str:
        """The URL of a database without tables."""
        return self._create("template1")

    def migrated(self) -> str:
        """The URL of a database with the schema of today and no rows."""
        return self._create(self._template())

    @cache  # noqa: B019  # one server a process
    def _template(self) -> str:
        url = self.empty()
        migrate(url)
        return str(make_url(url).database)

    def _create(self, template: str) -> str:
        name = f"t{secrets.token_hex(8)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._server.set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        admin = create_engine(self._server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(statement))
        admin.dispose()

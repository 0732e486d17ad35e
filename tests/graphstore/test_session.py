"""Opening, migrating, and what one transaction sees."""

import socket
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, insert, select
from sqlalchemy.exc import OperationalError

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import UnsupportedDatabase, migrate, migrations, open_engine, read, write
from graphstore.tables import edges, interactions, metadata, users
from tests.databases import migrated_sqlite


def test_the_migrations_give_the_tables_of_the_code(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(database_url: str) -> None:
    migrate(database_url)


def test_a_read_sees_one_state(engine: Engine) -> None:
    with read(engine) as connection:
        before = len(connection.execute(select(users)).all())

        def grow() -> None:
            with write(engine) as other:
                other.execute(insert(users).values(user_id="u"))

        thread = threading.Thread(target=grow)
        thread.start()
        thread.join()
        assert len(connection.execute(select(users)).all()) == before
    with read(engine) as connection:
        assert len(connection.execute(select(users)).all()) == before + 1


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    url = migrated_sqlite(tmp_path / "graph.db")

    def grow(name: str) -> None:
        engine = open_engine(url)
        for number in range(20):
            with write(engine) as connection:
                connection.execute(select(users)).all()
                connection.execute(insert(users).values(user_id=f"{name}{number}"))
        engine.dispose()

    threads = [threading.Thread(target=grow, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine = open_engine(url)
    with read(engine) as connection:
        assert len(connection.execute(select(users)).all()) == 40
    engine.dispose()


def test_other_databases_are_refused() -> None:
    with pytest.raises(UnsupportedDatabase, match="mysql is not supported"):
        open_engine("mysql://localhost/x")


def revisions() -> list[str]:
    """Every revision, oldest first."""
    script = ScriptDirectory.from_config(migrations("sqlite://"))
    return [revision.revision for revision in script.walk_revisions()][::-1]


# What the oldest revision could hold; later ones fill the rest by their defaults.
FILLED = (
    "INSERT INTO users (user_key, user_id) VALUES (1, 'u')",
    "INSERT INTO items (item_key, item_id, title, updated_at) VALUES (1, 'i', 'Tea', 5)",
    "INSERT INTO interactions (interaction_key, event_id, event_type, user_key, item_key, event_time, ingest_time,"
    " quantity) VALUES (1, 'e1', 3, 1, 1, 7200000, 7200000, 2)",
    "INSERT INTO edges (user_key, item_key, purchases, first_time, last_time) VALUES (1, 1, 1, 7200000, 7200000)",
    "INSERT INTO item_buckets (hour, item_key, purchases) VALUES (2, 1, 1)",
)


@pytest.mark.parametrize("revision", revisions())
def test_a_graph_of_every_revision_comes_up_to_date_with_all_its_rows(empty_url: str, revision: str) -> None:
    migrate(empty_url, revision)
    engine = open_engine(empty_url)
    with write(engine) as connection:
        for statement in FILLED:
            connection.exec_driver_sql(statement)
        if engine.dialect.name == "postgresql":
            for table, key in (("users", "user_key"), ("items", "item_key"), ("interactions", "interaction_key")):
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), 1)")
    migrate(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    with write(engine) as connection:
        rows = [
            InteractionRow("e1", 3, "u", "i", 7_200_000),
            InteractionRow("e2", 5, "u", "i", 7_200_001, quantity=0.45),
        ]
        done = ingest_interactions(connection, rows, now=1)
        assert (done.stored, done.duplicate) == (1, 1)
        edge = connection.execute(select(edges)).one()
        assert connection.execute(select(interactions.c.quantity)).scalars().all() == [2, 0.45]
    assert (edge.purchases, edge.returns, edge.views, edge.last_time) == (1, 1, 0, 7_200_001)
    engine.dispose()


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_a_migration_can_be_taken_back(empty_url: str, revision: str) -> None:
    migrate(empty_url)
    command.downgrade(migrations(empty_url), revision)
    migrate(empty_url)
    engine = open_engine(empty_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_sqlite_keeps_counters_in_one_tree_and_gives_no_key_out_twice(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    made = {row[0]: row[1] for row in rows}
    assert all("WITHOUT ROWID" in made[table] for table in ("edges", "item_buckets"))
    assert all("AUTOINCREMENT" in made[table] for table in ("users", "interactions"))


def test_a_postgresql_that_hangs_does_not_keep_a_connection_waiting() -> None:
    """A stopped server: its socket takes connections, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        url = f"postgresql://sagestream:s@127.0.0.1:{silent.getsockname()[1]}/sagestream"
        for engine in (open_engine(url, connect_seconds=2), open_engine(f"{url}?connect_timeout=2")):
            asked: list[int] = []
            event.listen(
                engine, "do_connect", lambda *given, asked=asked: asked.append(int(given[3]["connect_timeout"]))
            )
            with pytest.raises(OperationalError, match="timeout"), engine.connect():
                pass
            engine.dispose()
            assert asked == [2]

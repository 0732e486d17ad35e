"""Opening, migrating, and what one transaction sees."""

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, select

from graphstore.session import migrate, open_engine, read, write
from graphstore.tables import metadata, users


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
    url = f"sqlite:///{tmp_path / 'deep' / 'graph.db'}"
    migrate(url)

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
    with pytest.raises(ValueError, match="mysql is not supported"):
        open_engine("mysql://localhost/x")

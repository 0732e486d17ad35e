"""A block of keys: the columns that PostgreSQL sends as arrays are the rows of the table, bit for bit."""

from collections.abc import Iterator
from math import inf, nan

import numpy as np
import pytest
from sqlalchemy import Engine, event, insert, text

from graphstore.session import open_engine, read, write
from graphstore.snapshots.eventlog import EVENT, Seen
from graphstore.snapshots.key_blocks import UnknownArray, ask_in_binary, read_block
from graphstore.tables import interactions
from tests.databases import Databases

FAR = 2**62


@pytest.fixture
def engine(postgres: Databases) -> Iterator[Engine]:
    made = open_engine(postgres.migrated())
    yield made
    made.dispose()


def store(engine: Engine, *rows: tuple[int, int, int, int, float | None, float | None, int]) -> None:
    names = ("interaction_key", "user_key", "item_key", "event_time", "value", "quantity", "event_type")
    with write(engine) as connection:
        for row in rows:
            told = {"event_id": str(row[0]), "ingest_time": 1}
            connection.execute(insert(interactions).values(dict(zip(names, row, strict=True)) | told))


def test_a_block_is_the_rows_of_its_keys_before_the_time(engine: Engine) -> None:
    rows = [
        (4, 1, 2, 90, None, None, 0),
        (5, FAR, FAR + 1, -7, 0.1, -3.5, 6),
        (6, 3, 4, 99, nan, inf, 4),
        (7, 3, 4, 100, 1.0, 1.0, 1),  # at the time: not before it
        (8, 3, 4, 50, 1.0, 1.0, 1),
        (9, 3, 4, 50, 1.0, 1.0, 1),  # later than what the snapshot has seen
    ]
    store(engine, (3, 1, 2, 90, None, None, 0), *rows)
    with read(engine) as connection:
        ask_in_binary(connection)
        found = read_block(connection, Seen(as_of=100, last_key=8), 4, 20)
        assert len(read_block(connection, Seen(as_of=100, last_key=8), 9, 20)) == 0
    wanted = [tuple(nan if value is None else value for value in rows[place]) for place in (0, 1, 2, 4)]
    assert np.sort(found, order="key").tobytes() == np.array(wanted, dtype=EVENT).tobytes()


def test_only_blocks_come_in_binary(engine: Engine) -> None:
    store(engine, (1, 1, 1, 1, None, None, 0))
    formats: list[int] = []
    event.listen(engine, "after_cursor_execute", lambda *given: formats.append(given[1].format))
    with read(engine) as connection:
        ask_in_binary(connection)
        read_block(connection, Seen(10, 1), 1, 1)
        connection.scalar(text("SELECT 1"))
    assert formats == [1, 0]


@pytest.mark.parametrize("change", ["item_key TYPE integer", "event_type TYPE text"])
def test_a_column_of_another_type_is_refused(engine: Engine, change: str) -> None:
    store(engine, (1, 1, 1, 1, None, None, 0))
    with write(engine) as connection:
        connection.exec_driver_sql(f"ALTER TABLE interactions ALTER COLUMN {change}")
    with read(engine) as connection:
        ask_in_binary(connection)
        with pytest.raises(UnknownArray, match="an array"):
            read_block(connection, Seen(10, 1), 1, 1)

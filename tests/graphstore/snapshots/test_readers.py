"""Readers of a snapshot: several connections read what one reads, whatever is written, and all end when one fails."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from graphstore.config import GraphstoreConfig
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import open_engine, read, write
from graphstore.snapshots import readers
from graphstore.snapshots.eventlog import Events, Seen
from graphstore.snapshots.files import digest
from graphstore.snapshots.readers import read_events
from graphstore.snapshots.snapshot import configured_snapshot
from tests.databases import Databases
from tests.waiting import wait_until, without_waiting

ROWS = 60
ALL = Seen(as_of=1_000, last_key=ROWS)
THREE = 3


@pytest.fixture
def server(postgres: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database with events, of which a reader reads four at a time."""
    monkeypatch.setattr(readers, "BLOCK_KEYS", 4)
    made = open_engine(postgres.migrated())
    store(made, ROWS)
    yield made
    made.dispose()


@pytest.fixture
def admin(server: Engine) -> Iterator[Engine]:
    """Connections to the same database that are not the reader's."""
    made = open_engine(server.url.render_as_string(hide_password=False))
    yield made
    made.dispose()


def process_of(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def store(engine: Engine, count: int, name: str = "e", time: int = 500) -> None:
    rows = [
        InteractionRow(f"{name}{place}", place % 5, f"u{place % 7}", f"i{place % 3}", time - place * 7 % 50)
        for place in range(count)
    ]
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=1)


def plainly(connection: Connection) -> list[tuple[Any, ...]]:
    query = "SELECT interaction_key, user_key, item_key, event_time, event_type FROM interactions ORDER BY 4, 1"
    return [tuple(row) for row in connection.execute(text(query))]


def told(events: Events) -> list[tuple[Any, ...]]:
    return events[["key", "user", "item", "time", "type"]].tolist()  # type: ignore[no-any-return]


def on_first_block(engine: Engine, run: Callable[[Any], None], *, among: int) -> set[int]:
    """Let each of the readers wait for all others before its first block, and then `run` with its cursor.

    Return the processes of the server that have read, which fill while it is read.
    """
    processes: set[int] = set()
    gate = threading.Barrier(among, timeout=60)

    def hold(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        process = cursor.connection.info.backend_pid
        if "array_agg" in statement and process not in processes:
            processes.add(process)
            gate.wait()
            run(cursor)

    event.listen(engine, "before_cursor_execute", hold)
    return processes


def assert_only_the_first_is_open(engine: Engine, admin: Engine) -> None:
    """Neither a thread nor a connection of a further reader is left."""
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("snapshot-reader")]
    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")

    def open_connections() -> int:
        with read(admin) as connection:
            return int(connection.scalar(query) or 0)

    wait_until(lambda: open_connections() <= 1, seconds=20)
    with read(engine) as connection:
        assert len(plainly(connection)) == ROWS


def test_three_readers_see_one_state_while_events_come_and_go(server: Engine, admin: Engine) -> None:
    lock = threading.Lock()

    def disturb(cursor: Any) -> None:
        with lock:
            store(admin, 2, name=f"new{cursor.connection.info.backend_pid}-")
            with write(admin) as connection:
                connection.exec_driver_sql("DELETE FROM interactions WHERE mod(interaction_key, 9) = 0")
                connection.exec_driver_sql("UPDATE interactions SET event_time = 1 WHERE mod(interaction_key, 7) = 0")

    processes = on_first_block(server, disturb, among=THREE)
    with read(server) as connection:
        before = plainly(connection)
        assert len(before) == ROWS
        assert told(read_events(connection, ALL, readers=THREE)) == before
        assert len(processes) == THREE
        assert told(read_events(connection, ALL, readers=1)) == before
    with read(server) as connection:
        assert plainly(connection) != before


def test_the_setting_opens_connections_for_the_same_files(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "BLOCK_KEYS", 4)
    store(engine, ROWS)
    opened: list[Any] = []
    event.listen(engine, "connect", lambda *given: opened.append(given))
    marks, connections = set(), []
    for count in (1, THREE):
        graph = GraphstoreConfig(state_dir=tmp_path / str(count), snapshot_readers=count)
        engine.dispose()
        opened.clear()
        made = configured_snapshot(
            engine,
            graph,
            as_of=1_000,
            created_at=1,
            featurize=lambda catalogue, _: (torch.zeros(len(catalogue.titles), 0), {}),
        )
        marks.add((made.snapshot_id, made.num_events, digest(made.path)))
        connections.append(len(opened))
    assert len(marks) == 1
    assert connections == ([1, THREE] if engine.dialect.name == "postgresql" else [1, 1])


@pytest.mark.parametrize("rows", [0, 2])
def test_there_may_be_fewer_events_than_readers(
    postgres: Databases, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(readers, "BLOCK_KEYS", 1)
    engine = open_engine(postgres.migrated())
    store(engine, rows)
    opened: list[Any] = []
    event.listen(engine, "connect", lambda *given: opened.append(given))
    with read(engine) as connection:
        assert told(read_events(connection, Seen(1_000, rows), readers=8)) == plainly(connection)
    assert len(opened) <= 1  # the one that the pool keeps is used again
    engine.dispose()


def test_a_gap_between_keys_is_not_walked(server: Engine) -> None:
    far = 10**12
    with write(server) as connection:
        connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('interactions', 'interaction_key'), {far})")
    store(server, 3, name="far")
    asked: list[str] = []
    event.listen(server, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with read(server) as connection:
        assert told(read_events(connection, Seen(1_000, far + 3), readers=THREE)) == plainly(connection)
    assert len(asked) < ROWS


def test_a_later_snapshot_reads_only_what_its_parent_left_out(server: Engine) -> None:
    with read(server) as connection:
        events = read_events(connection, ALL, parent=Seen(as_of=480, last_key=40), readers=THREE)
        wanted = [row for row in plainly(connection) if row[0] > 40 or row[3] >= 480]
    assert told(events) == wanted
    assert 20 < len(wanted) < ROWS


@pytest.mark.parametrize("failing", ["the first", "another"])
def test_a_reader_that_fails_ends_all(server: Engine, admin: Engine, failing: str) -> None:
    first: list[int] = []

    def fail(cursor: Any) -> None:
        process = cursor.connection.info.backend_pid
        if (process == first[0]) == (failing == "the first"):
            with admin.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:process)"), {"process": process})

    on_first_block(server, fail, among=2)
    with pytest.raises(OperationalError, match="terminating"), read(server) as connection:
        first.append(process_of(connection))
        read_events(connection, ALL, readers=2)
    assert_only_the_first_is_open(server, admin)


def test_ctrl_c_ends_readers_that_wait_for_the_server(server: Engine, admin: Engine) -> None:
    first: list[int] = []

    def interrupt(cursor: Any) -> None:
        if cursor.connection.info.backend_pid == first[0]:
            raise KeyboardInterrupt
        cursor.execute("SET client_connection_check_interval = 100")
        cursor.execute("SELECT pg_sleep(60)")

    on_first_block(server, interrupt, among=THREE)
    with without_waiting(30), pytest.raises(KeyboardInterrupt), read(server) as connection:
        first.append(process_of(connection))
        read_events(connection, ALL, readers=THREE)
    assert_only_the_first_is_open(server, admin)


def test_who_changes_the_table_meanwhile_does_not_hold_the_readers_for_ever(server: Engine, admin: Engine) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE relation = 'interactions'::regclass AND NOT granted")

    def change() -> None:
        with write(admin) as connection:
            connection.exec_driver_sql("LOCK TABLE interactions IN ACCESS EXCLUSIVE MODE")

    thread = threading.Thread(target=change)

    def begin_the_change(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "pg_export_snapshot" in statement:
            thread.start()
            with admin.connect() as connection:
                wait_until(lambda: connection.scalar(waiting))

    event.listen(server, "before_cursor_execute", begin_the_change)
    with pytest.raises(OperationalError, match="could not obtain lock"), read(server) as connection:
        read_events(connection, ALL, readers=THREE)
    thread.join(30)
    assert not thread.is_alive()

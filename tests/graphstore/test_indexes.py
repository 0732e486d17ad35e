"""Every index is there for a query that uses it, and no query of the hot path walks a whole table."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, inspect, select

from graphstore import queries
from graphstore.dirty import mark_shoppers
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.retention import DELETE_LISTS, DELETE_SEEN
from graphstore.session import read, write
from graphstore.snapshots.eventlog import Seen
from graphstore.snapshots.readers import read_events
from graphstore.tables import metadata, seen_items, users
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.attribution import attribute_now
from monitoring.counts import count
from monitoring.dirty_windows import newest_hours
from monitoring.windows import TimeWindow


def count_a_list(connection: Connection) -> None:
    row = ImpressionRow("r", 0, "u", "i", "home", 5, "m", "champion", 1.0, 1.0, "batch")
    insert_impressions(connection, [row])
    count(connection, TimeWindow(0, 10))


def attribute_marked(connection: Connection) -> None:
    mark_shoppers(connection, {"u": 5})
    attribute_now(connection)


USES: dict[str, Callable[[Connection], Any]] = {
    "ix_users_person_key": lambda c: queries.sessions(c, [1]),
    "ix_identities_user_id": lambda c: ingest_identities(c, [IdentityRow("a", "u", 1)]),
    "ix_interactions_user_key_event_time": lambda c: queries.user_histories(c, [1], 5),
    "ix_interactions_event_time": lambda c: read_events(c, Seen(99, 9), parent=Seen(50, 5)),
    "ix_attributions_request_id_position": count_a_list,
    "ix_impressions_user_id_event_time": attribute_marked,
    "ix_metric_windows_metric_window_start": lambda c: newest_hours(c, now=10**12),
    "ix_impressions_event_time": lambda c: c.execute(DELETE_LISTS, {"before": 5, "rows": 5}),
    "ix_seen_items_user_id": lambda c: c.execute(select(seen_items).where(seen_items.c.user_id.in_(["u"]))),
    "ix_seen_items_event_time": lambda c: c.execute(DELETE_SEEN, {"before": 5, "rows": 5}),
}
UNIQUE = {"uq_models_champion", "uq_alarms_lasting"}
"""Indexes that keep a rule."""


def plans(engine: Engine, run: Callable[[Connection], Any]) -> str:
    """What SQLite says of every statement that `run` sends."""
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.split()[0] in {"SELECT", "INSERT", "DELETE", "UPDATE", "WITH"}:
            other = cursor.connection.cursor()
            given = parameters[0] if isinstance(parameters, list) and parameters else parameters
            found.extend(row[3] for row in other.execute("EXPLAIN QUERY PLAN " + statement, given))

    with write(engine) as connection:
        event.listen(engine, "before_cursor_execute", explain)
        try:
            run(connection)
        finally:
            event.remove(engine, "before_cursor_execute", explain)
    return "\n".join(found)


def test_every_index_has_a_query() -> None:
    indexes = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    assert indexes == USES.keys() | UNIQUE


@pytest.mark.parametrize("name", sorted(USES))
def test_its_query_uses_it(sqlite_engine: Engine, name: str) -> None:
    assert f"INDEX {name}" in plans(sqlite_engine, USES[name])


def test_the_database_has_the_indexes_of_the_code(engine: Engine) -> None:
    found = {str(index["name"]) for table in metadata.tables for index in inspect(engine).get_indexes(table)}
    assert {name for name in found if name.startswith("ix_")} == USES.keys()


def test_ingest_walks_no_table(sqlite_engine: Engine) -> None:
    with write(sqlite_engine) as connection:
        connection.execute(insert(users), [{"user_id": f"u{n}"} for n in range(50)])
    rows = [InteractionRow("e", 3, "u1", "i1", 5)]
    told = plans(sqlite_engine, lambda c: ingest_interactions(c, rows, now=1))
    walked = {line.split()[1] for line in told.splitlines() if line.startswith("SCAN")}
    given = {"given", "json_each"}  # the ids of the batch
    assert walked <= given | {"batch", "b", "store_state"}, told
    with read(sqlite_engine) as connection:
        assert len(queries.all_users(connection)) == 50

"""Ingest: a batch of events becomes rows, edges and counters in one transaction, each event exactly once.

Arrives: valid events (from Kafka by `stream.app`, from files by the backfill). Leaves: the rows of `interactions`,
`edges`, `item_buckets`, `items`, `impressions`. Next: `graphstore.hot` and the topic `users.touched`.

Every way in goes through these functions: live, backfill, replay and tests. A batch is staged in a temporary table
(COPY on PostgreSQL, executemany on SQLite), and the same set-based SQL runs on both. Only events whose id was not
there yet change edges and counters; counts are added and times are minima and maxima, so order never matters.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete

from graphstore.tables import COUNT_COLUMNS, HOUR_MS, stream_progress


class InteractionRow(NamedTuple):
    """An interaction as the store takes it; `event_type` is its place in `tables.EVENT_TYPES`, times are epoch ms."""

    event_id: str
    event_type: int
    user_id: str
    item_id: str
    event_time: int
    value: float | None = None
    quantity: int | None = None
    request_id: str | None = None
    position: int | None = None


class ItemRow(NamedTuple):
    """A catalogue entry; `available` False is how a delete arrives."""

    item_id: str
    title: str
    categories: list[str]
    brand: str
    price: float | None
    available: bool
    updated_at: int


class ImpressionRow(NamedTuple):
    """One item at one position of one served list."""

    request_id: str
    position: int
    user_id: str
    item_id: str
    slot: str
    event_time: int
    model_version: str
    variant: str
    score: float
    propensity: float
    source: str


@dataclass(frozen=True)
class Ingested:
    """What a batch did: `stored` events were new, `duplicate` ones had been counted before."""

    stored: int
    duplicate: int


_BATCH_COLUMNS = (
    "event_id VARCHAR, event_type SMALLINT, user_id VARCHAR, item_id VARCHAR, event_time BIGINT, "
    "value DOUBLE PRECISION, quantity INTEGER, request_id VARCHAR, position INTEGER"
)
_NAMES = ", ".join(InteractionRow._fields)
_COUNTS = ", ".join(COUNT_COLUMNS)
_ADDED = ", ".join(f"{name} = {{table}}.{name} + excluded.{name}" for name in COUNT_COLUMNS)

_INSERT_USERS = """
INSERT INTO users (user_id) SELECT DISTINCT user_id FROM batch
WHERE user_id NOT IN (SELECT user_id FROM users WHERE user_id IN (SELECT user_id FROM batch))
ORDER BY user_id ON CONFLICT (user_id) DO NOTHING
"""
_INSERT_ITEMS = """
INSERT INTO items (item_id) SELECT DISTINCT item_id FROM batch
WHERE item_id NOT IN (SELECT item_id FROM items WHERE item_id IN (SELECT item_id FROM batch))
ORDER BY item_id ON CONFLICT (item_id) DO NOTHING
"""
# The temporary table keeps the order of arrival, so keys follow it. RETURNING names the events that are new.
_INSERT_INTERACTIONS = """
INSERT INTO interactions (event_id, event_type, user_key, item_key, event_time, ingest_time, value, quantity,
                          request_id, position)
SELECT b.event_id, b.event_type, u.user_key, i.item_key, b.event_time, {now}, b.value, b.quantity,
       b.request_id, b.position
FROM batch b JOIN users u ON u.user_id = b.user_id JOIN items i ON i.item_id = b.item_id
WHERE true ORDER BY b.{order}
ON CONFLICT (event_id) DO NOTHING
RETURNING user_key, item_key, event_type, event_time
"""
_UPSERT_EDGES = f"""
INSERT INTO edges (user_key, item_key, {_COUNTS}, first_time, last_time)
VALUES ({{values}})
ON CONFLICT (user_key, item_key) DO UPDATE SET {_ADDED.format(table="edges")},
    first_time = {{least}}(edges.first_time, excluded.first_time),
    last_time = {{greatest}}(edges.last_time, excluded.last_time)
"""
_UPSERT_BUCKETS = f"""
INSERT INTO item_buckets (hour, item_key, {_COUNTS}) VALUES ({{values}})
ON CONFLICT (hour, item_key) DO UPDATE SET {_ADDED.format(table="item_buckets")}
"""
# A late catalogue row never overwrites a newer one.
_UPSERT_ITEMS = """
INSERT INTO items (item_id, title, categories, brand, price, available, updated_at) VALUES ({values})
ON CONFLICT (item_id) DO UPDATE SET title = excluded.title, categories = excluded.categories,
    brand = excluded.brand, price = excluded.price, available = excluded.available, updated_at = excluded.updated_at
WHERE excluded.updated_at >= items.updated_at
"""
_INSERT_IMPRESSIONS = f"""
INSERT INTO impressions ({", ".join(ImpressionRow._fields)}) VALUES ({{values}})
ON CONFLICT (request_id, position) DO NOTHING
"""
_UPSERT_PROGRESS = """
INSERT INTO stream_progress (topic, partition, next_offset, updated_at) VALUES ({values})
ON CONFLICT (topic, partition) DO UPDATE SET updated_at = excluded.updated_at,
    next_offset = {greatest}(stream_progress.next_offset, excluded.next_offset)
"""


def ingest_interactions(connection: Connection, rows: Sequence[InteractionRow], *, now: int) -> Ingested:
    """Store a batch and add it to edges and counters; the caller owns the transaction. `now` is the ingest time."""
    if not rows:
        return Ingested(0, 0)
    sqlite = connection.dialect.name == "sqlite"
    _stage(connection, rows)
    connection.exec_driver_sql(_INSERT_USERS)
    connection.exec_driver_sql(_INSERT_ITEMS)
    insert = _INSERT_INTERACTIONS.format(now=int(now), order="rowid" if sqlite else "ctid")
    new = connection.exec_driver_sql(insert).fetchall()
    if new:
        _add_counts(connection, new)
    return Ingested(stored=len(new), duplicate=len(rows) - len(new))


def _stage(connection: Connection, rows: Sequence[InteractionRow]) -> None:
    """Fill the temporary table `batch`, which is this connection's own."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS batch ({_BATCH_COLUMNS})")
        connection.exec_driver_sql("DELETE FROM batch")
        marks = ", ".join("?" * len(InteractionRow._fields))
        connection.exec_driver_sql(f"INSERT INTO batch VALUES ({marks})", [tuple(row) for row in rows])
        return
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS batch ({_BATCH_COLUMNS})")
    connection.exec_driver_sql("TRUNCATE batch")
    cursor = _driver_cursor(connection)
    with cursor.copy(f"COPY batch ({_NAMES}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _driver_cursor(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    return driver.cursor()


def _add_counts(connection: Connection, new: Sequence[Any]) -> None:
    """Add the new events to `edges` and `item_buckets`. Sorted: two writers lock rows in the same order."""
    zeros = (0,) * len(COUNT_COLUMNS)
    edges: dict[tuple[int, int], list[int]] = {}
    buckets: dict[tuple[int, int], list[int]] = {}
    for user_key, item_key, event_type, event_time in new:
        edge = edges.setdefault((user_key, item_key), [*zeros, event_time, event_time])
        edge[event_type] += 1
        edge[-2] = min(edge[-2], event_time)
        edge[-1] = max(edge[-1], event_time)
        bucket = buckets.setdefault((event_time // HOUR_MS, item_key), [*zeros])
        bucket[event_type] += 1
    _execute_many(connection, _UPSERT_EDGES, ((*key, *edges[key]) for key in sorted(edges)))
    _execute_many(connection, _UPSERT_BUCKETS, ((*key, *buckets[key]) for key in sorted(buckets)))


def ingest_items(connection: Connection, rows: Sequence[ItemRow]) -> None:
    """Upsert catalogue entries; the newest `updated_at` wins, whatever the order of arrival."""
    newest: dict[str, ItemRow] = {}
    for row in rows:
        if row.item_id not in newest or row.updated_at >= newest[row.item_id].updated_at:
            newest[row.item_id] = row
    values = (
        row._replace(categories=json.dumps(row.categories, ensure_ascii=False))  # type: ignore[arg-type]
        for _, row in sorted(newest.items())
    )
    _execute_many(connection, _UPSERT_ITEMS, values)


def ingest_impressions(connection: Connection, rows: Sequence[ImpressionRow]) -> None:
    """Store served lists; a repeated (request, position) is left as it is."""
    _execute_many(connection, _INSERT_IMPRESSIONS, sorted(rows))


def record_progress(connection: Connection, topic: str, next_offsets: dict[int, int], *, now: int) -> None:
    """Note how far each partition is durable, for audit and lag; an offset never moves back."""
    rows = [(topic, partition, offset, now) for partition, offset in sorted(next_offsets.items())]
    _execute_many(connection, _UPSERT_PROGRESS, rows)


def forget_progress(connection: Connection) -> None:
    """Drop all offsets: the log they belong to is gone (an embedded broker keeps it in memory only)."""
    connection.execute(delete(stream_progress))


def _execute_many(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    values = list(rows)
    if not values:
        return
    sqlite = connection.dialect.name == "sqlite"
    marks = ", ".join(["?" if sqlite else "%s"] * len(values[0]))
    least, greatest = ("min", "max") if sqlite else ("least", "greatest")
    connection.exec_driver_sql(statement.format(values=marks, least=least, greatest=greatest), values)

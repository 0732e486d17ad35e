"""Ingest: stores a batch of events as rows, edges and counters in one transaction, each event exactly once.

Arrives: valid events (from Kafka by `stream.worker.app`, from files and history by `stream.replay`). Leaves: rows of
`interactions`, `edges` and `item_buckets`. Next: `graphstore.redis.hot` and the topic `users.touched`.
`graphstore.upserts` stores nodes and served lists, `graphstore.identities` stores logins.

Live events, backfill, replay and tests all use these functions. A temporary table holds the batch (COPY on PostgreSQL,
executemany on SQLite); then the same SQL runs on both databases. Only an event with a new id changes edges and
counters. Counts are added, times are minima and maxima, so the order of events does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete

from graphstore.batch import execute_many, lock_writers, stage
from graphstore.dirty import ATTRIBUTED_TYPES, mark_shoppers
from graphstore.state import get_states
from graphstore.tables import (
    COMPACTION_HORIZON,
    COUNT_COLUMNS,
    EVENT_TYPES,
    HOUR_MS,
    PEOPLE_GENERATION,
    TAKE_BACKS,
    stream_progress,
)


class InteractionRow(NamedTuple):
    """An interaction to store. `event_type` is its index in `tables.EVENT_TYPES`; times are epoch ms."""

    event_id: str
    event_type: int
    user_id: str
    item_id: str
    event_time: int
    value: float | None = None
    quantity: float | None = None
    request_id: str | None = None
    position: int | None = None
    order_id: str | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Ingested:
    """The result of a batch: `stored` events were new, `duplicate` events were counted before."""

    stored: int = 0
    duplicate: int = 0
    erased: int = 0
    """Dropped events of forgotten users."""
    erased_users: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    """Ids of events older than the compaction horizon. They are not stored, because they may be duplicates."""
    persons: dict[str, str] = field(default_factory=dict)
    """The person (user_id) of each anonymous session in the batch, by anonymous id."""
    new_users: frozenset[str] = frozenset()
    """Users without any event before this batch."""
    taken_back: frozenset[str] = frozenset()
    """Users with a purchase or take-back in the batch, of an item that they have taken back once."""
    generation: int = 0
    """The number of identity changes at that time, see `tables.PEOPLE_GENERATION`."""


_BATCH_COLUMNS = (
    "event_id VARCHAR, event_type SMALLINT, user_id VARCHAR, item_id VARCHAR, event_time BIGINT, "
    "value DOUBLE PRECISION, quantity DOUBLE PRECISION, request_id VARCHAR, position INTEGER, order_id VARCHAR, "
    "currency VARCHAR"
)
_COUNTS = ", ".join(COUNT_COLUMNS)
_PURCHASE_TYPES = tuple(EVENT_TYPES.index(name) for name in ("purchase", *TAKE_BACKS))
_ADDED = ", ".join(f"{name} = {{table}}.{name} + excluded.{name}" for name in COUNT_COLUMNS)

_DROP_ERASED = "DELETE FROM batch WHERE user_id IN (SELECT user_id FROM erasures) RETURNING user_id"
_DROP_LATE = """
DELETE FROM batch WHERE event_time < {horizon} AND event_id NOT IN
    (SELECT event_id FROM interactions WHERE event_id IN (SELECT event_id FROM batch))
RETURNING event_id
"""
_INSERT_USERS = """
INSERT INTO users (user_id) SELECT DISTINCT user_id FROM batch
WHERE user_id NOT IN (SELECT user_id FROM users WHERE user_id IN (SELECT user_id FROM batch))
ORDER BY user_id ON CONFLICT (user_id) DO NOTHING RETURNING user_id
"""
_INSERT_ITEMS = """
INSERT INTO items (item_id) SELECT DISTINCT item_id FROM batch
WHERE item_id NOT IN (SELECT item_id FROM items WHERE item_id IN (SELECT item_id FROM batch))
ORDER BY item_id ON CONFLICT (item_id) DO NOTHING
"""
# Keys follow the order of arrival, which the temporary table keeps. RETURNING gives the new events.
_INSERT_INTERACTIONS = """
INSERT INTO interactions (event_id, event_type, user_key, item_key, event_time, ingest_time, value, quantity,
                          request_id, position, order_id, currency)
SELECT b.event_id, b.event_type, u.user_key, i.item_key, b.event_time, {now}, b.value, b.quantity,
       b.request_id, b.position, b.order_id, b.currency
FROM batch b JOIN users u ON u.user_id = b.user_id JOIN items i ON i.item_id = b.item_id
WHERE true ORDER BY b.{order}
ON CONFLICT (event_id) DO NOTHING
RETURNING user_key, item_key, event_type, event_time
"""
_PERSONS = """
SELECT u.user_id, p.user_id FROM users u JOIN users p ON p.user_key = u.person_key
WHERE u.person_key IS NOT NULL AND u.user_id IN (SELECT user_id FROM batch)
"""
_TAKES_BACK = " OR ".join(f"e.{name}s > 0" for name in TAKE_BACKS)
# A purchase and what takes it back may be of two sessions of one person.
_TAKEN_BACK = f"""
SELECT DISTINCT b.user_id FROM batch b
JOIN users u ON u.user_id = b.user_id JOIN items i ON i.item_id = b.item_id
WHERE b.event_type IN {_PURCHASE_TYPES} AND (
    EXISTS (SELECT 1 FROM edges e WHERE e.user_key = COALESCE(u.person_key, u.user_key) AND e.item_key = i.item_key
            AND ({_TAKES_BACK}))
    OR EXISTS (SELECT 1 FROM users m JOIN edges e ON e.user_key = m.user_key AND e.item_key = i.item_key
               WHERE m.person_key = COALESCE(u.person_key, u.user_key) AND ({_TAKES_BACK}))
)
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
_UPSERT_PROGRESS = """
INSERT INTO stream_progress (topic, partition, next_offset, updated_at) VALUES ({values})
ON CONFLICT (topic, partition) DO UPDATE SET updated_at = excluded.updated_at,
    next_offset = {greatest}(stream_progress.next_offset, excluded.next_offset)
"""


def ingest_interactions(connection: Connection, rows: Sequence[InteractionRow], *, now: int) -> Ingested:
    """Store a batch and add it to edges and counters at `now` (epoch ms). The caller owns the transaction."""
    if not rows:
        return Ingested()
    lock_writers(connection, shared=True)
    state = get_states(connection)
    stage(connection, _BATCH_COLUMNS, rows)
    erased = connection.exec_driver_sql(_DROP_ERASED).scalars().all()
    horizon = state.get(COMPACTION_HORIZON, 0)
    late = _drop_late(connection, horizon) if any(row.event_time < horizon for row in rows) else frozenset()
    new_users = frozenset(connection.exec_driver_sql(_INSERT_USERS).scalars())
    connection.exec_driver_sql(_INSERT_ITEMS)
    order = "rowid" if connection.dialect.name == "sqlite" else "ctid"
    new = connection.exec_driver_sql(_INSERT_INTERACTIONS.format(now=int(now), order=order)).fetchall()
    if new:
        _add_counts(connection, new)
    if any(row.event_type in ATTRIBUTED_TYPES for row in new):
        gone = set(erased)
        mark_shoppers(connection, _since([row for row in rows if row.user_id not in gone]))
    refused = sum(row.event_id in late for row in rows)
    return Ingested(
        stored=len(new),
        duplicate=len(rows) - len(new) - len(erased) - refused,
        erased=len(erased),
        erased_users=frozenset(erased),
        late=late,
        persons={row[0]: row[1] for row in connection.exec_driver_sql(_PERSONS)},
        new_users=new_users,
        taken_back=_taken_back(connection, rows),
        generation=state.get(PEOPLE_GENERATION, 0),
    )


def _taken_back(connection: Connection, rows: Sequence[InteractionRow]) -> frozenset[str]:
    if not any(row.event_type in _PURCHASE_TYPES for row in rows):
        return frozenset()
    return frozenset(connection.exec_driver_sql(_TAKEN_BACK).scalars())


def _since(rows: Sequence[InteractionRow]) -> dict[str, int]:
    """Return the earliest time of each shopper's events that can be attributed."""
    since: dict[str, int] = {}
    for row in rows:
        if row.event_type in ATTRIBUTED_TYPES:
            since[row.user_id] = min(row.event_time, since.get(row.user_id, row.event_time))
    return since


def _drop_late(connection: Connection, horizon: int) -> frozenset[str]:
    return frozenset(connection.exec_driver_sql(_DROP_LATE.format(horizon=int(horizon))).scalars())


def _add_counts(connection: Connection, new: Sequence[Any]) -> None:
    """Add the new events to `edges` and `item_buckets`, sorted, so that two writers lock rows in the same order."""
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
    execute_many(connection, _UPSERT_EDGES, ((*key, *edges[key]) for key in sorted(edges)))
    execute_many(connection, _UPSERT_BUCKETS, ((*key, *buckets[key]) for key in sorted(buckets)))


def record_progress(connection: Connection, topic: str, next_offsets: dict[int, int], *, now: int) -> None:
    """Store the next offset of each partition, for audit and lag. An offset never moves back."""
    rows = [(topic, partition, offset, now) for partition, offset in sorted(next_offsets.items())]
    execute_many(connection, _UPSERT_PROGRESS, rows)


def forget_progress(connection: Connection) -> None:
    """Delete all offsets, because their log is gone (an embedded broker keeps it only in memory)."""
    connection.execute(delete(stream_progress))

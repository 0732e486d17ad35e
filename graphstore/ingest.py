"""Ingest: stores a batch of events as rows, edges and counters in one transaction, each event exactly once.

Arrives: valid events (from Kafka by `stream.worker.app`, from files and history by `stream.replay`). Leaves: rows of
`interactions`, `edges` and `item_buckets`. Next: `graphstore.redis.hot` and the topic `users.touched`.
`graphstore.upserts` stores nodes and served lists, `graphstore.identities` stores logins.

Live events, backfill, replay and tests all use these functions. A temporary table holds the batch, with the keys of its
users and items (COPY on PostgreSQL, executemany on SQLite). Only an event with a new id changes edges and counters.

Two writers cannot wait for each other in a circle: each locks users, then edges, then dirty marks, then buckets, and
the rows of each in the order of their keys. Only two writers that store the same events in another order could; then
PostgreSQL refuses one of them, which stores its batch again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete

from graphstore.batch import empty_table, execute_many, lock_writers, stage
from graphstore.dirty import ATTRIBUTED_TYPES, mark_shoppers
from graphstore.ingest_counts import add_to_buckets, add_to_edges
from graphstore.ingest_keys import UserKeys, item_keys, user_keys
from graphstore.lookups import rows_with
from graphstore.state import get_states
from graphstore.tables import COMPACTION_HORIZON, EVENT_TYPES, PEOPLE_GENERATION, TAKE_BACKS, stream_progress


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
    "event_id VARCHAR, event_type SMALLINT, user_key BIGINT, person_key BIGINT, item_key BIGINT, event_time BIGINT, "
    "value DOUBLE PRECISION, quantity DOUBLE PRECISION, request_id VARCHAR, position INTEGER, order_id VARCHAR, "
    "currency VARCHAR"
)
_STORED_COLUMNS = "user_key BIGINT, item_key BIGINT, event_type SMALLINT, event_time BIGINT"
_PURCHASE_TYPES = tuple(EVENT_TYPES.index(name) for name in ("purchase", *TAKE_BACKS))

# Keys follow the order of arrival, which the temporary table keeps.
_INSERT_INTERACTIONS = """
INSERT INTO interactions (event_id, event_type, user_key, item_key, event_time, ingest_time, value, quantity,
                          request_id, position, order_id, currency)
SELECT event_id, event_type, user_key, item_key, event_time, {now}, value, quantity, request_id, position, order_id,
       currency
FROM batch WHERE true ORDER BY {order}
ON CONFLICT (event_id) DO NOTHING
RETURNING user_key, item_key, event_type, event_time
"""
_KEEP_STORED = f"WITH new AS ({_INSERT_INTERACTIONS}) INSERT INTO stored SELECT * FROM new"
_TAKES_BACK = " OR ".join(f"e.{name}s > 0" for name in TAKE_BACKS)
# A purchase and what takes it back may be of two sessions of one person.
_TAKEN_BACK = f"""
SELECT DISTINCT b.user_key FROM batch b
WHERE b.event_type IN {_PURCHASE_TYPES} AND (
    EXISTS (SELECT 1 FROM edges e WHERE e.user_key = b.person_key AND e.item_key = b.item_key AND ({_TAKES_BACK}))
    OR EXISTS (SELECT 1 FROM users m JOIN edges e ON e.user_key = m.user_key AND e.item_key = b.item_key
               WHERE m.person_key = b.person_key AND ({_TAKES_BACK}))
)
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
    erased = {row[0] for row in rows_with(connection, "user_id", "erasures", "user_id", {row.user_id for row in rows})}
    known = [row for row in rows if row.user_id not in erased]
    horizon = state.get(COMPACTION_HORIZON, 0)
    late = _late(connection, {row.event_id for row in known if row.event_time < horizon})
    kept = [row for row in known if row.event_time >= horizon or row.event_id not in late]
    users = user_keys(connection, {row.user_id for row in kept})
    new = _store(connection, kept, users, now)
    if not ATTRIBUTED_TYPES.isdisjoint(new.types):
        mark_shoppers(connection, _since(known))
    ids = {key: user for user, key in users.keys.items()}
    names = dict(rows_with(connection, "user_key, user_id", "users", "user_key", set(users.persons.values())))
    taken_back = frozenset(ids[key] for key in _taken_back(connection, kept))
    if new.stored:
        add_to_buckets(connection, new.rows)  # last, see there
    refused = sum(row.event_id in late for row in rows)
    return Ingested(
        stored=new.stored,
        duplicate=len(known) - new.stored - refused,
        erased=len(rows) - len(known),
        erased_users=frozenset(erased),
        late=late,
        persons={user: names[person] for user, person in users.persons.items()},
        new_users=users.new,
        taken_back=taken_back,
        generation=state.get(PEOPLE_GENERATION, 0),
    )


def _late(connection: Connection, old: Collection[str]) -> frozenset[str]:
    """Return which of the events behind the horizon are not in the store."""
    known = rows_with(connection, "event_id", "interactions", "event_id", old)
    return frozenset(old).difference(row[0] for row in known)


class _New(NamedTuple):
    """The events of a batch that were not stored before."""

    stored: int
    types: frozenset[int]
    rows: Sequence[Any]
    """Empty on PostgreSQL, where they are in the temporary table `stored`."""


def _store(connection: Connection, rows: Sequence[InteractionRow], users: UserKeys, now: int) -> _New:
    """Insert the rows and add the new ones to `edges`."""
    if not rows:
        return _New(0, frozenset(), [])
    items = item_keys(connection, {row.item_id for row in rows})
    stage(connection, _BATCH_COLUMNS, [_staged(row, users, items) for row in rows])
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_INSERT_INTERACTIONS.format(now=int(now), order="rowid")).fetchall()
        new = _New(len(found), frozenset(row.event_type for row in found), found)
    else:
        empty_table(connection, "stored", _STORED_COLUMNS)
        stored = connection.exec_driver_sql(_KEEP_STORED.format(now=int(now), order="ctid")).rowcount
        types = connection.exec_driver_sql("SELECT DISTINCT event_type FROM stored").scalars()
        new = _New(stored, frozenset(types), [])
    if new.stored:
        add_to_edges(connection, new.rows)
    return new


def _staged(row: InteractionRow, users: UserKeys, items: Mapping[str, int]) -> tuple[Any, ...]:
    user = users.keys[row.user_id]
    return (*row[:2], user, users.persons.get(row.user_id, user), items[row.item_id], *row[4:])


def _taken_back(connection: Connection, rows: Sequence[InteractionRow]) -> Sequence[int]:
    if not any(row.event_type in _PURCHASE_TYPES for row in rows):
        return []
    return connection.exec_driver_sql(_TAKEN_BACK).scalars().all()


def _since(rows: Sequence[InteractionRow]) -> dict[str, int]:
    """Return the earliest time of each shopper's events that can be attributed."""
    since: dict[str, int] = {}
    for row in rows:
        if row.event_type in ATTRIBUTED_TYPES:
            since[row.user_id] = min(row.event_time, since.get(row.user_id, row.event_time))
    return since


def record_progress(connection: Connection, topic: str, next_offsets: dict[int, int], *, now: int) -> None:
    """Store the next offset of each partition, for audit and lag. An offset never moves back."""
    rows = [(topic, partition, offset, now) for partition, offset in sorted(next_offsets.items())]
    execute_many(connection, _UPSERT_PROGRESS, rows)


def forget_progress(connection: Connection) -> None:
    """Delete all offsets, because their log is gone (an embedded broker keeps it only in memory)."""
    connection.execute(delete(stream_progress))

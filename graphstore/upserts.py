"""Upserts of items, users' attributes and impressions. Each is idempotent, and the newest update wins.

Arrives: rows of the topics `catalog`, `catalog.changes`, `users`, `impressions` and `seen`. Leaves: rows of `items`,
`users`, `impressions` and `seen_items`. Next: `graphstore.redis.hot` for the items that readers see.

When two updates have the same time, the greater content wins (of an item: in each field, see `graphstore.item_fields`).
So the order of arrival never changes a row.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from graphstore.batch import execute_many, lock_writers
from graphstore.dirty import mark_shoppers
from graphstore.item_fields import ItemRow, joined
from graphstore.tables import erasures, items

CHUNK_IDS = 500


class UserRow(NamedTuple):
    """All attributes of a user. A delete arrives with empty attributes."""

    user_id: str
    attributes: dict[str, str | int | float | bool]
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
    confirmed: bool = True
    robot: bool = False
    client: str = ""


class SeenRow(NamedTuple):
    """A position of a served list that a shopper has seen."""

    request_id: str
    position: int
    user_id: str
    event_time: int


_ITEM_COLUMNS = [items.c[name] for name in ItemRow._fields]
_UPDATE_ITEMS = (
    update(items)
    .where(items.c.item_id == bindparam("new_item_id"))
    .values({name: bindparam(f"new_{name}") for name in ItemRow._fields if name != "item_id"})
)
_INSERT_ITEMS = "INSERT INTO items (item_id) VALUES ({values}) ON CONFLICT (item_id) DO NOTHING"
_UPSERT_USERS = """
INSERT INTO users (user_id, attributes, updated_at) VALUES ({values})
ON CONFLICT (user_id) DO UPDATE SET attributes = excluded.attributes, updated_at = excluded.updated_at
WHERE (excluded.updated_at, excluded.attributes) > (users.updated_at, users.attributes)
"""
_INSERT_IMPRESSIONS = f"""
INSERT INTO impressions ({", ".join(ImpressionRow._fields)}) VALUES ({{values}})
ON CONFLICT (request_id, position) DO NOTHING
"""

_UPSERT_SEEN = """
INSERT INTO seen_items (request_id, position, user_id, event_time) VALUES ({values})
ON CONFLICT (request_id, position) DO UPDATE SET event_time = excluded.event_time, user_id = excluded.user_id
WHERE (excluded.event_time, excluded.user_id) < (seen_items.event_time, seen_items.user_id)
"""


def upsert_items(connection: Connection, rows: Sequence[ItemRow]) -> None:
    """Store catalogue entries and changes. For each field the last write wins, in any order of arrival."""
    given: dict[str, ItemRow] = {}
    for row in rows:
        known = given.get(row.item_id)
        # Joined with itself, too: an entry alone is then written in the same form as after a change.
        given[row.item_id] = joined(known or row, row)
    ids = sorted(given)  # inserted and then locked in one order, so two writers cannot deadlock
    execute_many(connection, _INSERT_ITEMS, [(item_id,) for item_id in ids])
    updates = []
    for start in range(0, len(ids), CHUNK_IDS):
        query = select(*_ITEM_COLUMNS).where(items.c.item_id.in_(ids[start : start + CHUNK_IDS]))
        for found in connection.execute(query.order_by(items.c.item_id).with_for_update()):
            stored = item_row(found)
            merged = joined(stored, given[stored.item_id])
            if any(map(_differ, merged, stored)):
                updates.append({f"new_{name}": _stored(value) for name, value in merged._asdict().items()})
    if updates:
        connection.execute(_UPDATE_ITEMS, updates)


def item_row(values: Iterable[Any]) -> ItemRow:
    """Return the state of an item from the stored values of `ItemRow`, in the order of its fields."""
    row = ItemRow(*values)
    texts = ("categories", "attributes", "field_times")
    return row._replace(available=bool(row.available), **{name: json.loads(getattr(row, name)) for name in texts})


def upsert_users(connection: Connection, rows: Sequence[UserRow]) -> None:
    """Store users' attributes. The newest `updated_at` wins. Attributes of forgotten users are dropped."""
    lock_writers(connection, shared=True)  # no erasure between the check and the write
    gone = erased_of(connection, [row.user_id for row in rows])
    values = [
        (row.user_id, _json(row.attributes), row.updated_at)
        for row in sorted(rows, key=lambda row: row.user_id)
        if row.user_id not in gone
    ]
    execute_many(connection, _UPSERT_USERS, values)


def insert_impressions(connection: Connection, rows: Sequence[ImpressionRow]) -> None:
    """Store served lists. A repeated (request, position) changes nothing. Lists of forgotten users are dropped."""
    lock_writers(connection, shared=True)
    gone = erased_of(connection, [row.user_id for row in rows])
    kept = sorted(row for row in rows if row.user_id not in gone)
    execute_many(connection, _INSERT_IMPRESSIONS, kept)
    mark_shoppers(connection, _since(kept))


def insert_seen(connection: Connection, rows: Sequence[SeenRow]) -> None:
    """Store what was seen. A repeated (request, position) keeps who saw it first. Forgotten users are dropped."""
    lock_writers(connection, shared=True)
    gone = erased_of(connection, [row.user_id for row in rows])
    kept = sorted(row for row in rows if row.user_id not in gone)
    execute_many(connection, _UPSERT_SEEN, kept)
    mark_shoppers(connection, _since(kept))


def _since(rows: Sequence[ImpressionRow] | Sequence[SeenRow]) -> dict[str, int]:
    """Return the earliest time of each shopper's rows."""
    since: dict[str, int] = {}
    for row in rows:
        since[row.user_id] = min(row.event_time, since.get(row.user_id, row.event_time))
    return since


def erased_of(connection: Connection, user_ids: Sequence[str]) -> set[str]:
    """Return the given users that were forgotten."""
    if not user_ids:
        return set()
    query = select(erasures.c.user_id).where(erasures.c.user_id.in_(set(user_ids)))
    return set(connection.scalars(query))


def _differ(one: object, other: object) -> bool:
    return one != other or _stored(one) != _stored(other)  # an attribute of 1 equals 1.0, but is stored differently


def _stored(value: object) -> object:
    """Return a column's value: lists and objects are stored as JSON."""
    if isinstance(value, Mapping):
        return _json(dict(value))
    return _json(value) if isinstance(value, list) else value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)

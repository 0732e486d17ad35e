"""Queries of the graph for the floors above, one statement each.

Arrives: a connection and ids. Leaves: plain rows and arrays. Next: `serving` and `training`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, bindparam, func, select, text

from graphstore.arrays import BoolArray, IntArray
from graphstore.catalogue import Item
from graphstore.tables import (
    COUNT_COLUMNS,
    EVENT_TYPES,
    HOUR_MS,
    TAKE_BACKS,
    edges,
    for_sale,
    interactions,
    item_buckets,
    items,
    users,
)
from graphstore.takebacks import TAKE_BACK_CODES, standing

MAX_PARAMETERS = 10_000

_T = TypeVar("_T")

HistoryRow = tuple[int, int, int]
"""(item_key, event_time in epoch ms, index of the type in EVENT_TYPES)."""

_COUNTED = tuple(zip(EVENT_TYPES, COUNT_COLUMNS, strict=True))


def user_history(connection: Connection, user_id: str, limit: int) -> list[HistoryRow]:
    """Return a user's newest `limit` events, oldest first; empty for an unknown user."""
    keys = user_keys(connection, [user_id])
    return user_histories(connection, list(keys.values()), limit)[keys[user_id]] if keys else []


def user_histories(connection: Connection, user_keys: Sequence[int], limit: int) -> dict[int, list[HistoryRow]]:
    """Return the newest `limit` events of each user and their sessions, oldest first, by user key.

    A user without events has an empty list. Take-backs, and purchases that they took back whole, are left out.
    """
    members = sessions(connection, user_keys)
    return {key: _history(connection, [key, *members.get(key, [])], limit) for key in user_keys}


_newest = (
    select(interactions.c.item_key, interactions.c.event_time, interactions.c.event_type, interactions.c.quantity)
    .order_by(interactions.c.event_time.desc(), interactions.c.interaction_key.desc())
    .limit(bindparam("count"))
)
# Built once: near-line asks for each touched user, and to build a statement takes longer than SQLite to answer it.
_newest_of_one = _newest.where(interactions.c.user_key == bindparam("key"))
_newest_of_several = _newest.where(interactions.c.user_key.in_(bindparam("keys", expanding=True)))


def _history(connection: Connection, keys: Sequence[int], limit: int) -> list[HistoryRow]:
    # One index walk for each user: a window function over many users would read every event of each.
    if len(keys) == 1:
        found = connection.execute(_newest_of_one, {"key": keys[0], "count": limit})
    else:
        found = connection.execute(_newest_of_several, {"keys": list(keys), "count": limit})
    rows = found.all()[::-1]
    if any(row[2] in TAKE_BACK_CODES for row in rows):
        bought, types = (np.array([row[column] for row in rows], dtype=np.int64) for column in (0, 2))
        quantities = np.array([np.nan if row[3] is None else row[3] for row in rows])
        shares = standing(np.zeros(len(rows), dtype=np.int64), bought, types, quantities)
        rows = [row for row, share in zip(rows, shares, strict=True) if share > 0]
    return [(row[0], row[1], row[2]) for row in rows]


def sessions(connection: Connection, user_keys: Sequence[int]) -> dict[int, list[int]]:
    """Return the session keys of each user that has sessions, by user key."""
    found: dict[int, list[int]] = {}
    for keys in _chunks(user_keys):
        query = select(users.c.person_key, users.c.user_key).where(users.c.person_key.in_(keys))
        for person, key in connection.execute(query.order_by(users.c.user_key)):
            found.setdefault(person, []).append(key)
    return found


def item_times(connection: Connection, user_id: str) -> dict[str, int]:
    """Return the last time (epoch ms) that a user or their sessions touched each item; empty for an unknown user."""
    keys = list(user_keys(connection, [user_id]).values())
    members = [*keys, *(key for found in sessions(connection, keys).values() for key in found)]
    query = (
        select(items.c.item_id, func.max(edges.c.last_time))
        .join_from(edges, items, items.c.item_key == edges.c.item_key)
        .where(edges.c.user_key.in_(members))
        .group_by(items.c.item_id)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def user_keys(connection: Connection, user_ids: Sequence[str]) -> dict[str, int]:
    """Return the keys of the users that exist."""
    found: dict[str, int] = {}
    for ids in _chunks(user_ids):
        query = select(users.c.user_id, users.c.user_key).where(users.c.user_id.in_(ids))
        found |= {row.user_id: row.user_key for row in connection.execute(query)}
    return found


def all_users(connection: Connection) -> list[tuple[int, str]]:
    """Return (user_key, user_id) of every person, by key. Sessions that belong to a person are left out."""
    query = select(users.c.user_key, users.c.user_id).where(users.c.person_key.is_(None)).order_by(users.c.user_key)
    return [(row[0], row[1]) for row in connection.execute(query)]


def all_items(connection: Connection) -> list[Item]:
    """Return every item as readers see it, by key."""
    return [_item(row) for row in connection.execute(select(items).order_by(items.c.item_key))]


def items_by_id(connection: Connection, item_ids: Sequence[str]) -> list[Item]:
    """Return the items that exist."""
    queries = (select(items).where(items.c.item_id.in_(ids)) for ids in _chunks(item_ids))
    return [_item(row) for query in queries for row in connection.execute(query)]


def items_by_key(connection: Connection, item_keys: Sequence[int]) -> list[Item]:
    """Return the items that exist."""
    queries = (select(items).where(items.c.item_key.in_(keys)) for keys in _chunks(item_keys))
    return [_item(row) for query in queries for row in connection.execute(query)]


def items_after(connection: Connection, item_key: int, limit: int | None = None) -> list[Item]:
    """Return the items with a larger key, by key, at most `limit`: those that came after it."""
    query = select(items).where(items.c.item_key > item_key).order_by(items.c.item_key).limit(limit)
    return [_item(row) for row in connection.execute(query)]


def names_of_items(connection: Connection) -> tuple[frozenset[str], frozenset[str]]:
    """Return the categories and the brands that items have."""
    rows = connection.execute(select(items.c.categories, items.c.brand).distinct())
    categories: set[str] = set()
    brands: set[str] = set()
    for row in rows:
        categories.update(json.loads(row[0]))
        brands.add(row[1])
    return frozenset(categories), frozenset(brands - {""})


def stock(connection: Connection) -> tuple[IntArray, BoolArray]:
    """Return the keys of all items, ascending, and whether each can be bought now."""
    query = select(items.c.item_key, for_sale.label("for_sale")).order_by(items.c.item_key)
    rows = np.array([(row[0], bool(row[1])) for row in connection.execute(query)], dtype=np.int64).reshape(-1, 2)
    return rows[:, 0].copy(), rows[:, 1].astype(np.bool_)


def shoppers_of_items(connection: Connection, item_keys: Sequence[int], *, since_ms: int, limit: int) -> list[int]:
    """Return the user keys of the newest `limit` events with one of the items since a time (epoch ms), newest first.

    It walks the index on time, so it costs the events since then, not those of an item.
    """
    newest = (
        select(func.coalesce(users.c.person_key, interactions.c.user_key))
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .where(interactions.c.event_time >= since_ms, interactions.c.item_key.in_(item_keys[:MAX_PARAMETERS]))
        .order_by(interactions.c.event_time.desc())
        .limit(limit)
    )
    return list(dict.fromkeys(row[0] for row in connection.execute(newest)))


def _chunks(ids: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Split ids, because a statement takes at most 32,766 parameters on some SQLite builds and 65,535 on PostgreSQL."""
    return (ids[start : start + MAX_PARAMETERS] for start in range(0, len(ids), MAX_PARAMETERS))


def _item(row: object) -> Item:
    return Item(
        item_key=row.item_key,  # type: ignore[attr-defined]
        item_id=row.item_id,  # type: ignore[attr-defined]
        title=row.title,  # type: ignore[attr-defined]
        categories=json.loads(row.categories),  # type: ignore[attr-defined]
        brand=row.brand,  # type: ignore[attr-defined]
        price=row.price,  # type: ignore[attr-defined]
        available=bool(row.available) and row.stock != 0,  # type: ignore[attr-defined]
        attributes=json.loads(row.attributes),  # type: ignore[attr-defined]
        url=row.url,  # type: ignore[attr-defined]
        image_url=row.image_url,  # type: ignore[attr-defined]
        stock=row.stock,  # type: ignore[attr-defined]
        product_id=row.product_id,  # type: ignore[attr-defined]
    )


def item_bucket_counts(connection: Connection, since_ms: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return hour, item key and interest of the buckets from `since_ms` on: events minus take-backs, maybe negative."""
    total = interest()
    query = (
        select(item_buckets.c.hour, item_buckets.c.item_key, total)
        .where(item_buckets.c.hour >= since_ms // HOUR_MS)
        .order_by(item_buckets.c.hour, item_buckets.c.item_key)
    )
    rows = np.array([tuple(row) for row in connection.execute(query)], dtype=np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def interest() -> ColumnElement[int]:
    """Return the events of a bucket minus its take-backs."""
    signs = [(-1 if name in TAKE_BACKS else 1, item_buckets.c[column]) for name, column in _COUNTED]
    return sum((sign * column for sign, column in signs[1:]), start=signs[0][0] * signs[0][1])


def trending(connection: Connection, *, since_ms: int, limit: int) -> list[tuple[str, int]]:
    """Return (item_id, events since then minus take-backs) of the available items with the most, ties by id."""
    total = func.sum(interest())
    query = (
        select(items.c.item_id, total.label("total"))
        .join_from(item_buckets, items, items.c.item_key == item_buckets.c.item_key)
        .where(item_buckets.c.hour >= since_ms // HOUR_MS, for_sale)
        .group_by(items.c.item_id)
        .having(total > 0)
        .order_by(text("total DESC"), items.c.item_id)
        .limit(limit)
    )
    return [(row[0], int(row[1])) for row in connection.execute(query)]


def counts(connection: Connection) -> dict[str, int]:
    """Count users, items, edges and interactions."""
    tables = {"users": users, "items": items, "edges": edges, "interactions": interactions}
    return {
        name: int(connection.scalar(select(func.count()).select_from(table)) or 0) for name, table in tables.items()
    }

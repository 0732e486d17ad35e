"""Reads of the graph that other floors ask for, each one statement.

Arrives: a connection and ids. Leaves: plain rows and arrays. Next: `serving` and `training`.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, func, select, text

from graphstore.hot import Item
from graphstore.tables import COUNT_COLUMNS, HOUR_MS, edges, interactions, item_buckets, items, users

MAX_PARAMETERS = 10_000

HistoryRow = tuple[int, int, int]
"""(item_key, event_time ms, place of the type in EVENT_TYPES)."""


def user_history(connection: Connection, user_id: str, limit: int) -> list[HistoryRow]:
    """A shopper's newest `limit` events, oldest first; empty for an unknown one."""
    key = connection.scalar(select(users.c.user_key).where(users.c.user_id == user_id))
    return [] if key is None else user_histories(connection, [key], limit)[key]


def user_histories(connection: Connection, user_keys: Sequence[int], limit: int) -> dict[int, list[HistoryRow]]:
    """The newest `limit` events of many shoppers, each oldest first; a shopper without events has an empty list."""
    columns = (interactions.c.item_key, interactions.c.event_time, interactions.c.event_type)
    found: dict[int, list[HistoryRow]] = {}
    for key in user_keys:
        # One index walk a shopper: a window function over many reads every event of each.
        newest = (
            select(*columns)
            .where(interactions.c.user_key == key)
            .order_by(interactions.c.event_time.desc(), interactions.c.interaction_key.desc())
            .limit(limit)
        )
        found[key] = [(row[0], row[1], row[2]) for row in reversed(connection.execute(newest).all())]
    return found


def user_keys(connection: Connection, user_ids: Sequence[str]) -> dict[str, int]:
    """The keys of those shoppers that exist."""
    found: dict[str, int] = {}
    for ids in _chunks(user_ids):
        query = select(users.c.user_id, users.c.user_key).where(users.c.user_id.in_(ids))
        found |= {row.user_id: row.user_key for row in connection.execute(query)}
    return found


def all_users(connection: Connection) -> list[tuple[int, str]]:
    """(user_key, user_id) of every shopper, by key."""
    return [(row[0], row[1]) for row in connection.execute(select(users).order_by(users.c.user_key))]


def all_items(connection: Connection) -> list[Item]:
    """Every item as readers see it, by key."""
    return [_item(row) for row in connection.execute(select(items).order_by(items.c.item_key))]


def items_by_id(connection: Connection, item_ids: Sequence[str]) -> list[Item]:
    """Those of the items that exist."""
    queries = (select(items).where(items.c.item_id.in_(ids)) for ids in _chunks(item_ids))
    return [_item(row) for query in queries for row in connection.execute(query)]


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """A statement takes a bounded number of parameters: some SQLite builds 32,766, PostgreSQL 65,535."""
    return (ids[start : start + MAX_PARAMETERS] for start in range(0, len(ids), MAX_PARAMETERS))


def _item(row: object) -> Item:
    return Item(
        item_key=row.item_key,  # type: ignore[attr-defined]
        item_id=row.item_id,  # type: ignore[attr-defined]
        title=row.title,  # type: ignore[attr-defined]
        categories=json.loads(row.categories),  # type: ignore[attr-defined]
        brand=row.brand,  # type: ignore[attr-defined]
        price=row.price,  # type: ignore[attr-defined]
        available=bool(row.available),  # type: ignore[attr-defined]
    )


def item_bucket_counts(
    connection: Connection, since_ms: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hours, item keys and event counts (all types together) of the buckets from `since_ms` on."""
    total = sum((item_buckets.c[name] for name in COUNT_COLUMNS[1:]), start=item_buckets.c[COUNT_COLUMNS[0]])
    query = (
        select(item_buckets.c.hour, item_buckets.c.item_key, total)
        .where(item_buckets.c.hour >= since_ms // HOUR_MS)
        .order_by(item_buckets.c.hour, item_buckets.c.item_key)
    )
    rows = np.array([tuple(row) for row in connection.execute(query)], dtype=np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def trending(connection: Connection, *, since_ms: int, limit: int) -> list[tuple[str, int]]:
    """(item_id, events since then) of the available items with most events, ties by id."""
    total = func.sum(sum((item_buckets.c[name] for name in COUNT_COLUMNS[1:]), start=item_buckets.c[COUNT_COLUMNS[0]]))
    query = (
        select(items.c.item_id, total.label("total"))
        .join_from(item_buckets, items, items.c.item_key == item_buckets.c.item_key)
        .where(item_buckets.c.hour >= since_ms // HOUR_MS, items.c.available)
        .group_by(items.c.item_id)
        .order_by(text("total DESC"), items.c.item_id)
        .limit(limit)
    )
    return [(row[0], int(row[1])) for row in connection.execute(query)]


def counts(connection: Connection) -> dict[str, int]:
    """How many users, items, edges and interactions there are."""
    tables = {"users": users, "items": items, "edges": edges, "interactions": interactions}
    return {
        name: int(connection.scalar(select(func.count()).select_from(table)) or 0) for name, table in tables.items()
    }

"""Export of a person: every row of the database that names a shopper or one of their sessions, as JSON.

Arrives: any id of the person. Leaves: one JSON object. Next: `monitoring.errands` hands it to the operator, who answers
the shopper's request (GDPR, article 15).

What is derived from these rows (edges, counts, snapshots, models, Redis) is not listed again, except the edges of
interactions that a compaction has removed: they are all that is left of them. Rows are read newest first, and the size
is bounded, so that one crawler cannot fill the memory: what did not fit is counted by table.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Select, select

from graphstore.erase import find_person
from graphstore.session import read
from graphstore.tables import (
    COUNT_COLUMNS,
    EVENT_TYPES,
    attributions,
    edges,
    erasures,
    identities,
    impressions,
    interactions,
    items,
    seen_items,
    users,
)

MAX_IDS = 1_000
"""Sessions of one person: a statement takes so many parameters on every database."""

ENVELOPE_BYTES = 2_048
"""Room for the names of the tables and the counts."""

_encode = msgspec.json.Encoder().encode
Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Export:
    """The export as JSON. `left_out` counts the rows that did not fit, by table; empty: it is complete."""

    content: bytes
    rows: int
    left_out: Mapping[str, int]
    known: bool
    """Whether any row names the person."""


def export_person(engine: Engine, user_id: str, *, max_bytes: int) -> Export:
    """Return every row that names the person with this id, newest first, in at most `max_bytes` (about; never more).

    All rows are of one transaction. A person with more than `MAX_IDS` sessions: those that come first by name, and the
    others are counted as left out.
    """
    person = find_person(engine, user_id)
    ids = person.ids[:MAX_IDS]
    left_out = {"sessions": len(person.ids) - len(ids)} if len(person.ids) > len(ids) else {}
    room = max_bytes - ENVELOPE_BYTES - len(_encode(ids))
    parts: list[bytes] = [b'"ids":' + _encode(ids)]
    total = 0
    with read(engine) as connection:
        for name, rows in _TABLES.items():
            kept: list[bytes] = []
            for row in rows(connection, ids):
                encoded = _encode({key: value for key, value in row.items() if value is not None})
                if name in left_out or len(encoded) + 1 > room:
                    left_out[name] = left_out.get(name, 0) + 1
                    continue
                room -= len(encoded) + 1
                kept.append(encoded)
            total += len(kept)
            parts.append(_encode(name) + b":[" + b",".join(kept) + b"]")
    parts.append(b'"left_out":' + _encode(left_out))
    return Export(b"{" + b",".join(parts) + b"}", total, left_out, known=total > 0 or bool(left_out))


def _users(connection: Connection, ids: list[str]) -> Rows:
    person = users.alias()
    query = (
        select(users.c.user_id, person.c.user_id.label("person"), users.c.attributes, users.c.updated_at)
        .join_from(users, person, person.c.user_key == users.c.person_key, isouter=True)
        .where(users.c.user_id.in_(ids))
    )
    for row in connection.execute(query.order_by(users.c.user_id)):
        yield {**row._asdict(), "attributes": json.loads(row.attributes)}


def _identities(connection: Connection, ids: list[str]) -> Rows:
    named = identities.c.anonymous_id.in_(ids) | identities.c.user_id.in_(ids)
    return _plain(connection, select(identities).where(named).order_by(identities.c.event_time.desc()))


def _interactions(connection: Connection, ids: list[str]) -> Rows:
    left = ("user_key", "item_key", "interaction_key", "event_type")
    kept = [column for column in interactions.c if column.name not in left]
    query = (
        select(users.c.user_id, items.c.item_id, items.c.title, interactions.c.event_type, *kept)
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .join(items, items.c.item_key == interactions.c.item_key)
        .where(users.c.user_id.in_(ids))
        .order_by(interactions.c.event_time.desc(), interactions.c.interaction_key.desc())
    )
    for row in connection.execute(query):
        yield {**row._asdict(), "event_type": EVENT_TYPES[row.event_type]}


def _edges(connection: Connection, ids: list[str]) -> Rows:
    counts = [edges.c[name] for name in COUNT_COLUMNS]
    query = (
        select(users.c.user_id, items.c.item_id, edges.c.first_time, edges.c.last_time, *counts)
        .join_from(edges, users, users.c.user_key == edges.c.user_key)
        .join(items, items.c.item_key == edges.c.item_key)
        .where(users.c.user_id.in_(ids))
        .order_by(edges.c.last_time.desc(), items.c.item_id)
    )
    return _plain(connection, query)


def _impressions(connection: Connection, ids: list[str]) -> Rows:
    order = (impressions.c.event_time.desc(), impressions.c.request_id, impressions.c.position)
    return _plain(connection, select(impressions).where(impressions.c.user_id.in_(ids)).order_by(*order))


def _seen_items(connection: Connection, ids: list[str]) -> Rows:
    order = (seen_items.c.event_time.desc(), seen_items.c.request_id, seen_items.c.position)
    return _plain(connection, select(seen_items).where(seen_items.c.user_id.in_(ids)).order_by(*order))


def _attributions(connection: Connection, ids: list[str]) -> Rows:
    events = (
        select(interactions.c.event_id)
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .where(users.c.user_id.in_(ids))
    )
    query = select(attributions).where(attributions.c.event_id.in_(events)).order_by(attributions.c.event_time.desc())
    for row in connection.execute(query):
        yield {**row._asdict(), "event_type": EVENT_TYPES[row.event_type]}


def _erasures(connection: Connection, ids: list[str]) -> Rows:
    for row in connection.execute(select(erasures).where(erasures.c.user_id.in_(ids))):
        yield {**row._asdict(), "receipt": json.loads(row.receipt)}


def _plain(connection: Connection, query: Select[Any]) -> Rows:
    return (row._asdict() for row in connection.execute(query))


_TABLES: dict[str, Callable[[Connection, list[str]], Rows]] = {
    "users": _users,
    "identities": _identities,
    "erasures": _erasures,
    "interactions": _interactions,
    "attributions": _attributions,
    "impressions": _impressions,
    "seen_items": _seen_items,
    "edges": _edges,
}
"""The tables that name a shopper, in the order of the export; a test holds that none is missing."""

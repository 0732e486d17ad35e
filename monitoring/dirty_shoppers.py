"""Dirty shoppers: whose credits must be computed again, since when, and of which hours their lists are.

Arrives: rows of `dirty_shoppers`, a batch at a time. Leaves: `Shopper` values: a person with all sessions, the earliest
change, and the marks that made it dirty. Next: `monitoring.attribution`.

A mark names the id that the shop sent. The person and the other sessions are looked up here, so a login needs no other
marks than those of the ids that it moves.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, collate, select, text

from graphstore.tables import HOUR_MS, dirty_shoppers
from monitoring.crediting import CLOCK_SKEW_MS

_WANTED = {
    "sqlite": "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS since FROM json_each(:wanted)",
    "postgresql": (
        "SELECT {cast} AS id, CAST(value ->> 1 AS bigint) AS since FROM jsonb_array_elements(CAST(:wanted AS jsonb))"
    ),
}
_LISTS = f"""
SELECT w.id, m.event_time / {HOUR_MS} AS hour, COUNT(*) AS items FROM w CROSS JOIN impressions m
WHERE m.user_id = w.id AND m.event_time >= w.since GROUP BY w.id, m.event_time / {HOUR_MS}
"""
# A list is changed by whoever has seen it, who is nearly always its own shopper.
_SEEN = """
SELECT w.id, m.user_id, MIN(m.event_time) AS since FROM w CROSS JOIN seen_items s
JOIN impressions m ON m.request_id = s.request_id AND m.position = s.position
WHERE s.user_id = w.id AND s.event_time >= w.since GROUP BY w.id, m.user_id
"""
_MEMBERS = """
SELECT u.user_id, u.user_key, w.id AS person FROM w CROSS JOIN users u WHERE u.user_key = w.id
UNION ALL
SELECT u.user_id, u.user_key, w.id FROM w CROSS JOIN users u WHERE u.person_key = w.id
"""
_MARKS = "SELECT w.id, d.since, d.generation FROM w CROSS JOIN dirty_shoppers d WHERE d.user_id = w.id"


@dataclass
class Shopper:
    """A person to attribute again."""

    since: int
    """Nothing has changed before (epoch ms)."""
    names: set[str] = field(default_factory=set)
    """All ids of the person."""
    keys: set[int] = field(default_factory=set)
    """The keys of these ids; ids without an event have none."""
    marks: dict[str, int] = field(default_factory=dict)
    """The generation of each mark that is done with this shopper, by id."""
    hours: set[int] = field(default_factory=set)
    """The hours of lists that have changed, as event_time // HOUR_MS."""
    items: int = 0
    """Impressions since `since`."""


def wanted(connection: Connection, statement: str, ids: Mapping[Any, int], **values: Any) -> Iterable[Row[Any]]:
    """Run a query that joins `w`, the rows (id, since). The ids are either all texts or all integers.

    One parameter holds them all, so their number has no limit and the database keeps the plan.
    """
    if not ids:
        return []
    whole = isinstance(next(iter(ids)), int)
    cte = _WANTED[connection.dialect.name].format(cast="CAST(value ->> 0 AS bigint)" if whole else "value ->> 0")
    query = text(f"WITH w AS MATERIALIZED ({cte}) {statement}")
    return connection.execute(query, {"wanted": json.dumps(list(ids.items())), **values})


def read_dirty(connection: Connection, *, after: str, limit: int) -> tuple[list[Shopper], str | None]:
    """Return the shoppers of the next `limit` marks behind the id `after`, and the last id. None: no mark is left."""
    column = dirty_shoppers.c.user_id
    in_order = collate(column, "C") if connection.dialect.name == "postgresql" else column
    query = select(column, dirty_shoppers.c.since, dirty_shoppers.c.generation)
    rows = connection.execute(query.where(in_order > after).order_by(in_order).limit(limit)).all()
    if not rows:
        return [], None
    return _shoppers(connection, rows), str(rows[-1].user_id)


def _shoppers(connection: Connection, rows: Iterable[Row[Any, Any, Any]]) -> list[Shopper]:
    marks = {row.user_id: (int(row.since), int(row.generation)) for row in rows}
    since: dict[str, int] = {}
    seen_by: dict[str, set[str]] = {}
    new = {user: mark[0] for user, mark in marks.items()}
    while new:
        since |= {name: min(time, since.get(name, time)) for name, time in new.items()}
        for row in wanted(connection, _SEEN, new):
            since[row.user_id] = min(int(row.since), since.get(row.user_id, int(row.since)))
            seen_by.setdefault(row.user_id, set()).add(row.id)
        members, person_of = _persons(connection, since)
        others = {name: 0 for person in members.values() for name in person.names if name not in marks}
        new = {}
        for row in wanted(connection, _MARKS, others):  # the marks of the other sessions are done at the same time
            marks[row.id] = (int(row.since), int(row.generation))
            new[row.id] = int(row.since)
    for name, earliest in since.items():
        shopper = members[person_of[name]]
        shopper.since = min(shopper.since, earliest - CLOCK_SKEW_MS)  # a list may get an event that is older
        for marked in {name, *seen_by.get(name, ())} & marks.keys():
            shopper.marks[marked] = marks[marked][1]
    for row in wanted(connection, _LISTS, since):
        shopper = members[person_of[row.id]]
        shopper.hours.add(int(row.hour))
        shopper.items += int(row.items)
    return list(members.values())


def _persons(connection: Connection, names: Iterable[str]) -> tuple[dict[str, Shopper], dict[str, str]]:
    """Return the persons of the ids, and the name of the person of each of their ids."""
    query = "SELECT u.user_id, COALESCE(u.person_key, u.user_key) AS person FROM w CROSS JOIN users u"
    known = wanted(connection, f"{query} WHERE u.user_id = w.id", dict.fromkeys(names, 0))
    of_name = {row.user_id: int(row.person) for row in known}
    shoppers: dict[str, Shopper] = {}
    person_of: dict[str, str] = {}
    for row in wanted(connection, _MEMBERS, dict.fromkeys(of_name.values(), 0)):
        shopper = shoppers.setdefault(f"key {row.person}", Shopper(_NEVER))
        shopper.names.add(row.user_id)
        shopper.keys.add(int(row.user_key))
        person_of[row.user_id] = f"key {row.person}"
    for name in names:
        if name not in person_of:  # a visitor without an event has no row in `users`
            shoppers[f"name {name}"] = Shopper(_NEVER, {name})
            person_of[name] = f"name {name}"
    return shoppers, person_of


_NEVER = 2**62


def lock_marks(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """Return the generations of the marks that are there, and keep them as they are until the transaction ends."""
    if connection.dialect.name == "sqlite":  # a write transaction is exclusive
        rows = wanted(
            connection,
            "SELECT d.user_id, d.generation FROM w CROSS JOIN dirty_shoppers d WHERE d.user_id = w.id",
            dict.fromkeys(names, 0),
        )
        return {row.user_id: int(row.generation) for row in rows}
    column = dirty_shoppers.c.user_id
    query = select(column, dirty_shoppers.c.generation).where(column.in_(set(names)))
    locked = connection.execute(query.order_by(collate(column, "C")).with_for_update())
    return {row.user_id: int(row.generation) for row in locked}


def forgotten(connection: Connection, names: Iterable[str]) -> set[str]:
    """Return which of the ids were erased."""
    rows = wanted(
        connection, "SELECT w.id FROM w CROSS JOIN erasures e WHERE e.user_id = w.id", dict.fromkeys(names, 0)
    )
    return {row.id for row in rows}

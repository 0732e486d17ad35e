"""Erasure in SQL: removes a person with all their sessions, and leaves a tombstone that refuses later events.

Arrives: a user id. Leaves: no row that names the person, tombstones in `erasures`, and a receipt with each. Next:
`serving.forget` erases Redis and the snapshots, and completes the receipt.

The erasure is one transaction that excludes other writers: an event is either stored before and erased, or it meets the
tombstone. Item counters are corrected by the erased interactions. Events that a compaction removed earlier stay
counted, but no user is stored with these counts. A receipt holds only counts.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, or_, select, text, update
from sqlalchemy.exc import NoResultFound

from graphstore.batch import execute_many, lock_writers
from graphstore.dirty import mark_removed
from graphstore.session import read, write
from graphstore.state import people_changed
from graphstore.tables import COUNT_COLUMNS, HOUR_MS, erasures, identities, interactions, users

CHUNK_IDS = 500

Receipt = dict[str, Any]
"""JSON: the number of erased rows in each place. All rows of one person share the value of `erasure`."""

_TOMBSTONE = """
INSERT INTO erasures (user_id, requested_at, receipt) VALUES ({values}) ON CONFLICT (user_id) DO NOTHING
"""
_COUNTED = ", ".join(f"COUNT(*) FILTER (WHERE event_type = {code}) AS {n}" for code, n in enumerate(COUNT_COLUMNS))
_SUBTRACTED = ", ".join(f"{name} = item_buckets.{name} - taken.{name}" for name in COUNT_COLUMNS)
_ALL_ZERO = " AND ".join(f"{name} = 0" for name in COUNT_COLUMNS)
_OF_KEYS = "SELECT {what} FROM interactions WHERE user_key IN :keys"

_STEPS: tuple[tuple[str, str], ...] = (
    (
        "item_buckets",
        f"""
        UPDATE item_buckets SET {_SUBTRACTED}
        FROM (
            SELECT event_time / {HOUR_MS} AS hour, item_key, {_COUNTED}
            FROM interactions WHERE user_key IN :keys GROUP BY event_time / {HOUR_MS}, item_key
        ) AS taken
        WHERE item_buckets.hour = taken.hour AND item_buckets.item_key = taken.item_key
        """,
    ),
    (
        "",
        f"""
        DELETE FROM item_buckets
        WHERE (hour, item_key) IN ({_OF_KEYS.format(what=f"event_time / {HOUR_MS}, item_key")}) AND {_ALL_ZERO}
        """,
    ),
    ("attributions", f"DELETE FROM attributions WHERE event_id IN ({_OF_KEYS.format(what='event_id')})"),
    ("interactions", "DELETE FROM interactions WHERE user_key IN :keys"),
    ("edges", "DELETE FROM edges WHERE user_key IN :keys"),
    (
        "attributions",
        "DELETE FROM attributions WHERE request_id IN (SELECT request_id FROM impressions WHERE user_id IN :ids)",
    ),
    ("impressions", "DELETE FROM impressions WHERE user_id IN :ids"),
    ("seen_items", "DELETE FROM seen_items WHERE user_id IN :ids"),
    ("identities", "DELETE FROM identities WHERE anonymous_id IN :ids OR user_id IN :ids"),
    ("stale people", "DELETE FROM stale_people WHERE user_id IN :ids"),
    ("users", "DELETE FROM users WHERE user_id IN :ids"),
)
"""The statements for each chunk of ids, in order, with the place that the receipt counts ("" is not counted)."""


@dataclass(frozen=True)
class Person:
    """The person behind an id, with the ids of all their sessions and the number of their interactions."""

    user_id: str
    ids: list[str]
    interactions: int
    known: bool
    """Whether the graph knows one of the ids."""


@dataclass(frozen=True)
class Erasure:
    """The tombstones of a person. `completed_at` (epoch ms) is None until the erasure is complete everywhere."""

    user_id: str
    ids: list[str]
    requested_at: int
    completed_at: int | None
    receipt: Receipt


def find_person(engine: Engine, user_id: str) -> Person:
    """Return the person that `erase_person` would erase."""
    with read(engine) as connection:
        ids = sorted(_members(connection, user_id))
        keys = list(_keys(connection, ids).values())
        count = 0
        for some in _chunks(keys):
            count += connection.scalar(select(func.count()).where(interactions.c.user_key.in_(some))) or 0
    return Person(user_id, ids, count, known=bool(keys))


def erase_person(engine: Engine, user_id: str, *, now: int) -> Erasure:
    """Erase the person in SQL and leave tombstones of `now` (epoch ms), also for an unknown id.

    A second call erases what is left and keeps the first tombstones.
    """
    with write(engine) as connection:
        lock_writers(connection, shared=False)
        known = _erasure(connection, user_id)
        ids = sorted(_members(connection, user_id).union(known.ids if known else ()))
        receipt = {"erasure": secrets.token_hex(8), **(known.receipt if known else {})}
        requested_at = known.requested_at if known else now
        execute_many(connection, _TOMBSTONE, [(name, requested_at, json.dumps(receipt)) for name in ids])
        removed = _remove(connection, ids)
        people_changed(connection)
        _write_receipt(connection, ids, merged(receipt, {"sql": removed}) | {"ids": len(ids)})
        return _stored(connection, user_id)


def add_to_receipt(
    engine: Engine, user_id: str, parts: Mapping[str, Any], *, completed_at: int | None = None
) -> Erasure:
    """Add counts of other stores to the receipt (`merged`). `completed_at` (epoch ms) marks the erasure as complete."""
    with write(engine) as connection:
        lock_writers(connection, shared=False)
        erasure = _stored(connection, user_id)
        _write_receipt(connection, erasure.ids, merged(erasure.receipt, parts))
        if completed_at is not None:
            open_ones = erasures.c.user_id.in_(bindparam("ids", expanding=True)), erasures.c.completed_at.is_(None)
            for some in _chunks(erasure.ids):
                connection.execute(update(erasures).where(*open_ones).values(completed_at=completed_at), {"ids": some})
        return _stored(connection, user_id)


def list_erasures(engine: Engine) -> list[Erasure]:
    """Return every erased person under their smallest id, oldest request first."""
    with read(engine) as connection:
        groups: dict[str, Erasure] = {}
        for row in connection.execute(select(erasures).order_by(erasures.c.requested_at, erasures.c.user_id)):
            receipt: Receipt = json.loads(row.receipt)
            number = receipt.get("erasure", row.user_id)
            if number in groups:
                groups[number].ids.append(row.user_id)
            else:
                groups[number] = Erasure(row.user_id, [row.user_id], row.requested_at, row.completed_at, receipt)
    return list(groups.values())


def merged(receipt: Mapping[str, Any], parts: Mapping[str, Any]) -> Receipt:
    """Merge two receipts: add numbers at every depth, replace everything else."""
    found = dict(receipt)
    for name, part in parts.items():
        known = found.get(name)
        if isinstance(part, Mapping):
            found[name] = merged(known if isinstance(known, Mapping) else {}, part)
        elif isinstance(part, int) and not isinstance(part, bool) and isinstance(known, int):
            found[name] = known + part
        else:
            found[name] = part
    return found


def _remove(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of deleted rows by place; for `item_buckets` the number of corrected rows."""
    removed = {place: 0 for place, _ in _STEPS if place}
    for some in _chunks(ids):
        keys = list(_keys(connection, some).values())
        mark_removed(connection, some, keys)
        for place, statement in _STEPS:
            given = {"keys": keys} if ":keys" in statement else {"ids": some}
            bound = text(statement).bindparams(*(bindparam(name, expanding=True) for name in given))
            done = connection.execute(bound, given).rowcount
            if place:
                removed[place] += done
    return removed


def _members(connection: Connection, user_id: str) -> set[str]:
    """Return all ids of the person behind an id: follow the logins in both directions until no new id is found."""
    found: set[str] = {user_id}
    edge = {user_id}
    person = users.alias()
    while edge:
        near: set[str] = set()
        for some in _chunks(sorted(edge)):
            logins = select(identities.c.anonymous_id, identities.c.user_id).where(
                or_(identities.c.anonymous_id.in_(some), identities.c.user_id.in_(some))
            )
            belonging = select(users.c.user_id, person.c.user_id).join(person, person.c.user_key == users.c.person_key)
            for query in (
                logins,
                belonging.where(users.c.user_id.in_(some)),
                belonging.where(person.c.user_id.in_(some)),
            ):
                near.update(name for row in connection.execute(query) for name in row)
        edge = near - found
        found |= edge
    return found


def _keys(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _chunks(ids):
        query = select(users.c.user_id, users.c.user_key).where(users.c.user_id.in_(some))
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found


def _erasure(connection: Connection, user_id: str) -> Erasure | None:
    row = connection.execute(select(erasures).where(erasures.c.user_id == user_id)).one_or_none()
    if row is None:
        return None
    receipt: Receipt = json.loads(row.receipt)
    ids = [user_id]
    if "erasure" in receipt:
        same = select(erasures.c.user_id, erasures.c.receipt).where(erasures.c.requested_at == row.requested_at)
        rows = connection.execute(same).all()
        ids = sorted(r.user_id for r in rows if json.loads(r.receipt).get("erasure") == receipt["erasure"])
    return Erasure(user_id, ids, row.requested_at, row.completed_at, receipt)


def _stored(connection: Connection, user_id: str) -> Erasure:
    found = _erasure(connection, user_id)
    if found is None:
        raise NoResultFound(f"{user_id!r} was never forgotten")
    return found


def _write_receipt(connection: Connection, ids: Iterable[str], receipt: Receipt) -> None:
    rows = [{"id": user_id, "written": json.dumps(receipt)} for user_id in ids]
    connection.execute(
        update(erasures).where(erasures.c.user_id == bindparam("id")).values(receipt=bindparam("written")), rows
    )


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + CHUNK_IDS] for start in range(0, len(values), CHUNK_IDS))

"""Interactions as one array: what a snapshot reads from SQL, keeps in its directory, and hands to the next one.

Arrives: rows of `interactions` and `identities`. Leaves: `events` [num_events] of `EVENT`, sorted by (time, key), and
the sessions' persons. Next: `graphstore.snapshots.snapshot` makes a graph of them.

A snapshot reads only what its parent has not: later rows, and earlier rows of a time that the parent left out. All
rows are kept, also those that a return took back: a later event may change which ones stand.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, and_, func, select

from graphstore.arrays import IntArray
from graphstore.batch import lock_writers
from graphstore.identities import resolve
from graphstore.tables import identities, interactions, users

EVENT = np.dtype(
    [
        ("key", "<i8"),  # the order of ingestion
        ("user", "<i8"),  # user_key of the id that the shop sent
        ("item", "<i8"),
        ("time", "<i8"),  # epoch ms
        ("value", "<f4"),  # NaN: none
        ("quantity", "<f4"),  # NaN: none
        ("type", "<i2"),  # place in EVENT_TYPES
    ]
)
FETCH_ROWS = 10_000

REWRITE_LOCK = ".rewriting"
"""The lock of a directory of snapshots: two processes that rewrite at once would each bring back what the other took
out."""

Events = npt.NDArray[np.void]


@dataclass(frozen=True)
class Seen:
    """What a reading saw: events of a time before `as_of` (epoch ms) among the rows up to `last_key`."""

    as_of: int
    last_key: int

    def condition(self) -> ColumnElement[bool]:
        """The rows of `interactions` that it covers."""
        return and_(interactions.c.event_time < self.as_of, interactions.c.interaction_key <= self.last_key)

    def covers(self, other: "Seen") -> bool:
        """Whether the other saw nothing that this does not see."""
        return other.as_of <= self.as_of and other.last_key <= self.last_key


def snapshot_id(seen: Seen) -> str:
    """The name of a snapshot: readable, sortable by time, unique by what it saw."""
    return f"s{seen.as_of:013d}-{seen.last_key}"


def seen_by(name: str) -> Seen | None:
    """What the snapshot of this name saw; None for what is no name of one."""
    found = re.fullmatch("s([0-9]+)-([0-9]+)", name)
    return Seen(int(found[1]), int(found[2])) if found else None


def snapshots_in(directory: Path) -> Iterator[tuple[Seen, Path]]:
    """Every whole snapshot of a directory with what it saw, oldest first."""
    for path in sorted(directory.glob("s*-*")):
        if (seen := seen_by(path.name)) is not None:
            yield seen, path


def last_key(connection: Connection, as_of: int) -> int:
    """The newest row with a time before `as_of`, 0 without one; no row up to it can still turn up.

    Waits for the writers under way: on PostgreSQL a key is given out before its transaction commits, so that a row
    may appear behind a newer one. The caller's transaction should end soon: it keeps writers waiting.
    """
    lock_writers(connection, shared=False)
    newest = select(func.max(interactions.c.interaction_key)).where(interactions.c.event_time < as_of)
    return int(connection.scalar(newest) or 0)


def read_events(connection: Connection, seen: Seen, *, parent: Seen | None = None) -> Events:
    """The rows that `seen` covers and `parent` does not, sorted by (time, key); memory for one array of them."""
    if parent is None:
        return _sorted(np.fromiter(_rows(connection, [seen.condition()]), dtype=EVENT))
    key = interactions.c.interaction_key
    later = and_(seen.condition(), key > parent.last_key)
    # An expression, so that SQLite does not walk all old keys for the few rows between the two times.
    between = and_(seen.condition(), key + 0 <= parent.last_key, interactions.c.event_time >= parent.as_of)
    return _sorted(np.fromiter(_rows(connection, [later, between]), dtype=EVENT))


def _rows(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> Iterator[tuple[Any, ...]]:
    options = {"stream_results": True, "yield_per": FETCH_ROWS}
    for condition in conditions:
        query = select(
            interactions.c.interaction_key,
            interactions.c.user_key,
            interactions.c.item_key,
            interactions.c.event_time,
            interactions.c.value,
            interactions.c.quantity,
            interactions.c.event_type,
        ).where(condition)
        for key, user, item, time, value, quantity, kind in connection.execute(query, execution_options=options):
            yield key, user, item, time, nan if value is None else value, nan if quantity is None else quantity, kind


def merge(older: Events, newer: Events) -> Events:
    """Both, sorted by (time, key)."""
    return _sorted(np.concatenate([older, newer])) if len(newer) else older


def _sorted(events: Events) -> Events:
    return events[np.lexsort((events["key"], events["time"]))]


def read_sessions(connection: Connection, as_of: int) -> IntArray:
    """(user_key of a session, user_key of its person) [num_sessions, 2], by logins of a time before `as_of`."""
    query = select(identities.c.anonymous_id, identities.c.user_id).where(identities.c.event_time < as_of)
    persons = resolve({row[0]: row[1] for row in connection.execute(query)})
    ids = sorted({user for pair in persons.items() for user in pair})
    keys: dict[str, int] = {}
    for start in range(0, len(ids), FETCH_ROWS):
        known = select(users.c.user_id, users.c.user_key).where(users.c.user_id.in_(ids[start : start + FETCH_ROWS]))
        keys |= {row[0]: row[1] for row in connection.execute(known)}
    pairs = sorted((keys[user], keys[person]) for user, person in persons.items() if user != person)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def persons_of(user_keys: IntArray, sessions: IntArray) -> IntArray:
    """The person of each user key [n], by `sessions` [num_sessions, 2], sorted by session."""
    if not len(sessions):
        return user_keys
    place = np.minimum(np.searchsorted(sessions[:, 0], user_keys), len(sessions) - 1)
    return np.where(sessions[place, 0] == user_keys, sessions[place, 1], user_keys)

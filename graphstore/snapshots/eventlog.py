"""The events of a snapshot as one array, and the names of snapshots.

Arrives: rows of `identities`, and the events that `graphstore.snapshots.readers` has read. Leaves: events [num_events]
of dtype `EVENT`, sorted by (time, key), and the persons of sessions. Next: `graphstore.snapshots.snapshot` makes a
graph of them.

A snapshot keeps all rows, also purchases that a return took back, because a later event may change which
purchases remain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
        ("value", "<f4"),  # NaN: missing
        ("quantity", "<f4"),  # NaN: missing
        ("type", "<i2"),  # index in EVENT_TYPES
    ]
)
FETCH_ROWS = 10_000

REWRITE_LOCK = ".rewriting"
"""The lock file of a snapshot directory. Without it, two processes that rewrite at the same time would each restore
what the other removed."""

Events = npt.NDArray[np.void]


@dataclass(frozen=True)
class Seen:
    """The rows that a snapshot has read: events before `as_of` (epoch ms) among the rows up to `last_key`."""

    as_of: int
    last_key: int

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition for these rows of `interactions`."""
        return and_(interactions.c.event_time < self.as_of, interactions.c.interaction_key <= self.last_key)

    def covers(self, other: "Seen") -> bool:
        """Return whether this contains all rows of `other`."""
        return other.as_of <= self.as_of and other.last_key <= self.last_key


def snapshot_id(seen: Seen) -> str:
    """Return the name of a snapshot: readable, sortable by time, unique for the rows that it has read."""
    return f"s{seen.as_of:013d}-{seen.last_key}"


def seen_by(name: str) -> Seen | None:
    """Return the rows behind a snapshot's name, or None when the name is not a snapshot's."""
    found = re.fullmatch("s([0-9]+)-([0-9]+)", name)
    return Seen(int(found[1]), int(found[2])) if found else None


def snapshots_in(directory: Path) -> Iterator[tuple[Seen, Path]]:
    """Yield every complete snapshot of a directory with the rows that it has read, oldest first."""
    for path in sorted(directory.glob("s*-*")):
        if (seen := seen_by(path.name)) is not None:
            yield seen, path


def last_key(connection: Connection, as_of: int) -> int:
    """Return the newest key of an event before `as_of` (0 without one). No smaller key can appear later.

    Waits for the running writers, because PostgreSQL assigns a key before its transaction commits. The caller should
    end its transaction soon: new writers wait for it.
    """
    lock_writers(connection, shared=False)
    newest = select(func.max(interactions.c.interaction_key)).where(interactions.c.event_time < as_of)
    return int(connection.scalar(newest) or 0)


def merge(older: Events, newer: Events) -> Events:
    """Return both arrays as one, sorted by (time, key)."""
    return in_order(np.concatenate([older, newer])) if len(newer) else older


def in_order(events: Events) -> Events:
    """Return the events sorted by (time, key)."""
    return events[np.lexsort((events["key"], events["time"]))]


def read_sessions(connection: Connection, as_of: int) -> IntArray:
    """Return (user_key of a session, user_key of its person) [num_sessions, 2] for logins before `as_of`."""
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
    """Return the person of each user key [n]. `sessions` [num_sessions, 2] is sorted by session."""
    if not len(sessions):
        return user_keys
    index = np.minimum(np.searchsorted(sessions[:, 0], user_keys), len(sessions) - 1)
    return np.where(sessions[index, 0] == user_keys, sessions[index, 1], user_keys)

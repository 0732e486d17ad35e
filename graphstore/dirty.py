"""Dirty marks: which shoppers must be attributed again, and which hours must be counted again.

Arrives: what a transaction has stored or deleted. Leaves: rows of `dirty_shoppers` and `dirty_windows`, in the same
transaction. Next: `monitoring.attribution` and `monitoring.dirty_windows` do the work and take the marks away.

Data and mark are committed together. So the monitor sees both or neither, however long it was down, and nothing is
asked twice. Rejected for interactions: a cursor over `interaction_key`. On PostgreSQL a smaller key may become visible
after a greater one, so each read of the cursor had to stop all writers for a moment, and a worker with a long batch
would stop them for long.
Only events that can be attributed make a mark, which is one row for each shopper in a batch: 0.9 µs an event, 2.4 % of
what SQLite needs to store a batch of 1,000 events of which 400 can be attributed.

Each marking gives the row a new random `generation`. Whoever takes a mark away names the generation that it has read. A
counter is not enough: a mark that was taken away and made again would begin with the same number.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, Engine, bindparam, text

from graphstore.batch import execute_at_once, execute_many
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, HOUR_MS, TAKE_BACKS

ATTRIBUTED_TYPES = frozenset(EVENT_TYPES.index(name) for name in ("click", "cart", "purchase", *TAKE_BACKS))
"""The events that can be credited to a list. Views and ratings cannot."""

_MARK_SHOPPERS = """
INSERT INTO dirty_shoppers (user_id, since, generation) {rows}
ON CONFLICT (user_id) DO UPDATE SET since = {least}(dirty_shoppers.since, excluded.since),
    generation = excluded.generation
"""
_NEXT_SHOPPERS = """
SELECT user_id, MIN(event_time) FROM impressions WHERE user_id > :after GROUP BY user_id ORDER BY user_id LIMIT :limit
"""
_MARK_WINDOWS = """
INSERT INTO dirty_windows (window_start, window_end, generation) VALUES ({values})
ON CONFLICT (window_start, window_end) DO UPDATE SET generation = excluded.generation
"""
_HOURS_OF_LISTS = f"SELECT DISTINCT event_time / {HOUR_MS} FROM impressions WHERE user_id IN :ids"
_HOURS_OF_EVENTS = f"""
SELECT DISTINCT a.list_time / {HOUR_MS} FROM interactions i JOIN attributions a ON a.event_id = i.event_id
WHERE i.user_key IN :keys AND a.list_time IS NOT NULL
"""
_SEEN_OF_OTHERS = """
SELECT m.user_id, MIN(m.event_time) FROM seen_items s
JOIN impressions m ON m.request_id = s.request_id AND m.position = s.position
WHERE s.user_id IN :ids GROUP BY m.user_id
"""
SHOPPERS_A_WRITE = 2_000

_FORGET_SHOPPERS = "DELETE FROM dirty_shoppers WHERE user_id IN :ids"
_EARLIEST = """
SELECT MIN(found) FROM (
    SELECT MIN(event_time) AS found FROM impressions WHERE user_id IN :ids
    UNION ALL
    SELECT MIN(i.event_time) FROM users u JOIN interactions i ON i.user_key = u.user_key WHERE u.user_id IN :ids
) AS rows_of_users
"""


def new_generation() -> int:
    """Return a number that no other marking has."""
    return secrets.randbits(62)


def mark_shoppers(connection: Connection, since: Mapping[str, int]) -> None:
    """Mark shoppers: something of theirs at or after `since[user_id]` (epoch ms) has changed.

    Sorted, so that two writers lock rows in the same order. The caller owns the transaction.
    """
    generation = new_generation()
    rows = [(user, since[user], generation) for user in sorted(since)]
    execute_at_once(connection, _MARK_SHOPPERS, ("varchar", "bigint", "bigint"), rows)


def mark_windows(connection: Connection, windows: Collection[tuple[int, int]]) -> None:
    """Mark windows (start, end) in epoch ms: their figures must be counted again. The caller owns the transaction."""
    generation = new_generation()
    execute_many(connection, _MARK_WINDOWS, [(start, end, generation) for start, end in sorted(windows)])


def mark_hours(connection: Connection, hours: Iterable[int]) -> None:
    """Mark clock hours by their number, `event_time // HOUR_MS`."""
    mark_windows(connection, {(hour * HOUR_MS, (hour + 1) * HOUR_MS) for hour in hours})


def mark_logins(connection: Connection, moved: Collection[str], concerned: Collection[str]) -> None:
    """Mark the ids that belong to another person now, and the old and new persons, since the first row of these ids.

    Sessions without any row change nothing. The caller excludes other writers, so none is added meanwhile.
    """
    if not moved:
        return
    query = text(_EARLIEST).bindparams(bindparam("ids", expanding=True))
    earliest = connection.scalar(query, {"ids": sorted(moved)})
    if earliest is not None:
        mark_shoppers(connection, dict.fromkeys({*moved, *concerned}, int(earliest)))


def mark_everyone(engine: Engine) -> None:
    """Mark every shopper who has a list, some at a time: the rules of attribution have changed."""
    after = ""
    while True:
        with read(engine) as connection:
            found = connection.execute(text(_NEXT_SHOPPERS), {"after": after, "limit": SHOPPERS_A_WRITE}).all()
        if not found:
            return
        with write(engine) as connection:
            mark_shoppers(connection, {row[0]: int(row[1]) for row in found})
        after = found[-1][0]


def mark_removed(connection: Connection, ids: Sequence[str], keys: Sequence[int]) -> None:
    """Before an erasure deletes the rows of these ids: mark the hours that lose a list or a click.

    Shoppers whose lists were seen by one of the ids are marked, too. The marks of the ids themselves are deleted,
    because a mark names its shopper.
    """
    hours = set(_all(connection, _HOURS_OF_LISTS, "ids", ids))
    hours |= set(_all(connection, _HOURS_OF_EVENTS, "keys", keys))
    mark_hours(connection, hours)
    query = text(_SEEN_OF_OTHERS).bindparams(bindparam("ids", expanding=True))
    mark_shoppers(connection, {row[0]: int(row[1]) for row in connection.execute(query, {"ids": list(ids)})})
    forget = text(_FORGET_SHOPPERS).bindparams(bindparam("ids", expanding=True))
    connection.execute(forget, {"ids": list(ids)})


def _all(connection: Connection, statement: str, name: str, values: Sequence[str] | Sequence[int]) -> list[int]:
    query = text(statement).bindparams(bindparam(name, expanding=True))
    return [int(row[0]) for row in connection.execute(query, {name: list(values)})]

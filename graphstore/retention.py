"""Retention: compacts old interactions and deletes old served lists, figures and snapshots.

Arrives: a horizon in time. Leaves: the newest older interaction of each (user, item, type), as Kafka compacts a topic
by key. `edges` and `item_buckets` keep their counts. Next: `training.lifecycle.scheduler` runs it every day.

After a compaction the store refuses events older than the horizon (`Ingested.late`), because it cannot recognise their
duplicates. A snapshot of an earlier time is no longer possible. A (user, item) pair with a return or a cancellation
keeps all its rows, because every row decides which purchase was taken back. Each transaction deletes at most
`ROWS_PER_TRANSACTION` rows, so a worker can write in between. SQLite reuses the freed pages but the file does not
shrink; PostgreSQL's autovacuum does the same.

Served lists and figures have a horizon of their own (`expire`), because whoever reads a list adds rows to them. No
shopper and no window is marked dirty by it (`graphstore.dirty`): what was credited to a deleted list and counted of a
deleted hour stays. `LISTS_HORIZON` tells the monitor which lists are meant.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, TextClause, bindparam, func, select, text

from graphstore.batch import lock_writers
from graphstore.session import read, write
from graphstore.snapshots.eventlog import snapshots_in
from graphstore.state import get_states, raise_to
from graphstore.tables import COMPACTION_HORIZON, LISTS_HORIZON, TAKE_BACKS, users

DAY_MS = 86_400_000
IMPRESSION_DAYS = 90
"""Served lists and their attributions stay for this time: far longer than a click or a drift report looks back."""
FIGURE_DAYS = 400
"""Measured figures (`metric_windows`) stay for this time: a year can be compared with the year before."""
DAILY_FIGURE_DAYS = 1_100
"""The daily figures of the whole shop, one row a day, stay for three years: the dashboard draws a thousand days."""
USERS_AT_A_TIME = 200
ROWS_PER_TRANSACTION = 5_000
ABANDONED_SECONDS = 86_400.0
"""A hidden snapshot directory of this age was left by a killed process."""

_TAKEN_BACK = " + ".join(f"e.{name}s" for name in TAKE_BACKS)
_SUPERSEDED = text(f"""
SELECT interaction_key FROM (
    SELECT i.interaction_key, row_number() OVER (
        PARTITION BY i.user_key, i.item_key, i.event_type ORDER BY i.event_time DESC, i.interaction_key DESC
    ) AS age
    FROM interactions i JOIN edges e ON e.user_key = i.user_key AND e.item_key = i.item_key
    WHERE i.user_key BETWEEN :first AND :last AND i.event_time < :before AND {_TAKEN_BACK} = 0
) AS old WHERE age > 1
""")
# Asked again, because a return may have arrived since the rows were found.
_DELETE_SUPERSEDED = text(f"""
DELETE FROM interactions WHERE interaction_key IN :keys AND EXISTS (
    SELECT 1 FROM edges e
    WHERE e.user_key = interactions.user_key AND e.item_key = interactions.item_key AND {_TAKEN_BACK} = 0
)
""").bindparams(bindparam("keys", expanding=True))
DELETE_LISTS = text("""
DELETE FROM impressions WHERE (request_id, position) IN (
    SELECT request_id, position FROM impressions WHERE event_time < :before ORDER BY event_time LIMIT :rows
)
""")
DELETE_SEEN = text("""
DELETE FROM seen_items WHERE (request_id, position) IN (
    SELECT request_id, position FROM seen_items WHERE event_time < :before ORDER BY event_time LIMIT :rows
)
""")
_DELETE_ATTRIBUTIONS = text("""
DELETE FROM attributions WHERE event_id IN (SELECT event_id FROM attributions WHERE event_time < :before LIMIT :rows)
""")
_DELETE_FIGURES = text(f"""
DELETE FROM metric_windows WHERE (metric, segment, window_start, window_end) IN (
    SELECT metric, segment, window_start, window_end FROM metric_windows
    WHERE window_end < :before AND (
        metric <> 'ctr' OR segment <> 'all' OR window_end - window_start <> {DAY_MS}
        OR window_end < :before - {(DAILY_FIGURE_DAYS - FIGURE_DAYS) * DAY_MS}
    )
    LIMIT :rows
)
""")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Compacted:
    """The number of deleted rows."""

    interactions: int
    impressions: int
    attributions: int


def compact(engine: Engine, *, before: int, progress: Progress = lambda done, total: None) -> Compacted:
    """Compact the events before `before` (epoch ms). Calls `progress(users done, all users)`.

    After a kill, run it again. A later horizon that was set before stays.
    """
    with write(engine) as connection:
        lock_writers(connection, shared=False)  # a concurrent ingest sees the new horizon or has finished
        raise_to(connection, COMPACTION_HORIZON, before)
        before = get_states(connection)[COMPACTION_HORIZON]
        raise_to(connection, LISTS_HORIZON, before)
        newest = int(connection.scalar(select(func.max(users.c.user_key))) or 0)
    removed = 0
    for first in range(1, newest + 1, USERS_AT_A_TIME):
        last = first + USERS_AT_A_TIME - 1
        removed += _compact_users(engine, first, last, before)
        progress(min(last, newest), newest)
    _delete_all(engine, DELETE_SEEN, before)
    return Compacted(
        interactions=removed,
        impressions=_delete_all(engine, DELETE_LISTS, before),
        attributions=_delete_all(engine, _DELETE_ATTRIBUTIONS, before),
    )


def _compact_users(engine: Engine, first: int, last: int, before: int) -> int:
    """Found in a read, which holds nobody up, and deleted some at a time: one shopper may have a million rows."""
    with read(engine) as connection:
        keys = connection.scalars(_SUPERSEDED, {"first": first, "last": last, "before": before}).all()
    removed = 0
    for start in range(0, len(keys), ROWS_PER_TRANSACTION):
        with write(engine) as connection:
            some = keys[start : start + ROWS_PER_TRANSACTION]
            removed += connection.execute(_DELETE_SUPERSEDED, {"keys": some}).rowcount
    return removed


@dataclass(frozen=True)
class Expired:
    """The number of deleted rows."""

    impressions: int
    attributions: int
    figures: int


def expire(engine: Engine, *, now: int) -> Expired:
    """Delete served lists, attributions and figures that are too old at `now` (epoch ms). Safe to repeat."""
    before = now - IMPRESSION_DAYS * DAY_MS
    with write(engine) as connection:
        raise_to(connection, LISTS_HORIZON, before)  # first: a list that is missing later was not always missing
    _delete_all(engine, DELETE_SEEN, before)
    return Expired(
        impressions=_delete_all(engine, DELETE_LISTS, before),
        attributions=_delete_all(engine, _DELETE_ATTRIBUTIONS, before),
        figures=_delete_all(engine, _DELETE_FIGURES, now - FIGURE_DAYS * DAY_MS),
    )


def _delete_all(engine: Engine, statement: TextClause, before: int) -> int:
    removed = 0
    while True:
        with write(engine) as connection:
            rows = connection.execute(statement, {"before": before, "rows": ROWS_PER_TRANSACTION}).rowcount
        removed += rows
        if rows < ROWS_PER_TRANSACTION:
            return removed


def prune_snapshots(directory: Path, *, keep: int) -> list[str]:
    """Delete all but the newest `keep` snapshot directories, and leftovers of killed writers; return the deleted names.

    The rows in the table `snapshots` stay, because they say which snapshot a model was trained on.
    """
    gone = [path for _, path in list(snapshots_in(directory))[: -keep or None]]
    abandoned = time.time() - ABANDONED_SECONDS
    hidden = directory.glob(".*") if directory.exists() else []
    gone += [path for path in hidden if path.is_dir() and path.stat().st_mtime < abandoned]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in gone]


def horizon(engine: Engine) -> int:
    """Return the compaction horizon (epoch ms); 0 when nothing was compacted."""
    with read(engine) as connection:
        return get_states(connection).get(COMPACTION_HORIZON, 0)

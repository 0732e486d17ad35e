"""Window counts: purchases and events of each item in the windows, and in the time before each window.

Arrives: `item_buckets`. Leaves: columns by item. Next: `serving.shop_lists.best_sellers`, `serving.shop_lists.rising`.

A window is the current hour and the hours before it, as in `graphstore.redis.trending`. Only the newest two hours are
read each time. What is older is kept, and read again when an hour begins or after `OLDER_SECONDS`, because events
arrive late: so a step costs milliseconds, also where five weeks have a million rows.
"""

from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from graphstore.arrays import IntArray
from graphstore.queries import interest
from graphstore.redis.hot import TRENDING_WINDOWS_HOURS
from graphstore.tables import HOUR_MS, TAKE_BACKS, item_buckets

PAST_HOURS = {"1h": 24, "24h": 168, "7d": 672}
"""The time before each window that tells what to expect: a day, a week, four weeks."""

WINDOWS = tuple(PAST_HOURS)

NEWEST_HOURS = 2
OLDER_SECONDS = 600.0


@dataclass(frozen=True)
class Counts:
    """Columns of the items with events in the last five weeks. Counts may be negative where much was taken back."""

    item_keys: IntArray  # [n], ascending
    sold: dict[str, IntArray]  # by window: purchases minus take-backs [n]
    events: dict[str, IntArray]  # by window: events minus take-backs [n]
    past: dict[str, IntArray]  # by window: events minus take-backs in `PAST_HOURS` before it [n]


@dataclass
class WindowCounts:
    """Reads the counts, and keeps the older part. `older_seconds` is how long it is kept."""

    older_seconds: float = OLDER_SECONDS
    _older: tuple[int, float, IntArray] | None = field(default=None, init=False)
    """Hour, time and rows of the older part."""

    def read(self, connection: Connection, *, now: int) -> Counts:
        """Return the counts at `now` (epoch ms)."""
        hour = now // HOUR_MS
        begin = hour - NEWEST_HOURS + 1
        kept = self._older
        if kept is None or kept[0] != hour or not 0 <= now / 1000 - kept[1] < self.older_seconds:
            kept = (hour, now / 1000, _sums(connection, hour, item_buckets.c.hour < begin))
            self._older = kept
        rows = np.concatenate([kept[2], _sums(connection, hour, item_buckets.c.hour >= begin)])
        keys, places = np.unique(rows[:, 0], return_inverse=True)
        summed = np.zeros((len(keys), rows.shape[1] - 1), dtype=np.int64)
        np.add.at(summed, places.ravel(), rows[:, 1:])
        sold, events, past = (
            {window: summed[:, 3 * part + place] for place, window in enumerate(WINDOWS)} for part in range(3)
        )
        return Counts(keys, sold, events, past)


def _sums(connection: Connection, hour: int, which: ColumnElement[bool]) -> IntArray:
    """Return rows of item key, three sums of purchases, three of events and three of past events [n, 10]."""
    column = item_buckets.c.hour
    starts = {window: hour - TRENDING_WINDOWS_HOURS[window] + 1 for window in WINDOWS}
    inside = [column >= starts[window] for window in WINDOWS]
    before = [and_(column < starts[window], column >= starts[window] - hours) for window, hours in PAST_HOURS.items()]
    sold: ColumnElement[int] = item_buckets.c.purchases - sum(item_buckets.c[f"{name}s"] for name in TAKE_BACKS)
    parts = [(sold, inside), (interest(), inside), (interest(), before)]
    sums = [func.sum(case((condition, what), else_=0)) for what, conditions in parts for condition in conditions]
    earliest = min(starts[window] - hours for window, hours in PAST_HOURS.items())
    query = select(item_buckets.c.item_key, *sums).where(which, column >= earliest).group_by(item_buckets.c.item_key)
    found = [tuple(map(int, row)) for row in connection.execute(query)]
    return np.array(found, dtype=np.int64).reshape(-1, 1 + len(sums))

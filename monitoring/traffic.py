"""Traffic as columns: the features of what shoppers did in a window, read from SQL for the drift test.

Arrives: `interactions` and `items`. Leaves: one `Traffic` for each window. Next: `drift` compares two of them.

Every column must be free of the window's length and place, or the test would find drift where there is none: a
shopper's activity looks a fixed day back from each event, and an item's popularity is counted over both windows
together. The day of the week is left out, since a day never looks like the week before it. And it must be coarse:
events come in baskets and visits, so a thousand of them are far fewer independent observations. By the single hour a
quiet grocer's day had an index of .3 to .8 against the week before it, by four hours it stays below .2.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from graphstore.tables import EVENT_TYPES, interactions
from monitoring.windows import TimeWindow

DAY_MS = 86_400_000
BLOCK_HOURS = 4
BLOCK_MS = BLOCK_HOURS * 3_600_000
ACTIVITY_BOUND = 8
SAMPLE_ROWS = 50_000
"""Events read from each window at most: without drift a column's index is then below 0.001."""
TOP = 20
OTHER = "(other)"
NONE = "(none)"

CATEGORICAL = ("event_type", "time_of_day", "top_item", "category")
NUMERICAL = ("item_popularity", "price", "activity")

# The inner LIMIT bounds what one very busy shopper (a crawler) can cost.
_SAMPLE = text(f"""
SELECT c.event_type, c.event_time, c.item_key, i.item_id, i.price, i.categories,
       (SELECT COUNT(*) FROM (
           SELECT 1 FROM interactions p
           WHERE p.user_key = c.user_key AND p.event_time > c.event_time - {DAY_MS} AND p.event_time <= c.event_time
           LIMIT {ACTIVITY_BOUND}
       ) AS earlier) AS activity
FROM interactions c JOIN items i ON i.item_key = c.item_key
WHERE c.event_time >= :start AND c.event_time < :end AND c.interaction_key % :step = 0
ORDER BY c.interaction_key
LIMIT :limit
""")


@dataclass(frozen=True)
class Traffic:
    """A window's sampled events: `columns` are of one length, None where an event has no value."""

    window: TimeWindow
    events: int
    """Events in the window, before sampling."""
    columns: Mapping[str, Sequence[str | float | None]]

    @property
    def rows(self) -> int:
        """Events in the sample."""
        return len(self.columns["event_type"])


@dataclass(frozen=True)
class _Sample:
    window: TimeWindow
    events: int
    rows: Sequence[tuple[int, int, int, str, float | None, str, int]]


def drift_windows(
    connection: Connection, *, now: int, window_seconds: int, reference_seconds: int
) -> tuple[TimeWindow, TimeWindow] | None:
    """(reference, current), next to each other; None where nothing has happened yet.

    The current window ends with the newest event at or before `now` (epoch ms), not with the clock: in a quiet night,
    or where dated history is replayed, it still holds the newest traffic there is.
    """
    newest = connection.scalar(select(func.max(interactions.c.event_time)).where(interactions.c.event_time <= now))
    if newest is None:
        return None
    end = int(newest) + 1
    start = end - window_seconds * 1000
    return TimeWindow(start - reference_seconds * 1000, start), TimeWindow(start, end)


def read_traffic(
    connection: Connection, reference: TimeWindow, current: TimeWindow, *, sample_rows: int = SAMPLE_ROWS
) -> tuple[Traffic, Traffic]:
    """The two windows' features, at most `sample_rows` events of each: every n-th in the order of arrival."""
    samples = [_sample(connection, window, sample_rows) for window in (reference, current)]
    popularity = Counter(row[2] for sample in samples for row in sample.rows)
    top_items = {key for key, _ in sorted(popularity.items(), key=lambda entry: (-entry[1], entry[0]))[:TOP]}
    parsed = {text: _category(text) for text in {row[5] for sample in samples for row in sample.rows}}
    categories = Counter(parsed[row[5]] for sample in samples for row in sample.rows)
    top_categories = {name for name, _ in sorted(categories.items(), key=lambda entry: (-entry[1], entry[0]))[:TOP]}
    traffic = [
        Traffic(
            sample.window,
            sample.events,
            {
                "event_type": [EVENT_TYPES[row[0]] for row in sample.rows],
                "time_of_day": [f"{row[1] % DAY_MS // BLOCK_MS * BLOCK_HOURS:02d} h" for row in sample.rows],
                "top_item": [row[3] if row[2] in top_items else OTHER for row in sample.rows],
                "category": [parsed[row[5]] if parsed[row[5]] in top_categories else OTHER for row in sample.rows],
                # Doublings, not counts: equal steps where the mass is, for columns with a long tail.
                "item_popularity": [float(popularity[row[2]].bit_length()) for row in sample.rows],
                "price": [None if row[4] is None else math.log2(1 + row[4]) for row in sample.rows],
                "activity": [float(row[6].bit_length()) for row in sample.rows],
            },
        )
        for sample in samples
    ]
    return traffic[0], traffic[1]


def _sample(connection: Connection, window: TimeWindow, sample_rows: int) -> _Sample:
    times = interactions.c.event_time
    in_window = select(func.count()).where(times >= window.start, times < window.end)
    events = int(connection.scalar(in_window) or 0)
    step = max(1, math.ceil(events / sample_rows))
    bounds = {"start": window.start, "end": window.end, "step": step, "limit": sample_rows}
    rows = [(row[0], row[1], row[2], row[3], row[4], row[5], row[6]) for row in connection.execute(_SAMPLE, bounds)]
    return _Sample(window, events, rows)


def _category(categories: str) -> str:
    """The first of an item's categories (a JSON array, the broadest first)."""
    names = json.loads(categories)
    return str(names[0]) if names else NONE

"""Traffic: the features of the events in a time window, as columns for the drift test, read from SQL.

Arrives: `interactions` and `items`. Leaves: one `Traffic` for each window. Next: `drift` compares two of them.

A column must not depend on the length or the time of the window. Otherwise the test finds drift where there is none.
So a user's activity counts the day before each event, and an item's popularity counts both windows together. The day of
the week is no column, because one day always differs from the week before it.

A column must also be coarse. Events come in baskets and visits, so a thousand events are far fewer independent
observations. With hours as bins, a quiet day of a grocer had an index of .3 to .8 against the week before it. With four
hours as bins, the index stays below .2.
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
"""The maximum number of events read from each window. With so many, a column without drift has an index < 0.001."""
TOP = 20
OTHER = "(other)"
NONE = "(none)"

CATEGORICAL = ("event_type", "time_of_day", "top_item", "category")
NUMERICAL = ("item_popularity", "price", "activity")

# The inner LIMIT bounds the cost of one very active user (a crawler).
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
    """A window's sampled events. All `columns` have the same length; None means that the event has no value."""

    window: TimeWindow
    events: int
    """Number of events in the window, before sampling."""
    columns: Mapping[str, Sequence[str | float | None]]

    @property
    def rows(self) -> int:
        """Number of events in the sample."""
        return len(self.columns["event_type"])


@dataclass(frozen=True)
class _Sample:
    window: TimeWindow
    events: int
    rows: Sequence[tuple[int, int, int, str, float | None, str, int]]


def drift_windows(
    connection: Connection, *, now: int, window_seconds: int, reference_seconds: int
) -> tuple[TimeWindow, TimeWindow] | None:
    """Return the windows (reference, current), one directly after the other, or None if there is no event yet.

    The current window ends with the newest event at or before `now` (epoch ms), not at `now`. So it holds the newest
    traffic also in a quiet night, or when old history is replayed.
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
    """Return the features of both windows, at most `sample_rows` events of each: every n-th in the order of arrival."""
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
                # The logarithm, not the count: then equal bins divide the many small values of a long tail.
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
    """Return the first category of a JSON array of categories (the broadest first)."""
    names = json.loads(categories)
    return str(names[0]) if names else NONE

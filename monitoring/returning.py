"""Returning: the share of shoppers who were shown a list on one day and come back to another one on the next day.

Arrives: the shown lists of people. Leaves: the share of each segment, clustered by shopper. Next: `shop_metrics`.

Days are UTC days. Each day on which a shopper was shown a list of the segment counts once. The list of the next day may
be of any segment. Only days count whose next day is over, so that everybody had the time to come back.
"""

import numpy as np

from graphstore.arrays import IntArray, begins_run, distinct, find_sorted
from graphstore.retention import DAY_MS
from monitoring.clusters import Clusters
from monitoring.measures import Measure
from monitoring.shown import Shown
from monitoring.windows import TimeWindow

_DAY_BITS = 20


class Returning:
    """Adds up the days of shoppers for one kind of segment."""

    def __init__(self, *, now: int) -> None:
        self._now = now
        self._visits: list[IntArray] = []
        self._days: list[tuple[IntArray, IntArray]] = []

    def add_visits(self, rows: Shown, shown: IntArray) -> None:
        """Add the lists (their indices) that were shown to people, also those of the day after the span."""
        self._visits.append(distinct(_keys(rows.person[shown], rows.time[shown] // DAY_MS)))

    def add(self, segment: IntArray, person: IntArray, time: IntArray) -> None:
        """Add impressions [rows] that were shown to people within the span."""
        day = time // DAY_MS
        over = (segment >= 0) & ((day + 2) * DAY_MS <= self._now)
        keys = _keys(person[over], day[over])
        order = np.lexsort((keys, segment[over]))
        of, key = segment[over][order], keys[order]
        new = begins_run(of, key)
        self._days.append((of[new], key[new]))

    def measures(self) -> dict[int, Measure]:
        """Return the share of each segment with such days."""
        visits = distinct(np.concatenate(self._visits)) if self._visits else np.zeros(0, dtype=np.int64)
        clusters = Clusters()
        for segment, key in self._days:
            came_back = find_sorted(key + 1, visits)[1].astype(np.float64)
            clusters.add(segment, key >> _DAY_BITS, [came_back, np.ones(len(key))])
        found = clusters.ratios(0, 1)
        return {segment: Measure.share("return_next_day", sums) for segment, sums in found.items()}


def after(span: TimeWindow, *, now: int) -> TimeWindow:
    """Return the span with the day after it, as far as it is past: only then is it known who came back."""
    return TimeWindow(span.start, max(span.end, min((span.end // DAY_MS + 2) * DAY_MS, now)))


def _keys(person: IntArray, day: IntArray) -> IntArray:
    return (person << _DAY_BITS) | day

"""Pairs of a shopper and an item of the shopper's history, with what the events before a time say of each.

Arrives: `Histories` and a time. Leaves: `Pairs`. Next: `training.terms.habit.item_facts` counts them by item,
`training.terms.habit.columns` describes each for the net.

A visit is a day (UTC) with any event of the shopper. Two events of one day are one visit: a basket of ten lines is no
habit of ten repeats. Ages and gaps are whole days, and an age is at least 1.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from graphstore.arrays import Float64Array, IntArray, begins_run, offsets_of, run_starts
from graphstore.tables import DAY_MS
from training.data.event_log import AsOf, Histories, gather_ranges

HALF_LIVES_DAYS = (15.0, 45.0, 120.0)
"""Half-lives of the decayed counts of a pair, a shopper and an item."""


@dataclass(frozen=True)
class Pairs:
    """P pairs in the order of shopper and item. All ages are in days before the time of the shopper."""

    users: IntArray  # [P] index of the shopper in the batch, ascending
    items: IntArray  # [P] row of the item
    num_days: IntArray  # [P] days with an event of the pair
    last_age: IntArray  # [P] age of its last event
    first_age: IntArray  # [P] age of its first event
    gaps: IntArray  # [G] days between consecutive days of a pair, in the order of the pairs: Σ (num_days − 1)
    same_weekday: Float64Array  # [P] share of its days that fall on the weekday of the time
    visits: IntArray  # [P] visits of the shopper
    visits_since: IntArray  # [P] visits of the shopper after the last event of the pair
    visits_from_first: IntArray  # [P] visits of the shopper from the first event of the pair on, with that one
    user_first_age: IntArray  # [P] age of the shopper's first event
    user_last_age: IntArray  # [P] age of the shopper's last event
    own: Float64Array  # [P, L] events of the pair, decayed with `HALF_LIVES_DAYS`
    total: Float64Array  # [P, L] all events of the shopper, decayed

    @classmethod
    def of(cls, histories: Histories, *, as_of: AsOf) -> Self:
        """Return all pairs of the histories [B] at a time (epoch ms). An event at or after it counts as new."""
        rows = histories.rows()
        times = as_of[rows] if isinstance(as_of, np.ndarray) else np.full(len(rows), as_of)
        days, today = histories.times // DAY_MS, times // DAY_MS
        ages = np.maximum(today - days, 1)
        visit = np.cumsum(begins_run(rows, days)) - 1  # [n] number of the visit, over all shoppers
        last_event = histories.offsets[1:] - 1  # [B] valid for shoppers with events
        # One number for each pair: a sort of two columns takes several times as long. Events stay in time order.
        width = int(histories.items.max(initial=0)) + 1
        cells = rows * width + histories.items
        order = np.argsort(cells, kind="stable")
        cells, pair_days = cells[order], days[order]
        starts = run_starts(cells)
        ends = np.append(starts, len(cells))[1:] - 1
        first, last = order[starts], order[ends]
        users = rows[first]
        pair = np.repeat(np.arange(len(starts)), ends - starts + 1)  # [n] pair of each ordered event
        is_day = begins_run(pair, pair_days)
        later = np.flatnonzero(is_day)
        later = later[later != starts[pair[later]]]  # all days of a pair but its first
        # The event before such a day may be any of the day before: only its day matters.
        gaps = pair_days[later] - pair_days[later - 1]
        num_days = np.bincount(pair[is_day], minlength=len(starts))
        weekday = is_day & ((today[order] - pair_days) % 7 == 0)
        age = np.maximum(times - histories.times, 0) / DAY_MS
        own, total = np.empty((len(starts), len(HALF_LIVES_DAYS))), np.empty((len(starts), len(HALF_LIVES_DAYS)))
        for life, half_life in enumerate(HALF_LIVES_DAYS):
            weights = np.exp2(-age / half_life)
            own[:, life] = np.bincount(pair, weights[order], minlength=len(starts))
            total[:, life] = np.bincount(rows, weights, minlength=len(histories))[users]
        return cls(
            users=users,
            items=histories.items[first],
            num_days=num_days,
            last_age=ages[last],
            first_age=ages[first],
            gaps=gaps,
            same_weekday=np.bincount(pair[weekday], minlength=len(starts)) / num_days,
            visits=visit[last_event[users]] - visit[histories.offsets[users]] + 1,
            visits_since=visit[last_event[users]] - visit[last],
            visits_from_first=visit[last_event[users]] - visit[first] + 1,
            user_first_age=ages[histories.offsets[users]],
            user_last_age=ages[last_event[users]],
            own=own,
            total=total,
        )

    def __len__(self) -> int:
        return len(self.users)

    def gap_pairs(self) -> IntArray:
        """Return the index of each gap's pair [G]."""
        return np.repeat(np.arange(len(self)), self.num_days - 1)

    def take(self, indices: IntArray) -> Self:
        """Return the pairs at these indices, in this order."""
        offsets = offsets_of(self.num_days - 1)
        _, gaps = gather_ranges(offsets[:-1][indices], (self.num_days - 1)[indices])
        return type(self)(
            users=self.users[indices],
            items=self.items[indices],
            num_days=self.num_days[indices],
            last_age=self.last_age[indices],
            first_age=self.first_age[indices],
            gaps=self.gaps[gaps],
            same_weekday=self.same_weekday[indices],
            visits=self.visits[indices],
            visits_since=self.visits_since[indices],
            visits_from_first=self.visits_from_first[indices],
            user_first_age=self.user_first_age[indices],
            user_last_age=self.user_last_age[indices],
            own=self.own[indices],
            total=self.total[indices],
        )

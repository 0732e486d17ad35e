"""What the habit term knows of each item: hazards, how often it is bought again, how popular it is.

Arrives: an `EventLog` and its `Pairs`. Leaves: `ItemFacts`. Next: `training.terms.habit.columns`.

An update adds new events to the popularity alone. Hazards and rates need all pairs, which a model does not store: they
stay until the next fit.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from graphstore.tables import DAY_MS
from training.data.event_log import EventLog
from training.terms.habit.hazard import Hazards, frailty_strength
from training.terms.habit.pairs import HALF_LIVES_DAYS, Pairs

PRIOR_BUYERS = 20.0
"""Each item gets this many additional buyers, and as many additional gaps, of the average item."""


@dataclass(frozen=True)
class Popularity:
    """Events of each item, decayed to `clock` (epoch ms), just after the newest event.

    A score reads them as of that time, not as of its own: the columns of the training pairs did, and a model that gets
    no updates for a month would see a shop in which nothing is wanted.
    """

    counts: Float64Array  # [num_items, L]
    clock: int

    @classmethod
    def of(cls, log: EventLog) -> Self:
        """Return the popularity at the end of the log."""
        return cls(np.zeros((log.num_items, len(HALF_LIVES_DAYS))), 0).with_events(log)

    def with_events(self, events: EventLog) -> Self:
        """Return the popularity with more events, which may be older than the clock, and rows for new items."""
        num_items = max(len(self.counts), events.num_items)
        clock = max(self.clock, int(events.times[-1]) + 1) if len(events) else self.clock
        counts = np.zeros((num_items, len(HALF_LIVES_DAYS)))
        ages = (clock - events.times) / DAY_MS
        for life, half_life in enumerate(HALF_LIVES_DAYS):
            counts[: len(self.counts), life] = self.counts[:, life] * np.exp2((self.clock - clock) / DAY_MS / half_life)
            counts[:, life] += np.bincount(events.items, np.exp2(-ages / half_life), minlength=num_items)
        return type(self)(counts, clock)

    def grown(self, num_items: int) -> Self:
        """Return the popularity with rows of items without events."""
        counts = np.zeros((num_items, len(HALF_LIVES_DAYS)))
        counts[: len(self.counts)] = self.counts
        return replace(self, counts=counts)


@dataclass(frozen=True)
class ItemFacts:
    """Facts from before one time. The last row of the arrays [num_items + 1] is the average item, for later items."""

    hazards: Hazards
    frailty: float
    """k, the shape of the gamma prior of a pair's factor."""
    again: Float64Array  # [num_items + 1] log-odds that a buyer comes back to the item on another day
    gap_days: Float64Array  # [num_items + 1] mean finished gap
    popularity: Popularity

    @classmethod
    def of(cls, log: EventLog, pairs: Pairs) -> Self:
        """Return the facts of the log, whose pairs are `pairs`."""
        num_items = log.num_items
        gap_items = pairs.items[pairs.gap_pairs()]
        hazards = Hazards.fit(pairs.gaps, gap_items, pairs.last_age, pairs.items, num_items=num_items)
        again = _shrunk_mean(pairs.items, pairs.num_days > 1, num_items)
        return cls(
            hazards=hazards,
            frailty=frailty_strength(pairs.num_days - 1, expected_repeats(pairs, hazards)),
            again=np.log(again / (1 - again)),
            gap_days=_shrunk_mean(gap_items, pairs.gaps, num_items),
            popularity=Popularity.of(log),
        )

    @property
    def num_items(self) -> int:
        """The number of items, with those that came after the fit."""
        return len(self.popularity.counts)

    def rows(self, items: IntArray) -> IntArray:
        """Return the rows [n] of items in the arrays [num_items + 1]."""
        return np.minimum(items, len(self.again) - 1)

    def with_events(self, events: EventLog) -> Self:
        """Return the facts with more events in the popularity."""
        return replace(self, popularity=self.popularity.with_events(events))

    def grown(self, num_items: int) -> Self:
        """Return the facts with rows of items that nothing is known of."""
        return replace(self, popularity=self.popularity.grown(num_items))


def expected_repeats(pairs: Pairs, hazards: Hazards) -> Float64Array:
    """Return Σ H(gap) + H(age) of each pair [P]: the repeats that an average shopper would have had in that time."""
    owners = pairs.gap_pairs()
    finished = np.bincount(owners, hazards.cumulative(pairs.items[owners], pairs.gaps), minlength=len(pairs))
    found: Float64Array = finished + hazards.cumulative(pairs.items, pairs.last_age)
    return found


def _shrunk_mean(items: IntArray, values: IntArray | np.ndarray, num_items: int) -> Float64Array:
    """Return the mean value of each item [num_items + 1], shrunk towards the mean of all. Without values it is ½."""
    average = (values.sum() + 0.5) / (len(values) + 1)
    sums = np.bincount(items, values, minlength=num_items + 1)
    counts = np.bincount(items, minlength=num_items + 1)
    found: Float64Array = (sums + PRIOR_BUYERS * average) / (counts + PRIOR_BUYERS)
    return found

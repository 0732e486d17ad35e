"""Trend term: recent popularity of items, with several half-lives.

Arrives: an event log, or counts by item and hour from the table `item_buckets`. Leaves: one feature for each half-life,
equal for all users. Next: `training.blend.blend`. Its weights may be negative: a short half-life minus a long one
measures rising items.

The state is integer counts by (hour, item), and decay happens only in a score. So order and batches of updates have no
effect.
"""

from math import inf
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray
from graphstore.tables import HOUR_MS
from training.data.event_log import AsOf, EventLog, GrownLog, Histories
from training.terms.protocol import Arrivals, ClosedFormTerm

SPAN_SHARES = (4, 16, 64, 256)
"""Half-lives, as divisors of the time span of the first fit, at least an hour. An infinite half-life is added."""

MINUTE_MS = 60_000


class Trend(ClosedFormTerm):
    """log(1 + Σ count · 2^(−age / half-life)) of each item, for each half-life."""

    name = "trend"
    title = "trend"
    personalised = False
    update_equals_refit = True

    def __init__(
        self, hours: IntArray, items: IntArray, counts: IntArray, *, num_items: int, half_lives_hours: tuple[float, ...]
    ) -> None:
        self._num_items = num_items
        self.half_lives_hours = half_lives_hours
        self._cached: tuple[int, Tensor] | None = None  # minute, features
        self._set(hours, items, counts)

    @classmethod
    def fit(cls, log: EventLog, half_lives_hours: tuple[float, ...] | None = None) -> Self:
        """Count all events of the log. The default half-lives are `SPAN_SHARES` of its time span, and inf."""
        if half_lives_hours is None:
            half_lives_hours = (*(max(log.span_hours / share, 1.0) for share in SPAN_SHARES), inf)
        ones = np.ones(len(log), dtype=np.int64)
        return cls(log.times // HOUR_MS, log.items, ones, num_items=log.num_items, half_lives_hours=half_lives_hours)

    def refit(self, log: EventLog, *, seed: int) -> Self:
        return type(self).fit(log, self.half_lives_hours)

    @property
    def choices(self) -> tuple[float, ...]:
        return self.half_lives_hours

    @property
    def num_items(self) -> int:
        return self._num_items

    @property
    def newest_hour(self) -> int:
        """The hour (epoch ms // HOUR_MS) of the newest event, −1 without events."""
        return int(self._hours[-1]) if len(self._hours) else -1

    @property
    def item_counts(self) -> IntArray:
        """All events of each item [num_items]."""
        return np.bincount(self._items, self._counts, minlength=self.num_items).astype(np.int64)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"trend_{index}" for index in range(len(self.half_lives_hours)))

    def update(self, grown: GrownLog, *, features: Tensor | None = None) -> None:
        """Add the events to the counts."""
        events = grown.events
        self._num_items = max(self._num_items, events.num_items)
        ones = np.ones(len(events), dtype=np.int64)
        self._set(
            np.concatenate([self._hours, events.times // HOUR_MS]),
            np.concatenate([self._items, events.items]),
            np.concatenate([self._counts, ones]),
        )

    def extend(self, arrivals: Arrivals) -> None:
        """Add rows without counts. `refresh` brings their counts."""
        self._num_items = arrivals.num_items
        self._cached = None

    def refresh(self, hours: IntArray, items: IntArray, counts: IntArray) -> None:
        """Replace the counts from the earliest given hour on. Older hours stay."""
        if not len(hours):
            return
        older = self._hours < hours.min()
        self._set(
            np.concatenate([self._hours[older], hours]),
            np.concatenate([self._items[older], items]),
            np.concatenate([self._counts[older], counts]),
        )

    def features_at(self, *, as_of: int) -> Tensor:
        """Return features [num_items, num_half_lives] float32 at a time (epoch ms), with a resolution of one minute."""
        minute = as_of // MINUTE_MS
        if self._cached is None or self._cached[0] != minute:
            hours, index = np.unique(self._hours, return_inverse=True)
            age = np.maximum(minute / 60 - (hours + 0.5), 0.0)  # events count in the middle of their hour
            columns = [
                np.bincount(self._items, self._counts * np.exp2(-age / half_life)[index], minlength=self.num_items)
                for half_life in self.half_lives_hours
            ]
            # Take-backs count in their own hour, so they may be larger than the decayed purchases.
            features = np.log1p(np.maximum(np.stack(columns), 0.0)).astype(np.float32)
            # Each half-life is contiguous, because a weighted sum of five columns is then ten times as fast.
            self._cached = (minute, torch.from_numpy(features).T)
        return self._cached[1]

    def features_at_times(self, times: IntArray) -> Tensor:
        """Return features [B, num_items, num_half_lives] float32 at the time of each user (epoch ms).

        Only complete hours before that time count, because the counts may contain later events.
        """
        minutes, index = np.unique(times // MINUTE_MS, return_inverse=True)
        lives = np.array(self.half_lives_hours)[:, None]
        counts = np.zeros((len(lives), self.num_items))
        rows = np.empty((len(minutes), self.num_items, len(lives)), dtype=np.float32)
        first, clock = 0, int(minutes[0]) if len(minutes) else 0
        for row, minute in enumerate(minutes):
            counts *= np.exp2(-(minute - clock) / 60 / lives)
            clock = minute
            last = int(np.searchsorted(self._hours, minute // 60))  # complete hours
            age = minute / 60 - (self._hours[first:last] + 0.5)
            for life, half_life in enumerate(self.half_lives_hours):
                weights = self._counts[first:last] * np.exp2(-age / half_life)
                counts[life] += np.bincount(self._items[first:last], weights, minlength=self.num_items)
            first = last
            rows[row] = np.log1p(np.maximum(counts, 0.0)).T
        return torch.from_numpy(rows)[torch.from_numpy(index)]

    def score(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return features [B, num_items, num_half_lives]. With one time for all users it is a view without copies."""
        if isinstance(as_of, np.ndarray):
            return self.features_at_times(as_of)
        return self.features_at(as_of=as_of).expand(len(histories), -1, -1)

    def score_one(self, history: Histories, weights: Float32Array, *, as_of: int) -> Float32Array:
        """Weight the features of the minute, which are the same for all users."""
        return torch.mv(self.features_at(as_of=as_of), torch.from_numpy(weights)).numpy()

    def state(self) -> dict[str, Tensor]:
        return {
            "hours": torch.from_numpy(self._hours),
            "items": torch.from_numpy(self._items),
            "counts": torch.from_numpy(self._counts),
            "num_items": torch.tensor(self.num_items),
            "half_lives_hours": torch.tensor(self.half_lives_hours, dtype=torch.float64),
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(
            state["hours"].numpy(),
            state["items"].numpy(),
            state["counts"].numpy(),
            num_items=int(state["num_items"]),
            half_lives_hours=tuple(state["half_lives_hours"].tolist()),
        )

    def _set(self, hours: IntArray, items: IntArray, counts: IntArray) -> None:
        """Store one count for each (hour, item), in ascending order."""
        # One number for each bucket: a sort of pairs takes ten times as long, and an update sorts all counts.
        width = max(self._num_items, 1)
        buckets, index = np.unique(hours * width + items, return_inverse=True)
        self._hours, self._items = buckets // width, buckets % width
        self._counts = np.zeros(len(buckets), dtype=np.int64)
        np.add.at(self._counts, index, counts)
        self._cached = None

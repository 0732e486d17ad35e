"""The trend: how much an item is wanted now, at several half-lives at once.

Arrives: an event log, or counts by item and hour from the table `item_buckets`. Leaves: one feature a half-life, the
same for every shopper. Next: `training.blend.blend`, whose weights are free in sign: a short half-life less a long one
is "rising", which no single popularity count can say.

Kept are integer counts by (hour, item), decayed only when scoring: order and batching of updates cannot change them.
"""

from math import inf
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import IntArray
from graphstore.tables import HOUR_MS
from training.data.event_log import EventLog, Histories, Moment
from training.terms.protocol import ClosedFormTerm

SPAN_SHARES = (4, 16, 64, 256)
"""Half-lives as divisors of the time that the first fit spans, at least an hour; one of infinity is added."""

MINUTE_MS = 60_000


class Trend(ClosedFormTerm):
    """log(1 + Σ count · 2^(−age / half-life)) of every item, for each half-life."""

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
        """Counts of the whole log; without half-lives, shares of the time it spans."""
        if half_lives_hours is None:
            half_lives_hours = (*(max(log.span_hours / share, 1.0) for share in SPAN_SHARES), inf)
        empty = np.empty(0, dtype=np.int64)
        term = cls(empty, empty, empty, num_items=log.num_items, half_lives_hours=half_lives_hours)
        term.update(log)
        return term

    def refit(self, log: EventLog, *, seed: int) -> Self:
        return type(self).fit(log, self.half_lives_hours)

    @property
    def choices(self) -> tuple[float, ...]:
        return self.half_lives_hours

    @property
    def num_items(self) -> int:
        return self._num_items

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"trend_{place}" for place in range(len(self.half_lives_hours)))

    def update(self, events: EventLog, *, past: EventLog | None = None, features: Tensor | None = None) -> None:
        """Count the events in."""
        self._num_items = max(self._num_items, events.num_items)
        ones = np.ones(len(events), dtype=np.int64)
        self._set(
            np.concatenate([self._hours, events.times // HOUR_MS]),
            np.concatenate([self._items, events.items]),
            np.concatenate([self._counts, ones]),
        )

    def refresh(self, hours: IntArray, items: IntArray, counts: IntArray) -> None:
        """From the earliest hour given on the counts replace what was counted, older hours stay."""
        if not len(hours):
            return
        older = self._hours < hours.min()
        self._set(
            np.concatenate([self._hours[older], hours]),
            np.concatenate([self._items[older], items]),
            np.concatenate([self._counts[older], counts]),
        )

    def decayed(self, *, as_of: int) -> Tensor:
        """The features [num_items, num_half_lives] float32 at a time; the clock ticks by the minute."""
        minute = as_of // MINUTE_MS
        if self._cached is None or self._cached[0] != minute:
            hours, place = np.unique(self._hours, return_inverse=True)
            age = np.maximum(minute / 60 - (hours + 0.5), 0.0)  # events stand in the middle of their hour
            columns = [
                np.bincount(self._items, self._counts * np.exp2(-age / half_life)[place], minlength=self.num_items)
                for half_life in self.half_lives_hours
            ]
            # Take-backs count from their own hour on: they may outweigh older events that have decayed.
            features = np.log1p(np.maximum(np.stack(columns, axis=1), 0.0)).astype(np.float32)
            self._cached = (minute, torch.from_numpy(features))
        return self._cached[1]

    def decayed_at(self, moments: IntArray) -> Tensor:
        """The features [B, num_items, num_half_lives] float32 at a time for each; only whole hours before it count,
        so that the counts may hold what came later."""
        minutes, place = np.unique(moments // MINUTE_MS, return_inverse=True)
        lives = np.array(self.half_lives_hours)[:, None]
        counts = np.zeros((len(lives), self.num_items))
        rows = np.empty((len(minutes), self.num_items, len(lives)), dtype=np.float32)
        first, clock = 0, int(minutes[0]) if len(minutes) else 0
        for row, minute in enumerate(minutes):
            counts *= np.exp2(-(minute - clock) / 60 / lives)
            clock = minute
            last = int(np.searchsorted(self._hours, minute // 60))  # hours that are over
            age = minute / 60 - (self._hours[first:last] + 0.5)
            for life, half_life in enumerate(self.half_lives_hours):
                weights = self._counts[first:last] * np.exp2(-age / half_life)
                counts[life] += np.bincount(self._items[first:last], weights, minlength=self.num_items)
            first = last
            rows[row] = np.log1p(np.maximum(counts, 0.0)).T
        return torch.from_numpy(rows)[torch.from_numpy(place)]

    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """[B, num_items, num_half_lives]; at one time for all a view: nothing is copied for a shopper."""
        if isinstance(as_of, np.ndarray):
            return self.decayed_at(as_of)
        return self.decayed(as_of=as_of).expand(len(histories), -1, -1)

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
        """Keep one count a bucket, in the order of (hour, item)."""
        buckets, place = np.unique(np.stack([hours, items]), axis=1, return_inverse=True)
        self._hours, self._items = buckets
        self._counts = np.zeros(buckets.shape[1], dtype=np.int64)
        np.add.at(self._counts, place.ravel(), counts)
        self._cached = None

"""The personal repeat: what a shopper keeps coming back to.

Arrives: histories. Leaves: for each half-life two features a shopper and item. Next: `training.blend`. Where repeats
are allowed (groceries, gifts) this is most of the score; where they are not, a model leaves it out.

There is nothing to count in advance: a shopper's own counts stand in the history, so a new purchase shows at once.
"""

from math import inf
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphstore.tables import HOUR_MS
from training.histories import EventLog, Histories, Moment

SPAN_SHARES = (4, 16)
"""Half-lives as divisors of the time that the fit spans; one of infinity is added."""

COUNT_GAIN = 100.0
SHARE_GAIN = 1000.0


class PersonalRepeat:
    """log(1 + 100 c) and log(1 + 1000 c / Σ c) of the shopper's own count c of an item, decayed by age.

    The count says how surely an item comes again, the share how much room it has among all that the shopper buys.
    """

    name = "repeat"

    def __init__(self, half_lives_hours: tuple[float, ...]) -> None:
        self.half_lives_hours = half_lives_hours
        self._num_items = 0

    @classmethod
    def fit(cls, log: EventLog, half_lives_hours: tuple[float, ...] | None = None) -> Self:
        """Only the half-lives come from the log, as shares of the time that it spans."""
        if half_lives_hours is None:
            half_lives_hours = (*(log.span_hours / share for share in SPAN_SHARES), inf)
        term = cls(half_lives_hours)
        term.update(log)
        return term

    @property
    def feature_names(self) -> tuple[str, ...]:
        places = range(len(self.half_lives_hours))
        return (*(f"repeat_count_{place}" for place in places), *(f"repeat_share_{place}" for place in places))

    def update(self, events: EventLog) -> None:
        """Only the number of items can change."""
        self._num_items = max(self._num_items, events.num_items)

    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """[B, num_items, 2 · num_half_lives], zero for what the shopper never touched."""
        num_lives = len(self.half_lives_hours)
        cells, place = np.unique(histories.rows() * self._num_items + histories.items, return_inverse=True)
        owners = cells // max(self._num_items, 1)
        moments = as_of[histories.rows()] if isinstance(as_of, np.ndarray) else as_of
        age_hours = np.maximum(moments - histories.times, 0) / HOUR_MS
        features = torch.zeros(len(histories) * self._num_items, 2 * num_lives)
        columns = np.empty((len(cells), 2 * num_lives), dtype=np.float32)
        for life, half_life in enumerate(self.half_lives_hours):
            counts = np.bincount(place, np.exp2(-age_hours / half_life), minlength=len(cells))
            totals = np.bincount(owners, counts, minlength=len(histories))[owners]
            columns[:, life] = np.log1p(COUNT_GAIN * counts)
            # A shopper who has not been here for many half-lives has a total near zero: the share still stands.
            columns[:, num_lives + life] = np.log1p(SHARE_GAIN * counts / np.maximum(totals, 1e-300))
        features[torch.from_numpy(cells)] = torch.from_numpy(columns)
        return features.view(len(histories), self._num_items, 2 * num_lives)

    def state(self) -> dict[str, Tensor]:
        return {
            "half_lives_hours": torch.tensor(self.half_lives_hours, dtype=torch.float64),
            "num_items": torch.tensor(self._num_items),
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        term = cls(tuple(state["half_lives_hours"].tolist()))
        term._num_items = int(state["num_items"])
        return term

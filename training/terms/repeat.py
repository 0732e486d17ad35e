"""Personal repeat term: how often a user interacts with an item again.

Arrives: an event log for the rates, histories for the counts. Leaves: two features for each user, item and half-life,
and two rates of each item. Next: `training.blend.blend`.

In shops with repeats (groceries, gifts) this term is the largest part of the score. Models without repeats do not have
it. The counts come from the history, so a new purchase counts immediately. The fit learns repeat rates of items: milk
is bought again, a pan is not. An update does not change the rates, because a model stores no (user, item) pairs.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, Float64Array, IntArray, begins_run
from graphstore.tables import HOUR_MS
from training.data.event_log import AsOf, EventLog, GrownLog, Histories
from training.terms.protocol import Arrivals, ClosedFormTerm

SPAN_SHARES = (4, 16)
"""Half-lives, as divisors of the time span of the log. An infinite half-life is added."""

COUNT_GAIN = 100.0
SHARE_GAIN = 1000.0

PRIOR_BUYERS = 20.0
"""Strength of the prior: each item gets this many additional buyers with average rates."""

RATE_NAMES = ("repeat_again", "repeat_times")


class PersonalRepeat(ClosedFormTerm):
    """log(1 + 100 c) and log(1 + 1000 c / Σ c) of the user's count c of an item, decayed by age.

    The count measures how certain a repeat is. The share measures the item's part of all events of the user. The rates
    of the item (`repeat_rates`) are two more features. All are zero for items that the user does not know.
    """

    name = "repeat"
    title = "personal repeat"

    def __init__(
        self, half_lives_hours: tuple[float, ...], rates: Float32Array | None = None, *, num_items: int = 0
    ) -> None:
        """`rates` [num_items + 1, 2]: the last row is for new items. None: a model without rates."""
        self.half_lives_hours = half_lives_hours
        self._rates = rates
        self._num_items = num_items

    @classmethod
    def fit(cls, log: EventLog, half_lives_hours: tuple[float, ...] | None = None) -> Self:
        """Fit the rates of the items in the log. The default half-lives are `SPAN_SHARES` of its time span, and inf."""
        if half_lives_hours is None:
            half_lives_hours = (*(log.span_hours / share for share in SPAN_SHARES), inf)
        return cls(half_lives_hours, repeat_rates(log), num_items=log.num_items)

    @classmethod
    def counting(cls, log: EventLog, half_lives_hours: tuple[float, ...]) -> Self:
        """Return a term with only counts and shares, for the items of the log."""
        return cls(half_lives_hours, num_items=log.num_items)

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
        lives = range(len(self.half_lives_hours))
        rates = () if self._rates is None else RATE_NAMES
        return (
            *(f"repeat_count_{life}" for life in lives),
            *(f"repeat_share_{life}" for life in lives),
            *rates,
        )

    def update(self, grown: GrownLog, *, features: Tensor | None = None) -> None:
        """Update the number of items. The rates do not change until the next fit."""
        self._num_items = max(self._num_items, grown.log.num_items)

    def extend(self, arrivals: Arrivals) -> None:
        """Add rows with the rates of the average item."""
        self._num_items = arrivals.num_items

    def score(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return features [B, num_items, num_features], zero for items that the user does not know."""
        cells, _, columns = self._known(histories, as_of=as_of)
        features = torch.zeros(len(histories) * self._num_items, columns.shape[1])
        features[torch.from_numpy(cells)] = torch.from_numpy(columns)
        return features.view(len(histories), self._num_items, columns.shape[1])

    def score_one(self, history: Histories, weights: Float32Array, *, as_of: int) -> Float32Array:
        """Compute only the items of the history."""
        items, _, columns = self._known(history, as_of=as_of)
        scores = np.zeros(self._num_items, dtype=np.float32)
        scores[items] = columns @ weights
        return scores

    def carried(self, history: Histories, weights: Float32Array, rows: IntArray, *, as_of: int) -> Float64Array:
        """Share the score of an item among its own events by their decayed counts, averaged over the half-lives."""
        items, index, columns = self._known(history, as_of=as_of)
        age_hours = np.maximum(as_of - history.times, 0) / HOUR_MS
        shares = event_shares(index, age_hours, self.half_lives_hours, num_items=len(items))
        scores = (columns @ weights).astype(np.float64)[index]
        return np.where(history.items[:, None] == rows, (shares * scores)[:, None], 0.0)

    def _known(self, histories: Histories, *, as_of: AsOf) -> tuple[IntArray, IntArray, Float32Array]:
        """Return the cells (user · num_items + item) that occur, the cell of each event, and each cell's features."""
        num_lives, num_features = len(self.half_lives_hours), len(self.feature_names)
        cells, index = np.unique(histories.rows() * self._num_items + histories.items, return_inverse=True)
        owners = cells // max(self._num_items, 1)
        times = as_of[histories.rows()] if isinstance(as_of, np.ndarray) else as_of
        age_hours = np.maximum(times - histories.times, 0) / HOUR_MS
        columns = np.empty((len(cells), num_features), dtype=np.float32)
        if self._rates is not None:
            columns[:, 2 * num_lives :] = self._rates[np.minimum(cells % self._num_items, len(self._rates) - 1)]
        for life, half_life in enumerate(self.half_lives_hours):
            counts = np.bincount(index, np.exp2(-age_hours / half_life), minlength=len(cells))
            totals = np.bincount(owners, counts, minlength=len(histories))[owners]
            columns[:, life] = np.log1p(COUNT_GAIN * counts)
            # After many half-lives without events the total is nearly zero, but the share is still valid.
            columns[:, num_lives + life] = np.log1p(SHARE_GAIN * counts / np.maximum(totals, 1e-300))
        return cells, index, columns

    def state(self) -> dict[str, Tensor]:
        state = {
            "half_lives_hours": torch.tensor(self.half_lives_hours, dtype=torch.float64),
            "num_items": torch.tensor(self._num_items),
        }
        return state if self._rates is None else {**state, "rates": torch.from_numpy(self._rates)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        rates = state["rates"].numpy() if "rates" in state else None
        return cls(tuple(state["half_lives_hours"].tolist()), rates, num_items=int(state["num_items"]))


def event_shares(
    index: IntArray, age_hours: Float64Array, half_lives_hours: Sequence[float], *, num_items: int
) -> Float64Array:
    """Return the share [n] of each event in the decayed count of its item, averaged over the half-lives.

    `index` [n] is the item of each event, counted from 0.
    """
    # Relative to the newest event of the item: after many half-lives all counts underflow, their shares do not.
    youngest = np.full(num_items, inf)
    np.minimum.at(youngest, index, age_hours)
    shares = np.zeros(len(index))
    for half_life in half_lives_hours:
        counts = np.exp2(-(age_hours - youngest[index]) / half_life)
        shares += counts / np.bincount(index, counts, minlength=num_items)[index] / len(half_lives_hours)
    return shares


def repeat_rates(log: EventLog) -> Float32Array:
    """Return the repeat rates of each item [num_items + 1, 2]. The last row is the average item.

    The first rate is the log-odds that a buyer buys the item again at a later time. The second is the logarithm of the
    number of repeats. Both are shrunk towards the average, because few buyers give unreliable rates.
    """
    order = np.lexsort((log.times, log.cells))
    cells, times = log.cells[order], log.times[order]
    visits = begins_run(cells, times)  # events of a pair at the same time are one visit
    pairs, counts = np.unique(cells[visits], return_counts=True)
    items = pairs % max(log.num_items, 1)

    buyers = np.bincount(items, minlength=log.num_items + 1)

    def shrink(values: npt.NDArray[Any]) -> Float64Array:
        average = (values.sum() + 0.5) / (len(values) + 1)
        sums = np.bincount(items, values, minlength=log.num_items + 1)
        return np.asarray((sums + PRIOR_BUYERS * average) / (buyers + PRIOR_BUYERS))

    again = shrink(counts > 1)
    return np.stack([np.log(again / (1 - again)), np.log(shrink(counts - 1))], axis=1).astype(np.float32)

"""The personal repeat: what a shopper keeps coming back to.

Arrives: histories. Leaves: for each half-life two features a shopper and item. Next: `training.blend.blend`. Where
repeats are allowed (groceries, gifts) this is most of the score; where they are not, a model leaves it out.

A shopper's own counts stand in the history, so a new purchase shows at once. What is learned in advance is how often
an item is taken again by whoever took it once: milk is, a pan is not. These rates are learned by a fit alone; an update
leaves them, because a model keeps no pairs of shoppers and items that it could count on from.
"""

from math import inf
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, Float64Array
from graphstore.tables import HOUR_MS
from training.data.event_log import EventLog, Histories, Moment
from training.terms.protocol import ClosedFormTerm

SPAN_SHARES = (4, 16)
"""Half-lives as divisors of the time that the fit spans; one of infinity is added."""

COUNT_GAIN = 100.0
SHARE_GAIN = 1000.0

PRIOR_BUYERS = 20.0
"""Each item is taken to have had so many buyers of average habits beside its own."""

RATE_NAMES = ("repeat_again", "repeat_times")


class PersonalRepeat(ClosedFormTerm):
    """log(1 + 100 c) and log(1 + 1000 c / Σ c) of the shopper's own count c of an item, decayed by age.

    The count says how surely an item comes again, the share how much room it has among all that the shopper buys. For
    what the shopper knows the item's rates (`repeat_rates`) stand beside them.
    """

    name = "repeat"
    title = "personal repeat"

    def __init__(self, half_lives_hours: tuple[float, ...], rates: Float32Array | None = None) -> None:
        """`rates` [num_items + 1, 2], the last row for items that come later; None in models that know none."""
        self.half_lives_hours = half_lives_hours
        self._rates = rates
        self._num_items = 0

    @classmethod
    def fit(cls, log: EventLog, half_lives_hours: tuple[float, ...] | None = None) -> Self:
        """The rates of the log's items; without half-lives, shares of the time that it spans."""
        if half_lives_hours is None:
            half_lives_hours = (*(log.span_hours / share for share in SPAN_SHARES), inf)
        term = cls(half_lives_hours, repeat_rates(log))
        term.update(log)
        return term

    @classmethod
    def counting(cls, log: EventLog, half_lives_hours: tuple[float, ...]) -> Self:
        """Own counts and shares alone, for the items of the log."""
        term = cls(half_lives_hours)
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
        places = range(len(self.half_lives_hours))
        rates = () if self._rates is None else RATE_NAMES
        return (*(f"repeat_count_{place}" for place in places), *(f"repeat_share_{place}" for place in places), *rates)

    def update(self, events: EventLog, *, past: EventLog | None = None, features: Tensor | None = None) -> None:
        """Only the number of items can change: the rates stay until the next fit."""
        self._num_items = max(self._num_items, events.num_items)

    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """[B, num_items, num_features], zero for what the shopper never touched."""
        num_lives, num_features = len(self.half_lives_hours), len(self.feature_names)
        cells, place = np.unique(histories.rows() * self._num_items + histories.items, return_inverse=True)
        owners = cells // max(self._num_items, 1)
        moments = as_of[histories.rows()] if isinstance(as_of, np.ndarray) else as_of
        age_hours = np.maximum(moments - histories.times, 0) / HOUR_MS
        features = torch.zeros(len(histories) * self._num_items, num_features)
        columns = np.empty((len(cells), num_features), dtype=np.float32)
        if self._rates is not None:
            columns[:, 2 * num_lives :] = self._rates[np.minimum(cells % self._num_items, len(self._rates) - 1)]
        for life, half_life in enumerate(self.half_lives_hours):
            counts = np.bincount(place, np.exp2(-age_hours / half_life), minlength=len(cells))
            totals = np.bincount(owners, counts, minlength=len(histories))[owners]
            columns[:, life] = np.log1p(COUNT_GAIN * counts)
            # A shopper who has not been here for many half-lives has a total near zero: the share still stands.
            columns[:, num_lives + life] = np.log1p(SHARE_GAIN * counts / np.maximum(totals, 1e-300))
        features[torch.from_numpy(cells)] = torch.from_numpy(columns)
        return features.view(len(histories), self._num_items, num_features)

    def state(self) -> dict[str, Tensor]:
        state = {
            "half_lives_hours": torch.tensor(self.half_lives_hours, dtype=torch.float64),
            "num_items": torch.tensor(self._num_items),
        }
        return state if self._rates is None else {**state, "rates": torch.from_numpy(self._rates)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        rates = state["rates"].numpy() if "rates" in state else None
        term = cls(tuple(state["half_lives_hours"].tolist()), rates)
        term._num_items = int(state["num_items"])
        return term


def repeat_rates(log: EventLog) -> Float32Array:
    """What is learned of each item [num_items + 1, 2], the last row being that of the average one.

    The log-odds that whoever took it takes it again at a later time, and the logarithm of how many more times. Both are
    shrunk towards the average, because few buyers tell little.
    """
    order = np.lexsort((log.times, log.cells))
    cells, times = log.cells[order], log.times[order]
    visits = np.ones(len(cells), dtype=np.bool_)  # one for all events of a pair at one time
    visits[1:] = (cells[1:] != cells[:-1]) | (times[1:] != times[:-1])
    pairs, counts = np.unique(cells[visits], return_counts=True)
    items = pairs % max(log.num_items, 1)

    buyers = np.bincount(items, minlength=log.num_items + 1)

    def shrunk(values: npt.NDArray[Any]) -> Float64Array:
        average = (values.sum() + 0.5) / (len(values) + 1)
        sums = np.bincount(items, values, minlength=log.num_items + 1)
        return np.asarray((sums + PRIOR_BUYERS * average) / (buyers + PRIOR_BUYERS))

    again = shrunk(counts > 1)
    return np.stack([np.log(again / (1 - again)), np.log(shrunk(counts - 1))], axis=1).astype(np.float32)

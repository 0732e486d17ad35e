"""Hazards of a repeat: how likely a shopper buys a known item on the next day, by item and by days since the last time.

Arrives: the gaps between purchases of one item by one shopper, and the time since the last. Leaves: `Hazards`, and the
strength of the frailty. Next: `training.terms.habit.columns`.

The hazard λ_ib of item i is constant in each bin b of days. It is deaths / exposure: the gaps that end in the bin, over
the days that gaps spent in it. The open gap after the last purchase is censored: it has exposure and no death. An item
with few gaps is shrunk in two steps: its level towards that of all items, then each of its bins towards level times
shape. H(t) = ∫ λ is the expected number of repeats in t days.

Shoppers differ: a pair has a factor θ (its frailty) with a gamma prior of mean 1 and shape k. After n − 1 repeats where
H expected E, its mean is (k + n − 1) / (k + E).

Rejected: a level for the items of a category between item and all. A log holds no categories, and the hazards are three
of 31 columns.

Source: Kalbfleisch & Prentice, 2002 (piecewise constant hazards); Clayton, 1978 (gamma frailty).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from graphstore.arrays import Float64Array, IntArray

BIN_STARTS = np.array([0, 2, 4, 7, 10, 14, 18, 24, 31, 40, 52, 68, 90, 120, 170, 250, 400], dtype=np.int64)
"""A bin holds the days above its start, up to the start of the next. The last bin has no end."""

PRIOR_REPEATS = 80.0
"""Strength of the prior of an item, in repeats: once for its level, once spread over its bins."""

FRAILTY_RANGE = (0.05, 50.0)
"""Smallest and largest shape of the frailty. Shoppers that differ by chance alone have no finite one."""


@dataclass(frozen=True)
class Hazards:
    """Repeats a day."""

    rates: Float64Array  # [num_items + 1, num_bins]; the last row is the average item

    @classmethod
    def fit(
        cls, gaps: IntArray, gap_items: IntArray, open_gaps: IntArray, open_items: IntArray, *, num_items: int
    ) -> Self:
        """Fit on finished gaps [G] and open gaps [P] in days, at least 1, each with its item."""
        shape = (num_items + 1, len(BIN_STARTS))
        bins = bins_of(gaps)
        deaths = np.bincount(gap_items * shape[1] + bins, minlength=shape[0] * shape[1]).reshape(shape)
        exposure = _exposure(np.append(gaps, open_gaps), np.append(gap_items, open_items), shape)
        total = exposure.sum()
        # One repeat with the average rate for each bin: a bin that no gap reached has the average rate.
        average = (deaths.sum() + 1.0) / (total + 1.0)
        common = (deaths.sum(axis=0) + 1.0) / (exposure.sum(axis=0) + 1.0 / average)
        level = (deaths.sum(axis=1) + PRIOR_REPEATS) / (exposure @ common + PRIOR_REPEATS)
        prior = level[:, None] * common
        share = PRIOR_REPEATS / shape[1]
        return cls((deaths + share) / (exposure + share / prior))

    @cached_property
    def _before(self) -> Float64Array:
        """H [num_items + 1, num_bins] at the start of each bin."""
        before = np.zeros_like(self.rates)
        np.cumsum(self.rates[:, :-1] * np.diff(BIN_STARTS), axis=1, out=before[:, 1:])
        return before

    def cumulative(self, items: IntArray, days: IntArray | Float64Array) -> Float64Array:
        """Return H [n] of items at days since their last purchase. A row without a fit has the average item's."""
        rows, bins = np.minimum(items, len(self.rates) - 1), bins_of(days)
        found: Float64Array = self._before[rows, bins] + self.rates[rows, bins] * (days - BIN_STARTS[bins])
        return found


def frailty_strength(repeats: IntArray, expected: Float64Array) -> float:
    """Return k [1] by moments: a gamma–Poisson count with mean E has the variance E + E² / k.

    `repeats` [P] are the repeats of each pair, `expected` [P] are those that the hazards expect.
    """
    excess = float(((repeats - expected) ** 2 - expected).sum())
    strength = float((expected**2).sum()) / excess if excess > 0 else FRAILTY_RANGE[1]
    return min(max(strength, FRAILTY_RANGE[0]), FRAILTY_RANGE[1])


def bins_of(days: IntArray | Float64Array) -> IntArray:
    """Return the bin [n] of each number of days."""
    return np.maximum(np.searchsorted(BIN_STARTS, days, side="left") - 1, 0)


def _exposure(durations: IntArray, items: IntArray, shape: tuple[int, int]) -> Float64Array:
    """Return the days [num_items + 1, num_bins] that the durations [n] spend in each bin."""
    bins = bins_of(durations)
    cells = items * shape[1] + bins
    size = shape[0] * shape[1]
    ends = np.bincount(cells, minlength=size).reshape(shape)
    spent = np.bincount(cells, durations - BIN_STARTS[bins], minlength=size).reshape(shape)
    # Every duration that ends in a later bin spends the whole width in this one.
    longer = ends[:, ::-1].cumsum(axis=1)[:, ::-1] - ends
    spent[:, :-1] += longer[:, :-1] * np.diff(BIN_STARTS)
    return np.asarray(spent, dtype=np.float64)

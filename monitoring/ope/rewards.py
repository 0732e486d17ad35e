"""Rewards: predicts the reward of an item at a position, for the doubly robust estimator.

Arrives: shown items with rewards. Leaves: a `RewardModel`. Next: `monitoring.ope.target` predicts with it.

The prediction is the rate of the position times the lift of the item. The lift is (rewards + prior) / (expected rewards
+ prior), where the item's expected rewards are the sum of the rates of its positions. So an item that was shown seldom
has a lift near 1. A simple model is enough: its errors cost width of the interval, not truth.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from graphstore.arrays import Float64Array, IntArray

PRIOR_REWARDS = 5.0
"""How many expected rewards the prior lift of 1 counts as."""

FOLDS = 2
"""The model for a shopper is fitted on shoppers of the other fold (Chernozhukov et al., 2018)."""


def folds_of(shoppers: int) -> IntArray:
    """Return the fold of each shopper. It is drawn, because a log may alternate between two kinds of rows."""
    return np.asarray(np.random.default_rng(0).permutation(shoppers) % FOLDS, dtype=np.int64)


@dataclass(frozen=True)
class RewardModel:
    """Rates [positions] and lifts [items]."""

    rates: Float64Array
    lifts: Float64Array

    @classmethod
    def fit(cls, positions: IntArray, items: IntArray, rewards: Float64Array, *, shape: tuple[int, int]) -> Self:
        """Fit from one row for each shown item. `shape` is (number of positions, number of items)."""
        shown = np.bincount(positions, minlength=shape[0])
        rates = np.bincount(positions, rewards, shape[0]) / np.maximum(shown, 1)
        expected = np.bincount(items, rates[positions], shape[1])
        lifts = (np.bincount(items, rewards, shape[1]) + PRIOR_REWARDS) / (expected + PRIOR_REWARDS)
        return cls(rates, lifts)

    def predict(self, position: int, items: IntArray) -> Float64Array:
        """Return the predicted reward of each item [n] at the position."""
        return np.asarray(self.rates[position] * self.lifts[items])

"""Position bias: the click-through rate as if every item had been looked at like the item at the first position.

Arrives: shown impressions with item, position, propensity and click. Leaves: how often each position is looked at,
compared with the first (`Examination`), and a rate of clicks for each look. Next: `shop_metrics`.

The model: a shopper clicks an item if they look at its position and like it, P(click) = examination(position) ·
attraction(item) (the position-based model, Richardson et al., WWW 2007). The debiased rate is Σ clicks / Σ examination
of the shown positions, clustered by shopper. The examination itself counts as known in its interval.

Examination comes from one of two places, and the report says from which:

- `explored`: impressions with a propensity below 1, where chance has decided the order. An item that was shown at
  two positions is compared with itself: each impression weighs 1 / propensity, at most `MOST_WEIGHT` (clipping, which
  trades a little bias for a bounded variance), and an item counts with the smaller of its two weights. Source: Agarwal
  et al., "Estimating position bias without intrusive interventions", WSDM 2019. The propensities are those of an item
  given the items before it (`serving.exploration`), so a small bias remains at later positions.
- `click_model`: without enough explored clicks, expectation maximisation over all impressions of the span finds
  examination and attraction together. Source: Chuklin et al., "Click Models for Web Search", 2015, chapter 4.

With fewer than `LEAST_CLICKS` clicks there is neither, and no debiased rate.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphstore.arrays import BoolArray, Float64Array, IntArray, distinct
from monitoring.clusters import Clusters

POSITIONS = 21
"""Positions 0 to 20 have an examination of their own, later ones that of position 20."""
MOST_WEIGHT = 20.0
LEAST_CLICKS = 100
STEPS = 200
PRIOR = 1.0
"""A click and this many more impressions at the mean rate are added to each item, so that an item with few impressions
has a rate between 0 and 1."""
LEAST_EXAMINATION = 1e-3

How = Literal["explored", "click_model"]


@dataclass(frozen=True)
class Examination:
    """How often each position [POSITIONS] is looked at, compared with the first."""

    how: How
    share: Float64Array
    clicks: int
    """The clicks that it was found from."""


class Looks:
    """Adds up the shown impressions of people by item and position, then finds the examination."""

    def __init__(self) -> None:
        self._all = Clusters()
        self._explored = Clusters()

    def add(self, item: IntArray, position: IntArray, clicked: BoolArray, propensity: Float64Array) -> None:
        """Add impressions [rows]. A propensity of 0 or less, or above 1, is none."""
        place, clicks = np.minimum(position, POSITIONS - 1), clicked.astype(np.float64)
        self._all.add(item, place, [np.ones(len(item)), clicks])
        chosen = (propensity > 0) & (propensity < 1)
        weight = np.minimum(1 / propensity[chosen], MOST_WEIGHT)
        columns = [weight, weight * clicks[chosen], clicks[chosen]]
        self._explored.add(item[chosen], place[chosen], columns)

    def examination(self) -> Examination | None:
        """Return the examination, or None when there are too few clicks."""
        if self._explored:
            items, places, (weight, weighted, clicks) = self._explored.sums()
            if clicks.sum() >= LEAST_CLICKS:
                return Examination("explored", _harvested(items, places, weight, weighted), int(clicks.sum()))
        if self._all:
            items, places, (shown, clicks) = self._all.sums()
            if clicks.sum() >= LEAST_CLICKS:
                return Examination("click_model", _maximised(items, places, shown, clicks), int(clicks.sum()))
        return None


def _harvested(items: IntArray, places: IntArray, weight: Float64Array, weighted: Float64Array) -> Float64Array:
    """Return the examination [POSITIONS] from items that were shown at two positions.

    The ratio to the first position is the product of the ratios of neighbours: they share the most items.
    """
    numbers = np.searchsorted(distinct(items), items)
    weights, clicks = np.zeros((numbers.max() + 1, POSITIONS)), np.zeros((numbers.max() + 1, POSITIONS))
    weights[numbers, places], clicks[numbers, places] = weight, weighted
    rates = clicks / np.maximum(weights, 1e-12)
    share = np.ones(POSITIONS)
    for place in range(1, POSITIONS):
        common = np.minimum(weights[:, place - 1], weights[:, place])
        before, here = common @ rates[:, place - 1], common @ rates[:, place]
        share[place] = share[place - 1] * (here / before if before > 0 and here > 0 else 1.0)
    return np.maximum(share, LEAST_EXAMINATION)


def _maximised(items: IntArray, places: IntArray, shown: Float64Array, clicks: Float64Array) -> Float64Array:
    """Return the examination [POSITIONS] by expectation maximisation, from counts [cells] by item and position.

    In each step a miss was looked at with the probability e (1 - a) / (1 - e a), and liked with a (1 - e) / (1 - e a).
    """
    numbers = np.searchsorted(distinct(items), items)
    misses = shown - clicks
    of_item, of_place = np.bincount(numbers, shown), np.bincount(places, shown, minlength=POSITIONS)
    rate = clicks.sum() / shown.sum()
    place_rate = np.bincount(places, clicks, minlength=POSITIONS) / np.maximum(of_place, 1)
    look: Float64Array = np.clip(place_rate / max(place_rate.max(), 1e-12), LEAST_EXAMINATION, 1.0)
    like = (np.bincount(numbers, clicks) + PRIOR * rate) / (of_item + PRIOR)
    for _ in range(STEPS):
        e, a = look[places], like[numbers]
        neither = np.maximum(1 - e * a, 1e-12)
        looked = np.bincount(places, clicks + misses * e * (1 - a) / neither, minlength=POSITIONS)
        liked = np.bincount(numbers, clicks + misses * a * (1 - e) / neither)
        look = np.clip(looked / np.maximum(of_place, 1), LEAST_EXAMINATION, 1.0)
        like = (liked + PRIOR * rate) / (of_item + PRIOR)
    share: Float64Array = look / (look[0] if of_place[0] else look.max())
    share[of_place == 0] = 1.0
    return np.maximum(share, LEAST_EXAMINATION)

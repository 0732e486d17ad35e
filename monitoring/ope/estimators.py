"""Estimators: the value of a policy that was not used, with intervals, or the reason why there is none.

Arrives: `Lists`, that is shown lists with the probability ratios of the other policy. Leaves: an `Evaluation`.
Next: the verb `ope` prints it.

All estimators weigh the click at a position with the probability of the list down to this position, under the other
policy divided by under the logged one. So they are right if a click depends on the items at and above its position, and
not on those below: a shopper reads from the top. With one position there is no such assumption.

- IPS: the mean of weight · reward (Horvitz & Thompson, 1952; for lists McInerney et al., KDD 2020).
- SNIPS: at each position divided by the mean weight (Swaminathan & Joachims, NeurIPS 2015).
- DR: a model predicts the reward, the weights correct its errors (Jiang & Li, ICML 2016; for lists Kiyohara et al.,
  WSDM 2022). With good predictions the interval is narrower, with bad ones still right.

A weight above `clip` counts as `clip`. The default is the square root of the number of lists: the error of the clipping
goes to zero with more lists (Ionides, 2008). Lists of one shopper are similar, so the intervals are clustered by
shopper. They are for one look; who looks every day needs `monitoring.experiments`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import t as student

from graphstore.arrays import BoolArray, Float64Array, IntArray
from graphstore.errors import UserError
from training.evaluation.sequential import ClusterSums, Estimate

LEAST_LISTS = 100
LEAST_SHOPPERS = 30
LEAST_REWARDS = 10
"""Rewards at lists that the other policy could show, too."""
LEAST_EFFECTIVE = 50.0
LEAST_SUPPORT = 0.9
"""The mean weight is 1 if the logged policy can show everything that the other one shows, and smaller otherwise."""
SUPPORT_ERRORS = 3.0
"""The mean weight counts as smaller only beyond this number of standard errors: a few large weights may be missing."""


class TooLittleData(UserError):
    """The log is too small for a figure that means something. The message says what is missing."""


class NoSupport(UserError):
    """The logged policy could not show what the other one would show. No estimator can know those rewards."""


@dataclass(frozen=True)
class Lists:
    """Shown lists as matrices [lists, positions], left aligned. Where `shown` is false, nothing was shown."""

    shown: BoolArray
    ratios: Float64Array
    """Probability of the shown item under the other policy, divided by the logged propensity."""
    rewards: Float64Array
    shoppers: IntArray  # [lists]
    predicted: Float64Array
    """Reward that the model of rewards predicts for the shown item."""
    expected: Float64Array
    """Mean prediction over what the other policy would show here, below the same items."""


@dataclass(frozen=True)
class Value:
    """Rewards for each shown item, with the 95 % interval, and the difference from the logged lists with its own."""

    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True)
class Evaluation:
    """What the log says about the other policy."""

    lists: int
    shoppers: int
    items: int
    rewards: float
    logged: Value
    estimates: Mapping[str, Value]
    """By estimator: ips, snips, dr."""
    effective_lists: float
    """Kish's effective sample size of the weights at the position where it is smallest: (Σ w)² / Σ w²."""
    mean_weight: float
    """At the last position that counts. 1: everything that the other policy shows could be shown."""
    clip: float
    clipped: float
    """The share of the weight that was clipped away, at the last position."""


def evaluate(lists: Lists, *, clip: float | None = None, confidence: float = 0.95) -> Evaluation:
    """Return the figures. Raises `TooLittleData` and `NoSupport`.

    `clip` None: the square root of the number of lists.
    """
    shoppers = np.unique(lists.shoppers, return_inverse=True)[1]
    num_shoppers = int(shoppers.max()) + 1 if len(shoppers) else 0
    _demand(len(lists.shown), LEAST_LISTS, "lists")
    _demand(num_shoppers, LEAST_SHOPPERS, "shoppers")
    bound = sqrt(len(lists.shown)) if clip is None else clip
    raw = np.cumprod(np.where(lists.shown, lists.ratios, 1.0), axis=1, dtype=np.float64)
    mean_weight = _check_support(raw, lists.shown, shoppers)
    weights = np.where(lists.shown, np.minimum(raw, bound), 0.0)
    effective = min(_effective(weights[column, place]) for place, column in enumerate(lists.shown.T))
    if effective < LEAST_EFFECTIVE:
        raise TooLittleData(
            f"the lists that the other setting would show, too, count as {effective:.1f} lists, and "
            f"{LEAST_EFFECTIVE:g} are needed: take fewer positions, more time, or a setting that is closer"
        )
    _demand(int(lists.rewards[weights > 0].sum()), LEAST_REWARDS, "rewards at lists that the other setting could show")
    sized = _Sized(shoppers, num_shoppers, lists.shown.sum(axis=1).astype(np.float64), confidence)
    rewards = np.where(lists.shown, lists.rewards, 0.0)
    logged = rewards.sum(axis=1)
    per_list = {
        "ips": (weights * rewards).sum(axis=1),
        "snips": _normalised(weights, rewards, lists.shown),
        "dr": _doubly_robust(weights, rewards, lists),
    }
    last = lists.shown[:, -1]
    return Evaluation(
        lists=len(lists.shown),
        shoppers=num_shoppers,
        items=int(lists.shown.sum()),
        rewards=float(rewards.sum()),
        logged=sized.value(logged, logged),
        estimates={name: sized.value(values, logged) for name, values in per_list.items()},
        effective_lists=effective,
        mean_weight=mean_weight,
        clip=bound,
        clipped=float(1.0 - weights[last, -1].sum() / max(raw[last, -1].sum(), 1e-300)),
    )


@dataclass(frozen=True)
class _Sized:
    """Makes values for each shown item of sums for each list."""

    shoppers: IntArray
    num_shoppers: int
    lengths: Float64Array
    confidence: float

    def value(self, per_list: Float64Array, logged: Float64Array) -> Value:
        return Value(*self._interval(per_list), *self._interval(per_list - logged))

    def _interval(self, per_list: Float64Array) -> tuple[float, float, float]:
        estimate = self._ratio(per_list)
        quantile = float(student.ppf(0.5 + self.confidence / 2, self.num_shoppers - 1))
        # All lists have the same value, as the difference of the logged lists from themselves: there is no error.
        error = estimate.standard_error if np.ptp(per_list / np.maximum(self.lengths, 1)) > 0 else 0.0
        return estimate.value, estimate.value - quantile * error, estimate.value + quantile * error

    def _ratio(self, per_list: Float64Array) -> Estimate:
        return _sums(self.shoppers, per_list, self.lengths).ratio()


def _check_support(weights: Float64Array, shown: BoolArray, shoppers: IntArray) -> float:
    """Return the mean weight at the last position. Raises `NoSupport` where a mean weight is surely below 1."""
    mean = 1.0
    for place, there in enumerate(shown.T):
        found = _sums(shoppers[there], weights[there, place], np.ones(int(there.sum()))).ratio()
        mean = found.value
        error = found.standard_error if np.isfinite(found.standard_error) else 0.0
        if mean + SUPPORT_ERRORS * error < LEAST_SUPPORT:
            raise NoSupport(
                f"only {mean:.0%} of what the other setting would show down to position {place + 1} could be shown by "
                "the logged one: only a slot that explores enough can answer this"
            )
    return mean


def _sums(shoppers: IntArray, tops: Float64Array, bottoms: Float64Array) -> ClusterSums:
    """Return the sums over shoppers of two values of each list."""
    there = np.bincount(shoppers) > 0
    top, bottom = (np.bincount(shoppers, values)[there].astype(np.float64) for values in (tops, bottoms))
    return ClusterSums.of(top, bottom)


def _effective(weights: Float64Array) -> float:
    return float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300))


def _normalised(weights: Float64Array, rewards: Float64Array, shown: BoolArray) -> Float64Array:
    """Return pseudo-values [lists] with the mean of SNIPS. Their spread is that of its linearisation."""
    mean_weights = weights.sum(axis=0) / shown.sum(axis=0)
    values = (weights * rewards).sum(axis=0) / weights.sum(axis=0)
    influence = weights * (rewards - values) / mean_weights + values * shown
    return np.asarray(influence.sum(axis=1))


def _doubly_robust(weights: Float64Array, rewards: Float64Array, lists: Lists) -> Float64Array:
    """Return Σ over positions of w (r − predicted) + (w of the position above) · expected, for each list."""
    above = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    steps = weights * (rewards - lists.predicted) + above * lists.expected
    return np.asarray(np.where(lists.shown, steps, 0.0).sum(axis=1))


def _demand(there: int, least: int, what: str) -> None:
    if there < least:
        raise TooLittleData(f"{there} {what}, and at least {least} are needed")

"""The blend: how much each feature of each term counts, and the score that they add up to.

Arrives: fitted terms, weights of `training.blend.fit`. Leaves: one score a shopper and item. Next:
`training.models.bundle` keeps the weights, `training.evaluation.ranking` measures the score.

The weights grow or shrink with how much is known of a shopper: w(u) = w₀ + w₁ · a(u), with a(u) the standardised
log(1 + events). Shoppers with one or two events have weights of their own where the window of the fit held enough of
them, else they share w(u). A shopper without events is scored by the trend alone.

Where items are taken again, the trend weighs differently for what a shopper knows (their habits decide) than for what
they do not (everybody's do): each feature of the trend then stands there twice, the second time for known items alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float64Array, IntArray
from training.data.event_log import Histories, Moment
from training.data.windows import COLD_EVENTS
from training.terms.protocol import Term

KNOWN = "_known"
"""Ends the name of a trend feature that stands for known items alone."""

MAX_ACTIVITY = 2.5
"""Standard deviations beyond which a shopper's activity changes the weights no further."""


@dataclass(frozen=True)
class Blend:
    """Weights over standardised features; all tuples are in the order of `feature_names`."""

    feature_names: tuple[str, ...]
    scale: tuple[float, ...]
    """Standard deviations over users and items. Means cancel in the softmax and are not taken off."""
    warm: tuple[float, ...]
    activity: tuple[float, ...]
    """Change of the warm weights for one standard deviation of activity."""
    activity_mean: float
    activity_sd: float
    cold: tuple[float, ...] | None
    """Weights at up to two events; None: shared with the warm."""
    unknown: tuple[float, ...]
    """Weights without any event: zero for everything but the trend."""

    def weights(self, lengths: IntArray) -> Tensor:
        """What multiplies the raw features [B, num_features] for users with so many events."""
        level = activity_of(lengths, mean=self.activity_mean, sd=self.activity_sd)
        weights = np.array(self.warm) + level[:, None] * np.array(self.activity)
        if self.cold is not None:
            weights[lengths <= COLD_EVENTS] = self.cold
        weights[lengths == 0] = self.unknown
        return torch.from_numpy((weights / np.array(self.scale)).astype(np.float32))

    @property
    def known_apart(self) -> bool:
        """Whether known items have trend weights of their own."""
        return any(name.endswith(KNOWN) for name in self.feature_names)

    def score(self, terms: Sequence[Term], histories: Histories, *, as_of: Moment) -> Tensor:
        """The blended score [B, num_items] float32; raises `ValueError` where the terms are not those of the fit."""
        names = feature_names(terms, known_apart=self.known_apart)
        if names != self.feature_names:
            raise ValueError(f"the blend was fitted on {self.feature_names}, not {names}")
        weights = self.weights(np.diff(histories.offsets))
        places = {name: place for place, name in enumerate(names)}
        total: Tensor | None = None
        for term in terms:
            features = term.score(histories, as_of=as_of)
            score = _weighted(features, weights[:, [places[name] for name in term.feature_names]])
            total = score if total is None else total.add_(score)
            if self.known_apart and not term.personalised:
                score = _weighted(features, weights[:, [places[name + KNOWN] for name in term.feature_names]])
                total.add_(score.mul_(known_items(histories, features.size(1))))
        if total is None:
            raise ValueError("no terms")
        return total

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        values: dict[str, Any] = {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
        return cls(**values)


def activity_of(lengths: IntArray, *, mean: float, sd: float) -> Float64Array:
    """a(u) [U] of users with so many events, by the mean and deviation of log(1 + events) that a fit found."""
    activity: Float64Array = ((np.log1p(lengths) - mean) / sd).clip(-MAX_ACTIVITY, MAX_ACTIVITY)
    return activity


def feature_names(terms: Sequence[Term], *, known_apart: bool) -> tuple[str, ...]:
    """The names of all features, those of the trend for known items last."""
    names = [name for term in terms for name in term.feature_names]
    if known_apart:
        names += [name + KNOWN for term in terms if not term.personalised for name in term.feature_names]
    return tuple(names)


def known_items(histories: Histories, num_items: int) -> Tensor:
    """One where the shopper has the item in the history [B, num_items], else zero."""
    known = torch.zeros(len(histories), num_items)
    known[torch.from_numpy(histories.rows()), torch.from_numpy(histories.items)] = 1.0
    return known


def _weighted(features: Tensor, weights: Tensor) -> Tensor:
    """Features [B, num_items, F] times weights [B, F]: [B, num_items]."""
    if features.size(0) and features.stride(0) == 0:  # the same for every shopper: one product for all
        return weights @ features[0].T
    return torch.bmm(features, weights[:, :, None])[:, :, 0]

"""Blend: the weights of all features of all terms, and the score as their weighted sum.

Arrives: fitted terms, weights of `training.blend.fit`. Leaves: one score for each user and item. Next:
`training.models.bundle` saves the weights, `training.evaluation.ranking` measures the score.

The weights depend on the activity of the user: w(u) = w₀ + w₁ · a(u). a(u) is the standardised log(1 + events). Cold
users (one or two events) have separate weights if the window of the fit had enough of them; otherwise they share w(u).
Users without events are scored only with the trend.

With repeats, the trend has different weights for known items, where the user's habits matter more, and for new items.
Then each trend feature occurs twice; the second one is zero except for known items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, Float64Array, IntArray, distinct
from training.data.event_log import AsOf, Histories
from training.data.windows import COLD_EVENTS
from training.terms.protocol import Term

KNOWN = "_known"
"""Suffix of the name of a trend feature for known items only."""

MAX_ACTIVITY = 2.5
"""Activity is clipped at this many standard deviations."""


@dataclass(frozen=True)
class Blend:
    """Weights of standardised features. All tuples have the order of `feature_names`."""

    feature_names: tuple[str, ...]
    scale: tuple[float, ...]
    """Standard deviations over users and items. Means cancel in the softmax and are not subtracted."""
    warm: tuple[float, ...]
    activity: tuple[float, ...]
    """The change of the warm weights for one standard deviation of activity."""
    activity_mean: float
    activity_sd: float
    cold: tuple[float, ...] | None
    """Weights of users with one or two events. None: the warm weights."""
    unknown: tuple[float, ...]
    """Weights of users without events: zero except for the trend."""
    multipliers: tuple[float, ...] | None = None
    """What the warm and the cold weights are multiplied with (`training.blend.selection`). None: with one."""

    def weights(self, lengths: IntArray) -> Tensor:
        """Return the weights of the raw features [B, num_features] for users with `lengths` [B] events."""
        level = activity_of(lengths, mean=self.activity_mean, sd=self.activity_sd)
        weights = np.array(self.warm) + level[:, None] * np.array(self.activity)
        if self.cold is not None:
            weights[lengths <= COLD_EVENTS] = self.cold
        if self.multipliers is not None:
            weights *= np.array(self.multipliers)
        weights[lengths == 0] = self.unknown
        return torch.from_numpy((weights / np.array(self.scale)).astype(np.float32))

    @property
    def separate_known(self) -> bool:
        """Whether known items have separate trend weights."""
        return any(name.endswith(KNOWN) for name in self.feature_names)

    def score(self, terms: Sequence[Term], histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return the score [B, num_items] float32. Raises `ValueError` when the terms differ from those of the fit."""
        names = feature_names(terms, separate_known=self.separate_known)
        if names != self.feature_names:
            raise ValueError(f"the blend was fitted on {self.feature_names}, not {names}")
        weights = self.weights(np.diff(histories.offsets))
        indices = {name: index for index, name in enumerate(names)}
        total: Tensor | None = None
        for term in terms:
            features = term.score(histories, as_of=as_of)
            score = weighted(features, weights[:, [indices[name] for name in term.feature_names]])
            total = score if total is None else total.add_(score)
            if self.separate_known and not term.personalised:
                score = weighted(features, weights[:, [indices[name + KNOWN] for name in term.feature_names]])
                total.add_(score.mul_(known_items(histories, features.size(1))))
        if total is None:
            raise ValueError("no terms")
        return total

    def score_one(self, terms: Sequence[Term], history: Histories, *, as_of: int) -> Float32Array:
        """Return the score [num_items] of one user, the same as `score`."""
        parts = [part for _, part in self.parts_of_one(terms, history, as_of=as_of)]
        if not parts:
            raise ValueError("no terms")
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def parts_of_one(
        self, terms: Sequence[Term], history: Histories, *, as_of: int
    ) -> Iterator[tuple[Term, Float32Array]]:
        """Yield each term with its part of the score [num_items] of one user."""
        known = distinct(history.items)
        for term, weights, of_known in self.weights_of_one(terms, history):
            part = term.score_one(history, weights, as_of=as_of)
            if of_known is not None:
                part[known] += term.score(history, as_of=as_of)[0][torch.from_numpy(known)].numpy() @ of_known
            yield term, part

    def weights_of_one(
        self, terms: Sequence[Term], history: Histories
    ) -> Iterator[tuple[Term, Float32Array, Float32Array | None]]:
        """Yield each term with the weights [num_features] of its features for one user.

        The third value are the additional weights for known items, if the term has any.
        """
        names = feature_names(terms, separate_known=self.separate_known)
        if names != self.feature_names:
            raise ValueError(f"the blend was fitted on {self.feature_names}, not {names}")
        weights = self.weights(np.diff(history.offsets))[0].numpy()
        indices = {name: index for index, name in enumerate(names)}
        for term in terms:
            of_known = None
            if self.separate_known and not term.personalised:
                of_known = weights[[indices[name + KNOWN] for name in term.feature_names]]
            yield term, weights[[indices[name] for name in term.feature_names]], of_known

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        values: dict[str, Any] = {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
        return cls(**values)


def by_feature(multipliers: Mapping[str, float], terms: Sequence[Term], *, separate_known: bool) -> tuple[float, ...]:
    """Return the multiplier of each feature, in the order of `feature_names`, from those of the terms by name."""
    ordered = in_feature_order(terms, separate_known=separate_known)
    return tuple(multipliers.get(term.name, 1.0) for term in ordered for _ in term.feature_names)


def in_feature_order(terms: Sequence[Term], *, separate_known: bool) -> list[Term]:
    """Return whose features follow each other in a blend: all terms, then again those with features for known items."""
    return [*terms, *(term for term in terms if separate_known and not term.personalised)]


def activity_of(lengths: IntArray, *, mean: float, sd: float) -> Float64Array:
    """Return a(u) [U] of users with `lengths` events, with `mean` and `sd` of log(1 + events) in the fit."""
    activity: Float64Array = ((np.log1p(lengths) - mean) / sd).clip(-MAX_ACTIVITY, MAX_ACTIVITY)
    return activity


def feature_names(terms: Sequence[Term], *, separate_known: bool) -> tuple[str, ...]:
    """Return the names of all features. Trend features for known items are last."""
    names = [name for term in terms for name in term.feature_names]
    if separate_known:
        names += [name + KNOWN for term in terms if not term.personalised for name in term.feature_names]
    return tuple(names)


def known_items(histories: Histories, num_items: int) -> Tensor:
    """Return [B, num_items]: one for an item in the history of the user, else zero."""
    known = torch.zeros(len(histories), num_items)
    known[torch.from_numpy(histories.rows()), torch.from_numpy(histories.items)] = 1.0
    return known


def weighted(features: Tensor, weights: Tensor) -> Tensor:
    """Return features [B, num_items, F] times weights [B, F]: [B, num_items]."""
    if features.size(0) and features.stride(0) == 0:  # equal for all users: one matrix product
        return weights @ features[0].T
    return torch.bmm(features, weights[:, :, None])[:, :, 0]

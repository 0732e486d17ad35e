"""Losses of GraphSAGE with shared negatives: sampled softmax, BCE and BPR.

Arrives: scores of the baskets in a step. Leaves: a scalar. Next: `training.sage.trainer` minimises it.

The B baskets of a step share K negatives, which are sampled once and scored with one matrix product. `rows` [n] is the
basket of each positive. `excluded` [2, m] are the entries (basket, negative) of [B, K] that are not negatives, such as
accidental hits of the basket's own positives. They are few, so they are set one by one. An entry may occur twice.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphstore.arrays import Float64Array, IntArray, distinct

EXCLUDED = -1e9
"""The score of an excluded negative. Minus infinity would give no gradient when a basket excludes all negatives."""


@dataclass(frozen=True)
class NegativeSampler:
    """Samples items with replacement, with probability ~ count ** power, and returns the distinct ones."""

    probabilities: Float64Array  # [num_items], sums to one
    draws: int

    @classmethod
    def from_counts(cls, counts: IntArray, *, power: float, draws: int) -> "NegativeSampler":
        """Make a sampler from event counts [num_items]. Cold items are never sampled: no user could choose them."""
        mass = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
        return cls(mass / mass.sum(), draws)

    def draw(self, rng: np.random.Generator) -> IntArray:
        """Return distinct item rows [K], ascending, K <= draws."""
        return distinct(sample_by_weight(self._cumulative, self.draws, rng))

    @cached_property
    def _cumulative(self) -> Float64Array:
        return np.cumsum(self.probabilities)

    def log_inclusion(self) -> Tensor:
        """Return log(1 - (1 - p) ** draws) [num_items]: the log probability that a step samples the item."""
        with np.errstate(divide="ignore"):  # minus infinity for items that are never sampled
            return torch.from_numpy(np.log(-np.expm1(self.draws * np.log1p(-self.probabilities)))).float()


def sample_by_weight(cumulative: Float64Array, draws: int, rng: np.random.Generator) -> IntArray:
    """Sample indices [draws] with replacement. `cumulative` [n] are cumulative probabilities; the last is one.

    Rejected: `numpy.random.Generator.choice`, because it computes the sum in every call.
    """
    at = np.searchsorted(cumulative, rng.random(draws), side="right")
    return np.minimum(at, len(cumulative) - 1).astype(np.int64)  # rounding may leave the last sum below one


class _LogSumExp(torch.autograd.Function):
    """log Σ exp over the columns, without the excluded entries.

    Rejected: autograd, because it would keep three matrices [B, K] and compute the exponentials twice. The exponentials
    are the gradient, up to one factor for each row.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, excluded: Tensor) -> Tensor:
        powers = scores.clone()
        powers[excluded[0], excluded[1]] = EXCLUDED
        top = powers.amax(dim=1, keepdim=True)  # [B, 1]
        powers.sub_(top).exp_()
        total = powers.sum(dim=1, keepdim=True)  # [B, 1], at least 1
        ctx.save_for_backward(powers, total)
        return (total.log() + top)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        powers, total = ctx.saved_tensors
        # In place: page faults of another [B, K] cost more than the product. Autograd refuses a second backward.
        return powers.mul_(gradient[:, None] / total), None


def sampled_softmax(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Return the mean cross entropy of each positive against the negatives of its basket.

    `positive` [n] and `negative` [B, K] are scores minus log Q. Q is the probability that a step samples the item. With
    this correction the loss converges to the full softmax.

    Source: Bengio and Senécal, "Adaptive importance sampling", 2008.
    """
    against: Tensor = _LogSumExp.apply(negative, excluded)  # type: ignore[no-untyped-call]  # [B]
    return F.softplus(against[rows] - positive).mean()


def binary_cross_entropy(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Return the binary cross entropy on plain scores. Positives and negatives have equal total weight.

    It learns the probability of an event under the sampling. Its ranking is worse than that of the softmax.
    """
    mask = _mask(negative, excluded)
    off = F.softplus(negative).masked_fill(mask, 0.0).sum() / (~mask).sum().clamp(min=1)
    return F.softplus(-positive).mean() + off


def bayesian_personalised_ranking(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Return the BPR loss on plain scores: each positive above each negative of its basket (Rendle et al., 2009)."""
    mask = _mask(negative, excluded)[rows]  # [n, K]
    margins = F.softplus(negative[rows] - positive[:, None]).masked_fill(mask, 0.0)  # [n, K]
    return margins.sum() / (~mask).sum().clamp(min=1)


def _mask(negative: Tensor, excluded: Tensor) -> Tensor:
    mask = torch.zeros(negative.shape, dtype=torch.bool)
    mask[excluded[0], excluded[1]] = True
    return mask


LOSSES = {"softmax": sampled_softmax, "bce": binary_cross_entropy, "bpr": bayesian_personalised_ranking}

CORRECTED = ("softmax",)
"""The losses on scores minus log Q. The others use plain scores."""

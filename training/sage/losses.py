"""Losses over positives and shared negatives: sampled softmax, and two pairwise alternatives.

Arrives: scores of a step's baskets. Leaves: a scalar. Next: `training.sage.trainer` descends it.

All negatives of a step are shared by its B baskets: K items drawn once, scored by one matrix product. A basket's
positives are the n items bought at one moment; `rows` [n] says whose they are. `excluded` [2, m] are the places
(basket, negative) in [B, K] that are no negatives: accidental hits of the basket's own positives. They are few, so they
are set one by one; a place may be named twice.
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
"""The score of an excluded negative: a basket may exclude all of them, and minus infinity has no gradient there."""


@dataclass(frozen=True)
class NegativeSampler:
    """Draws distinct items with probability proportional to count ** power, `draws` times with replacement."""

    probabilities: Float64Array  # [num_items], sums to one
    draws: int

    @classmethod
    def from_counts(cls, counts: IntArray, *, power: float, draws: int) -> "NegativeSampler":
        """From the events of each item; one without events is never drawn: nobody could have chosen it yet."""
        mass = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
        return cls(mass / mass.sum(), draws)

    def draw(self, rng: np.random.Generator) -> IntArray:
        """Distinct item rows [K], ascending, K <= draws."""
        return distinct(drawn_by_weight(self._cumulative, self.draws, rng))

    @cached_property
    def _cumulative(self) -> Float64Array:
        return np.cumsum(self.probabilities)

    def log_inclusion(self) -> Tensor:
        """log of each item's probability [num_items] to be among the draws: 1 - (1 - p) ** draws."""
        with np.errstate(divide="ignore"):  # minus infinity for what is never drawn
            return torch.from_numpy(np.log(-np.expm1(self.draws * np.log1p(-self.probabilities)))).float()


def drawn_by_weight(cumulative: Float64Array, draws: int, rng: np.random.Generator) -> IntArray:
    """Places [draws], with replacement; `cumulative` are the sums of the first probabilities, the last being one.

    `numpy.random.Generator.choice` would sum them up again in every call.
    """
    at = np.searchsorted(cumulative, rng.random(draws), side="right")
    return np.minimum(at, len(cumulative) - 1).astype(np.int64)  # sums may end below one


class _LogSumExp(torch.autograd.Function):
    """log Σ exp over the columns, without the excluded places.

    By hand, because autograd would keep three matrices [B, K] and take the exponentials twice: they are the gradient
    already, up to a factor a row.
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
        # In place: page faults of another [B, K] cost more than the product. A second backward is refused by autograd.
        return powers.mul_(gradient[:, None] / total), None


def sampled_softmax(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Mean cross entropy of each positive against the negatives of its basket.

    `positive` [n] and `negative` [B, K] are scores minus log Q, Q the probability that sampling includes the item
    (Bengio and Senécal, "Adaptive importance sampling", 2008): then the loss tends to the full softmax.
    """
    against: Tensor = _LogSumExp.apply(negative, excluded)  # type: ignore[no-untyped-call]  # [B]
    return F.softplus(against[rows] - positive).mean()


def binary_cross_entropy(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Positives towards one, negatives towards zero, both halves of equal weight; on plain scores.

    Learns a probability of the event given the sampling; ranks worse than the softmax.
    """
    barred = _mask(negative, excluded)
    off = F.softplus(negative).masked_fill(barred, 0.0).sum() / (~barred).sum().clamp(min=1)
    return F.softplus(-positive).mean() + off


def bayesian_personalised_ranking(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Every positive above every negative of its basket (Rendle et al., "BPR", 2009); on plain scores."""
    barred = _mask(negative, excluded)[rows]  # [n, K]
    margins = F.softplus(negative[rows] - positive[:, None]).masked_fill(barred, 0.0)  # [n, K]
    return margins.sum() / (~barred).sum().clamp(min=1)


def _mask(negative: Tensor, excluded: Tensor) -> Tensor:
    mask = torch.zeros(negative.shape, dtype=torch.bool)
    mask[excluded[0], excluded[1]] = True
    return mask


LOSSES = {"softmax": sampled_softmax, "bce": binary_cross_entropy, "bpr": bayesian_personalised_ranking}

CORRECTED = ("softmax",)
"""Losses on scores minus log Q; the others are on plain scores."""

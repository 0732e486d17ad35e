"""Losses over positives and shared negatives: sampled softmax, and two pairwise alternatives.

Arrives: scores of a step's baskets. Leaves: a scalar. Next: `training.train` descends it.

All negatives of a step are shared by its B baskets: K items drawn once, scored by one matrix product. A basket's
positives are the n items bought at one moment; `rows` [n] says whose they are. `excluded` [B, K] masks negatives that
are no negatives for a basket: accidental hits of its own positives.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

EXCLUDED = -1e9
"""The score of an excluded negative: a basket may exclude all of them, and minus infinity has no gradient there."""


@dataclass(frozen=True)
class NegativeSampler:
    """Draws distinct items with probability proportional to count ** power, `draws` times with replacement."""

    probabilities: npt.NDArray[np.float64]  # [num_items], sums to one
    draws: int

    @classmethod
    def from_counts(cls, counts: npt.NDArray[np.int64], *, power: float, draws: int) -> "NegativeSampler":
        """From the events of each item; one without events is never drawn: nobody could have chosen it yet."""
        mass = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
        return cls(mass / mass.sum(), draws)

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Distinct item rows [K], K <= draws."""
        at = np.searchsorted(np.cumsum(self.probabilities), rng.random(self.draws), side="right")
        return torch.from_numpy(np.unique(np.minimum(at, len(self.probabilities) - 1)))

    def log_inclusion(self) -> Tensor:
        """log of each item's probability [num_items] to be among the draws: 1 - (1 - p) ** draws."""
        with np.errstate(divide="ignore"):  # minus infinity for what is never drawn
            return torch.from_numpy(np.log(-np.expm1(self.draws * np.log1p(-self.probabilities)))).float()


def sampled_softmax(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Mean cross entropy of each positive against the negatives of its basket.

    `positive` [n] and `negative` [B, K] are scores minus log Q, Q the probability that sampling includes the item
    (Bengio and Senécal, "Adaptive importance sampling", 2008): then the loss tends to the full softmax.
    """
    against = torch.logsumexp(negative.masked_fill(excluded, EXCLUDED), dim=1)  # [B]
    return F.softplus(against[rows] - positive).mean()


def binary_cross_entropy(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Positives towards one, negatives towards zero, both halves of equal weight; on plain scores.

    Learns a probability of the event given the sampling; ranks worse than the softmax.
    """
    off = F.softplus(negative).masked_fill(excluded, 0.0).sum() / (~excluded).sum().clamp(min=1)
    return F.softplus(-positive).mean() + off


def bayesian_personalised_ranking(positive: Tensor, rows: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Every positive above every negative of its basket (Rendle et al., "BPR", 2009); on plain scores."""
    margins = F.softplus(negative[rows] - positive[:, None]).masked_fill(excluded[rows], 0.0)  # [n, K]
    return margins.sum() / (~excluded[rows]).sum().clamp(min=1)


LOSSES = {"softmax": sampled_softmax, "bce": binary_cross_entropy, "bpr": bayesian_personalised_ranking}


def loss_of_step(
    name: Literal["softmax", "bce", "bpr"],
    positive: Tensor,
    rows: Tensor,
    negative: Tensor,
    excluded: Tensor,
    *,
    log_q: tuple[Tensor, Tensor],
) -> Tensor:
    """The loss `name` on plain scores; `log_q` ([n], [K]) is taken off for the softmax alone."""
    if name == "softmax":
        positive, negative = positive - log_q[0], negative - log_q[1]
    return LOSSES[name](positive, rows, negative, excluded)

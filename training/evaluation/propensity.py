"""Debiased metrics: NDCG and recall with each target weighted by the inverse of its item's propensity.

Arrives: the lists of `training.evaluation.ranking` for a window, and the number of earlier users of each item. Leaves:
the metrics as means over users. Next: `training.benchmark.comparison`.

A target is observed with a probability that grows with the popularity of its item, because popular items are shown and
found more often. So the plain metrics favour models that rank popular items. With n_i users of item i before the window
and the exponent γ of a power law of popularity, the propensity is p_i ∝ n_i^((γ + 1) / 2). A user with the targets S,
each at position z in the list, has the self-normalised estimate (SNIPS)

    recall_ips@K = Σ_{i ∈ S, z_i ≤ K} (1 / p_i) / Σ_{i ∈ S} (1 / p_i)
    ndcg_ips@K = Σ_{i ∈ S, z_i ≤ K} (1 / p_i) / log2(z_i + 1) / ideal

where the ideal list holds the targets with the largest 1 / p_i first. So both are between 0 and 1, the unknown factor
of p cancels, and equal popularities give the plain metrics. The source sums the discounted gains; divided by the ideal
they can be compared with NDCG. An item without users counts as one user; the source leaves it out.

The estimate has a large variance: few targets of rare items decide it. Compare models with it, and choose none by it.

Source: Yang, Cui, Xuan, Wang, Belongie & Estrin, "Unbiased Offline Recommender Evaluation for Missing-Not-At-Random
Implicit Feedback" (RecSys 2018).
"""

from collections.abc import Sequence

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from training.data.windows import Window
from training.evaluation.ranking import target_hits

GAMMA = 1.5
"""The exponent of the power law: at the lower end of what is usual, because the variance grows with it."""


def inverse_propensities(item_users: IntArray, *, gamma: float = GAMMA) -> Float64Array:
    """Return 1 / p of each item [num_items], up to a factor, from its number of users [num_items]."""
    return np.maximum(item_users, 1).astype(np.float64) ** (-(gamma + 1) / 2)


def debiased_accuracy(
    lists: IntArray, window: Window, inverse: Float64Array, *, cutoffs: Sequence[int]
) -> dict[str, Float64Array]:
    """Return `ndcg_ips` and `recall_ips` at each cutoff for each user [U].

    `lists` [U, K] contain no item twice; −1 marks an empty position. `inverse` [num_items] is 1 / p.
    """
    owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))
    weights = inverse[window.targets]
    totals = np.bincount(owners, weights, minlength=len(window))
    gains = np.where(target_hits(lists, window), inverse[np.maximum(lists, 0)], 0.0)  # [U, K]
    found = np.cumsum(gains, axis=1)
    discounted = np.cumsum(gains / np.log2(np.arange(lists.shape[1]) + 2.0), axis=1)

    order = np.lexsort((-weights, owners))
    positions = np.arange(len(order)) - window.offsets[owners]  # the owners are in the same order before and after
    ideal = weights[order] / np.log2(positions + 2.0)
    values: dict[str, Float64Array] = {}
    for k in cutoffs:
        ideals = np.bincount(owners, np.where(positions < k, ideal, 0.0), minlength=len(window))
        values |= {f"ndcg_ips@{k}": discounted[:, k - 1] / ideals, f"recall_ips@{k}": found[:, k - 1] / totals}
    return values

"""Beyond-accuracy metrics: coverage, novelty, diversity and popularity bias, and metrics of cold users and items.

Arrives: the lists of `training.evaluation.ranking` for a window, and the log of the model's fit. Leaves: metrics of the
lists, and slices of users and targets. Next: `training.benchmark.run`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from graphstore.arrays import BoolArray, Float64Array, IntArray, distinct, offsets_of
from training.data.event_log import EventLog
from training.data.windows import COLD_EVENTS, Window
from training.evaluation.ranking import accuracy

DIVERSITY_USERS = 2_000
"""The largest number of users whose lists are compared for diversity. All models have the same users."""

PAIR_ENTRIES = 5_000_000
"""Entries of the item vectors whose products are computed in one block. A popular item has an entry for each user."""

PAIR_CELLS = 2_000_000
"""Users × item pairs of their lists in one block. Lists of a thousand items have half a million pairs each."""

LIST_MEASURES = ("coverage", "novelty", "diversity", "popularity_bias")


@dataclass(frozen=True)
class KnownItems:
    """Statistics of each item in the log of a model's fit."""

    item_vectors: sparse.csr_array
    """[num_items, num_users] Item vectors of length one, non-zero for the users of the item."""
    information: Float64Array
    """[num_items] −log2 of the share of users with the item, in bits. An item without users counts as one user."""
    users: IntArray
    """[num_items] Number of users."""
    popularity: Float64Array
    """[num_items] Percentile (0..1) by number of users. Equal items share the average rank."""

    @classmethod
    def of(cls, log: EventLog) -> "KnownItems":
        """Compute the statistics of a log. A user counts once for an item."""
        cells = distinct(log.items * max(log.num_users, 1) + log.users)
        items, users = cells // max(log.num_users, 1), cells % max(log.num_users, 1)
        counts = np.bincount(items, minlength=log.num_items)
        values = 1.0 / np.sqrt(counts[items])
        num_users = max(len(distinct(users)), 1)
        return cls(
            item_vectors=sparse.csr_array((values, (items, users)), shape=(log.num_items, max(log.num_users, 1))),
            information=np.log2(num_users / np.maximum(counts, 1)),
            users=counts,
            popularity=stats.rankdata(counts, method="average") / max(log.num_items, 1),
        )

    def cosines(self, one: IntArray, other: IntArray) -> Float64Array:
        """Return the co-occurrence cosine of item pairs [n]: users of both items over √(users · users)."""
        size = self.item_vectors.shape[0]
        pairs, indices = np.unique(np.minimum(one, other) * size + np.maximum(one, other), return_inverse=True)
        values = np.empty(len(pairs))
        entries = np.diff(self.item_vectors.indptr)
        ends = np.cumsum(entries[pairs // size] + entries[pairs % size], dtype=np.int64)
        start = 0
        while start < len(pairs):
            before = ends[start - 1] if start else 0
            end = max(int(np.searchsorted(ends, before + PAIR_ENTRIES, side="right")), start + 1)
            part = pairs[start:end]
            products = self.item_vectors[part // size].multiply(self.item_vectors[part % size])
            values[start:end] = products.sum(axis=1)
            start = end
        return values[indices]


def list_measures(lists: IntArray, window: Window, known: KnownItems, *, cutoffs: Sequence[int]) -> dict[str, float]:
    """Return metrics of `lists` [U, K] that do not depend on the targets. −1 marks an empty position.

    - coverage: the share of all items that are in at least one list.
    - novelty: the mean self-information of the listed items, in bits.
    - diversity: 1 − the mean co-occurrence cosine of two items in a list (1 − intra-list similarity).
    - popularity_bias: the mean popularity percentile of a list minus the mean of the user's history, over users with a
      history. The source uses the ratio instead of the difference.

    Source: novelty from Zhou et al., "Solving the apparent diversity-accuracy dilemma", 2010; diversity from Ziegler et
    al., 2005; popularity bias from Abdollahpouri et al., 2019.
    """
    measured: dict[str, float] = {}
    before = _mean_popularity_before(window, known)
    indices = np.arange(len(lists))
    if len(lists) > DIVERSITY_USERS:
        indices = np.sort(np.random.default_rng(0).choice(len(lists), DIVERSITY_USERS, replace=False))
    for k in cutoffs:
        part = lists[:, :k]
        filled = part >= 0
        listed = part[filled]
        percentiles = np.where(filled, known.popularity[np.maximum(part, 0)], 0.0).sum(axis=1)
        bias = percentiles / np.maximum(filled.sum(axis=1), 1) - before
        bias = bias[~np.isnan(bias) & filled.any(axis=1)]
        measured |= {
            f"coverage@{k}": len(distinct(listed)) / max(window.num_items, 1),
            f"novelty@{k}": float(known.information[listed].mean()) if len(listed) else 0.0,
            f"diversity@{k}": _diversity(part[indices], known),
            f"popularity_bias@{k}": float(bias.mean()) if len(bias) else 0.0,
        }
    return measured


def _diversity(lists: IntArray, known: KnownItems) -> float:
    """Return 1 − the mean cosine of item pairs. Lists with fewer than two items are ignored."""
    one, other = np.triu_indices(lists.shape[1], k=1)
    step = max(1, PAIR_CELLS // max(len(one), 1))
    sums: list[Float64Array] = [np.empty(0)]
    counts: list[IntArray] = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(lists), step):
        left, right = lists[start : start + step, one], lists[start : start + step, other]
        pairs = (left >= 0) & (right >= 0)
        cosines = known.cosines(left[pairs], right[pairs])
        sums.append(np.bincount(np.nonzero(pairs)[0], cosines, minlength=len(left)).astype(np.float64))
        counts.append(pairs.sum(axis=1))
    total, paired = np.concatenate(sums), np.concatenate(counts)
    if not paired.any():
        return 0.0
    return float(1.0 - (total[paired > 0] / paired[paired > 0]).mean())


def _mean_popularity_before(window: Window, known: KnownItems) -> Float64Array:
    """Return the mean popularity of each history [U]; NaN for an empty history."""
    lengths = window.lengths()
    sums = np.bincount(window.histories.rows(), known.popularity[window.histories.items], minlength=len(window))
    return np.where(lengths > 0, sums / np.maximum(lengths, 1), np.nan)


@dataclass(frozen=True)
class Slices:
    """Parts of a window with separate metrics."""

    warm: BoolArray
    """[U] Mask of the users with more than `COLD_EVENTS` earlier events."""
    cold_items: Window
    """The users with cold targets, which have no event in the known log, and only these targets."""
    with_cold_items: IntArray
    """The indices of these users in the whole window."""

    @classmethod
    def of(cls, window: Window, known: EventLog) -> "Slices":
        """Split a window for a model that was fitted on `known`."""
        new = np.bincount(known.items, minlength=window.num_items)[window.targets] == 0
        owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))[new]
        indices, counts = np.unique(owners, return_counts=True)
        whole = window.take(indices)
        cold_items = Window(
            as_of=whole.as_of,
            users=whole.users,
            histories=whole.histories,
            offsets=offsets_of(counts),
            targets=window.targets[new],
            num_items=window.num_items,
            repeats=window.repeats,
        )
        return cls(warm=window.lengths() > COLD_EVENTS, cold_items=cold_items, with_cold_items=indices)

    def means(
        self, per_user: dict[str, Float64Array], lists: IntArray, *, cutoffs: Sequence[int]
    ) -> dict[str, dict[str, float | None]]:
        """Return the mean of each metric in each slice, and the number of users. An empty slice has None.

        Cold items have only recall and NDCG: of the cold targets in the whole lists.
        """
        new = accuracy(lists[self.with_cold_items], self.cold_items, cutoffs=cutoffs)
        new = {name: values for name, values in new.items() if name.startswith(("recall@", "ndcg@"))}
        return {
            "warm": _means({name: values[self.warm] for name, values in per_user.items()}, int(self.warm.sum())),
            "cold_users": _means(
                {name: values[~self.warm] for name, values in per_user.items()}, int((~self.warm).sum())
            ),
            "cold_items": _means(new, len(self.cold_items)),
        }


def _means(per_user: dict[str, Float64Array], users: int) -> dict[str, float | None]:
    means: dict[str, float | None] = {
        name: float(values.mean()) if users else None for name, values in per_user.items()
    }
    return means | {"users": users}

"""Beyond accuracy: what lists are made of, and how they do for whom little is known.

Arrives: lists that `training.evaluation.ranking` made for a window, and the log that their model was fitted on. Leaves:
coverage, novelty, diversity and popularity bias, and the slices of users and targets. Next: `training.benchmark.run`.
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
"""Pairs of items are compared in the lists of at most so many users, the same for every model."""

PAIR_BLOCK = 20_000
"""Pairs compared at a time."""

LIST_MEASURES = ("coverage", "novelty", "diversity", "popularity_bias")


@dataclass(frozen=True)
class KnownItems:
    """What the log that a model was fitted on says of each item."""

    takers: sparse.csr_array
    """[num_items, num_users] one where the user touched the item, each row at length one."""
    information: Float64Array
    """[num_items] −log2 of the share of users who touched it, in bits; of an item of nobody as of an item of one."""
    popularity: Float64Array
    """[num_items] its percentile (0..1) by number of users, ties in their middle."""

    @classmethod
    def of(cls, log: EventLog) -> "KnownItems":
        """From every event of the log, each user counted once an item."""
        cells = distinct(log.items * max(log.num_users, 1) + log.users)
        items, users = cells // max(log.num_users, 1), cells % max(log.num_users, 1)
        counts = np.bincount(items, minlength=log.num_items)
        values = 1.0 / np.sqrt(counts[items])
        num_users = max(len(distinct(users)), 1)
        return cls(
            takers=sparse.csr_array((values, (items, users)), shape=(log.num_items, max(log.num_users, 1))),
            information=np.log2(num_users / np.maximum(counts, 1)),
            popularity=stats.rankdata(counts, method="average") / max(log.num_items, 1),
        )

    def cosines(self, one: IntArray, other: IntArray) -> Float64Array:
        """Cosine of the co-occurrence of two items, for pairs of rows [n]: users of both over √(users · users)."""
        size = self.takers.shape[0]
        pairs, places = np.unique(np.minimum(one, other) * size + np.maximum(one, other), return_inverse=True)
        values = np.empty(len(pairs))
        for start in range(0, len(pairs), PAIR_BLOCK):
            part = pairs[start : start + PAIR_BLOCK]
            products = self.takers[part // size].multiply(self.takers[part % size])
            values[start : start + PAIR_BLOCK] = products.sum(axis=1)
        return values[places]


def list_measures(lists: IntArray, window: Window, known: KnownItems, *, cutoffs: Sequence[int]) -> dict[str, float]:
    """Measures of what is listed, without regard to what was taken; `lists` [U, K] with −1 for an empty place.

    coverage: share of all items that stand in somebody's list. novelty: mean self-information of the listed items, in
    bits (Zhou et al., 2010, "Solving the apparent diversity-accuracy dilemma"). diversity: one less the mean cosine of
    the co-occurrence of two items in a list (intra-list similarity, Ziegler et al., 2005). popularity_bias: mean
    popularity percentile of the list less that of what the user had before, over users with a history (the difference
    that Abdollahpouri et al., 2019, take as a ratio).
    """
    measured: dict[str, float] = {}
    before = _mean_popularity_before(window, known)
    places = np.arange(len(lists))
    if len(lists) > DIVERSITY_USERS:
        places = np.sort(np.random.default_rng(0).choice(len(lists), DIVERSITY_USERS, replace=False))
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
            f"diversity@{k}": _diversity(part[places], known),
            f"popularity_bias@{k}": float(bias.mean()) if len(bias) else 0.0,
        }
    return measured


def _diversity(lists: IntArray, known: KnownItems) -> float:
    """Lists of fewer than two items say nothing."""
    one, other = np.triu_indices(lists.shape[1], k=1)
    left, right = lists[:, one], lists[:, other]
    pairs = (left >= 0) & (right >= 0)
    counts = pairs.sum(axis=1)
    if not counts.any():
        return 0.0
    owners = np.nonzero(pairs)[0]
    sums = np.bincount(owners, known.cosines(left[pairs], right[pairs]), minlength=len(lists))
    return float(1.0 - (sums[counts > 0] / counts[counts > 0]).mean())


def _mean_popularity_before(window: Window, known: KnownItems) -> Float64Array:
    """[U], NaN for a user without a history."""
    lengths = window.lengths()
    sums = np.bincount(window.histories.rows(), known.popularity[window.histories.items], minlength=len(window))
    return np.where(lengths > 0, sums / np.maximum(lengths, 1), np.nan)


@dataclass(frozen=True)
class Slices:
    """Parts of a window that are reported apart."""

    warm: BoolArray
    """[U] users with more than `COLD_EVENTS` events before."""
    cold_items: Window
    """The users with a target of which the known log has no event, and those targets alone."""
    with_cold_items: IntArray
    """Their places in the whole window."""

    @classmethod
    def of(cls, window: Window, known: EventLog) -> "Slices":
        """Of the window of users to whom a model fitted on `known` recommends."""
        new = np.bincount(known.items, minlength=window.num_items)[window.targets] == 0
        owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))[new]
        places, counts = np.unique(owners, return_counts=True)
        whole = window.take(places)
        cold_items = Window(
            moment=whole.moment,
            users=whole.users,
            histories=whole.histories,
            offsets=offsets_of(counts),
            targets=window.targets[new],
            num_items=window.num_items,
            repeats=window.repeats,
        )
        return cls(warm=window.lengths() > COLD_EVENTS, cold_items=cold_items, with_cold_items=places)

    def means(
        self, per_user: dict[str, Float64Array], lists: IntArray, *, cutoffs: Sequence[int]
    ) -> dict[str, dict[str, float | None]]:
        """Each slice's mean of each measure (None where it has no user) and its number of users.

        Of cold items there are recall and NDCG, over the cold targets alone but in the whole lists.
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

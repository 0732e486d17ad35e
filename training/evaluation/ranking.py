"""Full ranking over a window: Recall, Precision, NDCG, MAP, MRR and hit rate at K, one value a shopper.

Arrives: anything that scores shoppers against all items, and an event log cut at a time. Leaves: `Evaluation` with
per-user arrays, because the gate compares two models on the same shoppers. Next: `training.lifecycle.gate`, the
registry.

Profiles are frozen at the moment of the window; the targets are the distinct items that the shopper touched in it,
only unseen ones where repeats are not allowed. Every item is a candidate: no sampled negatives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, Float32Array, Float64Array, IntArray, distinct
from training.data.event_log import Histories, Moment
from training.data.windows import COLD_EVENTS, Window

CUTOFFS = (10, 20)

METRIC = "ndcg@20"
"""What settings are chosen by, and what models are compared by."""


class Scorer(Protocol):
    """Scores a batch of shoppers [B, num_items] at a moment; −inf for what it cannot recommend."""

    def __call__(self, histories: Histories, *, as_of: Moment) -> Tensor: ...


@dataclass(frozen=True)
class Evaluation:
    """The measures of one model on one window."""

    users: IntArray  # [U]
    cold: BoolArray  # [U]
    per_user: dict[str, Float64Array]  # "ndcg@20" and so on, each [U]
    coverage: float
    """Share of the catalogue that stands in somebody's list."""
    finite: bool
    """No score was NaN or +inf."""
    lists: IntArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    """What was recommended [U, K], best first, K the deepest cutoff; −1 where there was nothing more."""

    def metrics(self) -> dict[str, float]:
        """Means over the users; those of warm and cold users under `warm_` and `cold_` where there are any."""
        means = {name: float(values.mean()) if len(values) else 0.0 for name, values in self.per_user.items()}
        for prefix, part in (("warm_", ~self.cold), ("cold_", self.cold)):
            if part.any():
                means |= {prefix + name: float(values[part].mean()) for name, values in self.per_user.items()}
        return means | {
            "users": float(len(self.users)),
            "cold_users": float(self.cold.sum()),
            "coverage": self.coverage,
        }


def evaluate(scorer: Scorer, window: Window, *, cutoffs: Sequence[int] = CUTOFFS) -> Evaluation:
    """Rank every item for every user of the window, and measure the lists (`accuracy`)."""
    lists, finite = recommend(scorer, window, k=max(cutoffs))
    return evaluation(lists, window, cutoffs=cutoffs, finite=finite)


def evaluation(lists: IntArray, window: Window, *, cutoffs: Sequence[int], finite: bool = True) -> Evaluation:
    """The measures of lists [U, K] made for the window."""
    listed = distinct(lists[lists >= 0])
    return Evaluation(
        users=window.users,
        cold=window.lengths() <= COLD_EVENTS,
        per_user=accuracy(lists, window, cutoffs=cutoffs),
        coverage=len(listed) / window.num_items if window.num_items else 0.0,
        finite=finite,
        lists=lists,
    )


def recommend(scorer: Scorer, window: Window, *, k: int) -> tuple[IntArray, bool]:
    """Every user's k best items [U, k], best first, −1 where fewer can be recommended; and whether no score was NaN or
    +inf. Seen items are taken out where the window has no repeats."""
    lists = [np.empty((0, k), dtype=np.int64)]
    finite = True
    for block in window.blocks():
        scores = scorer(block.histories, as_of=block.moment)
        finite = finite and not bool((torch.isnan(scores) | torch.isposinf(scores)).any())
        if not window.repeats:
            scores = scores.masked_fill(torch.from_numpy(block.seen()), -torch.inf)
        lists.append(top_k(scores, k)[0])
    return np.concatenate(lists), finite


def accuracy(lists: IntArray, window: Window, *, cutoffs: Sequence[int]) -> dict[str, Float64Array]:
    """Each measure at each cutoff, one value a user [U]; `lists` [U, K] hold no item twice.

    Recall is hits over all targets, precision hits over K. NDCG has binary gains and the ideal of min(K, targets)
    (Järvelin & Kekäläinen, 2002). MAP is the mean of the precision at each hit over min(K, targets), MRR one over the
    place of the first hit (Manning, Raghavan & Schütze, 2008, chapter 8; Voorhees, 1999).
    """
    sizes = np.maximum(np.diff(window.offsets), 1)
    hits = _hits(lists, window)
    places = np.arange(hits.shape[1])
    discounts = 1.0 / np.log2(places + 2.0)
    ideals = np.cumsum(discounts)
    found = np.cumsum(hits, axis=1)
    gains = np.cumsum(hits * discounts, axis=1)
    precisions = np.cumsum(hits * found / (places + 1.0), axis=1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), hits.shape[1])
    values: dict[str, Float64Array] = {}
    for k in cutoffs:
        last = k - 1
        reachable = np.minimum(sizes, k)
        values |= {
            f"ndcg@{k}": gains[:, last] / ideals[reachable - 1],
            f"recall@{k}": found[:, last] / sizes,
            f"precision@{k}": found[:, last] / k,
            f"hit_rate@{k}": (found[:, last] > 0).astype(np.float64),
            f"map@{k}": precisions[:, last] / reachable,
            f"mrr@{k}": np.where(first < k, 1.0 / (first + 1.0), 0.0),
        }
    return values


def _hits(lists: IntArray, window: Window) -> BoolArray:
    """Which places of the lists [U, K] hold a target."""
    owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))
    cells = owners * window.num_items + window.targets
    asked = np.arange(len(window))[:, None] * window.num_items + lists
    return np.isin(asked, cells) & (lists >= 0)


def top_k(scores: Tensor, k: int) -> tuple[IntArray, Float32Array]:
    """The k best items [B, k] and their scores, best first; row −1 and −inf where fewer can be recommended."""
    values, rows = scores.topk(min(k, scores.size(1)), dim=1)
    rows = rows.masked_fill(torch.isneginf(values), -1)
    if (missing := k - rows.size(1)) > 0:
        rows = torch.nn.functional.pad(rows, (0, missing), value=-1)
        values = torch.nn.functional.pad(values, (0, missing), value=-torch.inf)
    return rows.numpy(), values.to(torch.float32).numpy()

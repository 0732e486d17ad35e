"""Full ranking over a window: Recall, Precision, NDCG, MAP, MRR and hit rate at K for each user.

Arrives: a `Scorer` and a `Window`. Leaves: `Evaluation` with per-user arrays, because the gate compares two models on
the same users. Next: `training.lifecycle.gate`, the registry.

Histories end at the time of the window. Targets are the distinct items of the user in the window; without repeats only
new items. Every item is a candidate: there are no sampled negatives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, Float32Array, Float64Array, IntArray, distinct
from training.data.event_log import AsOf, Histories
from training.data.windows import COLD_EVENTS, Window

CUTOFFS = (10, 20)

METRIC = "ndcg@20"
"""The metric that selects settings and compares models."""


class Scorer(Protocol):
    """Scores all items for a batch of users [B, num_items] at a time. −inf: cannot be recommended."""

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor: ...


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one model on one window."""

    users: IntArray  # [U]
    cold: BoolArray  # [U]
    per_user: dict[str, Float64Array]  # "ndcg@20" and so on, each [U]
    coverage: float
    """The share of all items that are in at least one list."""
    finite: bool
    """Whether no score was NaN or +inf."""
    lists: IntArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    """[U, K] The recommended item rows, best first. K is the largest cutoff; −1 marks an empty position."""

    def metrics(self) -> dict[str, float]:
        """Return means over all users, and over warm and cold users (`warm_…`, `cold_…`) if there are any."""
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
    """Rank all items for all users of the window, and measure the lists (see `accuracy`)."""
    lists, finite = recommend(scorer, window, k=max(cutoffs))
    return evaluate_lists(lists, window, cutoffs=cutoffs, finite=finite)


def evaluate_lists(lists: IntArray, window: Window, *, cutoffs: Sequence[int], finite: bool = True) -> Evaluation:
    """Return the metrics of `lists` [U, K] for the users of the window."""
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
    """Return the k best items of each user [U, k], best first, and whether no score was NaN or +inf.

    −1 marks an empty position. Without repeats in the window, known items are excluded.
    """
    # Filled in place: a small array kept of each block lies between the freed scores of the blocks, and the gaps are
    # not reused. Lists of 20,000 users over 30,000 items left gaps of 2 GB.
    lists = np.empty((len(window), k), dtype=np.int64)
    finite = True
    done = 0
    for block in window.blocks():
        scores = scorer(block.histories, as_of=block.as_of)
        finite = finite and not bool((torch.isnan(scores) | torch.isposinf(scores)).any())
        if not window.repeats:
            scores = scores.masked_fill(torch.from_numpy(block.seen()), -torch.inf)
        lists[done : done + len(block)] = top_k(scores, k)[0]
        done += len(block)
    return lists, finite


def accuracy(lists: IntArray, window: Window, *, cutoffs: Sequence[int]) -> dict[str, Float64Array]:
    """Return each metric at each cutoff for each user [U]. `lists` [U, K] contain no item twice.

    - recall: hits / targets. precision: hits / K. hit_rate: 1 if there is a hit.
    - ndcg: binary gains; the ideal list has min(K, targets) hits.
    - map: the sum of the precisions at each hit / min(K, targets).
    - mrr: 1 / position of the first hit.

    Source: Järvelin & Kekäläinen, 2002 (NDCG); Manning, Raghavan & Schütze, 2008, chapter 8; Voorhees, 1999 (MRR).
    """
    sizes = np.maximum(np.diff(window.offsets), 1)
    hits = target_hits(lists, window)
    ranks = np.arange(hits.shape[1])
    discounts = 1.0 / np.log2(ranks + 2.0)
    ideals = np.cumsum(discounts)
    found = np.cumsum(hits, axis=1)
    gains = np.cumsum(hits * discounts, axis=1)
    precisions = np.cumsum(hits * found / (ranks + 1.0), axis=1)
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


def target_hits(lists: IntArray, window: Window) -> BoolArray:
    """Return a mask [U, K] of the list positions with a target."""
    owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))
    cells = owners * window.num_items + window.targets
    asked = np.arange(len(window))[:, None] * window.num_items + lists
    return np.isin(asked, cells) & (lists >= 0)


def top_k(scores: Tensor, k: int) -> tuple[IntArray, Float32Array]:
    """Return the k best items [B, k] and their scores, best first. Item −1 with score −inf marks an empty position."""
    values, rows = scores.topk(min(k, scores.size(1)), dim=1)
    rows = rows.masked_fill(torch.isneginf(values), -1)
    if (missing := k - rows.size(1)) > 0:
        rows = torch.nn.functional.pad(rows, (0, missing), value=-1)
        values = torch.nn.functional.pad(values, (0, missing), value=-torch.inf)
    return rows.numpy(), values.to(torch.float32).numpy()

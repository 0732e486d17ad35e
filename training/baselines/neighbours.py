"""Item nearest neighbours: cosine similarity of item columns, applied to a user's profile.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

An item's score is the sum of its similarities with the items in the profile, over the item's K nearest neighbours only.
The products of columns are computed for one block of items at a time, so memory never holds a dense Gram matrix.

Source: Deshpande & Karypis, "Item-Based Top-N Recommendation Algorithms" (TOIS 2004).
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphstore.tables import HOUR_MS
from training.baselines.popularity import add_popularity
from training.baselines.profile import HALF_LIVES, decayed_profiles
from training.baselines.tuning import FittedBaseline, Tuning, settings_of
from training.data.event_log import AsOf, EventLog, Histories
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions
from training.terms.gram import interactions

BLOCK_CELLS = 10_000_000
NEIGHBOURS = (50, 200)
SHRINKAGES = (0.0, 10.0, 100.0)
GRAM_SPAN_SHARES = (4.0, 16.0)


@dataclass(frozen=True)
class NeighbourSettings:
    neighbours: int = 200
    shrinkage: float = 10.0
    """Added to the product of the two norms. It lowers similarities that rest on few common users."""
    value: str = "binary"
    """Value of a pair: "binary", or "log" for log(1 + weight of its events)."""
    gram_half_life_hours: float = inf
    """Half-life of the product of two pairs in the Gram matrix."""
    profile_half_life: float = inf


class ItemNeighbours:
    """Item similarities, and the half-life of the profile that they are applied to."""

    def __init__(self, similarities: sparse.csr_array, profile_half_life: float) -> None:
        self.similarities = similarities  # [num_items, num_items]; column j holds the neighbours of item j
        self.profile_half_life = profile_half_life

    @property
    def num_parameters(self) -> int:
        return int(self.similarities.nnz)

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        num_items = self.similarities.shape[0]
        profiles = decayed_profiles(histories, self.profile_half_life, num_items=num_items)
        return torch.from_numpy((profiles @ self.similarities).toarray())


def fit_itemknn(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit the model: tune neighbours, shrinkage, values and decay of the Gram matrix, then profile and popularity."""
    tuning = Tuning(split, "itemknn", options.progress)
    grid = {"shrinkage": SHRINKAGES, "neighbours": NEIGHBOURS, "value": ("binary", "log")}
    settings, model = tuning.greedy(
        NeighbourSettings(), lambda candidate: fit_neighbours(split.past, candidate), grid, shares=(0.0, 0.3)
    )
    if split.timed:
        settings, model = tuning.greedy(
            settings,
            lambda candidate: ItemNeighbours(model.similarities, candidate.profile_half_life),
            {"profile_half_life": HALF_LIVES},
            built=model,
            shares=(0.3, 0.4),
        )
        lives = tuple(split.past.span_hours / share for share in GRAM_SPAN_SHARES)
        settings, model = tuning.greedy(
            settings,
            lambda candidate: fit_neighbours(split.past, candidate),
            {"gram_half_life_hours": lives},
            built=model,
            shares=(0.4, 0.6),
        )

    return add_popularity(split, tuning, model, lambda: fit_neighbours(split.known, settings), settings_of(settings))


def fit_neighbours(log: EventLog, settings: NeighbourSettings) -> ItemNeighbours:
    values = np.ones(len(log), dtype=np.float32)
    if settings.value == "log":
        cells, index = np.unique(log.users * log.num_items + log.items, return_inverse=True)
        values = np.log1p(np.bincount(index, log.weights, minlength=len(cells)))[index].astype(np.float32)
    if len(log):  # each of the two pairs of a product carries half of the decay
        age_hours = (log.times[-1] - log.times) / HOUR_MS
        values *= np.exp2(-age_hours / (2 * settings.gram_half_life_hours)).astype(np.float32)
    return ItemNeighbours(_similarities(interactions(log, values), settings), settings.profile_half_life)


def _similarities(matrix: sparse.csr_array, settings: NeighbourSettings) -> sparse.csr_array:
    """Return similarities [num_items, num_items]; column j holds the similarities of item j to its nearest
    neighbours."""
    columns = matrix.T.tocsr()
    num_items = matrix.shape[1]
    norms = np.sqrt(np.bincount(matrix.indices, matrix.data**2, minlength=num_items)).astype(np.float32)
    keep = min(settings.neighbours, num_items)
    step = max(1, BLOCK_CELLS // max(num_items, 1))
    values, neighbours, items = [np.empty(0, np.float32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, num_items, step):
        block = np.arange(start, min(start + step, num_items))
        similar = (columns[block] @ matrix).toarray()
        similar /= np.maximum(norms[block, None] * norms + settings.shrinkage, 1e-9)
        similar[block - start, block] = 0.0
        nearest = torch.from_numpy(similar).topk(keep, dim=1, sorted=False)
        values.append(nearest.values.numpy().ravel())
        neighbours.append(nearest.indices.numpy().ravel())
        items.append(np.repeat(block, keep))
    data, pairs = np.concatenate(values), (np.concatenate(neighbours), np.concatenate(items))
    present = data > 0
    cells = (pairs[0][present], pairs[1][present])
    return sparse.csr_array(sparse.coo_array((data[present], cells), shape=(num_items, num_items)))

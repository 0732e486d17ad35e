"""TIFU-KNN: a user's decayed item frequencies, mixed with those of the nearest users. For next baskets with repeats.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

A user's n visits are cut into m groups of consecutive visits (n groups if n < m). When n is no multiple of m, the
newest groups have one visit more. With x the 0/1 vector of a visit, a group of s visits has the vector
v_g = Σ_j r_b^(s − j) · x_j / s, and the user has u = Σ_g r_g^(m − g) · v_g / m. So the newest visit and the newest
group have weight 1. The score is α · u + (1 − α) · (mean of the k vectors nearest to u by Euclidean distance).

The user's own vector is one of the k when the model was fitted on the user's events, where the paper searches among
other users. It adds (1 − α) / k to the weight of u, and α is tuned.

Rejected: the decay of the authors' code, which runs over all visits and not within each group, and which shrinks the
vectors of users with fewer visits than groups. On the validation windows of two shops its NDCG@20 was 0.3 to 7 % lower
with each of three settings.

Source: Hu, He, Gao & Zhang, "Modeling Personalized Item Frequency Information for Next-basket Recommendation" (SIGIR
2020).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphstore.arrays import Float32Array
from training.baselines.popularity import add_popularity
from training.baselines.tuning import FittedBaseline, settings_of
from training.baselines.visits import BLOCK_CELLS, Visits, visit_tuning
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions

NEIGHBOURS = (10, 30, 100, 300, 900)
GROUPS = (3, 7, 15, 23)
WITHIN_DECAYS = (0.7, 0.8, 0.9, 0.95, 1.0)
GROUP_DECAYS = (0.3, 0.5, 0.7, 0.9, 1.0)
OWN_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class TifuKnnSettings:
    neighbours: int = 300
    """k"""
    groups: int = 7
    """m"""
    within_decay: float = 0.9
    """r_b, from one visit of a group to the one before it."""
    group_decay: float = 0.7
    """r_g, from one group to the one before it."""
    own_share: float = 0.7
    """α, the weight of the user's own vector."""


class TifuKnn:
    """The vectors of all users of a log, in which the neighbours are searched."""

    def __init__(self, vectors: sparse.csr_array, settings: TifuKnnSettings) -> None:
        self.vectors = vectors  # [num_users, num_items]
        self.settings = settings
        self._columns = vectors.T.tocsr()
        self._norms = vectors.multiply(vectors).sum(axis=1).astype(np.float32)  # [num_users] squared

    @property
    def num_parameters(self) -> int:
        return int(self.vectors.nnz)

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        num_users, num_items = self.vectors.shape
        own = user_vectors(Visits.of(histories, num_items=num_items), self.settings)
        scores = np.zeros((len(histories), num_items), dtype=np.float32)
        step = max(1, BLOCK_CELLS // max(num_users, 1))
        for start in range(0, len(histories), step):
            part = own[start : start + step]
            scores[start : start + step] = self._score(part).toarray()
        return torch.from_numpy(scores)

    def _score(self, own: sparse.csr_array) -> sparse.csr_array:
        share, count = self.settings.own_share, min(self.settings.neighbours, self.vectors.shape[0])
        if share == 1.0 or not count:
            return own
        # |u − v|² without |u|², which is the same for all v
        distances = torch.from_numpy(self._norms - 2.0 * (own @ self._columns).toarray())
        nearest = distances.topk(count, dim=1, largest=False, sorted=False).indices.numpy()
        means = np.full(nearest.size, 1.0 / count, dtype=np.float32)
        starts = np.arange(0, nearest.size + 1, count)
        picked = sparse.csr_array((means, nearest.ravel(), starts), shape=(own.shape[0], self.vectors.shape[0]))
        return sparse.csr_array(share * own + (1.0 - share) * (picked @ self.vectors))


def user_vectors(visits: Visits, settings: TifuKnnSettings) -> sparse.csr_array:
    """Return the vector of each user [B, num_items]."""
    return visits.matrix(_visit_weights(visits, settings))


def _visit_weights(visits: Visits, settings: TifuKnnSettings) -> Float32Array:
    """Return the weight of the visit of each pair [n], counted from the newest visit and the newest group."""
    num_visits, ages = visits.counts[visits.users], visits.ages
    groups = np.minimum(num_visits, settings.groups)
    size, larger = num_visits // np.maximum(groups, 1), num_visits % np.maximum(groups, 1)
    newest = larger * (size + 1)  # visits in the groups with one visit more
    in_larger = ages < newest
    sizes = np.where(in_larger, size + 1, size)
    rest = np.where(in_larger, ages, ages - newest)
    group_ages = rest // sizes + np.where(in_larger, 0, larger)
    weights = np.power(settings.within_decay, rest % sizes) * np.power(settings.group_decay, group_ages)
    return np.asarray(weights / (sizes * groups), dtype=np.float32)


def fit_tifu_knn(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit TIFU-KNN: tune α, m, both decays and k, then popularity.

    Without repeats the own vector holds only items that are never recommended, so α is 0.
    """
    tuning = visit_tuning(split, "tifu-knn", options)
    visits = Visits.of_log(split.past)
    grid: dict[str, tuple[float, ...]] = {"own_share": OWN_SHARES} if split.validation.repeats else {}
    if visits.ordered:
        grid |= {"groups": GROUPS, "group_decay": GROUP_DECAYS, "within_decay": WITHIN_DECAYS}
    grid |= {"neighbours": NEIGHBOURS}
    settings, model = tuning.greedy(
        TifuKnnSettings() if split.validation.repeats else TifuKnnSettings(own_share=0.0),
        lambda candidate: TifuKnn(user_vectors(visits, candidate), candidate),
        grid,
        shares=(0.0, 0.6),
    )

    def refit() -> TifuKnn:
        return TifuKnn(user_vectors(Visits.of_log(split.known), settings), settings)

    return add_popularity(split, tuning, model, refit, settings_of(settings))

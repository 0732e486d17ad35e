"""UP-CF@r: how often similar users, and the user, took an item in their last r visits. For next baskets with repeats.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

The popularity of item i for user v is the share of v's last visits that hold it:
p_r(v, i) = |{the last min(r, n_v) of v's n_v visits that hold i}| / min(r, n_v).
Users are compared by the sets I of items that they ever took, with the asymmetric cosine
s(u, v) = |I_u ∩ I_v| / (|I_u|^α · |I_v|^(1 − α)). The score is Σ_v s(u, v)^q · p_r(v, i) over all users of the log. The
user is one of them, with s(u, u) = 1.

Source: Faggioli, Polato & Aiolli, "Recency Aware Collaborative Filtering for Next Basket Recommendation" (UMAP 2020).
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from training.baselines.popularity import add_popularity
from training.baselines.tuning import FittedBaseline, settings_of
from training.baselines.visits import BLOCK_CELLS, Visits, visit_tuning
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions

RECENCIES = (1.0, 5.0, 25.0, 100.0, inf)
LOCALITIES = (1.0, 5.0, 10.0, 50.0)
ASYMMETRIES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class UpcfSettings:
    recency: float = 25.0
    """r, the number of visits that count."""
    locality: float = 5.0
    """q, the power of the similarity. A large one leaves the user alone."""
    asymmetry: float = 0.5
    """α, the exponent of the number of the user's own items."""


class Upcf:
    """The items and recent popularities of all users of a log."""

    def __init__(self, visits: Visits, settings: UpcfSettings) -> None:
        self.settings = settings
        bought = visits.bought()
        self._columns = bought.T.tocsr()  # [num_items, num_users]
        self._sizes = np.diff(bought.indptr).astype(np.float32)  # [num_users]
        self._popularity = recent_popularity(visits, settings.recency).T.tocsr()  # [num_items, num_users]

    @property
    def num_parameters(self) -> int:
        return int(self._columns.nnz + self._popularity.nnz)

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        num_items, num_users = self._columns.shape
        bought = Visits.of(histories, num_items=num_items).bought()
        scores = np.zeros((len(histories), num_items), dtype=np.float32)
        step = max(1, BLOCK_CELLS // max(num_users, num_items, 1))
        for start in range(0, len(histories), step):
            similar = self.similarities(bought[start : start + step])
            # Where most users share an item, dense columns take a quarter of the time of a product of two sparse
            # matrices; where few do, both are fast.
            scores[start : start + step] = (self._popularity @ similar.T.toarray(order="C")).T
        return torch.from_numpy(scores)

    def similarities(self, bought: sparse.csr_array) -> sparse.csr_array:
        """Return s(u, v)^q [B, num_users] for the item sets `bought` [B, num_items]."""
        alpha = self.settings.asymmetry
        common = sparse.csr_array(bought @ self._columns)
        own = np.repeat(np.diff(bought.indptr).astype(np.float32), np.diff(common.indptr))
        similar = common.data / (own**alpha * self._sizes[common.indices] ** (1 - alpha))
        common.data = np.asarray(similar**self.settings.locality, dtype=np.float32)
        return common


def recent_popularity(visits: Visits, recency: float) -> sparse.csr_array:
    """Return the share of each user's last `recency` visits that hold an item [B, num_items]."""
    counted = np.minimum(visits.counts, recency)[visits.users]
    matrix = visits.matrix(np.where(visits.ages < recency, 1.0 / counted, 0.0).astype(np.float32))
    matrix.eliminate_zeros()
    return matrix


def fit_upcf(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit UP-CF@r: tune q, α and r, then popularity."""
    tuning = visit_tuning(split, "up-cf", options)
    visits = Visits.of_log(split.past)
    grid: dict[str, tuple[float, ...]] = {"locality": LOCALITIES, "asymmetry": ASYMMETRIES}
    if visits.ordered:
        grid |= {"recency": RECENCIES}
    settings, model = tuning.greedy(UpcfSettings(), lambda candidate: Upcf(visits, candidate), grid, shares=(0.0, 0.6))
    return add_popularity(
        split, tuning, model, lambda: Upcf(Visits.of_log(split.known), settings), settings_of(settings)
    )

"""The factorisation: weighted ALS, with every shopper solved for from what they took.

Arrives: an event log. Leaves: two features a shopper and item. Next: `training.blend.blend`.

Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), by conjugate gradients
(Takács, Pilászy & Tikk, RecSys 2011). A linear filter knows pairs of items, factors know what the pairs have in common:
beside the filters they are worth 5 % of NDCG@20 in a grocer's discovery, beside GraphSAGE 3 % on films. The leading
singular vectors of the same matrix, which need no iteration, gave a third of that.

A shopper's vector is solved for whenever a list is made, so a new purchase shows at once. Factors of items move with an
update, which goes on from where they stand over all pairs, old and new.
"""

from dataclasses import asdict, dataclass
from typing import Self

import numba
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray, distinct
from training.data.event_log import EventLog, Histories, Moment, joined
from training.terms.filter_bank import two_forms
from training.terms.gram import interactions
from training.terms.protocol import ClosedFormTerm

STEPS = 3
"""Of conjugate gradients for each row in each half of an iteration, from where the row stands."""

UPDATE_ITERATIONS = 2
FOLD_IN_STEPS = 30
TOLERANCE = 1e-5
"""Of a residual against the first one: where a row is as good as solved."""


@dataclass(frozen=True)
class AlsTermSettings:
    alpha: float = 1.0
    """What a pair's confidence has above that of a missing one."""
    regularisation: float = 40.0
    factors: int = 64
    iterations: int = 5


class AlsTerm(ClosedFormTerm):
    """x · y of a shopper's and an item's vectors, as `two_forms`."""

    name = "factorisation"
    title = "factorisation"
    needs_past = True
    feature_names = ("factorisation_z", "factorisation_log")

    def __init__(self, items: Float32Array, settings: AlsTermSettings) -> None:
        self.settings = settings
        self._items = items  # [num_items, factors]
        self._gram = _regularised(items, settings)
        self._past: EventLog | None = None

    @classmethod
    def fit(cls, log: EventLog, settings: AlsTermSettings | None = None, *, seed: int = 0) -> Self:
        """Fitted on the distinct pairs of the log."""
        settings = settings or AlsTermSettings()
        rng = np.random.default_rng(seed)
        items = (0.01 * rng.standard_normal((log.num_items, settings.factors))).astype(np.float32)
        term = cls(items, settings)
        term._past = log
        term._iterate(settings.iterations)
        return term

    def refit(self, log: EventLog, *, seed: int) -> Self:
        return type(self).fit(log, self.settings, seed=seed)

    @property
    def choices(self) -> dict[str, float]:
        return asdict(self.settings)

    @property
    def num_items(self) -> int:
        return len(self._items)

    @property
    def num_parameters(self) -> int:
        return self._items.size

    def update(self, events: EventLog, *, past: EventLog | None = None, features: Tensor | None = None) -> None:
        """A few iterations over the past and the new events.

        A bundle keeps no shopper's events, so that what a shop forgets is forgotten there too: a term that was loaded
        takes its past from whoever has the snapshot.
        """
        past = past if self._past is None else self._past
        if past is None:
            raise RuntimeError("a loaded factorisation has no past: give it with update(events, past=…)")
        self._past, _ = joined(past, events)
        self._items = np.pad(self._items, ((0, self._past.num_items - self.num_items), (0, 0)))
        self._iterate(UPDATE_ITERATIONS)

    def _iterate(self, iterations: int) -> None:
        """So many times shoppers from items, then items from shoppers."""
        assert self._past is not None
        settings, items = self.settings, self._items
        taken = interactions(self._past)
        takers = sparse.csr_array(taken.T)
        users = np.zeros((self._past.num_users, settings.factors), dtype=np.float32)
        halves = [
            (rows, columns, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64))
            for rows, columns, matrix in ((users, items, taken), (items, users, takers))
        ]
        for _ in range(iterations):
            for rows, columns, offsets, places in halves:
                gram = _regularised(columns, settings)
                _descend(offsets, places, columns, gram, settings.alpha, rows, STEPS)
        self._gram = _regularised(items, settings)

    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """[B, num_items, 2]; what was taken counts and not when, so `as_of` changes nothing."""
        users = torch.from_numpy(self.user_vectors(histories))
        return torch.stack(two_forms(users @ torch.from_numpy(self._items).T), dim=2)

    def user_vectors(self, histories: Histories) -> Float32Array:
        """(YᵀY + λI + α Σ y yᵀ) x = (1 + α) Σ y over what each shopper took: x [B, factors], zero for strangers."""
        cells = distinct(histories.rows() * self.num_items + histories.items)
        rows, items = cells // max(self.num_items, 1), cells % max(self.num_items, 1)
        offsets = np.searchsorted(rows, np.arange(len(histories) + 1))
        vectors = np.zeros((len(histories), self._items.shape[1]), dtype=np.float32)
        _descend(offsets, items, self._items, self._gram, self.settings.alpha, vectors, FOLD_IN_STEPS)
        return vectors

    def state(self) -> dict[str, Tensor]:
        """The factors [num_items, factors] and the settings."""
        settings = torch.tensor(list(asdict(self.settings).values()), dtype=torch.float64)
        return {"items": torch.from_numpy(self._items), "settings": settings}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        alpha, regularisation, factors, iterations = state["settings"].tolist()
        settings = AlsTermSettings(alpha, regularisation, int(factors), int(iterations))
        return cls(state["items"].numpy(), settings)


def _regularised(vectors: Float32Array, settings: AlsTermSettings) -> Float32Array:
    gram: Float32Array = vectors.T @ vectors + np.float32(settings.regularisation) * np.eye(
        vectors.shape[1], dtype=np.float32
    )
    return gram


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _descend(
    offsets: IntArray,
    columns: IntArray,
    other: Float32Array,
    gram: Float32Array,
    alpha: float,
    rows: Float32Array,
    steps: int,
) -> None:
    """Conjugate gradients on (gram + α Σ y yᵀ) x = (1 + α) Σ y for each of `rows` [n, d], in place.

    The y of row m are other[columns[offsets[m]:offsets[m + 1]]]; rows without any become zero.
    """
    dim = gram.shape[0]
    residual, direction, image = np.empty(dim, np.float32), np.empty(dim, np.float32), np.empty(dim, np.float32)
    for row in range(len(offsets) - 1):
        x = rows[row]
        if offsets[row] == offsets[row + 1]:
            x[:] = 0.0
            continue
        for i in range(dim):
            total = np.float32(0.0)
            for j in range(dim):
                total += gram[i, j] * x[j]
            residual[i] = -total
        for place in range(offsets[row], offsets[row + 1]):
            y = other[columns[place]]
            product = np.float32(0.0)
            for i in range(dim):
                product += y[i] * x[i]
            weight = np.float32(1.0 + alpha - alpha * product)
            for i in range(dim):
                residual[i] += weight * y[i]
        size = np.float32(0.0)
        for i in range(dim):
            direction[i] = residual[i]
            size += residual[i] * residual[i]
        enough = size * TOLERANCE * TOLERANCE
        for _ in range(steps):
            if size <= enough:
                break
            for i in range(dim):
                total = np.float32(0.0)
                for j in range(dim):
                    total += gram[i, j] * direction[j]
                image[i] = total
            for place in range(offsets[row], offsets[row + 1]):
                y = other[columns[place]]
                product = np.float32(0.0)
                for i in range(dim):
                    product += y[i] * direction[i]
                weight = np.float32(alpha * product)
                for i in range(dim):
                    image[i] += weight * y[i]
            curvature = np.float32(0.0)
            for i in range(dim):
                curvature += direction[i] * image[i]
            step = size / curvature
            shrunk = np.float32(0.0)
            for i in range(dim):
                x[i] += step * direction[i]
                residual[i] -= step * image[i]
                shrunk += residual[i] * residual[i]
            for i in range(dim):
                direction[i] = residual[i] + shrunk / size * direction[i]
            size = shrunk

"""The linear graph filter: a closed-form item–item model on the Gram matrix, applied to a recency-decayed profile.

Arrives: an event log. Leaves: the response of every item to a shopper's profile. Next: `training.terms.filter_bank`
makes features of it.

With X [num_users, num_items] the interactions and G = XᵀX, the filter is B = I − P diag(1 / diag P), P = (G + λI)⁻¹
(EASE; Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019): the ridge regression of every item on
all others in one inverse. The profile it is applied to forgets by rank instead of weighing a shopper's whole past
alike, which is where most of its strength on time-ordered data comes from.

The inverse is cubic in the items: beyond `max_items` each item is regressed on its nearest neighbours alone
(`training.terms.local_ridge`). Leaving the rare items out instead would leave unanswered whoever looks at them.
"""

from dataclasses import astuple, dataclass, replace
from math import inf
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphstore.arrays import Float32Array
from graphstore.snapshots.graph import TYPE_WEIGHTS
from training.data.event_log import EventLog, Histories
from training.terms.gram import Past, csr, zeros
from training.terms.local_ridge import SMALLEST_PENALTY, local_ridge_weights

_TYPE_VALUES = np.sqrt(TYPE_WEIGHTS)


@dataclass(frozen=True)
class FilterSettings:
    """What the validation window may choose."""

    regularisation: float = 6.0
    """λ as a multiple of the Gram matrix' mean diagonal."""
    profile_half_life: float = 50.0
    """Events after which one counts half in the profile, in ranks; inf: no decay."""
    gram_half_life_ms: float = inf
    """Age at which a product counts half in the Gram matrix; inf: no decay."""
    profile_events: int = 200
    """Newest events that make a profile."""
    row_weights: int = 200
    """Strongest weights of a row that are kept for scoring."""
    max_items: int = 10_000
    """The most items that are solved for in one inverse; beyond them each in its neighbourhood."""
    neighbours: int = 100
    """Nearest items that one is regressed on beyond `max_items`."""


class LinearFilter:
    """EASE with exact upkeep: new events change the past (`training.terms.gram`), then the system is solved again."""

    def __init__(self, weights: sparse.csr_array, *, settings: FilterSettings) -> None:
        self.settings = settings
        self._weights = weights  # the strongest of each row of B, [num_items, num_items]
        self._past: Past | None = None

    @classmethod
    def fit(cls, log: EventLog, settings: FilterSettings | None = None) -> Self:
        """Fitted on every event of `log`."""
        term = cls(zeros(log.num_items, log.num_items), settings=settings or FilterSettings())
        term.remember(log)
        term._solve()
        return term

    def remember(self, log: EventLog) -> None:
        """Give a term that was loaded its past again, everything that it was fitted on, before an update.

        A bundle keeps no shopper's events, so that what a shop forgets is forgotten there too.
        """
        settings = self.settings
        self._past = Past.of(log, half_life_ms=settings.gram_half_life_ms, max_items=settings.max_items)

    def variant(self, *, regularisation: float | None = None, profile_half_life: float | None = None) -> Self:
        """The same past under other settings, for tuning: nothing is counted again, only a new λ is solved for."""
        settings = self.settings
        if profile_half_life is not None:
            settings = replace(settings, profile_half_life=profile_half_life)
        if regularisation is not None:
            settings = replace(settings, regularisation=regularisation)
        term = type(self)(self._weights, settings=settings)
        term._past = self._past
        if regularisation is not None:
            term._solve()
        return term

    @property
    def remembers(self) -> bool:
        """Whether the past is at hand for an update."""
        return self._past is not None

    @property
    def num_items(self) -> int:
        return int(self._weights.shape[0])

    @property
    def num_weights(self) -> int:
        """How many weights were kept."""
        return int(self._weights.nnz)

    def update(self, events: EventLog) -> None:
        """Add the products of the new events and solve again: equal to a fit on everything.

        Raises `RuntimeError` on a loaded term that does not remember its past.
        """
        if self._past is None:
            raise RuntimeError("a loaded filter has no past: call remember(log) first")
        self._past = self._past.with_events(events, max_items=self.settings.max_items)
        self._solve()

    def response(self, histories: Histories, *, half_life: float | None = None) -> Tensor:
        """The filter's raw response [B, num_items] float32 to profiles decayed by `half_life` (ranks; None: as set)."""
        life = half_life or self.settings.profile_half_life
        ranks = histories.ranks()
        recent = ranks < self.settings.profile_events
        values = _TYPE_VALUES[histories.types[recent]] * np.exp2(-ranks[recent] / life)
        profiles = csr(  # what a shopper took twice counts twice
            values.astype(np.float32),
            histories.rows()[recent],
            histories.items[recent],
            (len(histories), self.num_items),
        )
        return torch.from_numpy((profiles @ self._weights).toarray().astype(np.float32, copy=False))

    def relations(self, start: int, end: int) -> Tensor:
        """The kept weights of the items start:end on every item, dense [end − start, num_items]."""
        return torch.from_numpy(self._weights[start:end].toarray())

    def state(self) -> dict[str, Tensor]:
        """The kept weights as sparse columns, and the settings."""
        kept = self._weights.tocoo()
        return {
            "num_items": torch.tensor(self.num_items),
            "weights": torch.from_numpy(np.stack(kept.coords).astype(np.int32)),
            "weight_values": torch.from_numpy(kept.data),
            "settings": torch.tensor([float(value) for value in astuple(self.settings)], dtype=torch.float64),
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Scores as before; an update needs `remember`."""
        num_items = int(state["num_items"])
        rows, columns = state["weights"].numpy()
        regularisation, profile, gram, *counts = state["settings"].tolist()
        return cls(
            csr(state["weight_values"].numpy(), rows, columns, (num_items, num_items)),
            settings=FilterSettings(regularisation, profile, gram, *(int(count) for count in counts)),
        )

    def _solve(self) -> None:
        if self._past is None:
            raise RuntimeError("a loaded filter has no past: call remember(log) first")
        settings = self.settings
        if self._past.gram is not None:
            self._weights = _strongest(_ease(self._past.gram, settings.regularisation), settings.row_weights)
        else:
            self._weights = local_ridge_weights(
                self._past.interactions,
                regularisation=settings.regularisation,
                neighbours=settings.neighbours,
                row_weights=settings.row_weights,
            )


def _ease(gram: Float32Array, regularisation: float) -> Tensor:
    """B [n, n] float32 of EASE, its diagonal zero."""
    system = torch.from_numpy(gram).clone()
    diagonal = system.diagonal()
    diagonal += max(regularisation * float(diagonal.mean()) if len(diagonal) else 0.0, SMALLEST_PENALTY)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
    weights = inverse.div_(-inverse.diagonal().clone())
    weights.fill_diagonal_(0.0)
    return weights


def _strongest(weights: Tensor, keep: int) -> sparse.csr_array:
    """The `keep` largest weights by magnitude of each row."""
    num_items = weights.size(0)
    keep = min(keep, num_items)
    columns = weights.abs().topk(keep, dim=1, sorted=False).indices
    values = weights.gather(1, columns).numpy().ravel()
    rows = np.repeat(np.arange(num_items), keep)
    present = values != 0
    return csr(values[present], rows[present], columns.numpy().ravel()[present], (num_items, num_items))

"""The linear graph filter: a closed-form item–item model on the Gram matrix, applied to a recency-decayed profile.

Arrives: an event log. Leaves: the response of every item to a shopper's profile. Next: `training.filter_bank` makes
features of it.

With X [num_users, num_items] the interactions and G = XᵀX, the filter is B = I − P diag(1 / diag P), P = (G + λI)⁻¹
(EASE; Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019): the ridge regression of every item on
all others in one inverse. The profile it is applied to forgets by rank instead of weighing a shopper's whole past
alike, which is where most of its strength on time-ordered data comes from.
"""

import logging
from dataclasses import astuple, dataclass, replace
from math import inf
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from graphstore.graph import TYPE_WEIGHTS
from training.histories import EventLog, Histories, IntArray

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
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
    """The inverse is cubic in the items: beyond so many only the most frequent take part."""


class LinearFilter:
    """EASE with exact upkeep: new events add their products to the Gram matrix, then the system is solved again.

    An interaction's value is the largest of its events' √weight · 2^((time − origin) / 2·half-life): a maximum, so that
    order and repetition of events change nothing, and relative to a fixed origin, so that old products never need to
    be decayed again (a common factor of G cancels in B).
    """

    def __init__(self, weights: sparse.csr_array, *, settings: FilterSettings) -> None:
        self.settings = settings
        self._weights = weights  # the strongest of each row of B, [num_items, num_items]
        self._past: _Past | None = None

    @classmethod
    def fit(cls, log: EventLog, settings: FilterSettings | None = None) -> Self:
        """Fitted on every event of `log`."""
        term = cls(_zeros(log.num_items, log.num_items), settings=settings or FilterSettings())
        term.remember(log)
        term._solve()
        return term

    def remember(self, log: EventLog) -> None:
        """Give a term that was loaded its past again, everything that it was fitted on, before an update.

        A bundle keeps no shopper's events, so that what a shop forgets is forgotten there too.
        """
        half_life = self.settings.gram_half_life_ms
        self._past = _Past.of(log, half_life_ms=half_life, dense=log.num_items <= self.settings.max_items)

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
        self._past = self._past.with_events(events, dense=events.num_items <= self.settings.max_items)
        self._solve()

    def response(self, histories: Histories, *, half_life: float | None = None) -> Tensor:
        """The filter's raw response [B, num_items] float32 to profiles decayed by `half_life` (ranks; None: as set)."""
        life = half_life or self.settings.profile_half_life
        ranks = histories.ranks()
        recent = ranks < self.settings.profile_events
        values = _TYPE_VALUES[histories.types[recent]] * np.exp2(-ranks[recent] / life)
        profiles = _csr(  # what a shopper took twice counts twice
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
            _csr(state["weight_values"].numpy(), rows, columns, (num_items, num_items)),
            settings=FilterSettings(regularisation, profile, gram, *(int(count) for count in counts)),
        )

    def _solve(self) -> None:
        if self._past is None:
            raise RuntimeError("a loaded filter has no past: call remember(log) first")
        interactions, gram = self._past.interactions, self._past.gram
        num_items = interactions.shape[1]
        chosen = np.arange(num_items)
        if gram is None:
            limit = self.settings.max_items
            logger.warning("the linear filter takes the %d most frequent of %d items", limit, num_items)
            frequency = np.bincount(interactions.indices, minlength=num_items)
            chosen = np.sort(np.argsort(-frequency, kind="stable")[:limit])
            gram = _products(interactions[:, chosen])
        self._weights = _strongest(
            _ease(gram, self.settings.regularisation), chosen, num_items, self.settings.row_weights
        )


@dataclass(frozen=True)
class _Past:
    """The interactions X and, where the catalogue is small enough for a dense one, their Gram matrix."""

    interactions: sparse.csr_array  # float32 [num_users, num_items]
    gram: FloatArray | None  # [num_items, num_items]
    origin: int
    half_life_ms: float

    @classmethod
    def of(cls, log: EventLog, *, half_life_ms: float, dense: bool) -> Self:
        nothing = _zeros(log.num_users, log.num_items)
        origin = int(log.times[-1]) if len(log) else 0
        return cls(nothing, None, origin, half_life_ms).with_events(log, dense=dense)

    def with_events(self, events: EventLog, *, dense: bool) -> Self:
        """The past and the events; the larger value of a pair wins."""
        before = self.interactions.tocoo()
        shape = (max(before.shape[0], events.num_users), max(before.shape[1], events.num_items))
        age = (events.times - self.origin) / (2 * self.half_life_ms)
        values = (np.sqrt(events.weights) * np.exp2(age)).astype(np.float32)
        rows = np.concatenate([before.coords[0], events.users])
        columns = np.concatenate([before.coords[1], events.items])
        data = np.concatenate([before.data, values])
        cells = rows.astype(np.int64) * shape[1] + columns
        order = np.lexsort((-data, cells))  # in each cell the largest value first, and unique keeps the first
        cells, first = np.unique(cells[order], return_index=True)
        after = _csr(data[order][first], cells // max(shape[1], 1), cells % max(shape[1], 1), shape)
        gram: FloatArray | None = None
        if dense and self.gram is None:
            gram = _products(after)
        elif dense and self.gram is not None:
            # Only the rows of users with new events change: out with their old products, in with the new.
            touched = np.unique(events.users)
            old = _csr(before.data, before.coords[0], before.coords[1], shape)[touched]
            gram = np.zeros((shape[1], shape[1]), dtype=np.float32)
            gram[: before.shape[1], : before.shape[1]] = self.gram
            gram += _products(after[touched])
            gram -= _products(old)
        return replace(self, interactions=after, gram=gram)


def _ease(gram: FloatArray, regularisation: float) -> Tensor:
    """B [n, n] float32 of EASE, its diagonal zero."""
    system = torch.from_numpy(gram).clone()
    diagonal = system.diagonal()
    diagonal += max(regularisation * float(diagonal.mean()) if len(diagonal) else 0.0, 1e-6)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
    weights = inverse.div_(-inverse.diagonal().clone())
    weights.fill_diagonal_(0.0)
    return weights


def _strongest(weights: Tensor, chosen: IntArray, num_items: int, keep: int) -> sparse.csr_array:
    """The `keep` largest weights by magnitude of each row, as a [num_items, num_items] matrix."""
    keep = min(keep, weights.size(1))
    columns = weights.abs().topk(keep, dim=1, sorted=False).indices if keep else torch.zeros(weights.size(0), 0).long()
    values = weights.gather(1, columns).numpy().ravel()
    rows = np.repeat(chosen, keep)
    present = values != 0
    return _csr(values[present], rows[present], chosen[columns.numpy().ravel()][present], (num_items, num_items))


def _products(interactions: sparse.csr_array) -> FloatArray:
    """XᵀX, dense."""
    products: FloatArray = (interactions.T @ interactions).toarray().astype(np.float32, copy=False)
    return products


def _zeros(num_rows: int, num_columns: int) -> sparse.csr_array:
    nothing = np.empty(0, dtype=np.int64)
    return _csr(np.empty(0, dtype=np.float32), nothing, nothing, (num_rows, num_columns))


def _csr(
    values: FloatArray, rows: npt.NDArray[Any], columns: npt.NDArray[Any], shape: tuple[int, int]
) -> sparse.csr_array:
    """Values of one cell are summed."""
    return sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=shape))

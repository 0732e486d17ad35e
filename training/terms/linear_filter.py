"""Linear graph filter (EASE): a closed-form item–item model, applied to a profile with recency decay.

Arrives: an event log. Leaves: the response of each item to the profile of a user. Next: `training.terms.filter_bank`
makes features from it.

X [num_users, num_items] are the interactions and G = XᵀX. The filter is B = I − P diag(1 / diag P), P = (G + λI)⁻¹: the
ridge regression of each item on all others, with one inverse. The profile decays by rank. Most of the accuracy on
time-ordered data comes from this decay.

The cost of the inverse is cubic in the number of items. With more than `max_items`, each item is regressed only on its
nearest neighbours (`training.terms.local_ridge`). Rejected: leave out rare items, because their users would get no
response.

Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from math import inf
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphstore.arrays import BoolArray, Float32Array, Float64Array, IntArray, distinct
from graphstore.snapshots.graph import TYPE_WEIGHTS
from training.data.event_log import EventLog, GrownLog, Histories, gather_ranges
from training.terms.cooccurrence import cooccurrence_weights
from training.terms.gram import Past, csr, zeros
from training.terms.local_ridge import SMALLEST_PENALTY, local_ridge_weights

_TYPE_VALUES = np.sqrt(TYPE_WEIGHTS)


@dataclass(frozen=True)
class FilterSettings:
    """Settings of a filter. A search on the validation window may choose them."""

    regularisation: float = 6.0
    """λ as a multiple of the mean diagonal of the Gram matrix."""
    profile_half_life: float = 50.0
    """Half-life of the profile, in ranks of events. inf: no decay."""
    gram_half_life_ms: float = inf
    """Half-life of the products in the Gram matrix. inf: no decay."""
    profile_events: int = 200
    """The number of newest events in a profile."""
    row_weights: int = 200
    """The number of strongest weights in a row that are stored for scores."""
    max_items: int = 10_000
    """The largest number of items for one inverse. A larger catalogue is solved in neighbourhoods."""
    neighbours: int = 100
    """The number of nearest items in the regression of an item, beyond `max_items`."""
    cooccurrence: bool = False
    """No regression: `training.terms.cooccurrence`. The regularisation has no effect."""

    @property
    def dense_items(self) -> int:
        """The largest number of items for a dense Gram matrix."""
        return 0 if self.cooccurrence else self.max_items


class LinearFilter:
    """EASE with exact updates: new events change the past (`training.terms.gram`), then the system is solved again."""

    def __init__(self, weights: sparse.csr_array, *, settings: FilterSettings) -> None:
        self.settings = settings
        self._weights = weights  # [num_items, num_items] the strongest weights in each row of B
        self._past: Past | None = None

    @classmethod
    def fit(cls, log: EventLog, settings: FilterSettings | None = None) -> Self:
        """Fit a filter on all events of `log`."""
        settings = settings or FilterSettings()
        (term,) = cls.fit_each(log, settings, [settings.regularisation])
        return term

    @classmethod
    def fit_each(cls, log: EventLog, settings: FilterSettings, regularisations: Sequence[float]) -> Iterator[Self]:
        """Yield a filter for each λ, fitted on all events of `log`, as `regularised` does."""
        term = cls(zeros(log.num_items, log.num_items), settings=settings)
        term.remember(log)
        return term.regularised(regularisations)

    def remember(self, log: EventLog) -> None:
        """Set the past of a filter. `log` has all its events."""
        settings = self.settings
        self._past = Past.of(log, half_life_ms=settings.gram_half_life_ms, max_items=settings.dense_items)

    def variant(self, *, profile_half_life: float | None = None) -> Self:
        """Return a filter with the same past and weights, for a search: the profile needs no new solution."""
        half_life = self.settings.profile_half_life if profile_half_life is None else profile_half_life
        term = type(self)(self._weights, settings=replace(self.settings, profile_half_life=half_life))
        term._past = self._past
        return term

    def regularised(self, regularisations: Sequence[float]) -> Iterator[Self]:
        """Yield a filter with the same past for each λ, for a search.

        Each is solved when it is asked for. A catalogue of more than `max_items` solves all with the first: it sums
        its products anew in each pass, and these cost the most.
        """
        for value, weights in zip(regularisations, self._solutions(regularisations), strict=True):
            term = type(self)(weights, settings=replace(self.settings, regularisation=value))
            term._past = self._past
            yield term

    @property
    def num_items(self) -> int:
        return int(self._weights.shape[0])

    @property
    def num_weights(self) -> int:
        """The number of stored weights."""
        return int(self._weights.nnz)

    def update(self, grown: GrownLog) -> None:
        """Add the products of the new events and solve again. The result equals a fit on all events.

        A loaded filter builds the products of all events at once.
        """
        if self._past is None:
            self.remember(grown.log)
        else:
            self._past = self._past.with_events(grown.events, max_items=self.settings.dense_items)
        (self._weights,) = self._solutions([self.settings.regularisation])

    def extended(self, num_items: int) -> Self:
        """Return a filter with `num_items` items, for scores only. The new ones have no weights."""
        weights = self._weights
        added = np.full(num_items - weights.shape[0], weights.nnz, dtype=weights.indptr.dtype)
        offsets = np.concatenate([weights.indptr, added])
        grown = sparse.csr_array((weights.data, weights.indices, offsets), shape=(num_items, num_items))
        return type(self)(grown, settings=self.settings)

    def response(self, histories: Histories, *, half_life: float | None = None) -> Tensor:
        """Return the response [B, num_items] float32 to profiles with `half_life` (ranks; None: from the settings)."""
        recent, values = self._profile(histories, half_life or self.settings.profile_half_life)
        profiles = csr(  # repeated events of an item add up
            values.astype(np.float32),
            histories.rows()[recent],
            histories.items[recent],
            (len(histories), self.num_items),
        )
        return torch.from_numpy((profiles @ self._weights).toarray().astype(np.float32, copy=False))

    def _profile(self, histories: Histories, half_life: float) -> tuple[BoolArray, Float64Array]:
        """Return a mask [n] of the events in the profiles, and the value of each of these."""
        ranks = histories.ranks()
        recent = ranks < self.settings.profile_events
        return recent, _TYPE_VALUES[histories.types[recent]] * np.exp2(-ranks[recent] / half_life)

    def responses_of_one(self, history: Histories, half_lives: Sequence[float]) -> tuple[IntArray, Float64Array]:
        """Return the items [n] that respond to one history, ascending, and their responses [num_half_lives, n].

        All other items respond with zero. All half-lives read the same weights, so they are gathered once.
        """
        recent, _ = self._profile(history, inf)
        profile = distinct(history.items[recent])
        starts = self._weights.indptr[profile].astype(np.int64)
        lengths = self._weights.indptr[profile + 1] - starts
        _, entries = gather_ranges(starts, lengths)
        columns, data = self._weights.indices[entries], self._weights.data[entries]
        responds = np.zeros(self.num_items, dtype=np.bool_)
        responds[columns] = True
        items = np.flatnonzero(responds)
        index_of = np.empty(self.num_items, dtype=np.int64)
        index_of[items] = np.arange(len(items))
        index = index_of[columns]
        responses = np.empty((len(half_lives), len(items)))
        event_of = np.searchsorted(profile, history.items[recent])
        for row, half_life in enumerate(half_lives):
            _, values = self._profile(history, half_life)
            of_items = np.bincount(event_of, values, minlength=len(profile))
            responses[row] = np.bincount(index, data * np.repeat(of_items, lengths), minlength=len(items))
        return items, responses

    def parts_of_one(self, history: Histories, rows: IntArray, *, half_life: float) -> Float64Array:
        """Return the part of each event in the response of the items `rows` [num_events, num_rows]."""
        recent, values = self._profile(history, half_life)
        parts = np.zeros((len(history.items), len(rows)))
        parts[recent] = self._weights[history.items[recent]][:, rows].toarray() * values[:, None]
        return parts

    def relations(self, start: int, end: int) -> Tensor:
        """Return the stored weights from the items start:end to all items, dense [end − start, num_items]."""
        return torch.from_numpy(self._weights[start:end].toarray())

    def state(self) -> dict[str, Tensor]:
        """Return the stored weights as coordinates and values, and the settings."""
        kept = self._weights.tocoo()
        return {
            "num_items": torch.tensor(self.num_items),
            "weights": torch.from_numpy(np.stack(kept.coords).astype(np.int32)),
            "weight_values": torch.from_numpy(kept.data),
            "settings": torch.tensor([float(value) for value in astuple(self.settings)], dtype=torch.float64),
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Restore a filter from its state."""
        num_items = int(state["num_items"])
        rows, columns = state["weights"].numpy()
        values = zip(fields(FilterSettings), state["settings"].tolist(), strict=False)  # older states have fewer
        kinds = asdict(FilterSettings())
        settings = FilterSettings(**{one.name: type(kinds[one.name])(value) for one, value in values})
        return cls(csr(state["weight_values"].numpy(), rows, columns, (num_items, num_items)), settings=settings)

    def _solutions(self, regularisations: Sequence[float]) -> Iterator[sparse.csr_array]:
        """Yield the strongest weights for each λ."""
        if self._past is None:
            raise RuntimeError("a loaded filter has no past: an update brings it")
        settings = self.settings
        if settings.cooccurrence:
            weights = cooccurrence_weights(self._past.interactions, row_weights=settings.row_weights)
            yield from (weights for _ in regularisations)  # λ has no effect
        elif self._past.gram is not None:
            for value in regularisations:
                yield _strongest(_ease(self._past.gram, value), settings.row_weights)
        elif regularisations:  # without any, a pass would be for nothing
            yield from local_ridge_weights(
                self._past.interactions,
                regularisations=regularisations,
                neighbours=settings.neighbours,
                row_weights=settings.row_weights,
            )


def _ease(gram: Float32Array, regularisation: float) -> Tensor:
    """Return B [n, n] float32 of EASE. Its diagonal is zero."""
    system = torch.from_numpy(gram).clone()
    diagonal = system.diagonal()
    diagonal += max(regularisation * float(diagonal.mean()) if len(diagonal) else 0.0, SMALLEST_PENALTY)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
    weights = inverse.div_(-inverse.diagonal().clone())
    weights.fill_diagonal_(0.0)
    return weights


def _strongest(weights: Tensor, keep: int) -> sparse.csr_array:
    """Return the `keep` weights with the largest magnitude in each row."""
    num_items = weights.size(0)
    keep = min(keep, num_items)
    columns = weights.abs().topk(keep, dim=1, sorted=False).indices
    values = weights.gather(1, columns).numpy().ravel()
    rows = np.repeat(np.arange(num_items), keep)
    present = values != 0
    return csr(values[present], rows[present], columns.numpy().ravel()[present], (num_items, num_items))

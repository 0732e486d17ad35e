"""Term protocol: a part of the score that is fitted on events and scores all items for a user.

The score is a weighted sum of features. Each term has one or more: GraphSAGE (`training.sage.term`), linear graph
filters, trend, personal repeat, content, factorisation. `training.blend.fit` fits the weights. A model may have any
subset of the terms.

No code depends on the class of a term. Every question about a term is a property or method of `Term`, with a default
for most terms. `tests/training/terms/test_conformance.py` runs on every term.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, Float32Array, Float64Array, IntArray
from training.data.event_log import AsOf, EventLog, GrownLog, Histories
from training.options import FitEvaluation


@dataclass(frozen=True)
class Arrivals:
    """Items that came after the fit, with their neighbourhood in the graph of the newest events."""

    rows: IntArray
    """[m] Their rows, ascending and distinct. They may exist already from an earlier call."""
    num_items: int
    """The number of items with them."""
    features: Tensor | None
    """[m, width] Their item features; None: the model has no encoder."""
    rare: BoolArray
    """[num_items] The items of the fit with few events."""
    neighbours: IntArray
    """[n] The rows of the other items in the neighbourhood, ascending and distinct."""
    neighbour_features: Tensor | None
    """[n, width]"""
    users: IntArray
    """[p] The shopper of each (shopper, item) pair in the neighbourhood, counted from 0."""
    items: IntArray
    """[p] The item of each pair: an index into `rows` followed by `neighbours`."""


def with_rows(values: Tensor, arrivals: Arrivals, new: Tensor | float = 0.0) -> Tensor:
    """Return a copy of `values` [num_items, …] with the rows of the arrivals."""
    grown = values.new_zeros(arrivals.num_items, *values.shape[1:])
    grown[: len(values)] = values
    grown[torch.from_numpy(arrivals.rows)] = new
    return grown


class Term(ABC):
    """One term of the score. Its own module fits it; after that, all terms have the same methods.

    A term must not use events at or after `as_of`. The caller passes histories and updates that end before it.
    """

    name: ClassVar[str]
    """Unique in a model, and the name of its file in the bundle."""
    title: ClassVar[str]
    """The name in messages and plots."""

    personalised: ClassVar[bool] = True
    """Whether the features depend on the user. A user without events is scored only with terms that do not. The blend
    may give these terms separate weights for items that a user knows."""
    closed_form: ClassVar[bool] = False
    """Whether `ClosedFormTerm.refit` fits it, in seconds."""
    needs_features: ClassVar[bool] = False
    """Whether an update needs item features."""
    update_equals_refit: ClassVar[bool] = False
    """Whether an update equals a fit on all events, up to rounding."""
    relates_items: ClassVar[bool] = False
    """Whether `relations` has non-zero values."""

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """The name of each feature, in the order of the last axis of `score`."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """The number of items."""

    @property
    def num_parameters(self) -> int:
        """The number of learned weights. Event counts are not weights."""
        return 0

    @property
    def evaluations(self) -> tuple[FitEvaluation, ...] | None:
        """The evaluations of the fit, oldest first; empty for an old bundle. None: a closed-form term."""
        return None

    @property
    def item_embeddings(self) -> Tensor | None:
        """Unit vectors [num_items, dim] whose products are item similarities. None: the term has no embeddings."""
        return None

    @property
    def item_counts(self) -> IntArray | None:
        """The events of each item [num_items] that the term counts. None: it counts nothing."""
        return None

    def relations(self, start: int, end: int) -> Tensor:
        """Return the weights from items start:end to all items, dense [end − start, num_items]. Zero: no relation."""
        return torch.zeros(end - start, self.num_items)

    def refresh(self, hours: IntArray, items: IntArray, counts: IntArray) -> None:  # noqa: B027 - most have no use for it
        """Replace the term's counts from the earliest given hour on. Terms without hourly counts ignore the call.

        `hours` [n] are epoch ms // HOUR_MS, `items` [n] are item rows, `counts` [n] are the events of item and hour.
        """

    @abstractmethod
    def extend(self, arrivals: Arrivals) -> None:
        """Add rows for items that came after the fit, only to score them. Nothing is learned.

        A term that knows items only by events gives such a row what it gives an item without events. The term must not
        change its arrays in place: copies of a model share them.
        """

    @abstractmethod
    def update(self, grown: GrownLog, *, features: Tensor | None = None) -> None:
        """Update the term with new events. Items keep their rows; new items have the last rows.

        Args:
            grown: all events, and which of them are new.
            features: [num_items, width] features of all items, including new ones, for a term that uses them.

        Raises:
            RuntimeError: the term needs the features and does not have them.
        """

    @abstractmethod
    def score(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return features [B, num_items, num_features] float32 of a batch of users at the time `as_of` (epoch ms)."""

    def score_one(self, history: Histories, weights: Float32Array, *, as_of: int) -> Float32Array:
        """Return the sum of the features of one user, times `weights` [num_features]: a new array [num_items].

        A term that can do it without all features of all items overrides this.
        """
        return (self.score(history, as_of=as_of)[0] @ torch.from_numpy(weights)).numpy()

    def carried(self, history: Histories, weights: Float32Array, rows: IntArray, *, as_of: int) -> Float64Array:
        """Return how much each event of one user adds to `score_one` of the items `rows`: [num_events, num_rows].

        Zero for a term that does not depend on the user.
        """
        return np.zeros((len(history.items), len(rows)))

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the state for `from_state`: tensors for `torch.save` and `torch.load(weights_only=True)`.

        It has no events of users, so an erasure need not change bundles.
        """

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Restore a term from its state."""


class ClosedFormTerm(Term):
    """A term that is fitted on a log in seconds, so that any other log can refit it."""

    closed_form = True

    @property
    @abstractmethod
    def choices(self) -> Any:
        """The settings that a search may choose, for its report."""

    @abstractmethod
    def refit(self, log: EventLog, *, seed: int) -> Self:
        """Return a term with the same settings, fitted only on the events of `log`."""


T = TypeVar("T", bound=Term)


def find_term(terms: Iterable[Term], kind: type[T]) -> T | None:
    """Return the term with the name of the class `kind`, for calls that only this class has, or None."""
    return next((cast("T", term) for term in terms if term.name == kind.name), None)

"""What a term of the score is: something fitted on events that scores shoppers against every item.

The score is a weighted sum of features, and each term gives one or a few of them: GraphSAGE (`training.sage.term`),
the linear graph filters, the trend, the personal repeat, content, a factorisation. `training.blend.fit` finds the
weights; a model may hold any subset.

Nobody asks which term it holds: whatever a reader of a model wants to know is a property or a method here, with the
answer of most terms as its default. `tests/training/terms/test_conformance.py` holds every term to what it says.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self, TypeVar, cast

import torch
from torch import Tensor

from graphstore.arrays import IntArray
from training.data.event_log import EventLog, Histories, Moment
from training.options import Look


class Term(ABC):
    """Fitted by a function or class method of its own module; from then on the verbs are the same for all.

    A term never looks at events at or after `as_of`: whoever calls gives histories and updates that end before it.
    """

    name: ClassVar[str]
    """Unique in a model; also the name of its file in the bundle."""
    title: ClassVar[str]
    """What people call it, in messages and pictures."""

    personalised: ClassVar[bool] = True
    """Whether features differ from shopper to shopper. Features that do not are all that a shopper without a history is
    scored by, and the blend may weigh them apart for items that a shopper knows."""
    closed_form: ClassVar[bool] = False
    """Whether it is fitted in seconds, by `ClosedFormTerm.refit`."""
    needs_past: ClassVar[bool] = False
    """Whether one that was loaded needs the events that it was fitted on for an update."""
    needs_features: ClassVar[bool] = False
    """Whether an update needs the features of the items."""
    update_equals_refit: ClassVar[bool] = False
    """Whether updates come to what a fit on all events would, up to rounding."""
    relates_items: ClassVar[bool] = False
    """Whether `relations` says anything."""

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """One name for each feature, in the order of the last axis of `score`."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """How many items it scores."""

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned that the score multiplies by; counts of events are not."""
        return 0

    @property
    def looks(self) -> tuple[Look, ...] | None:
        """The story of the fit, oldest look first, empty where an older bundle kept no looks; None where a term is not
        learned step by step."""
        return None

    @property
    def item_embeddings(self) -> Tensor | None:
        """Unit vectors [num_items, dim] whose products say which items are alike; None where there are no such."""
        return None

    def relations(self, start: int, end: int) -> Tensor:
        """How strongly the items start:end speak for every item, dense [end − start, num_items]; zero: not at all."""
        return torch.zeros(end - start, self.num_items)

    def refresh(self, hours: IntArray, items: IntArray, counts: IntArray) -> None:  # noqa: B027 - most have no use for it
        """Take event counts by hour (epoch ms // HOUR_MS) and item row [n] from the table, from the earliest hour given
        on in the place of its own; nothing to a term that counts no events by the hour."""

    @abstractmethod
    def update(self, events: EventLog, *, past: EventLog | None = None, features: Tensor | None = None) -> None:
        """Take in new events (not seen before). Items keep their rows; the log may hold more items than before, then
        the new rows come last.

        Args:
            events: what is new.
            past: all events before, for a term with `needs_past` that was loaded; one that was fitted here has them.
            features: [num_items, width] of all items, the new ones too, for a term that has a use for them.

        Raises:
            RuntimeError: where a past or features are needed and not at hand.
        """

    @abstractmethod
    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """Features [B, num_items, num_features] float32 of a batch of shoppers at the time `as_of` (epoch ms)."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything that `from_state` needs, as tensors: saved with `torch.save`, loaded with weights_only."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """The same term again."""


class ClosedFormTerm(Term):
    """A term that is fitted from a log alone, in seconds, and so can be fitted again wherever one stands in for it."""

    closed_form = True

    @property
    @abstractmethod
    def choices(self) -> Any:
        """The settings that a search may choose, as its report shows them."""

    @abstractmethod
    def refit(self, log: EventLog, *, seed: int) -> Self:
        """The same settings, fitted on every event of `log` and no other."""


T = TypeVar("T", bound=Term)


def named(terms: Iterable[Term], kind: type[T]) -> T | None:
    """The term that bears the name of this class, for what only this class can do; None where there is no such term."""
    return next((cast("T", term) for term in terms if term.name == kind.name), None)

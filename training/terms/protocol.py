"""What a term of the score is: something fitted on events that scores shoppers against every item.

The score is a weighted sum of features, and each term gives one or a few of them: GraphSAGE (`training.sage.model`),
the linear graph filter, the trend, the personal repeat, content, a factorisation. `training.blend.fit` finds the
weights; a model may hold any subset.
"""

from typing import Protocol, Self

from torch import Tensor

from training.data.event_log import EventLog, Histories, Moment


class Term(Protocol):
    """Fitted by a function or class method of its own module; from then on these verbs are the same for all.

    A term never looks at events at or after `as_of`: whoever calls gives histories and updates that end before it.
    """

    name: str
    """Unique in a model; also the name of its file in the bundle."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name for each feature, in the order of the last axis of `score`."""
        ...

    def update(self, events: EventLog) -> None:
        """Take in new events (not seen before); exact for counts and products. Items keep their rows; the log may
        hold more items than before, then the new rows come last."""
        ...

    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """Features [B, num_items, num_features] float32 of a batch of shoppers at the time `as_of` (epoch ms)."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that `from_state` needs, as tensors: saved with `torch.save`, loaded with weights_only."""
        ...

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """The same term again."""
        ...

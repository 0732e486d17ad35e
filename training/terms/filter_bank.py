"""The filter bank: linear graph filters on profiles of several memories, as one term of the score.

Arrives: an event log. Leaves: two features a shopper and item for each filter and each half-life. Next:
`training.blend.blend`.

One half-life of the profile is always wrong for somebody: what was clicked last says what a shopper looks for now, the
whole past says who the shopper is. The response to each is a feature of its own, and the likelihood weighs them; on
rated films that is worth a seventh of NDCG@20 over the best single half-life. A second filter, whose Gram matrix
forgets, follows a catalogue that drifts.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, Self

import torch
from torch import Tensor

from training.data.event_log import EventLog, Histories, Moment
from training.terms.linear_filter import LinearFilter
from training.terms.protocol import ClosedFormTerm

HALF_LIVES = (2.0, 10.0, 50.0, inf)
"""Events after which one counts half in a profile, in ranks; inf: no decay."""


class FilterBank(ClosedFormTerm):
    """Linear filters × half-lives."""

    name = "filters"
    title = "linear filter"
    needs_past = True
    update_equals_refit = True
    relates_items = True

    def __init__(self, filters: Sequence[LinearFilter], half_lives: Sequence[float] = HALF_LIVES) -> None:
        self.filters = tuple(filters)
        self.half_lives = tuple(half_lives)

    def refit(self, log: EventLog, *, seed: int) -> Self:
        return type(self)([LinearFilter.fit(log, one.settings) for one in self.filters], self.half_lives)

    @property
    def choices(self) -> dict[str, Any]:
        return {
            "regularisation": self.filters[0].settings.regularisation,
            "drifting_filter": len(self.filters) > 1,
            "profile_half_lives": self.half_lives,
        }

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(
            f"filter_{place}_{half_life:g}_{form}"
            for place, _ in enumerate(self.filters)
            for half_life in self.half_lives
            for form in ("z", "log")
        )

    @property
    def num_items(self) -> int:
        return self.filters[0].num_items

    @property
    def num_parameters(self) -> int:
        """The kept weights of all filters."""
        return sum(one.num_weights for one in self.filters)

    def update(self, events: EventLog, *, past: EventLog | None = None, features: Tensor | None = None) -> None:
        """As `LinearFilter.update`; filters that were loaded are given their past first."""
        for one in self.filters:
            if past is not None and not one.remembers:
                one.remember(past)
            one.update(events)

    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """[B, num_items, 2 · num_filters · num_half_lives]: the `two_forms` of each response."""
        parts = [
            form
            for one in self.filters
            for half_life in self.half_lives
            for form in two_forms(one.response(histories, half_life=half_life))
        ]
        return torch.stack(parts, dim=2)

    def relations(self, start: int, end: int) -> Tensor:
        """The first filter's kept weights of the items start:end on every item, dense [end − start, num_items]."""
        return self.filters[0].relations(start, end)

    def state(self) -> dict[str, Tensor]:
        """The state of each filter under its place, and the half-lives."""
        parts = {
            f"{place}.{key}": value for place, one in enumerate(self.filters) for key, value in one.state().items()
        }
        return {**parts, "half_lives": torch.tensor(self.half_lives, dtype=torch.float64)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Scores as before; an update needs the past."""
        places = sorted({int(key.partition(".")[0]) for key in state if key != "half_lives"})
        filters = [
            LinearFilter.from_state(
                {key.partition(".")[2]: value for key, value in state.items() if key.startswith(f"{place}.")}
            )
            for place in places
        ]
        return cls(filters, tuple(state["half_lives"].tolist()))


def two_forms(response: Tensor) -> tuple[Tensor, Tensor]:
    """z over the items and log(.1 + z − min z) of a `response` [B, num_items].

    The logarithm spreads the many weak responses, z the few strong ones; an empty profile gives constants.
    """
    if not response.numel():  # torch warns of a deviation over nothing
        return response, response
    z = (response - response.mean(dim=1, keepdim=True)) / response.std(dim=1, keepdim=True, correction=0).clamp_min(
        1e-9
    )
    return z, torch.log(0.1 + z - z.amin(dim=1, keepdim=True))

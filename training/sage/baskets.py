"""Baskets: the training examples of GraphSAGE. Targets are the items of a user at one time, the past is all before it.

Arrives: an `EventLog`. Leaves: `Baskets`, and batches of them with `Profiles` of the past. Next:
`training.sage.trainer`.

All events of a user at one time are one basket, so a target is never in the past of another target with the same time.
In a shop with exact click times, a basket has one item. The past is strictly earlier. When times are only days, a
basket would be a whole day of single choices. Then `ties` "random" orders the events of a day at random, and the past
of an event are the events before it.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from graphstore.arrays import BoolArray, Float64Array, IntArray, offsets_of
from training.data.event_log import EventLog
from training.graph.profiles import Profiles


@dataclass(frozen=True)
class Baskets:
    """Baskets with a past and at least one target, by user and time. Event indices refer to the log sorted by user."""

    items: IntArray  # [num_events] item of each event, sorted by (user, time)
    order: IntArray  # [num_events] index of each event in the log
    users: IntArray  # [M]
    times: IntArray  # [M] epoch ms
    starts: IntArray  # [M] first event of the user; the past is items[starts[m]:ends[m]]
    ends: IntArray  # [M] first event of the basket
    target_offsets: IntArray  # [M + 1] the targets of basket m are target_offsets[m]:target_offsets[m + 1]
    targets: IntArray  # [num_targets] event indices
    num_items: int

    @classmethod
    def from_log(
        cls, log: EventLog, *, repeats: bool, ties: Literal["basket", "random"] = "basket", seed: int = 0
    ) -> Self:
        """Build baskets. Targets are the distinct items of a basket; without `repeats` only items new to the user.

        With `ties` "random", each event is a basket, and `seed` orders events with equal times.
        """
        # The events of each user stay in time order.
        tie_breaks = np.random.default_rng(seed).random(len(log)) if ties == "random" else np.arange(len(log))
        order = np.lexsort((tie_breaks, log.times, log.users)).astype(np.int64)
        users, items, times = log.users[order], log.items[order], log.times[order]
        first_of_user = np.concatenate([[True], users[1:] != users[:-1]])[: len(users)]
        first_of_basket = first_of_user.copy()
        first_of_basket[1:] |= (times[1:] != times[:-1]) | (ties == "random")
        basket_of = np.cumsum(first_of_basket) - 1  # [num_events]
        ends = np.flatnonzero(first_of_basket)
        starts = np.maximum.accumulate(np.where(first_of_user, np.arange(len(users)), 0))[ends]
        group = basket_of if repeats else users
        targets = np.sort(np.unique(group * log.num_items + items, return_index=True)[1])  # the first event of each
        targets = targets[(starts < ends)[basket_of[targets]]]
        kept, counts = np.unique(basket_of[targets], return_counts=True)
        return cls(
            items=items,
            order=order,
            users=users[ends[kept]],
            times=times[ends[kept]],
            starts=starts[kept],
            ends=ends[kept],
            target_offsets=offsets_of(counts),
            targets=targets.astype(np.int64),
            num_items=log.num_items,
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def targets_per_basket(self) -> float:
        return len(self.targets) / max(len(self), 1)

    def recency(self, half_life_spans: float) -> Float64Array:
        """Return 2^(-age / half-life) of each basket [M]. Age 1 is the time from the first basket to the last."""
        age = self.times.max() - self.times
        result: Float64Array = np.exp2(-age / (max(age.max(), 1) * half_life_spans))
        return result

    def with_targets_among(self, events: BoolArray) -> BoolArray:
        """Return a mask [M] of the baskets with a target in the mask `events` [num_events] of the log."""
        marked = offsets_of(events[self.order[self.targets]])
        result: BoolArray = np.diff(marked[self.target_offsets]) > 0
        return result

    def targets_of(self, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """Return the targets of the `chosen` baskets [B] as (rows [n], items [n]). A row is an index in `chosen`."""
        first = self.target_offsets[chosen]
        lengths = (
            self.target_offsets[chosen + 1] - first
        )  # only of these: np.diff over all costs milliseconds in each step
        rows = np.repeat(np.arange(len(chosen)), lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return rows, self.items[self.targets[first[rows] + within]]

    def profiles(self, chosen: IntArray, *, last: int) -> Profiles:
        """Return the profiles of the `chosen` baskets [B] before their times."""
        return Profiles.from_spans(
            self.items, self.starts[chosen], self.ends[chosen], last=last, num_items=self.num_items
        )

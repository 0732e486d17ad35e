"""Split draws: one split for each seed, where events with equal times leave open which event is a user's last one.

Arrives: an `EventLog` for leave-last-out, or a finished `EvaluationSplit`. Leaves: `SplitDraws`. Next:
`training.benchmark.run` fits every model with a seed on the split of this seed, so all models have the same one.

Many data sets have days as times. The last event of a user is then one of several, and one fixed draw hides a spread:
between two draws NDCG@20 differs by up to 12 %. Without a tie at a cut there is one split for all seeds.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Self

import numpy as np

from graphstore.arrays import begins_run, run_starts
from training.data.event_log import EventLog
from training.data.splits import MIN_EVENTS, EvaluationSplit, counted, leave_last_out

KEPT_SPLITS = 3
"""Splits in memory at a time. With three seeds, the default, no split is drawn twice."""


@dataclass(frozen=True)
class Ties:
    """Users of leave-last-out whose held-out event is one of several with the same time."""

    users: int
    """All users with a held-out event."""
    test: int
    """Those whose test event is drawn. Their validation event is, too."""
    validation: int
    """Those whose validation event is drawn."""

    def as_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the counts in words."""
        if not self.validation:
            return f"no shopper has equal times at the cut: the split of all {self.users:,} is the same for every seed"
        return (
            f"equal times at the cut: the test event of {self.test:,} and the validation event of "
            f"{self.validation:,} of {self.users:,} shoppers are drawn anew for each seed"
        )


@dataclass(frozen=True)
class SplitDraws:
    """The splits of all seeds. They have the same users in the same order, because only ties are drawn."""

    split: Callable[[int], EvaluationSplit]
    """Return the split of a seed. Equal seeds give equal splits."""
    varies: bool
    """Whether another seed gives another split."""
    ties: Ties | None = None
    """None for a split without chance in it."""

    @classmethod
    def fixed(cls, split: EvaluationSplit) -> Self:
        """Return the same split for every seed."""
        return cls(lambda _seed: split, varies=False)

    @classmethod
    def leave_last_out(cls, log: EventLog, *, repeats: bool) -> Self:
        """Return `training.data.splits.leave_last_out`, with the ties of each seed where a tie stands at a cut.

        Raises `training.data.dataset.TooFewEvents` when no user has enough events.
        """
        draw = partial(leave_last_out, log, repeats=repeats)
        ties = count_ties(log, repeats=repeats)
        if not ties.validation:
            found = cls.fixed(draw())
            return cls(found.split, varies=False, ties=ties)

        @lru_cache(maxsize=KEPT_SPLITS)
        def of_seed(seed: int) -> EvaluationSplit:
            return draw(seed=seed)

        of_seed(0)  # raises here and not in the first fit
        return cls(of_seed, varies=True, ties=ties)

    def common_past(self, seeds: int) -> EventLog:
        """Return the events of the past with seed 0 whose items are in the past with every seed below `seeds`.

        What is fitted once for all seeds, such as an encoder of items, may look only at these items.
        """
        past = self.split(0).past
        if not self.varies:
            return past
        known = np.ones(past.num_items, dtype=np.bool_)
        for seed in range(seeds):
            known &= np.bincount(self.split(seed).past.items, minlength=past.num_items) > 0
        return past.take(np.flatnonzero(known[past.items]))


def count_ties(log: EventLog, *, repeats: bool) -> Ties:
    """Count the users whose last event (test) or second last event (validation) has an equal time with another item.

    Equal items do not count, because the held-out item is then the same for every order.
    """
    log = counted(log, repeats=repeats)
    order = np.lexsort((log.items, log.times, log.users))
    users, times, items = log.users[order], log.times[order], log.items[order]
    starts = run_starts(users)
    ends = np.append(starts, len(users))[1:] - 1
    ends = ends[ends - starts + 1 >= MIN_EVENTS]
    begins = begins_run(users, times)  # of each group with one user and one time, in which items ascend
    first = np.maximum.accumulate(np.where(begins, np.arange(len(users)), 0))
    test = items[first[ends]] != items[ends]
    validation = test | (items[first[ends - 1]] != items[ends - 1])
    return Ties(users=len(ends), test=int(test.sum()), validation=int(validation.sum()))

"""Splits of an offline data set into events to fit on, a validation window and a test window.

Arrives: an `EventLog`, or two logs of a given split. Leaves: `EvaluationSplit`. Next:
`training.data.split_draws` draws ties anew for each seed, `training.benchmark.run` evaluates every model on it.

Test targets are never used for a fit or a search. Settings are chosen on `validation` with models fitted on `past`. The
chosen settings are then fitted on `known`, which is past and validation together.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from graphstore.arrays import IntArray, run_starts
from training.data.dataset import TooFewEvents, full_split
from training.data.event_log import EventLog, Histories, gather_ranges
from training.data.windows import Window

SplitName = Literal["temporal", "leave-last-out", "given"]

MIN_EVENTS = 3
"""Least number of events of a user for leave-last-out: one for test, one for validation, one as past."""

SEARCH_USERS = 1_000
"""Users of the validation window on which most settings of Sagestream's model are compared.

Some steps need more users: the blend weights and the choice of GraphSAGE use all, early stopping of GraphSAGE up to
2,000. Baselines use all users for every setting.
"""

HELD_OUT_SHARE = 0.1
"""The validation share of a given training set."""


@dataclass(frozen=True)
class EvaluationSplit:
    """One split of one data set. `known` is `past` and `validation` together."""

    name: SplitName
    past: EventLog
    validation: Window
    known: EventLog
    test: Window
    timed: bool
    """Whether events have real times. Without them recency has no meaning."""

    @property
    def num_items(self) -> int:
        return self.known.num_items

    @property
    def horizon_ms(self) -> int | None:
        """The length of the validation window. None: each user has a time of their own, or events have no times."""
        if self.name != "temporal":
            return None
        start, end = self.validation.as_of, self.test.as_of
        return end - start if isinstance(start, int) and isinstance(end, int) else None

    def refit_steps(self, steps: int) -> int:
        """Return the steps on `known` that are as many epochs as `steps` on `past`."""
        return max(1, round(steps * (len(self.known) / max(len(self.past), 1))))


def temporal(log: EventLog, *, repeats: bool) -> EvaluationSplit:
    """Split by time: the last tenth of the events is the test, the tenth before it the validation.

    Events with equal times stay together. Profiles are frozen at the start of a window. Raises `TooFewEvents` when the
    log cannot be cut in three.
    """
    cuts = full_split(log, champion_as_of=None, min_users=0)
    return EvaluationSplit(
        name="temporal",
        past=log.between(end=cuts.validation),
        validation=cuts.validation_window(log, repeats=repeats),
        known=log.between(end=cuts.test),
        test=Window.cut(log, start=cuts.test, repeats=repeats),
        timed=True,
    )


def leave_last_out(log: EventLog, *, repeats: bool, seed: int = 0) -> EvaluationSplit:
    """Take the last event of each user as test and the event before it as validation. `seed` breaks ties in time.

    A list has the time of its target, and trends count only earlier events. Without `repeats`, only the first event of
    a (user, item) pair counts. All events of a user with fewer than three events are past.
    """
    log = counted(_ties_at_random(log, seed), repeats=repeats)
    order = np.argsort(log.users, kind="stable")
    users = log.users[order]
    starts = run_starts(users)
    ends = np.append(starts, len(users))[1:] - 1
    long = ends - starts + 1 >= MIN_EVENTS
    starts, ends = starts[long], ends[long]
    if not len(ends):
        raise TooFewEvents(f"no user of {MIN_EVENTS} events")
    return EvaluationSplit(
        name="leave-last-out",
        past=_without(log, order[np.concatenate([ends - 1, ends])]),
        validation=_last_of(log, order, starts, ends - 1, repeats=repeats),
        known=_without(log, order[ends]),
        test=_last_of(log, order, starts, ends, repeats=repeats),
        timed=True,
    )


def given(train: EventLog, test: EventLog, *, timed: bool, seed: int = 0) -> EvaluationSplit:
    """Use a given split, and hold out a random tenth of each user's training events as validation.

    `train` and `test` have the same user and item rows. When `timed` is false, events get a random order, so that a
    prefix of a history is a random sample of it.
    """
    rng = np.random.default_rng(seed)
    as_of = int(train.times.max()) + 1 if timed and len(train) else len(train)
    if not timed:
        train = replace(train.take(rng.permutation(len(train))), times=np.arange(len(train)))
    held = np.zeros(len(train), dtype=np.bool_)
    order = np.lexsort((rng.random(len(train)), train.users))
    lengths = np.bincount(train.users, minlength=train.num_users)
    indices = np.arange(len(train)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    # Random rounding, so that users with fewer than ten events take part. At least one event stays in training.
    quota = np.minimum(np.floor(HELD_OUT_SHARE * lengths + rng.random(len(lengths))), lengths - 1)
    held[order] = indices < quota[train.users[order]]
    past, later = train.take(np.flatnonzero(~held)), train.take(np.flatnonzero(held))
    if not len(later) or not len(test):
        raise TooFewEvents(f"{len(train)} events to train on and {len(test)} to test on")
    return EvaluationSplit(
        name="given",
        past=past,
        validation=Window.after(past, later, as_of=as_of, repeats=False),
        known=train,
        test=Window.after(train, test, as_of=as_of, repeats=False),
        timed=timed,
    )


def counted(log: EventLog, *, repeats: bool) -> EventLog:
    """Return the events that count for leave-last-out: all, or without `repeats` the first one of each pair."""
    return log if repeats else log.take(np.sort(np.unique(log.cells, return_index=True)[1]))


def _last_of(log: EventLog, order: IntArray, starts: IntArray, ends: IntArray, *, repeats: bool) -> Window:
    """Return the window with the targets order[ends] and the histories order[starts:ends]."""
    offsets, indices = gather_ranges(starts, ends - starts)
    past = order[indices]
    targets = order[ends]
    return Window(
        as_of=log.times[targets],
        users=log.users[targets],
        histories=Histories(offsets=offsets, items=log.items[past], times=log.times[past], types=log.types[past]),
        offsets=np.arange(len(targets) + 1),
        targets=log.items[targets],
        num_items=log.num_items,
        repeats=repeats,
    )


def _ties_at_random(log: EventLog, seed: int) -> EventLog:
    return log.take(np.lexsort((np.random.default_rng(seed).random(len(log)), log.times)))


def _without(log: EventLog, rows: IntArray) -> EventLog:
    return log.take(np.delete(np.arange(len(log)), rows))

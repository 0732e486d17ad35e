"""Splits: what a model may be fitted on, what it is tuned on, what it is judged on.

Arrives: an `EventLog`, or two where somebody else has split. Leaves: `EvaluationSplit`. Next: `training.benchmark.run`
runs every model over it.

Nothing that a model is fitted or tuned on holds a target of the test, and settings are chosen on `validation` by models
fitted on `past` alone; what was chosen is then fitted on `known`, which is both.
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
"""Leave-last-out: one event for the test, one for the validation, at least one as past."""

SEARCH_USERS = 1_000
"""Users of the validation window that most settings of ours are compared on; a baseline asks all, for every setting.

Ours asks more of them where this is too few: all for the weights of the sum and for GraphSAGE's place in it, up to
2,000 to stop GraphSAGE early.
"""

HELD_OUT_SHARE = 0.1
"""Of a given training set, what is held out for the validation."""


@dataclass(frozen=True)
class EvaluationSplit:
    """One division of one data set."""

    name: SplitName
    past: EventLog
    validation: Window
    known: EventLog
    test: Window
    timed: bool
    """Whether events have an order; without one recency means nothing."""

    @property
    def num_items(self) -> int:
        return self.known.num_items

    def steps_again(self, steps: int) -> int:
        """Steps of a fit on all that is known, as many passes as so many `steps` are on the past."""
        return max(1, round(steps * (len(self.known) / max(len(self.past), 1))))


def temporal(log: EventLog, *, repeats: bool) -> EvaluationSplit:
    """The last tenth of the events by time is the test, the tenth before it the validation, cut between times.

    Profiles are frozen where a window begins. Raises `TooFewEvents` where the log cannot be cut in three.
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
    """Each user's last event is the test and the one before it the validation; ties in time are broken at random.

    A list is made at the moment of its target, and trends count what came before that moment. Without `repeats` a
    user's first event of an item is the one that counts. Users of less than three events stay in the past whole.
    """
    log = _ties_at_random(log, seed)
    if not repeats:
        log = log.take(np.sort(np.unique(log.cells, return_index=True)[1]))
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
    """Somebody else's division; a random tenth of each user's training events is held out as validation.

    `train` and `test` share their rows of users and items. Without times the events of a user are put in a random
    order, so that a prefix of them is a random part of what the user took.
    """
    rng = np.random.default_rng(seed)
    moment = int(train.times.max()) + 1 if timed and len(train) else len(train)
    if not timed:
        train = replace(train.take(rng.permutation(len(train))), times=np.arange(len(train)))
    held = np.zeros(len(train), dtype=np.bool_)
    order = np.lexsort((rng.random(len(train)), train.users))
    lengths = np.bincount(train.users, minlength=train.num_users)
    places = np.arange(len(train)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    # Rounded at random, else users of less than ten events would have no say; one event is always left.
    quota = np.minimum(np.floor(HELD_OUT_SHARE * lengths + rng.random(len(lengths))), lengths - 1)
    held[order] = places < quota[train.users[order]]
    past, later = train.take(np.flatnonzero(~held)), train.take(np.flatnonzero(held))
    if not len(later) or not len(test):
        raise TooFewEvents(f"{len(train)} events to train on and {len(test)} to test on")
    return EvaluationSplit(
        name="given",
        past=past,
        validation=Window.after(past, later, moment=moment, repeats=False),
        known=train,
        test=Window.after(train, test, moment=moment, repeats=False),
        timed=timed,
    )


def _last_of(log: EventLog, order: IntArray, starts: IntArray, ends: IntArray, *, repeats: bool) -> Window:
    """The events order[ends] as targets, those from order[starts] up to them as histories."""
    offsets, places = gather_ranges(starts, ends - starts)
    past = order[places]
    targets = order[ends]
    return Window(
        moment=log.times[targets],
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

"""A snapshot as a training run reads it: events and catalogue in a model's item order, and the cuts in time.

Arrives: `graphstore.snapshots.snapshot.Snapshot`. Leaves: `Dataset`, and a `TimeSplit` whose windows no fitted term has
seen. Next: `training.models.candidate` fits on it, `training.lifecycle.run` judges on it.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from graphstore.arrays import BoolArray, IntArray, distinct
from graphstore.catalogue import Catalogue
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import TEST_SHARE, VALIDATION_SHARE
from training.config import TrainingConfig
from training.data.event_log import EventLog
from training.data.windows import Window

REPEAT_SHARE = 0.2
"""Where at least this share of what shoppers take is known to them, items are recommended again."""


class TooFewEvents(ValueError):
    """There is nothing to cut, to fit on or to judge on."""


@dataclass(frozen=True)
class Dataset:
    """Rows of items are places in `item_keys`; users are the snapshot's rows."""

    log: EventLog
    item_ids: list[str]
    item_keys: IntArray  # [num_items]
    catalogue: Catalogue

    @classmethod
    def from_snapshot(
        cls, snapshot: Snapshot, *, first_keys: IntArray | None = None, first_ids: list[str] | None = None
    ) -> Self:
        """The snapshot's items in its own order; or those of a model first, in the model's order, then the new ones.

        An item of the model that the snapshot no longer has keeps its row, without words and not available.
        """
        log = EventLog.from_snapshot(snapshot)
        if first_keys is None or first_ids is None:
            return cls(log, snapshot.item_ids, snapshot.item_keys, snapshot.catalogue)
        new = np.flatnonzero(~np.isin(snapshot.item_keys, first_keys))
        keys = np.concatenate([first_keys, snapshot.item_keys[new]])
        ours = {int(key): row for row, key in enumerate(keys)}
        theirs = {int(key): row for row, key in enumerate(snapshot.item_keys)}
        to_ours = np.array([ours[int(key)] for key in snapshot.item_keys], dtype=np.int64)
        return cls(
            log=replace(log, items=to_ours[log.items], num_items=len(keys)),
            item_ids=[*first_ids, *(snapshot.item_ids[row] for row in new)],
            item_keys=keys,
            catalogue=snapshot.catalogue.take([theirs.get(int(key)) for key in keys]),
        )

    @property
    def available(self) -> BoolArray:
        return self.catalogue.available

    @property
    def as_of(self) -> int:
        """Epoch ms just after the newest event."""
        return int(self.log.times[-1]) + 1 if len(self.log) else 0


@dataclass(frozen=True)
class TimeSplit:
    """Terms are fitted before `validation`, the blend on validation ≤ time < `test`, all is judged from `test` on."""

    validation: int  # epoch ms
    test: int  # epoch ms

    def validation_window(self, log: EventLog, *, repeats: bool) -> Window:
        """What every shopper took between the cuts."""
        return Window.cut(log, start=self.validation, end=self.test, repeats=repeats)


def full_split(log: EventLog, *, champion_as_of: int | None, min_users: int) -> TimeSplit:
    """The last tenths of the events by time, cut between times, as in the snapshot's masks.

    Where the champion has seen the start of that test window, and at least `min_users` shoppers came after it, the
    window begins where the champion ends: then the two can be compared as they are. Raises `TooFewEvents`.
    """
    if not len(log):
        raise TooFewEvents("the snapshot holds no event")
    test = int(log.times[int(len(log) * (1 - TEST_SHARE))])
    validation = int(log.times[int(len(log) * (1 - TEST_SHARE - VALIDATION_SHARE))])
    if champion_as_of is not None and champion_as_of > test:
        later = log.between(start=champion_as_of)
        if len(distinct(later.users)) >= min_users:
            test = int(later.times[0])
            before = len(log) - len(later)
            validation = int(log.times[max(0, before - int(before * VALIDATION_SHARE))])
    if not int(log.times[0]) < validation < test:
        raise TooFewEvents(f"{len(log)} events between {log.times[0]} and {log.times[-1]} cannot be cut in three")
    return TimeSplit(validation=validation, test=test)


def incremental_split(log: EventLog, *, since: int) -> TimeSplit:
    """New events (from `since` on) cut in thirds: to learn from, to blend on, to judge on.

    Raises `TooFewEvents` where they are of less than three times.
    """
    new = log.between(start=since)
    validation, test = (int(new.times[len(new) * part // 3]) if len(new) else since for part in (1, 2))
    if not len(new) or not int(new.times[0]) < validation < test:
        raise TooFewEvents(f"{len(new)} new events since {since} cannot be cut in three")
    return TimeSplit(validation=validation, test=test)


def repeats_are_usual(log: EventLog, *, start: int, end: int) -> bool:
    """Whether shoppers come back to items that they know: among those with a past, the window start <= time < end."""
    past, window = log.between(end=start), log.between(start, end)
    window_cells = distinct(window.cells)
    window_cells = window_cells[np.isin(window_cells // max(log.num_items, 1), distinct(past.users))]
    if not len(window_cells):
        return False
    return float(np.isin(window_cells, past.users * log.num_items + past.items).mean()) >= REPEAT_SHARE


def repeats_wanted(dataset: Dataset, split: TimeSplit, *, config: TrainingConfig) -> bool:
    """Whether a model of this split shall recommend items that a shopper knows."""
    if config.recommend_repeats == "auto":
        return repeats_are_usual(dataset.log, start=split.validation, end=split.test)
    return config.recommend_repeats == "yes"

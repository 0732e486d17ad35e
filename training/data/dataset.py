"""Data set of a training run: events and catalogue in the item order of a model, and the split in time.

Arrives: `graphstore.snapshots.files.Snapshot`. Leaves: `Dataset`, and a `TimeSplit` whose windows are not used to fit
terms. Next: `training.models.candidate` fits on it, `training.lifecycle.run` evaluates on it.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from graphstore.arrays import BoolArray, IntArray, distinct
from graphstore.catalogue import Catalogue
from graphstore.errors import UserError
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import TEST_SHARE, VALIDATION_SHARE
from stream.events import utc
from training.config import TrainingConfig
from training.data.event_log import EventLog
from training.data.windows import Window

REPEAT_SHARE = 0.2
"""Known items are recommended when they are at least this share of the items that users interact with."""


class TooFewEvents(UserError):
    """Too few events to split, to fit on or to evaluate on."""


@dataclass(frozen=True)
class Dataset:
    """Events and catalogue. An item row is an index in `item_keys`, a user row is the row in the snapshot."""

    log: EventLog
    item_ids: list[str]
    item_keys: IntArray  # [num_items]
    catalogue: Catalogue

    @classmethod
    def from_snapshot(
        cls, snapshot: Snapshot, *, first_keys: IntArray | None = None, first_ids: list[str] | None = None
    ) -> Self:
        """Return the data set with the item order of the snapshot, or of a model.

        `first_keys` and `first_ids` are the items of the model. They come first and keep their rows; new items follow.
        An item that the snapshot no longer has stays, without a title and not available.
        """
        log = EventLog.from_snapshot(snapshot)
        if first_keys is None or first_ids is None:
            return cls(log, snapshot.item_ids, snapshot.item_keys, snapshot.catalogue)
        new = np.flatnonzero(~np.isin(snapshot.item_keys, first_keys))
        keys = np.concatenate([first_keys, snapshot.item_keys[new]])
        row_of_key = {int(key): row for row, key in enumerate(keys)}
        snapshot_row_of_key = {int(key): row for row, key in enumerate(snapshot.item_keys)}
        new_rows = np.array([row_of_key[int(key)] for key in snapshot.item_keys], dtype=np.int64)
        return cls(
            log=replace(log, items=new_rows[log.items], num_items=len(keys)),
            item_ids=[*first_ids, *(snapshot.item_ids[row] for row in new)],
            item_keys=keys,
            catalogue=snapshot.catalogue.take([snapshot_row_of_key.get(int(key)) for key in keys]),
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
    """Terms are fitted on time < validation, the blend on validation <= time < test, the rest is the test window."""

    validation: int  # epoch ms
    test: int  # epoch ms

    def validation_window(self, log: EventLog, *, repeats: bool) -> Window:
        """Return the window between `validation` and `test`, with all its users."""
        return Window.cut(log, start=self.validation, end=self.test, repeats=repeats)


def full_split(log: EventLog, *, champion_as_of: int | None, min_users: int) -> TimeSplit:
    """Split off the last two tenths of the events by time, as the masks of the snapshot do. Equal times stay together.

    When the champion was fitted on a part of the test window, and at least `min_users` users have events after the
    champion, the test window starts at `champion_as_of` (epoch ms). Then both models can be compared without a refit.
    Raises `TooFewEvents`.
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
        first, last = _minute(int(log.times[0])), _minute(int(log.times[-1]))
        raise TooFewEvents(
            f"{len(log)} events from {first} to {last} cannot be cut by time into past, validation and test: a model "
            "needs more of them, over more time"
        )
    return TimeSplit(validation=validation, test=test)


def _minute(time: int) -> str:
    """Return a time (epoch ms) as text. A log without times has counts, which are returned as numbers."""
    try:
        return f"{utc(time):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError):
        return str(time)


def incremental_split(log: EventLog, *, since: int) -> TimeSplit:
    """Split the events from `since` (epoch ms) in thirds: for the update, for the blend, for the test.

    Raises `TooFewEvents` when they have fewer than three different times.
    """
    new = log.between(start=since)
    validation, test = (int(new.times[len(new) * part // 3]) if len(new) else since for part in (1, 2))
    if not len(new) or not int(new.times[0]) < validation < test:
        raise TooFewEvents(
            f"{len(new)} new events since {_minute(since)} cannot be cut by time into three parts: wait for more"
        )
    return TimeSplit(validation=validation, test=test)


def repeats_are_usual(log: EventLog, *, start: int, end: int) -> bool:
    """Return whether users with a past often interact with known items in the window start <= time < end (epoch ms)."""
    past, window = log.between(end=start), log.between(start, end)
    window_cells = distinct(window.cells)
    window_cells = window_cells[np.isin(window_cells // max(log.num_items, 1), distinct(past.users))]
    if not len(window_cells):
        return False
    return float(np.isin(window_cells, past.users * log.num_items + past.items).mean()) >= REPEAT_SHARE


def should_recommend_repeats(dataset: Dataset, split: TimeSplit, *, config: TrainingConfig) -> bool:
    """Return whether a model of this split recommends items that the user already knows."""
    if config.recommend_repeats == "auto":
        return repeats_are_usual(dataset.log, start=split.validation, end=split.test)
    return config.recommend_repeats == "yes"

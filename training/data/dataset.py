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
from graphstore.snapshots.eventlog import Seen
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import INTERACTS, TEST_SHARE, VALIDATION_SHARE
from graphstore.tables import HOUR_MS
from stream.events import utc
from training.config import TrainingConfig
from training.data.event_log import EventLog
from training.data.newest_events import newest_of_each_user
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
    event_keys: IntArray | None = None  # [num_events] the order of ingestion; None: a snapshot of an older form
    late: BoolArray | None = None  # [num_events] see `since_model`; None: no event is late
    left_out: int = 0  # number of events of the snapshot that are not in the log, see `training.data.newest_events`

    @classmethod
    def from_snapshot(
        cls, snapshot: Snapshot, *, first_keys: IntArray | None = None, first_ids: list[str] | None = None
    ) -> Self:
        """Return the data set with the item order of the snapshot, or of a model.

        `first_keys` and `first_ids` are the items of the model. They come first and keep their rows; new items follow.
        An item that the snapshot no longer has stays, without a title and not available. Of one shopper only the newest
        `MAX_USER_EVENTS` events count.
        """
        log = EventLog.from_snapshot(snapshot)
        edge_keys = snapshot.stores[INTERACTS].get("edge_key")
        event_keys = None if edge_keys is None else edge_keys.numpy()
        rows = newest_of_each_user(log.users)
        left_out = 0 if rows is None else len(log) - len(rows)
        if rows is not None:
            log, event_keys = log.take(rows), None if event_keys is None else event_keys[rows]
        if first_keys is None or first_ids is None:
            return cls(log, snapshot.item_ids, snapshot.item_keys, snapshot.catalogue, event_keys, left_out=left_out)
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
            event_keys=event_keys,
            left_out=left_out,
        )

    def since_model(self, as_of: int, *, seen: Seen | None) -> Self:
        """Return the data set for an update of a model that knows the events before `as_of` among the rows of `seen`.

        Events before `as_of` (epoch ms) that are not in `seen` are `late`: an imported history, or an event that
        arrived late. The update learns them, but no window holds them, because a model cannot be judged on its past.

        When the events from `as_of` on have fewer than three different times, as dates without clock times, their
        baskets (the events of one user at one time) are spread by milliseconds within their hour, in the order of
        ingestion. So they can be cut, and a basket stays whole. No user's event then explains another event of the same
        basket. Without the order of ingestion nothing is spread and nothing is late.
        """
        if self.event_keys is None:
            return self
        first = int(np.searchsorted(self.log.times, as_of))
        late = np.zeros(len(self.log), dtype=np.bool_)
        if seen is not None:
            late[:first] = self.event_keys[:first] > seen.last_key
        if len(distinct(self.log.times[first:])) >= 3:
            return replace(self, late=late)
        times = self.log.times.copy()
        times[first:] = _spread(times[first:], self.log.users[first:], self.event_keys[first:])
        order = np.lexsort((self.event_keys, times))
        log = replace(self.log.take(order), times=times[order])
        return replace(self, log=log, event_keys=self.event_keys[order], late=late[order])

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
    validation, test = (int(len(log) * (1 - share)) for share in (TEST_SHARE + VALIDATION_SHARE, TEST_SHARE))
    split = _cut(log.times, validation, test)
    if champion_as_of is not None and (split is None or champion_as_of > split.test):
        later = log.between(start=champion_as_of)
        before = log.between(end=champion_as_of).times
        if len(distinct(later.users)) >= min_users and len(distinct(before)) >= 2:
            index = max(0, len(before) - int(len(before) * VALIDATION_SHARE))
            split = _cut(log.times, min(index, len(before) - 1), len(before))
    if split is None:
        first, last = _minute(int(log.times[0])), _minute(int(log.times[-1]))
        raise TooFewEvents(
            f"{len(log)} events from {first} to {last} cannot be cut by time into past, validation and test: a model "
            "needs more of them, over more time"
        )
    return split


def incremental_split(log: EventLog, *, since: int) -> TimeSplit:
    """Split the events from `since` (epoch ms) in thirds: for the update, for the blend, for the test.

    Equal times stay together (`Dataset.since_model` spreads them where that leaves no split). Raises `TooFewEvents`.
    """
    new = log.between(start=since)
    split = _cut(new.times, len(new) // 3, len(new) * 2 // 3)
    if split is None:
        raise TooFewEvents(
            f"{len(new)} new events since {_minute(since)} cannot be cut by time into three parts: wait for more"
        )
    return split


def _cut(times: IntArray, validation: int, test: int) -> TimeSplit | None:
    """Cut the ascending `times` at these indices, between different times. None: fewer than three different times.

    A group of equal times belongs to the later side. Where that leaves a part empty, the cuts move to the nearest
    borders between groups.
    """
    borders = np.flatnonzero(np.diff(times)) + 1  # [num_groups - 1] the first event of each group but the first
    if len(borders) < 2:
        return None
    first, second = (int(np.searchsorted(times, times[index])) for index in (validation, test))
    if not 0 < first < second:
        second = int(borders[1:][np.argmin(np.abs(borders[1:] - test))])
        earlier = borders[borders < second]
        first = int(earlier[np.argmin(np.abs(earlier - validation))])
    return TimeSplit(validation=int(times[first]), test=int(times[second]))


def _spread(times: IntArray, users: IntArray, keys: IntArray) -> IntArray:
    """Return the times [n] with the baskets of each time apart, in the order of their first key, in the same hour."""
    spread = times.copy()
    for time in distinct(times).tolist():
        rows = np.flatnonzero(times == time)
        owners, basket = np.unique(users[rows], return_inverse=True)
        first_key = np.full(len(owners), np.iinfo(np.int64).max)
        np.minimum.at(first_key, basket, keys[rows])
        rank = np.argsort(np.argsort(first_key))[basket]
        later = times[times > time]
        room = min(HOUR_MS - time % HOUR_MS, int(later.min()) - time if len(later) else HOUR_MS)
        spread[rows] += rank * room // max(room, len(owners))
    return spread


def _minute(time: int) -> str:
    """Return a time (epoch ms) as text. A log without times has counts, which are returned as numbers."""
    try:
        return f"{utc(time):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError):
        return str(time)


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

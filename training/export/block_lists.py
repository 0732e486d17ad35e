"""Block lists: recommends to the shoppers of a snapshot by the number of their block, in any order.

Arrives: a model and a snapshot. Leaves: `Lists` of one block. Next: `training.export.batch_lists` writes blocks to a
file; `training.export.ray_blocks` makes them in several processes.

A block is a run of rows of the snapshot, which keeps its shoppers in one order. A list depends on the model and the
snapshot, and the last bits of its scores may depend on the block: a matrix product may add in another order when it has
other rows. So whoever divides the shoppers keeps blocks whole (`training.export.parts`).
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphstore.arrays import offsets_of
from graphstore.snapshots.files import Snapshot
from graphstore.tables import HOUR_MS
from training.data.event_log import EventLog, Histories, gather_ranges
from training.export.parts import Part
from training.models.recommender import Recommender


@dataclass(frozen=True)
class Lists:
    """The lists of a block of users, best item first."""

    user_ids: list[str]
    item_ids: list[list[str]]
    scores: list[list[float]]
    request_ids: list[str] | None = None
    """An id for each list, and a link for each item, where the lists leave for a place outside the shop."""
    links: list[list[str]] | None = None

    def columns(self) -> dict[str, list[Any]]:
        """Return what a file has of the block, by the names of its fields."""
        columns: dict[str, list[Any]] = {"user_id": self.user_ids, "item_ids": self.item_ids, "scores": self.scores}
        if self.request_ids is not None and self.links is not None:
            columns |= {"request_id": self.request_ids, "links": self.links}
        return columns


def count_blocks(num_users: int, block_users: int) -> int:
    """Return the number of blocks of `num_users` users, of which the last may be shorter."""
    return -(-num_users // block_users)


def rows_of_part(part: Part, num_users: int, block_users: int) -> range:
    """Return the rows of the users whose blocks are in the part."""
    blocks = part.of(count_blocks(num_users, block_users))
    return range(min(blocks.start * block_users, num_users), min(blocks.stop * block_users, num_users))


class BlockLists:
    """The lists of every user of a snapshot at the snapshot's time, from the newest `history_limit` events.

    The model's trend learns the snapshot's newer events, as in near-line serving. Events of unknown items are dropped.
    Lists leave out items that the snapshot marks as unavailable. Beside the snapshot, this holds one number for each
    event; histories and scores are made a block at a time, at most [block_users, num_items].
    """

    def __init__(self, model: Recommender, snapshot: Snapshot, *, history_limit: int, block_users: int) -> None:
        self._snapshot = snapshot
        self._block_users = block_users
        self._history_limit = history_limit
        self._model_rows = model.rows_of(snapshot.item_keys)  # [num_items of the snapshot]
        self._log = EventLog.from_snapshot(snapshot)
        newer = self._log.between(start=model.as_of // HOUR_MS * HOUR_MS)  # a refresh replaces whole hours
        newer = newer.take(np.flatnonzero(self._model_rows[newer.items] >= 0))
        ones = np.ones(len(newer), dtype=np.int64)
        model.refresh_trend(newer.times // HOUR_MS, snapshot.item_keys[newer.items], ones)
        self._model = copy.copy(model)
        self._model.available = model.available.copy()
        gone = self._model_rows[(self._model_rows >= 0) & ~snapshot.catalogue.available]
        self._model.available[gone] = False
        users = self._log.users
        known = np.flatnonzero(self._model_rows[self._log.items] >= 0)
        self._events = known[np.argsort(users[known], kind="stable")]  # stable: a user's events stay in time order
        self._bounds = offsets_of(np.bincount(users[known], minlength=snapshot.num_users))

    def __len__(self) -> int:
        """The number of blocks."""
        return count_blocks(self._snapshot.num_users, self._block_users)

    def lists(self, block: int, *, k: int) -> Lists:
        """Return the `k` best items of every user of the block. Raises `FloatingPointError` for NaN scores."""
        start = block * self._block_users
        histories = self._histories(start)
        rows, scores = self._model.recommend(histories, as_of=self._snapshot.as_of, k=k)
        return Lists(
            user_ids=self._snapshot.user_ids[start : start + len(histories)],
            item_ids=[[self._model.item_ids[row] for row in user[user >= 0]] for user in rows],
            scores=[own[user >= 0].tolist() for user, own in zip(rows, scores, strict=True)],
        )

    def _histories(self, start: int) -> Histories:
        """Return the histories of the block that begins with the user `start`."""
        ends = self._bounds[start + 1 : start + 1 + self._block_users]
        starts = np.maximum(self._bounds[start : start + len(ends)], ends - self._history_limit)
        offsets, chosen = gather_ranges(starts, ends - starts)
        rows = self._events[chosen]
        return Histories(
            offsets=offsets,
            items=self._model_rows[self._log.items[rows]],
            times=self._log.times[rows],
            types=self._log.types[rows],
        )

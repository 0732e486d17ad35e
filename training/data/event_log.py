"""Event log as columns, and user histories as ragged arrays: the input of every term.

Arrives: a snapshot (training, publishing) or a few SQL rows (near-line). Leaves: `EventLog` for a fit, `Histories` for
scores. Next: `training.terms` and `training.sage`. Item rows follow the snapshot in training and the bundle in serving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from graphstore.arrays import BoolArray, Float32Array, Int8Array, IntArray, offsets_of
from graphstore.snapshots.graph import INTERACTS
from graphstore.tables import HOUR_MS

if TYPE_CHECKING:
    from graphstore.snapshots.files import Snapshot


AsOf = int | IntArray
"""The time of the scores, epoch ms: one for all users, or one for each user [B]."""


def gather_ranges(starts: IntArray, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Return (offsets [B + 1], indices [n]) of the ranges starts[b]:starts[b] + lengths[b], concatenated."""
    offsets = offsets_of(lengths)
    # Output index i is input index starts[b] + (i - offsets[b]).
    return offsets, np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


@dataclass(frozen=True)
class EventLog:
    """Interactions as columns. They are sorted by time, so a time window is a slice."""

    users: IntArray  # [num_events] row of the user
    items: IntArray  # [num_events] row of the item
    times: IntArray  # [num_events] epoch ms, ascending
    types: Int8Array  # [num_events] index in graphstore.tables.EVENT_TYPES
    weights: Float32Array  # [num_events] weight of the event type
    num_users: int
    num_items: int

    @classmethod
    def from_snapshot(cls, snapshot: "Snapshot") -> Self:
        """Return all events of the snapshot."""
        edges = snapshot.stores[INTERACTS]  # not `snapshot.events`, which imports PyTorch Geometric: 5 s of CPU
        users, items = edges["edge_index"].numpy()
        return cls(
            users=users,
            items=items,
            times=edges["edge_time"].numpy(),
            types=edges["edge_type_code"].numpy(),
            weights=edges["edge_weight"].numpy(),
            num_users=snapshot.num_users,
            num_items=snapshot.num_items,
        )

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: int | None = None, end: int | None = None) -> Self:
        """Return views of the events with start <= time < end (epoch ms). None: no bound."""
        first = 0 if start is None else int(np.searchsorted(self.times, start, side="left"))
        last = len(self) if end is None else int(np.searchsorted(self.times, end, side="left"))
        return self.take(slice(first, max(first, last)))

    def take(self, rows: IntArray | slice) -> Self:
        """Return the events at these rows, in this order. A slice gives views."""
        return type(self)(
            users=self.users[rows],
            items=self.items[rows],
            times=self.times[rows],
            types=self.types[rows],
            weights=self.weights[rows],
            num_users=self.num_users,
            num_items=self.num_items,
        )

    @property
    def cells(self) -> IntArray:
        """The (user, item) pair of each event [num_events] as one number: user · num_items + item."""
        return self.users * self.num_items + self.items

    @property
    def span_hours(self) -> float:
        """Hours from the first event to the last, at least 1. 24 for an empty log."""
        return max(float(self.times[-1] - self.times[0]) / HOUR_MS, 1.0) if len(self) else 24.0

    def histories(self, users: IntArray, *, before: int | None = None, last: int | None = None) -> "Histories":
        """Return the histories of `users` [B]: at most the `last` newest events with time < before (epoch ms)."""
        log = self if before is None else self.between(end=before)
        order = np.argsort(log.users, kind="stable")  # stable: the events of a user stay in time order
        starts = np.searchsorted(log.users[order], users, side="left")
        ends = np.searchsorted(log.users[order], users, side="right")
        if last is not None:
            starts = np.maximum(starts, ends - last)
        offsets, indices = gather_ranges(starts, ends - starts)
        rows = order[indices]
        return Histories(offsets=offsets, items=log.items[rows], times=log.times[rows], types=log.types[rows])


@dataclass(frozen=True)
class GrownLog:
    """A log, and which of its events are new: what a model learns that knows all the others."""

    log: EventLog
    is_new: BoolArray  # [num_events]

    @classmethod
    def since(cls, log: EventLog, start: int, end: int | None = None, *, late: BoolArray | None = None) -> Self:
        """Return the events of `log` with time < end (epoch ms), of which those with time >= start are new.

        Those in `late` [num_events] are new, too. All are views of `log`.
        """
        known = log.between(end=end)
        is_new = known.times >= start
        return cls(known, is_new if late is None else is_new | late[: len(known)])

    @cached_property
    def events(self) -> EventLog:
        """The new events. They are views where no other event is later."""
        first = len(self.is_new) - int(np.count_nonzero(self.is_new))
        return self.log.take(slice(first, None) if self.is_new[first:].all() else np.flatnonzero(self.is_new))


@dataclass(frozen=True)
class Histories:
    """Ragged histories. The events of user b are offsets[b]:offsets[b + 1], oldest first."""

    offsets: IntArray  # [B + 1]
    items: IntArray  # [n] row of the item
    times: IntArray  # [n] epoch ms
    types: Int8Array  # [n]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[tuple[int, int, int]]]) -> Self:
        """Build histories from (item row, time, type) of each user, in any order. Equal times keep their order."""
        ordered = [sorted(user, key=lambda row: row[1]) for user in rows]
        flat = np.array([row for user in ordered for row in user], dtype=np.int64).reshape(-1, 3)
        return cls(
            offsets=offsets_of([len(user) for user in ordered]),
            items=flat[:, 0],
            times=flat[:, 1],
            types=flat[:, 2].astype(np.int8),
        )

    def __len__(self) -> int:
        """The number of users."""
        return len(self.offsets) - 1

    def rows(self) -> IntArray:
        """Return the index of each event's user in the batch [n]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def ranks(self) -> IntArray:
        """Return the rank of each event [n]: the number of newer events of the same user."""
        return np.repeat(self.offsets[1:], np.diff(self.offsets)) - 1 - np.arange(len(self.items))

    def take(self, indices: IntArray) -> Self:
        """Return the users at these indices, in this order."""
        offsets, events = gather_ranges(self.offsets[indices], np.diff(self.offsets)[indices])
        return type(self)(offsets=offsets, items=self.items[events], times=self.times[events], types=self.types[events])

    def block(self, start: int, end: int) -> Self:
        """Return the users start:end of the batch."""
        first, last = self.offsets[start], self.offsets[end]
        return type(self)(
            offsets=self.offsets[start : end + 1] - first,
            items=self.items[first:last],
            times=self.times[first:last],
            types=self.types[first:last],
        )


def newest_of(items: IntArray, distinct_items: IntArray) -> IntArray:
    """Return the index of the last event of each distinct item [n] in the `items` of one history, oldest first."""
    last = len(items) - 1 - np.arange(len(items))  # the first of equal items in reverse order is the newest
    reversed_items = items[::-1]
    order = np.argsort(reversed_items, kind="stable")
    return last[order[np.searchsorted(reversed_items[order], distinct_items)]]

"""Evaluation windows: user histories before a time, and the target items after it.

Arrives: an `EventLog` and a time. Leaves: `Window`, with histories as input of the scores and targets to measure the
lists. Next: `training.evaluation.ranking` measures lists on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from graphstore.arrays import BoolArray, IntArray, difference, distinct, offsets_of
from training.data.event_log import AsOf, EventLog, Histories, gather_ranges

COLD_EVENTS = 2
"""A user with at most this many events is cold. Cold users have separate metrics and separate blend weights."""

BLOCK_CELLS = 2_000_000
"""Users × items scored in one block. It bounds the memory for any catalogue size."""


@dataclass(frozen=True)
class Window:
    """Histories of users before a time, and their target items after it."""

    as_of: AsOf  # epoch ms; one for each user, or the start of the window for all
    users: IntArray  # [U] rows of the users with a target
    histories: Histories  # [U] all events of these users before that time
    offsets: IntArray  # [U + 1] the targets of user u are targets[offsets[u]:offsets[u + 1]]
    targets: IntArray  # [num_targets] distinct item rows of each user
    num_items: int
    repeats: bool

    @classmethod
    def cut(
        cls,
        log: EventLog,
        *,
        start: int,
        end: int | None = None,
        repeats: bool,
        max_users: int | None = None,
        seed: int = 0,
    ) -> Self:
        """Return the window start <= time < end (epoch ms), with at most `max_users` users sampled by `seed`."""
        past, inside = log.between(end=start), log.between(start, end)
        return cls.after(past, inside, as_of=start, repeats=repeats, max_users=max_users, seed=seed)

    @classmethod
    def after(
        cls,
        past: EventLog,
        later: EventLog,
        *,
        as_of: int,
        repeats: bool,
        max_users: int | None = None,
        seed: int = 0,
    ) -> Self:
        """Return the window with histories from `past` and targets from `later`, as of one time (epoch ms)."""
        num_items = past.num_items
        cells = distinct(later.cells)
        if not repeats:
            cells = difference(cells, past.cells)
        owners, targets = cells // max(num_items, 1), cells % max(num_items, 1)
        users = distinct(owners)
        if max_users is not None and len(users) > max_users:  # before their histories are looked up
            users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
            kept = np.isin(owners, users)
            owners, targets = owners[kept], targets[kept]
        counts = np.bincount(np.searchsorted(users, owners), minlength=len(users))
        return cls(
            as_of=as_of,
            users=users,
            histories=past.histories(users),
            offsets=offsets_of(counts),
            targets=targets,
            num_items=num_items,
            repeats=repeats,
        )

    def __len__(self) -> int:
        """The number of users."""
        return len(self.users)

    def sample(self, max_users: int, *, seed: int) -> "Window":
        """Return at most `max_users` users, sampled by `seed`, in their order."""
        if len(self) <= max_users:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), max_users, replace=False)))

    def take(self, indices: IntArray) -> "Window":
        """Return the users at these indices, in this order."""
        offsets, target_indices = gather_ranges(self.offsets[indices], np.diff(self.offsets)[indices])
        return Window(
            as_of=self.as_of if isinstance(self.as_of, int) else self.as_of[indices],
            users=self.users[indices],
            histories=self.histories.take(indices),
            offsets=offsets,
            targets=self.targets[target_indices],
            num_items=self.num_items,
            repeats=self.repeats,
        )

    def lengths(self) -> IntArray:
        """Return the number of events of each user before the window [U]."""
        return np.diff(self.histories.offsets)

    def blocks(self, users: int | None = None) -> Iterator["Window"]:
        """Split the window into parts with at most `users` users. None: as many as `BLOCK_CELLS` allows."""
        step = users or max(1, BLOCK_CELLS // max(self.num_items, 1))
        for first in range(0, len(self), step):
            last = min(first + step, len(self))
            low, high = self.offsets[first], self.offsets[last]
            yield Window(
                as_of=self.as_of if isinstance(self.as_of, int) else self.as_of[first:last],
                users=self.users[first:last],
                histories=self.histories.block(first, last),
                offsets=self.offsets[first : last + 1] - low,
                targets=self.targets[low:high],
                num_items=self.num_items,
                repeats=self.repeats,
            )

    def seen(self) -> BoolArray:
        """Return a mask [U, num_items] of the items in the histories. Call it for one block at a time."""
        matrix = np.zeros((len(self), self.num_items), dtype=np.bool_)
        matrix[self.histories.rows(), self.histories.items] = True
        return matrix

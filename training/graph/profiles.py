"""User profiles: the newest distinct items of each user before a time, newest first.

Arrives: `Histories`, or the sorted log during a fit. Leaves: `Profiles`. Next: `training.sage.model` computes user
vectors from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from graphstore.arrays import Float32Array, Float64Array, IntArray
from training.compiled import compiled
from training.data.event_log import Histories
from training.graph.bipartite import Csr


@dataclass(frozen=True)
class Profiles:
    """Ragged profiles. The items of user b are items[offsets[b]:offsets[b + 1]], distinct, newest first."""

    offsets: IntArray  # [B + 1]
    items: IntArray  # [n]
    num_items: int

    @classmethod
    def from_spans(cls, items: IntArray, starts: IntArray, ends: IntArray, *, last: int, num_items: int) -> Self:
        """Return the `last` newest distinct items of each range items[starts[b]:ends[b]], which is oldest first."""
        offsets, rows = _newest_distinct(items, starts, ends, last, num_items)
        return cls(offsets, rows, num_items)

    @classmethod
    def from_histories(cls, histories: Histories, *, last: int, num_items: int) -> Self:
        """Return the `last` newest distinct items of each user."""
        offsets = histories.offsets
        return cls.from_spans(histories.items, offsets[:-1], offsets[1:], last=last, num_items=num_items)

    def __len__(self) -> int:
        """The number of users."""
        return len(self.offsets) - 1

    def rows(self) -> IntArray:
        """Return the index of each item's user in the batch [n]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def decay_weights(self, half_lives: Sequence[float]) -> list[Csr]:
        """Return a weight matrix [B, num_items] for each half-life (in ranks; inf: no decay). Each row sums to one.

        The item of rank r (0: newest) has a weight proportional to 0.5 ** (r / half_life). A user without items has an
        empty row.
        """
        longest = int(np.diff(self.offsets).max(initial=0))
        offsets, columns = torch.from_numpy(self.offsets), torch.from_numpy(self.items)
        matrices = []
        for half_life in half_lives:
            curve = 0.5 ** (np.arange(longest) / half_life)
            weights = _shares(self.offsets, curve, np.cumsum(curve))
            matrices.append(Csr(offsets, columns, torch.from_numpy(weights), self.num_items))
        return matrices


@compiled()
def _shares(offsets: IntArray, curve: Float64Array, totals: Float64Array) -> Float32Array:
    """Return the first values of `curve` in each row, divided by their sum from `totals`."""
    shares = np.empty(offsets[-1], dtype=np.float32)
    for b in range(len(offsets) - 1):
        start, end = offsets[b], offsets[b + 1]
        for index in range(start, end):
            shares[index] = curve[index - start] / totals[end - start - 1]
    return shares


@compiled()
def _newest_distinct(
    items: IntArray, starts: IntArray, ends: IntArray, last: int, num_items: int
) -> tuple[IntArray, IntArray]:
    """Walk back from each end until `last` distinct items are found or the range is over."""
    rows = len(starts)
    offsets = np.zeros(rows + 1, dtype=np.int64)
    room = 0
    for b in range(rows):
        room += min(last, ends[b] - starts[b])
    newest = np.empty(room, dtype=np.int64)
    seen_by = np.full(num_items, -1, dtype=np.int64)  # the last row that had the item, so rows need no reset
    n = 0
    for b in range(rows):
        limit = n + last
        for event in range(ends[b] - 1, starts[b] - 1, -1):
            if n == limit:
                break
            item = items[event]
            if seen_by[item] != b:
                seen_by[item] = b
                newest[n] = item
                n += 1
        offsets[b + 1] = n
    return offsets, newest[:n]

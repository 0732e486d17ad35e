"""Exact retrieval over items that several processes share: each holds and scores its own, the best are merged.

Arrives: vectors of shoppers in every process, the item vectors of a shard in each. Leaves: in every process the same
lists, those that `training.models.topk.best_items` makes of all items. Next: a program of one's own under
`torchrun`, for a catalogue that one process cannot hold; no verb calls it.

A shard is whole tiles of the retrieval, so that every product is computed in the same shape as in one process and comes
out the same to the bit: else two items of nearly equal scores could change places with the number of processes.
"""

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray, offsets_of
from training.models.topk import TILE_ITEMS, best_items
from training.sage.process_group import ProcessGroup


def shard_of(num_items: int, ranks: ProcessGroup) -> tuple[int, int]:
    """(first, last): the item rows first:last that this process holds; none where there are fewer tiles."""
    tiles = -(-num_items // TILE_ITEMS)
    first, last = (tiles * number // ranks.size * TILE_ITEMS for number in (ranks.number, ranks.number + 1))
    return min(first, num_items), min(last, num_items)


def best_items_of_shards(  # noqa: PLR0913 - the parameters of `best_items`, and where the shard lies
    users: Tensor,
    shard: Tensor,
    *,
    first: int,
    k: int,
    ranks: ProcessGroup,
    bias: Tensor | None = None,
    seen_offsets: IntArray | None = None,
    seen_items: IntArray | None = None,
) -> tuple[IntArray, Float32Array]:
    """`best_items` over the items of all processes: rows [B, k] among all items and scores [B, k], in each process.

    `users` [B, dim] and what they have seen, in rows of all items, are the same everywhere; `shard` [n, dim] and `bias`
    [n] are of the item rows from `first` on, as `shard_of` cuts them. Raises `ValueError` as `best_items` does, and
    `ProcessGroupError` where a process is gone.
    """
    if seen_offsets is not None and seen_items is not None:
        seen_offsets, seen_items = _within(seen_offsets, seen_items, first, first + shard.size(0))
    rows, scores = best_items(users, shard, k=k, bias=bias, seen_offsets=seen_offsets, seen_items=seen_items)
    rows = np.where(rows >= 0, rows + first, -1)
    all_rows = torch.cat(ranks.collect(torch.from_numpy(rows)), dim=1).numpy()  # [B, size · k]
    all_scores = torch.cat(ranks.collect(torch.from_numpy(scores)), dim=1).numpy()
    # Best first, of equal scores the lower row; what is no item has minus infinity, which no item's score is.
    best = np.lexsort((all_rows, -all_scores), axis=1)[:, :k]
    return np.take_along_axis(all_rows, best, axis=1), np.take_along_axis(all_scores, best, axis=1)


def _within(offsets: IntArray, items: IntArray, first: int, last: int) -> tuple[IntArray, IntArray]:
    """Of each shopper's items those of first:last, counted from `first`."""
    kept = (items >= first) & (items < last)
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[kept]
    counts = np.bincount(owners, minlength=len(offsets) - 1)
    return offsets_of(counts), items[kept] - first

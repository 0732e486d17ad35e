"""Sharded top-k: exact retrieval over items in several processes. Each scores its own shard, then results are merged.

Arrives: user vectors in every process, and the item vectors of one shard in each. Leaves: in every process the same
lists as `training.models.topk.best_items` over all items. Next: a program of your own under `torchrun`, for a catalogue
that one process cannot hold. No command calls it.

A shard consists of whole tiles, so every product has the same shape as in one process and gives exactly the same bits.
Otherwise two items with nearly equal scores could change their order with the number of processes.
"""

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray, offsets_of
from training.models.topk import TILE_ITEMS, best_items
from training.sage.process_group import ProcessGroup


def shard_of(num_items: int, group: ProcessGroup) -> tuple[int, int]:
    """Return (first, last): this process holds the item rows first:last. With fewer tiles the range may be empty."""
    tiles = -(-num_items // TILE_ITEMS)
    first, last = (tiles * number // group.size * TILE_ITEMS for number in (group.rank, group.rank + 1))
    return min(first, num_items), min(last, num_items)


def best_items_of_shards(  # noqa: PLR0913 - the parameters of `best_items`, and the position of the shard
    users: Tensor,
    shard: Tensor,
    *,
    first: int,
    k: int,
    group: ProcessGroup,
    bias: Tensor | None = None,
    seen_offsets: IntArray | None = None,
    seen_items: IntArray | None = None,
) -> tuple[IntArray, Float32Array]:
    """Return the result of `best_items` over the items of all processes, in each process.

    Args:
        users: User vectors, the same in all processes.
        shard: Item vectors of this process, cut by `shard_of`.
        first: The first row of the shard among all items.
        k: The length of a list.
        group: The processes.
        bias: Bias of the items in the shard.
        seen_offsets: As in `best_items`, the same in all processes.
        seen_items: Rows among all items, the same in all processes.

    Shapes: `users` [B, dim], `shard` [n, dim], `bias` [n]; returns rows among all items [B, k] and scores [B, k].

    Raises `ValueError` as `best_items` does, and `ProcessGroupError` when a process is gone.
    """
    if seen_offsets is not None and seen_items is not None:
        seen_offsets, seen_items = _within(seen_offsets, seen_items, first, first + shard.size(0))
    rows, scores = best_items(users, shard, k=k, bias=bias, seen_offsets=seen_offsets, seen_items=seen_items)
    rows = np.where(rows >= 0, rows + first, -1)
    all_rows = torch.cat(group.all_gather(torch.from_numpy(rows)), dim=1).numpy()  # [B, size · k]
    all_scores = torch.cat(group.all_gather(torch.from_numpy(scores)), dim=1).numpy()
    # Best first; with equal scores the lower row first. Only a missing item has the score minus infinity.
    best = np.lexsort((all_rows, -all_scores), axis=1)[:, :k]
    return np.take_along_axis(all_rows, best, axis=1), np.take_along_axis(all_scores, best, axis=1)


def _within(offsets: IntArray, items: IntArray, first: int, last: int) -> tuple[IntArray, IntArray]:
    """Return each user's items in first:last, counted from `first`."""
    kept = (items >= first) & (items < last)
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[kept]
    counts = np.bincount(owners, minlength=len(offsets) - 1)
    return offsets_of(counts), items[kept] - first

"""Top-k heap for compiled loops: keeps the k largest keys.

Arrives: keys, one by one. Leaves: the k largest. Next: `training.models.topk` and `training.terms.local_ridge`.

A key is one int64 of score and row. A larger score has the larger key; with equal scores, the lower row does. One
comparison decides both, so the result does not depend on the order of the keys.
"""

import numpy as np

from graphstore.arrays import IntArray
from training.compiled import compiled

LOWEST = np.iinfo(np.int64).min
"""Smaller than every key. It fills the empty entries of a heap."""

LAST_ROW = np.int64(2**32 - 1)
"""The largest row. Rows use the lower half of a key."""


@compiled()
def key_of(level: int, row: int) -> int:
    """Return the key of a level (int32, larger for a larger score) and a row below 2³²."""
    return int((np.int64(level) << np.int64(32)) | (LAST_ROW - np.int64(row)))


@compiled()
def rows_of(keys: IntArray) -> IntArray:
    """Return the rows of keys."""
    return LAST_ROW - (keys & LAST_ROW)


@compiled()
def replace_least(heap: IntArray, key: int) -> None:
    """Replace the smallest key, heap[0], by `key`. The children of index i are larger: 2i + 1 and 2i + 2."""
    size = len(heap)
    index = 0
    while True:
        child = 2 * index + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[index] = heap[child]
        index = child
    heap[index] = key

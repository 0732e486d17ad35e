"""The k best of many, one after another: a heap of keys, for compiled loops.

Arrives: keys, one by one. Leaves: the k largest. Next: `training.models.topk` and `training.terms.local_ridge`, which
make keys of a score and a row: the larger score is the larger key, and of equal scores the lower row.

A key is one int64, so that a comparison settles score and row at once, and lists never depend on the order of a scan.
"""

import numba
import numpy as np

from graphstore.arrays import IntArray

LOWEST = np.iinfo(np.int64).min
"""Below every key: fills a heap that has room."""

LAST_ROW = np.int64(2**32 - 1)
"""Rows take the lower half of a key."""


@numba.njit(cache=True)
def key_of(level: int, row: int) -> int:
    """The key of a score's level (int32, rising with the score) and a row below 2³²."""
    return int((np.int64(level) << np.int64(32)) | (LAST_ROW - np.int64(row)))


@numba.njit(cache=True)
def rows_of(keys: IntArray) -> IntArray:
    """The rows of keys."""
    return LAST_ROW - (keys & LAST_ROW)


@numba.njit(cache=True)
def replace_least(heap: IntArray, key: int) -> None:
    """Put `key` in the place of the heap's least, heap[0]: children of place p, at 2p + 1 and 2p + 2, are larger."""
    size = len(heap)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = key

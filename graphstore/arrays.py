"""Array types by dtype, sets of integers as ascending arrays, and offsets of ragged rows.

Rejected: `np.unique` and `np.setdiff1d`. Since NumPy 2.3 the first hashes before it sorts: a million pairs take 0.75 s
instead of 0.01 s. The second calls the first twice.
"""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Int8Array = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

LARGEST_SCORE = 60_000.0
"""Scores of lists are stored in half precision, which ends at 65,504. Training and serving clip to the same limit."""


def offsets_of(counts: npt.ArrayLike) -> IntArray:
    """Offsets [n + 1] of ragged rows of these lengths [n], kept in one array: row i is offsets[i]:offsets[i + 1]."""
    offsets = np.zeros(len(np.asarray(counts)) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def distinct(numbers: IntArray) -> IntArray:
    """Return the distinct numbers [m] of an array of any shape, ascending."""
    ascending = np.sort(numbers, axis=None)
    return ascending[run_starts(ascending)]


def difference(numbers: IntArray, others: IntArray) -> IntArray:
    """Return the distinct numbers [m] that are not in `others`, ascending."""
    ascending = distinct(numbers)
    return ascending[~find_sorted(ascending, distinct(others))[1]]


def find_sorted(numbers: IntArray, ascending: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Return (indices [n], found [n]) of the numbers in an ascending array. Only indices with `found` are valid.

    Ascending `numbers` take half the time.
    """
    indices = np.searchsorted(ascending, numbers)
    found = indices < len(ascending)
    found[found] = ascending[indices[found]] == numbers[found]
    return indices.astype(np.int64), found


def run_starts(ordered: IntArray) -> IntArray:
    """Return the indices [m] at which a new number begins in an ordered array."""
    return np.flatnonzero(begins_run(ordered))


def begins_run(*ordered: IntArray) -> BoolArray:
    """Return a mask [n] of the rows at which any of the columns [n] has another number than in the row before."""
    begins = np.ones(len(ordered[0]), dtype=np.bool_)
    begins[1:] = False
    for column in ordered:
        begins[1:] |= column[1:] != column[:-1]
    return begins

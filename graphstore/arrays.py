"""Arrays: their types by dtype, sets of whole numbers as ascending arrays, and the offsets of ragged rows.

Arrives: whole numbers in any order. Leaves: distinct ones, ascending; offsets. Next: whatever asks which users, items
or pairs there are, or keeps rows of different lengths in one array.

`np.unique` and `np.setdiff1d` do the same. Since NumPy 2.3 the first hashes before it sorts, for a million pairs of a
log in 0.75 s instead of 0.01 s, and the second calls it twice.
"""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Int8Array = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def offsets_of(counts: npt.ArrayLike) -> IntArray:
    """Offsets [n + 1] of ragged rows of these lengths [n], kept in one array: row i is offsets[i]:offsets[i + 1]."""
    offsets = np.zeros(len(np.asarray(counts)) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def distinct(numbers: IntArray) -> IntArray:
    """The distinct numbers [m], ascending, of an array of any shape."""
    ascending = np.sort(numbers, axis=None)
    return ascending[run_starts(ascending)]


def difference(numbers: IntArray, others: IntArray) -> IntArray:
    """The distinct numbers [m], ascending, that are not among the others."""
    ascending = distinct(numbers)
    return ascending[~find_sorted(ascending, distinct(others))[1]]


def find_sorted(numbers: IntArray, ascending: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """(places [n], found [n]) of the numbers in an ascending array; the place says nothing where one is not found.

    Ascending numbers are found in half the time.
    """
    places = np.searchsorted(ascending, numbers)
    found = places < len(ascending)
    found[found] = ascending[places[found]] == numbers[found]
    return places.astype(np.int64), found


def run_starts(ordered: IntArray) -> IntArray:
    """The places [m] of an ordered array at which another number begins."""
    is_new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return np.flatnonzero(is_new)

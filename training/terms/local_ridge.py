"""Local ridge regressions: the linear filter of a catalogue that is too large for a dense inverse.

Arrives: the interactions X [num_users, num_items]. Leaves: a sparse item–item matrix B. Next:
`training.terms.linear_filter`.

Column i of B is the ridge regression of item i on its neighbours J, the k items with the largest cosine:
B[J, i] = (G[J, J] + λI)⁻¹ G[J, i], with the λ of the dense form. When k is all other items, it equals the dense form.
Rejected, on rated products: cosines as weights (ItemKNN), because they lose 10 % of the dense form's NDCG@20; and a
Gram matrix with only the k largest products of each row, because it loses 4 %. Exact products lose nothing.

There is never an item × item matrix in memory. One row of G at a time is summed from the users of an item, and G[J, J]
as in `training.terms.gram_blocks`. The cost is the cost of XᵀX plus at most k³ / 6 for each item and each λ. The
products are most of it, so several λ are solved in one pass over them. No regression needs another one: shards of items
go to as many threads as torch has, and the weights do not depend on the shards.

Source: Steck, "Markov Random Fields for Collaborative Filtering", NeurIPS 2019, approximates the inverse with such
blocks.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from graphstore.arrays import Float32Array, Float64Array, IntArray, offsets_of
from training.compiled import compiled
from training.terms.gram_blocks import Interactions, Scratch, fill_block
from training.terms.topk_heap import LOWEST, key_of, replace_least, rows_of

SHARD_ITEMS = 4_096
"""Items that a thread solves together. It bounds the memory beside the result."""

FADED = 1e-100
"""Values below this share of the largest value are dropped. Products of larger values never underflow to zero."""

SMALLEST_PENALTY = 1e-6

LINKS = 1_024
"""Room for the links of a block at first. It grows."""

_LEVELS = 1 << 20
"""Cosines are rounded to this many levels, and the lower row wins a tie. Otherwise rounding errors could select other
neighbours when the same events arrive in two parts."""


def local_ridge_weights(
    interactions: sparse.csr_array, *, regularisations: Sequence[float], neighbours: int, row_weights: int
) -> list[sparse.csr_array]:
    """Return the `row_weights` strongest weights in each row of B [num_items, num_items] float32, a matrix for each λ.

    λ is one of the `regularisations` times the mean diagonal of G, and k is `neighbours`. The diagonals of B are zero.
    The values of `interactions` are positive. Values below `FADED` times the largest are ignored.
    """
    num_items = interactions.shape[1]
    rows, offsets, weights = _regressions(interactions, regularisations, neighbours)
    results = []
    while weights:
        # Each matrix is freed before the next one: B by columns, B by rows and the result are never in memory together.
        by_column = sparse.csc_array((weights.pop(0), rows, offsets), shape=(num_items, num_items))
        if not weights:
            del rows
        by_row = by_column.tocsr()
        del by_column
        results.append(strongest_of_rows(by_row, row_weights))
    return results


def _regressions(
    interactions: sparse.csr_array, regularisations: Sequence[float], neighbours: int
) -> tuple[npt.NDArray[np.int32], IntArray, list[Float32Array]]:
    """Return B by columns: the rows of its entries, where each column begins, and the weights for each λ."""
    num_items = interactions.shape[1]
    interactions = interactions.copy()
    interactions.data[interactions.data < FADED * interactions.data.max(initial=0.0)] = 0.0
    interactions.eliminate_zeros()
    known = Interactions.of(interactions)
    mean = float(known.squares.mean()) if num_items else 0.0
    penalties = np.maximum(np.array(regularisations, dtype=np.float64) * mean, SMALLEST_PENALTY)
    neighbours = min(neighbours, max(num_items - 1, 0))

    def solved(start: int) -> tuple[IntArray, npt.NDArray[np.int32], Float32Array]:
        end = min(start + SHARD_ITEMS, num_items)
        return _regress_items(known, start, end, neighbours, penalties, Scratch.of(known, LINKS))

    counts, rows = [], []
    weights: list[list[Float32Array]] = [[] for _ in regularisations]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for found in threads.map(solved, range(0, max(num_items, 1), SHARD_ITEMS)):
            counts.append(found[0])
            rows.append(found[1])
            for parts, part in zip(weights, found[2], strict=True):
                parts.append(part.copy())
    return _concatenate(rows), offsets_of(np.concatenate(counts)), [_concatenate(parts) for parts in weights]


def _concatenate(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate the parts and clear the list, so that the parts are freed."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def strongest_of_rows(matrix: sparse.csr_array, keep: int) -> sparse.csr_array:
    """Return the `keep` values with the largest magnitude in each row. The first of equal values win."""
    lengths = np.diff(matrix.indptr)
    long = np.flatnonzero(lengths > keep)
    if not len(long):
        return matrix
    kept = np.ones(matrix.nnz, dtype=np.bool_)
    for row in long:
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        weakest = np.argsort(-np.abs(matrix.data[span]), kind="stable")[keep:]
        kept[span][weakest] = False
    offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, keep))]).astype(matrix.indptr.dtype)
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], offsets), shape=matrix.shape)


@compiled(threads=True)
def _regress_items(
    known: Interactions, start: int, end: int, neighbours: int, penalties: Float64Array, scratch: Scratch
) -> tuple[IntArray, npt.NDArray[np.int32], Float32Array]:
    """Solve the items start:end for each λ of the `penalties`.

    Return the neighbour count of each item, the ascending rows of all, and their weights [num_penalties, num_rows].
    """
    user_offsets, user_items, user_values = known.by_user
    item_offsets, item_users, item_values = known.by_item
    squares = known.squares
    num_items = len(squares)
    products = np.zeros(num_items)  # row i of G, summed again for each i
    co_items = np.empty(num_items, dtype=np.int32)
    heap = np.empty(neighbours, dtype=np.int64)
    block = np.empty((neighbours, neighbours))
    system = np.empty((neighbours, neighbours))
    counts = np.zeros(end - start, dtype=np.int64)
    found = np.empty((end - start) * neighbours, dtype=np.int32)
    weights = np.empty((len(penalties), (end - start) * neighbours), dtype=np.float32)
    n = 0
    for item in range(start, end):
        num_co_items = 0
        for index in range(item_offsets[item], item_offsets[item + 1]):
            user = item_users[index]
            x = item_values[index]
            for other_index in range(user_offsets[user], user_offsets[user + 1]):
                other = user_items[other_index]
                if products[other] == 0.0:
                    co_items[num_co_items] = other
                    num_co_items += 1
                products[other] += x * user_values[other_index]

        heap[:] = LOWEST
        own = np.sqrt(squares[item])
        for index in range(num_co_items):
            other = co_items[index]
            if other != item:
                level = int(np.rint(_LEVELS * products[other] / (own * np.sqrt(squares[other]))))
                key = key_of(level, other)
                if key > heap[0]:
                    replace_least(heap, key)
        # Ascending: the order, and so the rounding, does not depend on the heap.
        chosen = np.sort(rows_of(heap[heap != LOWEST]))
        size = len(chosen)
        found[n : n + size] = chosen

        scratch = fill_block(block, known, chosen, scratch)

        right = np.empty(size)
        for number in range(len(penalties)):
            for p in range(size):
                right[p] = products[chosen[p]]
                for q in range(p):
                    system[p, q] = block[p, q]
                system[p, p] = block[p, p] + penalties[number]
            _solve(system, right)
            for p in range(size):
                weights[number, n + p] = right[p]
        for index in range(num_co_items):
            products[co_items[index]] = 0.0
        counts[item - start] = size
        n += size
    return counts, found[:n].copy(), weights[:, :n]


@compiled(fastmath={"reassoc", "contract"})
def _solve(system: Float64Array, right: Float64Array) -> None:
    """Solve a positive definite system for one right side in place, with Cholesky.

    Its lower triangle is in the first rows and columns of `system`. Rejected: a view of only these, because its stride
    is not known to the compiler, which then uses no vector instructions.
    """
    size = len(right)
    for p in range(size):
        for q in range(p + 1):
            total = 0.0
            for r in range(q):
                total += system[p, r] * system[q, r]
            if p == q:
                system[p, p] = np.sqrt(system[p, p] - total)
            else:
                system[p, q] = (system[p, q] - total) / system[q, q]
    for p in range(size):
        total = 0.0
        for r in range(p):
            total += system[p, r] * right[r]
        right[p] = (right[p] - total) / system[p, p]
    for p in range(size - 1, -1, -1):
        total = 0.0
        for r in range(p + 1, size):
            total += system[r, p] * right[r]
        right[p] = (right[p] - total) / system[p, p]

"""Bipartite graph as sparse matrices, with differentiable sparse-dense products for message passing and profiles.

Arrives: pairs of an `EventLog`, profiles of users. Leaves: `Csr` and `BipartiteGraph`. Next: `training.sage.model`.

One product over a sample of the whole graph costs less CPU than sampled neighbourhoods (`benchmarks.edges`). The
gradient of a product is the product with the transpose. Both orders are stored; autograd would sort the indices in
every step.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphstore.arrays import BoolArray, IntArray, distinct, find_sorted, offsets_of
from training.compiled import compiled
from training.data.event_log import EventLog


@dataclass(frozen=True)
class Csr:
    """A sparse matrix [num_rows, num_columns] in compressed rows."""

    offsets: Tensor  # [num_rows + 1] int64: row r is offsets[r]:offsets[r + 1]
    columns: Tensor  # [n] int64
    weights: Tensor  # [n] float32
    num_columns: int
    transpose_pattern: "TransposePattern | None" = field(default=None, repr=False, compare=False)
    """The transpose of the sparsity pattern. Matrices with the same pattern share it."""

    def __post_init__(self) -> None:
        if self.transpose_pattern is None:
            object.__setattr__(
                self, "transpose_pattern", TransposePattern(self.offsets, self.columns, self.num_columns)
            )

    @property
    def num_rows(self) -> int:
        return self.offsets.numel() - 1

    @cached_property
    def transposed(self) -> Self:
        """The transpose [num_columns, num_rows], computed once."""
        assert self.transpose_pattern is not None
        offsets, rows, order = self.transpose_pattern.arrays
        weights = self.weights.index_select(0, order)  # weights[order] takes three times as long
        return type(self)(offsets, rows, weights, self.num_rows, self.transpose_pattern.inverse)

    def with_weights(self, weights: Tensor) -> Self:
        """Return a matrix with the same pattern and other `weights` [n]. Both share the transposed pattern."""
        return replace(self, weights=weights)

    def __matmul__(self, x: Tensor) -> Tensor:
        """Return the product [num_rows, width] with x [num_columns, width]. Only x has a gradient."""
        product: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return product


class TransposePattern:
    """The sparsity pattern of the transpose, without weights. It is computed on first use.

    The profile matrices of several half-lives have the same pattern, and so have both directions of a graph. They share
    it, because the sort is the cost of a transpose.
    """

    def __init__(
        self, offsets: Tensor, columns: Tensor, num_columns: int, inverse: "TransposePattern | None" = None
    ) -> None:
        self._offsets, self._columns, self._num_columns, self._inverse = offsets, columns, num_columns, inverse

    @cached_property
    def arrays(self) -> tuple[Tensor, Tensor, Tensor]:
        """(offsets [num_columns + 1], rows [n], order [n]): transposed entry i is entry order[i] of the matrix."""
        if self._inverse is not None:
            order = self._inverse.arrays[2]
            inverse_order = torch.empty_like(order)
            inverse_order[order] = torch.arange(order.numel())
            return self._inverse._offsets, self._inverse._columns, inverse_order
        arrays = _transpose(self._offsets.numpy(), self._columns.numpy(), self._num_columns)
        return torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1]), torch.from_numpy(arrays[2])

    @property
    def inverse(self) -> "TransposePattern":
        """The transpose pattern of the transpose. It leads back to the original matrix."""
        offsets, rows, _ = self.arrays
        return TransposePattern(offsets, rows, self._offsets.numel() - 1, inverse=self)


@compiled()
def _transpose(offsets: IntArray, columns: IntArray, num_columns: int) -> tuple[IntArray, IntArray, IntArray]:
    """Sort the entries by column with a stable counting sort. The rows of each column ascend."""
    starts = np.zeros(num_columns + 1, dtype=np.int64)
    for column in columns:
        starts[column + 1] += 1
    for column in range(num_columns):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    rows = np.empty(len(columns), dtype=np.int64)
    order = np.empty(len(columns), dtype=np.int64)
    for row in range(len(offsets) - 1):
        for index in range(offsets[row], offsets[row + 1]):
            at = free[columns[index]]
            free[columns[index]] += 1
            rows[at] = row
            order[at] = index
    return starts, rows, order


class _Product(torch.autograd.Function):
    """Sparse times dense with `embedding_bag`, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Csr) -> Tensor:
        ctx.matrix = matrix
        return _bags(matrix, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _bags(ctx.matrix.transposed, gradient.contiguous()), None


def _bags(matrix: Csr, x: Tensor) -> Tensor:
    return F.embedding_bag(
        matrix.columns,
        x,
        matrix.offsets,
        mode="sum",
        per_sample_weights=matrix.weights,
        include_last_offset=True,
    )


class MessageGraph(Protocol):
    """The input of a layer: items, and mean aggregation in both directions."""

    @property
    def nodes(self) -> Tensor | None:
        """The item of each item row in the matrices [n]. None: all items in order."""
        ...

    @property
    def items_of_users(self) -> Csr:
        """The mean over the neighbour items of each user [num_users, n]."""
        ...

    @property
    def users_of_items(self) -> Csr:
        """The mean over the neighbour users of each item [n, num_users]."""
        ...


@dataclass(frozen=True)
class BipartiteGraph:
    """The distinct (user, item) pairs of a log, with means over neighbours in both directions."""

    users: IntArray  # [num_pairs] sorted by (user, item)
    items: IntArray  # [num_pairs]
    num_users: int
    num_items: int

    @classmethod
    def from_log(cls, log: EventLog) -> Self:
        """Build the graph. All events of a user with an item are one pair, for all types and times."""
        keys = distinct(log.cells)
        return cls(keys // log.num_items, keys % log.num_items, log.num_users, log.num_items)

    def __len__(self) -> int:
        return len(self.users)

    def find(self, users: IntArray, items: IntArray) -> IntArray:
        """Return the ascending indices [n] of the pairs (users[i], items[i]) that are in the graph."""
        indices, found = find_sorted(np.sort(users * self.num_items + items), self._keys)
        return indices[found]

    def contains(self, users: IntArray, items: IntArray) -> BoolArray:
        """Return a mask [n] of the pairs (users[i], items[i]) that are in the graph."""
        return find_sorted(users * self.num_items + items, self._keys)[1]

    @cached_property
    def _keys(self) -> IntArray:
        """The pairs [num_pairs] as ascending numbers. Cached, because every step searches in them."""
        return self.users * self.num_items + self.items

    @property
    def nodes(self) -> None:
        """None: the item rows are all items in order."""
        return None

    def only(self, keep: BoolArray) -> Self:
        """Return the graph of the pairs with a true `keep` [num_pairs]."""
        return self.take(np.flatnonzero(keep))  # much cheaper than two masks when few pairs stay

    def take(self, indices: IntArray) -> Self:
        """Return the graph of the pairs at distinct ascending `indices`."""
        return replace(self, users=self.users[indices], items=self.items[indices])

    def compact(self) -> Self:
        """Return the same graph without isolated users, with new user rows.

        A small sample of the pairs has few users, and each user row costs a vector in each layer.
        """
        is_new = np.ones(len(self), dtype=np.bool_)
        is_new[1:] = self.users[1:] != self.users[:-1]
        rows = np.cumsum(is_new) - 1
        return replace(self, users=rows, num_users=int(rows[-1]) + 1 if len(rows) else 0)

    @cached_property
    def items_of_users(self) -> Csr:
        """The mean over the items of each user [num_users, num_items]."""
        degrees = np.bincount(self.users, minlength=self.num_users)
        return mean_matrix(torch.from_numpy(offsets_of(degrees)), torch.from_numpy(self.items), self.num_items)

    @cached_property
    def users_of_items(self) -> Csr:
        """The mean over the users of each item [num_items, num_users]."""
        transposed = self.items_of_users.transposed
        return transposed.with_weights(_equal_shares(transposed.offsets))


def mean_matrix(offsets: Tensor, columns: Tensor, num_columns: int) -> Csr:
    """Return the matrix that averages over the `columns` [n] of each row. The mean of an empty row is zero."""
    return Csr(offsets, columns, _equal_shares(offsets), num_columns)


def _equal_shares(offsets: Tensor) -> Tensor:
    degrees = offsets.diff()
    return torch.repeat_interleave(1.0 / degrees, degrees)  # an empty row has an infinite share, repeated zero times

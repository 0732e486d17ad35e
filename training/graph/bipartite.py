"""Products with sparse matrices, differentiable: how messages move over the whole graph, and profiles become vectors.

Arrives: pairs of an `EventLog`, profiles of shoppers. Leaves: `Csr` and `BipartiteGraph`. Next: `training.sage.model`.

Up to some ten million edges one product over all of them costs less CPU than sampling neighbourhoods batch by batch.
The gradient of a product is the product with the transpose, so both orders are kept ready instead of letting
autograd sort the indices in every step.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphstore.arrays import BoolArray, IntArray, distinct, find_sorted, offsets_of
from training.data.event_log import EventLog


@dataclass(frozen=True)
class Csr:
    """A sparse matrix [num_rows, num_columns], row by row."""

    offsets: Tensor  # [num_rows + 1] int64: row r stands at offsets[r]:offsets[r + 1]
    columns: Tensor  # [n] int64
    weights: Tensor  # [n] float32
    num_columns: int
    flip: "TransposePattern | None" = field(default=None, repr=False, compare=False)
    """How the places are turned over, where that is known; matrices of the same places share it."""

    def __post_init__(self) -> None:
        if self.flip is None:
            object.__setattr__(self, "flip", TransposePattern(self.offsets, self.columns, self.num_columns))

    @property
    def num_rows(self) -> int:
        return self.offsets.numel() - 1

    @cached_property
    def transposed(self) -> Self:
        """The transpose [num_columns, num_rows], made once."""
        assert self.flip is not None
        offsets, rows, order = self.flip.turned
        weights = self.weights.index_select(0, order)  # an index in brackets takes three times as long
        return type(self)(offsets, rows, weights, self.num_rows, self.flip.back)

    def with_weights(self, weights: Tensor) -> Self:
        """The same places with other `weights` [n]; how they are transposed is found out once for both."""
        return replace(self, weights=weights)

    def __matmul__(self, x: Tensor) -> Tensor:
        """The product with x [num_columns, width]: [num_rows, width], with a gradient for x alone."""
        product: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return product


class TransposePattern:
    """Where the places of a sparse matrix stand in its transpose; found out when it is asked for first.

    Weights are not in it: the matrices of a profile under several half-lives, and the means over both sides of a
    graph, have the same places, and sorting them is what a transpose costs.
    """

    def __init__(
        self, offsets: Tensor, columns: Tensor, num_columns: int, back: "TransposePattern | None" = None
    ) -> None:
        self._offsets, self._columns, self._num_columns, self._back = offsets, columns, num_columns, back

    @cached_property
    def turned(self) -> tuple[Tensor, Tensor, Tensor]:
        """(offsets [num_columns + 1], rows [n], order [n]): place p of the transpose is order[p] of the matrix."""
        if self._back is not None:
            order = self._back.turned[2]
            inverse = torch.empty_like(order)
            inverse[order] = torch.arange(order.numel())
            return self._back._offsets, self._back._columns, inverse
        starts, rows, places = _turned(self._offsets.numpy(), self._columns.numpy(), self._num_columns)
        return torch.from_numpy(starts), torch.from_numpy(rows), torch.from_numpy(places)

    @property
    def back(self) -> "TransposePattern":
        """The flip of the transpose, which leads here again."""
        offsets, rows, _ = self.turned
        return TransposePattern(offsets, rows, self._offsets.numel() - 1, back=self)


@numba.njit(cache=True)
def _turned(offsets: IntArray, columns: IntArray, num_columns: int) -> tuple[IntArray, IntArray, IntArray]:
    """A counting sort by column, stable: the rows of each column ascend."""
    starts = np.zeros(num_columns + 1, dtype=np.int64)
    for column in columns:
        starts[column + 1] += 1
    for column in range(num_columns):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    rows = np.empty(len(columns), dtype=np.int64)
    order = np.empty(len(columns), dtype=np.int64)
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            at = free[columns[place]]
            free[columns[place]] += 1
            rows[at] = row
            order[at] = place
    return starts, rows, order


class _Product(torch.autograd.Function):
    """Sparse times dense by `embedding_bag`, forward and backward."""

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
    """What a layer needs of a graph: who hears whom, and which items it is about."""

    @property
    def nodes(self) -> Tensor | None:
        """The item [n] behind each item row of the matrices; None where they are all items in order."""
        ...

    @property
    def items_of_users(self) -> Csr:
        """Row u is the mean over the items that user u hears: [num_users, n]."""
        ...

    @property
    def users_of_items(self) -> Csr:
        """Row i is the mean over the users that item i hears: [n, num_users]."""
        ...


@dataclass(frozen=True)
class BipartiteGraph:
    """The distinct (user, item) pairs of a log, as means over neighbours in both directions."""

    users: IntArray  # [num_pairs] sorted by (user, item)
    items: IntArray  # [num_pairs]
    num_users: int
    num_items: int

    @classmethod
    def from_log(cls, log: EventLog) -> Self:
        """One pair for all events of a user with an item, whatever their types and times."""
        keys = distinct(log.cells)
        return cls(keys // log.num_items, keys % log.num_items, log.num_users, log.num_items)

    def __len__(self) -> int:
        return len(self.users)

    def find(self, users: IntArray, items: IntArray) -> IntArray:
        """Places [n], ascending, of the pairs (users[i], items[i]); pairs that are not in the graph are left out."""
        places, found = find_sorted(np.sort(users * self.num_items + items), self._keys)
        return places[found]

    def holds(self, users: IntArray, items: IntArray) -> BoolArray:
        """Which of the pairs (users[i], items[i]) are in the graph [n]."""
        return find_sorted(users * self.num_items + items, self._keys)[1]

    @cached_property
    def _keys(self) -> IntArray:
        """The pairs [num_pairs] as ascending numbers: sought in every step."""
        return self.users * self.num_items + self.items

    @property
    def nodes(self) -> None:
        """All items, in their own order."""
        return None

    def only(self, keep: BoolArray) -> Self:
        """The graph of the pairs where `keep` [num_pairs] is true."""
        return self.take(np.flatnonzero(keep))  # far cheaper than two masks where few are kept

    def take(self, places: IntArray) -> Self:
        """The graph of the pairs at distinct ascending `places`."""
        return replace(self, users=self.users[places], items=self.items[places])

    def compact(self) -> Self:
        """The same messages with users numbered anew, those without a pair left out: of a large shop's users, a small
        sample of the pairs has few, and each costs a vector a layer."""
        is_new = np.ones(len(self), dtype=np.bool_)
        is_new[1:] = self.users[1:] != self.users[:-1]
        rows = np.cumsum(is_new) - 1
        return replace(self, users=rows, num_users=int(rows[-1]) + 1 if len(rows) else 0)

    @cached_property
    def items_of_users(self) -> Csr:
        """Row u is the mean over the items of user u: [num_users, num_items]."""
        degrees = np.bincount(self.users, minlength=self.num_users)
        return means(torch.from_numpy(offsets_of(degrees)), torch.from_numpy(self.items), self.num_items)

    @cached_property
    def users_of_items(self) -> Csr:
        """Row i is the mean over the users of item i: [num_items, num_users]."""
        places = self.items_of_users.transposed
        return places.with_weights(_equal_shares(places.offsets))


def means(offsets: Tensor, columns: Tensor, num_columns: int) -> Csr:
    """The matrix that takes the mean over the columns [n] named in each row; zero for a row of none."""
    return Csr(offsets, columns, _equal_shares(offsets), num_columns)


def _equal_shares(offsets: Tensor) -> Tensor:
    degrees = offsets.diff()
    return torch.repeat_interleave(1.0 / degrees, degrees)  # a row of none has an infinite share, no times

"""Products with sparse matrices, differentiable: how messages move over the whole graph, and profiles become vectors.

Arrives: pairs of an `EventLog`, profiles of shoppers. Leaves: `Csr` and `BipartiteGraph`. Next: `training.model`.

Up to some ten million edges one product over all of them costs less CPU than sampling neighbourhoods batch by batch.
The gradient of a product is the product with the transpose, so both orders are kept ready instead of letting
autograd sort the indices in every step.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from training.histories import EventLog, IntArray


@dataclass(frozen=True)
class Csr:
    """A sparse matrix [num_rows, num_columns], row by row."""

    offsets: Tensor  # [num_rows + 1] int64: row r stands at offsets[r]:offsets[r + 1]
    columns: Tensor  # [n] int64
    weights: Tensor  # [n] float32
    num_columns: int

    @property
    def num_rows(self) -> int:
        return self.offsets.numel() - 1

    @cached_property
    def transposed(self) -> Self:
        """The transpose [num_columns, num_rows], made once (a counting sort)."""
        matrix = sp.csr_array(
            (self.weights.numpy(), self.columns.numpy(), self.offsets.numpy()), shape=(self.num_rows, self.num_columns)
        ).tocsc()
        return type(self)(
            offsets=torch.from_numpy(matrix.indptr.astype(np.int64)),
            columns=torch.from_numpy(matrix.indices.astype(np.int64)),
            weights=torch.from_numpy(matrix.data),
            num_columns=self.num_rows,
        )

    def with_weights(self, weights: Tensor) -> Self:
        """The same places with other `weights` [n]."""
        return replace(self, weights=weights)

    def __matmul__(self, x: Tensor) -> Tensor:
        """The product with x [num_columns, width]: [num_rows, width], with a gradient for x alone."""
        product: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return product


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
        keys = np.unique(log.users * log.num_items + log.items)
        return cls(keys // log.num_items, keys % log.num_items, log.num_users, log.num_items)

    def __len__(self) -> int:
        return len(self.users)

    def find(self, users: IntArray, items: IntArray) -> IntArray:
        """Places [n] of the pairs (users[i], items[i]); pairs that are not in the graph are left out."""
        keys, wanted = self.users * self.num_items + self.items, users * self.num_items + items
        places = np.searchsorted(keys, wanted)
        found = places < len(keys)
        found[found] = keys[places[found]] == wanted[found]
        return places[found].astype(np.int64)

    def only(self, keep: npt.NDArray[np.bool_]) -> Self:
        """The graph of the pairs where `keep` [num_pairs] is true."""
        return replace(self, users=self.users[keep], items=self.items[keep])

    @cached_property
    def items_of_users(self) -> Csr:
        """Row u is the mean over the items of user u: [num_users, num_items]."""
        degrees = np.bincount(self.users, minlength=self.num_users)
        return Csr(
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)),
            columns=torch.from_numpy(self.items),
            weights=torch.from_numpy((1.0 / degrees[self.users]).astype(np.float32)),
            num_columns=self.num_items,
        )

    @cached_property
    def users_of_items(self) -> Csr:
        """Row i is the mean over the users of item i: [num_items, num_users]."""
        places = self.items_of_users.transposed
        degrees = places.offsets.diff()
        return places.with_weights(torch.repeat_interleave(1.0 / degrees, degrees))

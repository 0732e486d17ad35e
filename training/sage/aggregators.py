"""Aggregators of GraphSAGE: mean, maximum or LSTM over the neighbours of a node.

Arrives: a graph in compressed rows (`Csr`), and a vector for each node on the other side. Leaves: a vector for each
row, zero for a row without neighbours. Next: the layers of `training.sage.model`.

The mean has no weights and is one sparse product. The maximum gathers every neighbour, and the LSTM reads them one
after the other: with 64 dimensions a step takes about 4 and 30 times as long. Rejected: PyTorch Geometric's
`LSTMAggregation`, because it pads every neighbourhood to the widest and also reads the padding. Here sequences are
packed.

Source: Hamilton et al., "Inductive representation learning on large graphs", 2017, section 3.3.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from graphstore.arrays import IntArray
from training.graph.bipartite import Csr

MAX_SEQUENCE = 16
"""The largest number of neighbours that the LSTM reads for one node."""


class Mean(nn.Module):
    """The mean over the neighbours: the product with the matrix."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, neighbours: Csr, x: Tensor) -> Tensor:
        """Return [num_rows, dim] from x [num_columns, dim]."""
        return neighbours @ x


class Max(nn.Module):
    """The maximum of relu(W x + b) over the neighbours ("pool"). It ignores the weights of the matrix."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, neighbours: Csr, x: Tensor) -> Tensor:
        """Return [num_rows, dim] from x [num_columns, dim]."""
        hidden = torch.relu(self.linear(x))  # once for each node, because there are fewer nodes than edges
        gathered = hidden.index_select(0, neighbours.columns)  # [n, dim]
        # Values after relu are at least zero, so the empty maximum is zero.
        return torch.segment_reduce(gathered, "max", offsets=neighbours.offsets, axis=0, initial=0.0)


class Lstm(nn.Module):
    """The last state of an LSTM over at most `MAX_SEQUENCE` neighbours of each node.

    A larger neighbourhood is read at evenly spaced entries of its row, the same in every call. Rejected: the first
    entries, because they are only the oldest users or items.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim)

    def forward(self, neighbours: Csr, x: Tensor) -> Tensor:
        """Return [num_rows, dim] from x [num_columns, dim]."""
        rows, indices, sizes = _read_together(neighbours.offsets.numpy(), MAX_SEQUENCE)
        result = x.new_zeros(neighbours.num_rows, x.size(1))
        if not len(rows):
            return result
        read = x.index_select(0, neighbours.columns[torch.from_numpy(indices)])
        _, (last, _) = self.lstm(PackedSequence(read, torch.from_numpy(sizes)))
        return result.index_copy(0, torch.from_numpy(rows), last[0])


def _read_together(offsets: IntArray, most: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return (rows, indices, sizes) of the packed sequences.

    `rows` have neighbours, longest first. `indices` are the matrix entries of the first step, the second step, and so
    on; step t has `sizes[t]` entries.
    """
    degrees = np.diff(offsets)
    rows = np.argsort(-np.minimum(degrees, most), kind="stable")
    rows = rows[: np.count_nonzero(degrees)]
    lengths = np.minimum(degrees[rows], most)
    sizes = np.count_nonzero(lengths[:, None] > np.arange(lengths.max(initial=0)), axis=0)
    steps = [offsets[rows[:size]] + step * degrees[rows[:size]] // lengths[:size] for step, size in enumerate(sizes)]
    return rows, np.concatenate([np.empty(0, dtype=np.int64), *steps]), sizes.astype(np.int64)


AGGREGATIONS: dict[str, type[Mean] | type[Max] | type[Lstm]] = {"mean": Mean, "max": Max, "lstm": Lstm}

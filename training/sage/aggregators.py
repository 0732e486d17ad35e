"""What a node takes from its neighbours: their mean, their maximum, or the last state of an LSTM that reads them.

Arrives: the pairs of a graph, row by row (`Csr`), and a vector for each node of the other side. Leaves: a vector for
each row, zero where it has no neighbour. Next: the layers of `training.sage.model`.

The three aggregators of Hamilton et al., "Inductive representation learning on large graphs" (2017), section 3.3.
PyTorch Geometric's `LSTMAggregation` pads every neighbourhood to the widest and reads the padding too; here the
sequences are packed. The mean needs no weights of its own and one sparse product; the maximum gathers every neighbour,
and the LSTM takes them one after the other: a step at 64 dimensions takes some four and thirty times as long.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from graphstore.arrays import IntArray
from training.graph.bipartite import Csr

MAX_SEQUENCE = 16
"""Neighbours that the LSTM reads of one node at most."""


class Mean(nn.Module):
    """The weighted sum that the matrix stands for: the mean over the neighbours."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, neighbours: Csr, x: Tensor) -> Tensor:
        """[num_rows, dim] from x [num_columns, dim]."""
        return neighbours @ x


class Max(nn.Module):
    """The largest of relu(W x + b) over the neighbours ("pool"); the weights of the matrix do not count."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, neighbours: Csr, x: Tensor) -> Tensor:
        """[num_rows, dim] from x [num_columns, dim]."""
        hidden = torch.relu(self.linear(x))  # once a node: there are fewer of them than of edges
        gather_ranges = hidden.index_select(0, neighbours.columns)  # [n, dim]
        # Nothing is below zero after relu, so the empty maximum is zero as well.
        return torch.segment_reduce(gather_ranges, "max", offsets=neighbours.offsets, axis=0, initial=0.0)


class Lstm(nn.Module):
    """The last state of an LSTM over at most `MAX_SEQUENCE` neighbours of each node.

    Of a wider neighbourhood it reads places evenly spaced over the row, which is in the order of the other side's rows:
    the same ones each time, and not only the oldest users or items as a prefix would be.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim)

    def forward(self, neighbours: Csr, x: Tensor) -> Tensor:
        """[num_rows, dim] from x [num_columns, dim]."""
        rows, places, sizes = _read_together(neighbours.offsets.numpy(), MAX_SEQUENCE)
        result = x.new_zeros(neighbours.num_rows, x.size(1))
        if not len(rows):
            return result
        read = x.index_select(0, neighbours.columns[torch.from_numpy(places)])
        _, (last, _) = self.lstm(PackedSequence(read, torch.from_numpy(sizes)))
        return result.index_copy(0, torch.from_numpy(rows), last[0])


def _read_together(offsets: IntArray, most: int) -> tuple[IntArray, IntArray, IntArray]:
    """(rows, places, sizes): rows that have neighbours, longest first, and what is read of them in the first step,
    the second, …: `sizes[t]` places of the matrix at step t."""
    degrees = np.diff(offsets)
    rows = np.argsort(-np.minimum(degrees, most), kind="stable")
    rows = rows[: np.count_nonzero(degrees)]
    lengths = np.minimum(degrees[rows], most)
    sizes = np.count_nonzero(lengths[:, None] > np.arange(lengths.max(initial=0)), axis=0)
    steps = [offsets[rows[:size]] + step * degrees[rows[:size]] // lengths[:size] for step, size in enumerate(sizes)]
    return rows, np.concatenate([np.empty(0, dtype=np.int64), *steps]), sizes.astype(np.int64)


AGGREGATIONS: dict[str, type[Mean] | type[Max] | type[Lstm]] = {"mean": Mean, "max": Max, "lstm": Lstm}

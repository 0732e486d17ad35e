"""Neighbour sampling: a subgraph around a batch of items, for graphs that are too large for one full step.

Arrives: a `BipartiteGraph` and seed items, or a batch of PyTorch Geometric's loaders. Leaves: `SampledGraph`, for
`GraphSAGE.encode_items`. Next: `training.sage.trainer` uses it when `SageConfig.neighbours` is set.

A layer has two hops (item - user - item), so L layers need 2 L hops. All seeds share one subgraph. Rejected: a tree for
each seed, because messages do not depend on time (`training.sage.model`) and trees would only repeat nodes. With all
neighbours, embeddings and gradients of the seeds equal those of the whole graph. With fewer, each mean is an unbiased
estimate; the value after relu is not. A step keeps activations only for the sampled nodes. An evaluation and the end of
a fit embed all items, layer by layer over the whole graph, without gradients.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, IntArray, distinct, offsets_of
from graphstore.snapshots.graph import INTERACTS
from training.compiled import compiled
from training.graph.bipartite import BipartiteGraph, Csr, mean_matrix

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

INTERACTED_BY = ("item", "rev_interacts", "user")

ALL = -1
"""The limit of a hop that takes all neighbours."""

MANY = 8
"""A node with so many times the limit of neighbours, and the limit's square, is not read whole: indices are drawn."""

TRIES = 4
"""Draws for each sample, and so many more, before all neighbours are read after all."""

_NOTHING: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class SampledGraph:
    """A `MessageGraph` around seed items. Only the seeds have complete embeddings; outer nodes lack neighbours."""

    nodes: Tensor  # [n] rows of the items, the seeds first
    items_of_users: Csr  # [num_users, n]
    users_of_items: Csr  # [n, num_users]

    @classmethod
    def from_batch(cls, batch: "HeteroData") -> Self:
        """Build the graph from a batch of a loader with a `TemporalNeighborSampler`. Events of one pair count once.

        A node aggregates only its sampled neighbours, so the two matrices need not be transposes of each other. The
        embeddings follow the item nodes of the batch, in which each seed has its own tree.
        """
        num_users, num_items = len(batch["user"].n_id), len(batch["item"].n_id)
        items, users = batch[INTERACTED_BY].edge_index.numpy()
        user_sources, item_sources = batch[INTERACTS].edge_index.numpy()
        return cls(
            nodes=batch["item"].n_id,
            items_of_users=_mean_of_pairs(users, items, num_users, num_items),
            users_of_items=_mean_of_pairs(item_sources, user_sources, num_items, num_users),
        )


def surroundings(graph: BipartiteGraph, seeds: IntArray, *, layers: int) -> SampledGraph:
    """Return all that the distinct `seeds` [s] hear of in `layers` layers: their embeddings equal the whole graph's."""
    everything = NeighbourSampler(graph, (ALL,) * 2 * layers)
    return everything.sample(seeds, without=(_NOTHING, _NOTHING), rng=np.random.default_rng(0))  # leaves no choice


class NeighbourSampler:
    """Samples at most `neighbours[h]` neighbours of each node at hop h, without replacement. -1: all."""

    def __init__(self, graph: BipartiteGraph, neighbours: Sequence[int]) -> None:
        self._graph = graph
        self._neighbours = tuple(neighbours)
        by_user = graph.items_of_users
        assert by_user.transpose_pattern is not None
        self._pattern = by_user.transpose_pattern
        offsets, users, _ = (part.numpy() for part in self._pattern.arrays)
        self._of_users = _Rows(by_user.offsets.numpy(), graph.items)
        self._of_items = _Rows(offsets, users)

    def sample(self, seeds: IntArray, *, without: tuple[IntArray, IntArray], rng: np.random.Generator) -> SampledGraph:
        """Return the subgraph around distinct `seeds` [s]. The pairs `without` (users, items) are excluded."""
        pairs = self._graph.find(*without)
        if not len(pairs):
            return self._sample(seeds, rng)
        users, items = self._graph.users[pairs], self._graph.items[pairs]
        with self._of_users.without(users, pairs), self._of_items.without(items, self._entry_of_item[pairs]):
            return self._sample(seeds, rng)

    @cached_property
    def _entry_of_item(self) -> IntArray:
        """The entry of each pair [num_pairs] among the neighbours of the items. Only exclusions need it."""
        entries: IntArray = self._pattern.inverse.arrays[2].numpy()
        return entries

    def _sample(self, seeds: IntArray, rng: np.random.Generator) -> SampledGraph:
        items, users = _FoundNodes(self._graph.num_items), _FoundNodes(self._graph.num_users)
        new_items = items.add(seeds)
        item_edges: list[tuple[IntArray, IntArray]] = []
        user_edges: list[tuple[IntArray, IntArray]] = []
        for of_item, of_user in zip(self._neighbours[::2], self._neighbours[1::2], strict=True):
            item_edges.append(self._of_items.draw(new_items, of_item, rng))
            new_users = users.add_new(item_edges[-1][1])
            user_edges.append(self._of_users.draw(new_users, of_user, rng))
            new_items = items.add_new(user_edges[-1][1])
        return SampledGraph(
            nodes=torch.from_numpy(items.nodes),
            items_of_users=_mean_of_edges(user_edges, users, items),
            users_of_items=_mean_of_edges(item_edges, items, users),
        )


class _FoundNodes:
    """The nodes of one side that a sample has found, in their order, each with its row."""

    def __init__(self, num_nodes: int) -> None:
        self.row: IntArray = np.full(num_nodes, -1)
        """[num_nodes], -1 for a node that is not found."""
        self.nodes: IntArray = np.empty(0, dtype=np.int64)

    def add(self, nodes: IntArray) -> IntArray:
        """Add distinct nodes that are not found yet, and return them."""
        self.row[nodes] = np.arange(len(self.nodes), len(self.nodes) + len(nodes))
        self.nodes = np.concatenate([self.nodes, nodes])
        return nodes

    def add_new(self, nodes: IntArray) -> IntArray:
        """Add those of `nodes` that are not found yet, and return them, ascending."""
        is_new = np.zeros(len(self.row), dtype=np.bool_)  # one byte for each node is faster than a sort
        is_new[nodes] = True
        return self.add(np.flatnonzero(is_new & (self.row < 0)))


class _Rows:
    """The neighbours of the nodes on one side.

    Each side has its own mask of excluded entries. Rejected: one mask for both, because each draw of a user then looked
    up in eighty megabytes which pair of the graph it was.
    """

    def __init__(self, offsets: IntArray, neighbours: IntArray) -> None:
        self._offsets, self._neighbours = offsets, neighbours
        # Reused between calls: to reset a few entries is cheaper than a new mask.
        self._excluded = np.zeros(len(neighbours), dtype=np.bool_)
        self._affected = np.zeros(len(offsets) - 1, dtype=np.bool_)
        """The nodes with an excluded entry. To ask the large mask in each draw of every node doubled its time."""

    @contextmanager
    def without(self, nodes: IntArray, entries: IntArray) -> Iterator[None]:
        """Exclude these entries [n] of the `nodes` [n] for some draws."""
        self._affected[nodes] = self._excluded[entries] = True
        try:
            yield
        finally:
            self._affected[nodes] = self._excluded[entries] = False

    def draw(self, nodes: IntArray, limit: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Return sampled (nodes [n], neighbours [n]), at most `limit` neighbours for each node."""
        most = limit if limit >= 0 else np.iinfo(np.int64).max
        indices, at = _draw(self._offsets, nodes, self._affected, self._excluded, most, int(rng.integers(2**32)))
        return nodes[at], self._neighbours[indices]


def _mean_of_edges(edges: list[tuple[IntArray, IntArray]], rows: _FoundNodes, columns: _FoundNodes) -> Csr:
    """Return the matrix whose row r is the mean over the neighbours of node r: hop by hop, rows come in their order."""
    nodes, neighbours = (np.concatenate([_NOTHING, *parts]) for parts in zip(*edges, strict=True))
    degrees = np.bincount(rows.row[nodes], minlength=len(rows.nodes))
    return mean_matrix(
        torch.from_numpy(offsets_of(degrees)), torch.from_numpy(columns.row[neighbours]), len(columns.nodes)
    )


def _mean_of_pairs(rows: IntArray, columns: IntArray, num_rows: int, num_columns: int) -> Csr:
    """Return the matrix whose row r is the mean over the distinct columns of its pairs."""
    keys = distinct(rows * num_columns + columns)
    degrees = np.bincount(keys // max(num_columns, 1), minlength=num_rows)
    offsets = torch.from_numpy(offsets_of(degrees))
    return mean_matrix(offsets, torch.from_numpy(keys % max(num_columns, 1)), num_columns)


@compiled()
def allocate_samples(offsets: IntArray, nodes: IntArray, limit: int) -> tuple[IntArray, IntArray, IntArray]:
    """Allocate (allowed, indices, at) for the neighbours of the widest node, and for `limit` of each node [f]."""
    room = 0
    widest = 0
    for node in nodes:
        degree = offsets[node + 1] - offsets[node]
        room += min(limit, degree)
        widest = max(widest, degree)
    return np.empty(widest, dtype=np.int64), np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)


@compiled()
def tries_for(limit: int, neighbours: int) -> int:
    """Return how often an index of one of `neighbours` is drawn in search of `limit` samples. 0: read all of them.

    Drawn indices that are allowed and new are samples without replacement, all equally likely. To read all neighbours
    of an item that everybody has took two thirds of a step with ten million edges.
    """
    return TRIES * (limit + 1) if limit > 0 and neighbours // limit >= max(MANY, limit) else 0


@compiled()
def is_among(index: int, indices: IntArray, start: int, end: int) -> bool:
    """Return whether `index` is in indices[start:end]. `any` of a comparison would allocate an array."""
    for at in range(start, end):  # noqa: SIM110 - numba compiles no generator in `any`
        if indices[at] == index:
            return True
    return False


@compiled()
def _draw(
    offsets: IntArray, nodes: IntArray, affected: BoolArray, excluded: BoolArray, limit: int, seed: int
) -> tuple[IntArray, IntArray]:
    np.random.seed(seed)
    allowed, indices, at = allocate_samples(offsets, nodes, limit)
    n = 0
    for f in range(len(nodes)):
        first, end = offsets[nodes[f]], offsets[nodes[f] + 1]
        start = n
        asks = affected[nodes[f]]
        tries = tries_for(limit, end - first)
        while tries > 0 and n < start + limit:
            tries -= 1
            index = np.random.randint(first, end)
            if not (asks and excluded[index]) and not is_among(index, indices, start, n):
                indices[n] = index
                at[n] = f
                n += 1
        if n == start + limit:
            continue
        n = start  # too few were found among many excluded ones
        count = 0
        for index in range(first, end):
            if not (asks and excluded[index]):
                allowed[count] = index
                count += 1
        # Partial Fisher-Yates shuffle: one swap for each sample.
        for i in range(min(limit, count)):
            if count > limit:
                j = np.random.randint(i, count)
                allowed[i], allowed[j] = allowed[j], allowed[i]
            indices[n] = allowed[i]
            at[n] = f
            n += 1
    return indices[:n], at[:n]

"""The surroundings of a few items as a graph of their own: what a layer hears where the whole graph is too much for it.

Arrives: a `BipartiteGraph` and seed items, or a batch of PyTorch Geometric's loaders. Leaves: `SampledGraph`, for
`GraphSAGE.encode_items`. Next: `training.sage.trainer` takes steps on it where `SageConfig.neighbours` is set.

A layer takes two hops, item - user - item, so L layers need 2 L. All seeds share one subgraph: messages know no time
(see `training.sage.model`), so a tree for each seed would only repeat nodes. With all neighbours the embeddings of the
seeds, and the gradients, are those of the whole graph; with fewer, each mean estimates the whole one without bias (what
comes after relu does not). What a step keeps for its gradient is that of the nodes reached, not of the graph. Where all
items are embedded, at a look or at the end, no gradient is kept, and the whole graph goes layer by layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numba
import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray, IntArray, difference, distinct, offsets_of
from graphstore.snapshots.graph import INTERACTS
from training.graph.bipartite import BipartiteGraph, Csr, means

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

INTERACTED_BY = ("item", "rev_interacts", "user")


@dataclass(frozen=True)
class SampledGraph:
    """A `MessageGraph` of some items; only the embeddings of its seeds are whole, those of the rim lack neighbours."""

    nodes: Tensor  # [n] rows of the items, the seeds first
    items_of_users: Csr  # [num_users, n]
    users_of_items: Csr  # [n, num_users]

    @classmethod
    def from_batch(cls, batch: "HeteroData") -> Self:
        """From what a loader with a `TemporalNeighborSampler` gives; several events of one pair count once.

        Every node hears only what was sampled into it, so the two matrices need not be transposes of each other. The
        embeddings have the order of the batch's item nodes, each seed in a tree of its own.
        """
        num_users, num_items = len(batch["user"].n_id), len(batch["item"].n_id)
        items, users = batch[INTERACTED_BY].edge_index.numpy()
        authors, subjects = batch[INTERACTS].edge_index.numpy()
        return cls(
            nodes=batch["item"].n_id,
            items_of_users=_mean_of_pairs(users, items, num_users, num_items),
            users_of_items=_mean_of_pairs(subjects, authors, num_items, num_users),
        )


class Neighbourhoods:
    """Draws `neighbours[h]` of the neighbours of every node at hop h, without replacement; -1 takes all."""

    def __init__(self, graph: BipartiteGraph, neighbours: Sequence[int]) -> None:
        self._graph = graph
        self._neighbours = tuple(neighbours)
        by_user = graph.items_of_users
        assert by_user.flip is not None
        offsets, users, order = (part.numpy() for part in by_user.flip.turned)
        self._of_users = _Rows(by_user.offsets.numpy(), graph.items, np.empty(0, dtype=np.int64))
        self._of_items = _Rows(offsets, users, order)
        # Kept between calls: clearing a handful of pairs is cheaper than a fresh mask of all of them.
        self._barred = np.zeros(len(graph), dtype=np.bool_)

    def around(self, seeds: IntArray, *, without: tuple[IntArray, IntArray], rng: np.random.Generator) -> SampledGraph:
        """The surroundings of distinct `seeds` [s], as if the pairs `without` (users, items) did not exist."""
        barred = self._graph.find(*without)
        self._barred[barred] = True
        try:
            return self._around(seeds, rng)
        finally:
            self._barred[barred] = False

    def _around(self, seeds: IntArray, rng: np.random.Generator) -> SampledGraph:
        items, users, new_items = seeds, np.empty(0, dtype=np.int64), seeds
        heard_by_items: list[tuple[IntArray, IntArray]] = []
        heard_by_users: list[tuple[IntArray, IntArray]] = []
        for of_item, of_user in zip(self._neighbours[::2], self._neighbours[1::2], strict=True):
            heard_by_items.append(self._of_items.draw(new_items, self._barred, of_item, rng))
            new_users = difference(heard_by_items[-1][1], users)
            users = np.concatenate([users, new_users])
            heard_by_users.append(self._of_users.draw(new_users, self._barred, of_user, rng))
            new_items = difference(heard_by_users[-1][1], items)
            items = np.concatenate([items, new_items])
        item_rows, user_rows = _Places(items), _Places(users)
        hearers, authors = _joined(heard_by_items)
        listeners, subjects = _joined(heard_by_users)
        return SampledGraph(
            nodes=torch.from_numpy(items),
            items_of_users=_mean_of_pairs(user_rows.of(listeners), item_rows.of(subjects), len(users), len(items)),
            users_of_items=_mean_of_pairs(item_rows.of(hearers), user_rows.of(authors), len(items), len(users)),
        )


class _Rows:
    """The neighbours of the nodes of one side; `order` gives a place's pair in the graph, where it is not the same."""

    def __init__(self, offsets: IntArray, neighbours: IntArray, order: IntArray) -> None:
        self._offsets, self._neighbours, self._order = offsets, neighbours, order

    def draw(
        self, nodes: IntArray, barred: BoolArray, limit: int, rng: np.random.Generator
    ) -> tuple[IntArray, IntArray]:
        """(nodes [n], neighbours [n]) drawn, at most `limit` a node."""
        most = limit if limit >= 0 else np.iinfo(np.int64).max
        places, at = _draw(self._offsets, self._order, nodes, barred, most, int(rng.integers(2**32)))
        return nodes[at], self._neighbours[places]


class _Places:
    """Where each of some distinct numbers stands."""

    def __init__(self, numbers: IntArray) -> None:
        self._order = np.argsort(numbers)
        self._sorted = numbers[self._order]

    def of(self, numbers: IntArray) -> IntArray:
        """The places [n] of numbers [n] that are all among them."""
        places: IntArray = self._order[np.searchsorted(self._sorted, numbers)].astype(np.int64)
        return places


def _joined(parts: list[tuple[IntArray, IntArray]]) -> tuple[IntArray, IntArray]:
    none = np.empty(0, dtype=np.int64)
    return np.concatenate([none, *(left for left, _ in parts)]), np.concatenate([none, *(right for _, right in parts)])


def _mean_of_pairs(rows: IntArray, columns: IntArray, num_rows: int, num_columns: int) -> Csr:
    """Row r takes the mean over the distinct columns that it has a pair with."""
    keys = distinct(rows * num_columns + columns)
    degrees = np.bincount(keys // max(num_columns, 1), minlength=num_rows)
    offsets = torch.from_numpy(offsets_of(degrees))
    return means(offsets, torch.from_numpy(keys % max(num_columns, 1)), num_columns)


@numba.njit(cache=True)
def room_for(offsets: IntArray, nodes: IntArray, limit: int) -> tuple[IntArray, IntArray, IntArray]:
    """(allowed, places, at): room for the neighbours of the widest node, and for `limit` of each of the nodes [f]."""
    room = 0
    widest = 0
    for node in nodes:
        degree = offsets[node + 1] - offsets[node]
        room += min(limit, degree)
        widest = max(widest, degree)
    return np.empty(widest, dtype=np.int64), np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)


@numba.njit(cache=True)
def _draw(
    offsets: IntArray, order: IntArray, nodes: IntArray, barred: BoolArray, limit: int, seed: int
) -> tuple[IntArray, IntArray]:
    np.random.seed(seed)
    allowed, places, at = room_for(offsets, nodes, limit)
    n = 0
    for f in range(len(nodes)):
        count = 0
        for place in range(offsets[nodes[f]], offsets[nodes[f] + 1]):
            if not barred[order[place] if len(order) else place]:
                allowed[count] = place
                count += 1
        # The first of a shuffle: as many swaps as are drawn.
        for i in range(min(limit, count)):
            if count > limit:
                j = np.random.randint(i, count)
                allowed[i], allowed[j] = allowed[j], allowed[i]
            places[n] = allowed[i]
            at[n] = f
            n += 1
    return places[:n], at[:n]

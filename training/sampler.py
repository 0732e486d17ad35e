"""A neighbour sampler for PyTorch Geometric's own loaders: time aware, on numba, without compiled extensions.

Arrives: the bipartite graph of a snapshot, seeds from a `NodeLoader` or `LinkLoader`. Leaves: subgraphs. Next:
`training.loaders` joins them to PyG's loaders.

PyG's `NeighborSampler` needs pyg-lib or torch-sparse, which have no wheels on the package index; `BaseSampler` is the
extension point meant for this. Every seed has a subgraph of its own ("disjoint"), because every seed has a time of its
own: only events strictly before it are sampled, so neither the target nor its basket can be seen. Without times the
pair of a seed link is taken out of its subgraph instead.
"""

from collections.abc import Sequence
from typing import Literal

import numba
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample

from graphstore.graph import INTERACTS
from training.histories import IntArray

INTERACTED_BY = ("item", "rev_interacts", "user")

EdgeType = tuple[str, str, str]

_NO_LIMIT = np.iinfo(np.int64).max


class TemporalNeighborSampler(BaseSampler):  # type: ignore[misc]
    """Samples at most `num_neighbors[h]` events at hop h into every node of the frontier; -1 takes all.

    Args:
        data: with `edge_index` and `edge_time` on both edge types, as `training.loaders.bipartite_data` makes it.
        num_neighbors: one number a hop.
        mode: "uniform" without replacement (Floyd's algorithm), or "recent": the newest before the seed's time.
        seed: of the random choice; the same calls in the same order give the same subgraphs.
    """

    def __init__(
        self, data: HeteroData, num_neighbors: Sequence[int], *, mode: Literal["uniform", "recent"], seed: int
    ) -> None:
        self.num_neighbors = tuple(num_neighbors)
        self.mode = mode
        self._rng = np.random.default_rng(seed)
        self._num_nodes = {kind: int(data[kind].num_nodes) for kind in ("user", "item")}
        self._incoming = {
            edge_type: _Incoming(data[edge_type].edge_index, data[edge_type].edge_time, self._num_nodes[edge_type[2]])
            for edge_type in (INTERACTS, INTERACTED_BY)
        }

    def sample_from_nodes(self, index: NodeSamplerInput) -> HeteroSamplerOutput:
        """Subgraphs around nodes of one type; `index.time` bounds each."""
        times = None if index.time is None else {index.input_type: index.time}
        output = self._sample({index.input_type: index.node}, times, pairs=None)
        output.metadata = (index.input_id, index.time)
        return output

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> HeteroSamplerOutput:
        """Subgraphs around both ends of links, and around negatives where the loader asks for them."""
        pairs = None if index.time is not None else (index.row.numpy(), index.col.numpy())
        return edge_sample(
            index,
            lambda seeds, times: self._sample(seeds, times, pairs),
            self._num_nodes,
            disjoint=True,
            neg_sampling=neg_sampling,
        )

    def _sample(
        self, seeds: dict[str, Tensor], times: dict[str, Tensor] | None, pairs: tuple[IntArray, IntArray] | None
    ) -> HeteroSamplerOutput:
        """One tree a seed; of the links `pairs` (users, items) each is forbidden in the trees of its own ends."""
        place = np.concatenate([np.arange(len(nodes)) for nodes in seeds.values()])  # [trees] among its type's seeds
        before = np.full(len(place), _NO_LIMIT)
        if times is not None:
            before = np.concatenate([times[kind].numpy() for kind in seeds])
        known = {kind: _Numbering(count) for kind, count in self._num_nodes.items()}
        first_tree = 0
        for kind, nodes in seeds.items():
            known[kind].add(np.arange(first_tree, first_tree + len(nodes)), nodes.numpy())
            first_tree += len(nodes)
        rows: dict[EdgeType, list[IntArray]] = {edge_type: [] for edge_type in self._incoming}
        columns: dict[EdgeType, list[IntArray]] = {edge_type: [] for edge_type in self._incoming}
        edges: dict[EdgeType, list[IntArray]] = {edge_type: [] for edge_type in self._incoming}
        frontier = dict.fromkeys(known, 0)  # first local number of the nodes that the last hop added
        num_nodes = {kind: [len(numbering)] for kind, numbering in known.items()}
        for limit in self.num_neighbors:
            ends = {kind: len(numbering) for kind, numbering in known.items()}
            for edge_type, incoming in self._incoming.items():
                source, _, target = edge_type
                trees, heads = known[target].span(frontier[target], ends[target])
                forbidden = np.full(len(heads), -1)
                if pairs is not None:
                    ours, theirs = pairs if target == "user" else pairs[::-1]
                    link = place[trees] % len(ours)
                    forbidden = np.where(heads == ours[link], theirs[link], -1)
                events, at = incoming.hop(heads, before[trees], forbidden, limit, self.mode == "recent", self._rng)
                rows[edge_type].append(known[source].add(trees[at], incoming.sources[events]))
                columns[edge_type].append(frontier[target] + at)
                edges[edge_type].append(incoming.edges[events])
            frontier = ends
            for kind, numbering in known.items():
                num_nodes[kind].append(len(numbering) - ends[kind])
        spans = {kind: numbering.span(0, len(numbering)) for kind, numbering in known.items()}
        return HeteroSamplerOutput(
            node={kind: torch.from_numpy(nodes) for kind, (_, nodes) in spans.items()},
            row={edge_type: _flat(parts) for edge_type, parts in rows.items()},
            col={edge_type: _flat(parts) for edge_type, parts in columns.items()},
            edge={edge_type: _flat(parts) for edge_type, parts in edges.items()},
            batch={kind: torch.from_numpy(place[trees]) for kind, (trees, _) in spans.items()},
            num_sampled_nodes=num_nodes,
            num_sampled_edges={edge_type: [len(part) for part in parts] for edge_type, parts in edges.items()},
        )


class _Incoming:
    """The edges into each node of one type, oldest first."""

    def __init__(self, edge_index: Tensor, edge_time: Tensor, num_targets: int) -> None:
        sources, targets = edge_index.numpy()
        self.edges: IntArray = np.lexsort((edge_time.numpy(), targets)).astype(np.int64)  # place in the original graph
        self.sources: IntArray = sources[self.edges]
        self.times: IntArray = edge_time.numpy()[self.edges]
        self.offsets: IntArray = np.searchsorted(targets[self.edges], np.arange(num_targets + 1)).astype(np.int64)

    def hop(
        self,
        nodes: IntArray,
        before: IntArray,
        forbidden: IntArray,
        limit: int,
        recent: bool,
        rng: np.random.Generator,
    ) -> tuple[IntArray, IntArray]:
        """Sampled places [n] in `sources`, and for each its place [n] in `nodes`."""
        seed = int(rng.integers(2**32))
        places, at = _hop(
            self.offsets,
            self.sources,
            self.times,
            nodes,
            before,
            forbidden,
            limit if limit >= 0 else _NO_LIMIT,
            recent,
            seed,
        )
        return places, at


class _Numbering:
    """Local numbers of (tree, node), in the order of their first coming."""

    def __init__(self, num_nodes: int) -> None:
        self._num_nodes = num_nodes
        self._keys: IntArray = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, trees: IntArray, nodes: IntArray) -> IntArray:
        """The local numbers [n], new ones where the tree did not have the node."""
        keys = np.concatenate([self._keys, trees * self._num_nodes + nodes])
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        coming = np.argsort(first)
        number = np.empty(len(first), dtype=np.int64)
        number[coming] = np.arange(len(first))
        local: IntArray = number[inverse][len(self._keys) :]
        self._keys = keys[first[coming]]
        return local

    def span(self, start: int, end: int) -> tuple[IntArray, IntArray]:
        """Trees and nodes of the local numbers start:end."""
        return self._keys[start:end] // self._num_nodes, self._keys[start:end] % self._num_nodes


def _flat(parts: list[IntArray]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *parts]))


@numba.njit(cache=True)
def _hop(
    offsets: IntArray,
    sources: IntArray,
    times: IntArray,
    nodes: IntArray,
    before: IntArray,
    forbidden: IntArray,
    limit: int,
    recent: bool,
    seed: int,
) -> tuple[IntArray, IntArray]:
    np.random.seed(seed)
    room = 0
    widest = 0
    for f in range(len(nodes)):
        degree = offsets[nodes[f] + 1] - offsets[nodes[f]]
        room += min(limit, degree)
        widest = max(widest, degree)
    allowed = np.empty(widest, dtype=np.int64)
    places = np.empty(room, dtype=np.int64)
    at = np.empty(room, dtype=np.int64)
    n = 0
    for f in range(len(nodes)):
        count = 0
        for place in range(offsets[nodes[f]], offsets[nodes[f] + 1]):
            if times[place] >= before[f]:
                break
            if sources[place] != forbidden[f]:
                allowed[count] = place
                count += 1
        start = n
        if count <= limit or recent:
            for i in range(max(0, count - limit), count):
                places[n] = allowed[i]
                n += 1
        else:
            # Floyd: for each i of the last `limit` places draw among the first i + 1; where taken, take i itself.
            for i in range(count - limit, count):
                drawn = allowed[np.random.randint(0, i + 1)]
                for earlier in range(start, n):
                    if places[earlier] == drawn:
                        drawn = allowed[i]
                        break
                places[n] = drawn
                n += 1
        at[start:n] = f
    return places[:n], at[:n]

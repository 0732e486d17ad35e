"""Temporal neighbour sampler for PyTorch Geometric's loaders, with numba and without compiled extensions.

Arrives: the graph of a snapshot, seeds from a `NodeLoader` or `LinkLoader`. Leaves: subgraphs. Next:
`training.graph.pyg_loaders` builds PyG loaders with it.

PyG's `NeighborSampler` needs pyg-lib or torch-sparse, which have no wheels on the package index. `BaseSampler` is PyG's
extension point for this case. Each seed has its own subgraph ("disjoint") and its own time. Only events strictly before
that time are sampled, so a subgraph contains neither the target nor its basket. Without times, the pair of a seed link
is removed from its subgraph.

Rejected: pyg-lib, even where it is installed, because it also samples events with the time of the seed.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample

from graphstore.arrays import IntArray
from graphstore.snapshots.graph import INTERACTS
from training.compiled import compiled
from training.graph.neighbor_sampling import INTERACTED_BY, allocate_samples, is_among, tries_for

EdgeType = tuple[str, str, str]

NODE = "node"
"""The node type of a homogeneous graph."""

_LINKED = (NODE, "to", NODE)

_NO_LIMIT = np.iinfo(np.int64).max


class TemporalNeighborSampler(BaseSampler):  # type: ignore[misc]
    """Samples at most `num_neighbors[h]` events into each node of the frontier at hop h. -1: all.

    Args:
        data: the graph, with `edge_index` and `edge_time` on each edge type, from
            `training.graph.pyg_loaders.bipartite_data` or `training.graph.pyg_loaders.homogeneous_data`.
        num_neighbors: one number for each hop.
        mode: "uniform" without replacement, or "recent": the newest events before the seed's time.
        seed: seed of the samples. The same calls in the same order give the same subgraphs.
    """

    def __init__(
        self, data: HeteroData | Data, num_neighbors: Sequence[int], *, mode: Literal["uniform", "recent"], seed: int
    ) -> None:
        self.num_neighbors = tuple(num_neighbors)
        self.mode = mode
        self._rng = np.random.default_rng(seed)
        self._homogeneous = isinstance(data, Data)
        if isinstance(data, Data):
            self._num_nodes = {NODE: int(data.num_nodes)}
            self._incoming = {_LINKED: _Incoming(data.edge_index, data.edge_time, self._num_nodes[NODE])}
        else:
            self._num_nodes = {kind: int(data[kind].num_nodes) for kind in ("user", "item")}
            self._incoming = {
                kind: _Incoming(data[kind].edge_index, data[kind].edge_time, self._num_nodes[kind[2]])
                for kind in (INTERACTS, INTERACTED_BY)
            }

    def sample_from_nodes(self, index: NodeSamplerInput) -> HeteroSamplerOutput | SamplerOutput:
        """Return subgraphs around nodes of one type, with events before `index.time`."""
        kind = NODE if self._homogeneous else index.input_type
        times = None if index.time is None else {kind: index.time}
        output = self._sample({kind: index.node}, times, pairs=None)
        output.metadata = (index.input_id, index.time)
        return _one_type(output) if self._homogeneous else output

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> HeteroSamplerOutput | SamplerOutput:
        """Return subgraphs around both ends of links, and around negatives if the loader samples them.

        Links are (user, item), also in a homogeneous graph.
        """
        pairs = None if index.time is not None else (index.row.numpy(), index.col.numpy())

        def of_one_type(seeds: Tensor, times: Tensor | None) -> SamplerOutput:
            return _one_type(self._sample({NODE: seeds}, None if times is None else {NODE: times}, pairs))

        def of_two_types(seeds: dict[str, Tensor], times: dict[str, Tensor] | None) -> HeteroSamplerOutput:
            return self._sample(seeds, times, pairs)

        return edge_sample(
            index,
            of_one_type if self._homogeneous else of_two_types,
            self._num_nodes[NODE] if self._homogeneous else self._num_nodes,
            disjoint=True,
            neg_sampling=neg_sampling,
        )

    def _sample(
        self, seeds: dict[str, Tensor], times: dict[str, Tensor] | None, pairs: tuple[IntArray, IntArray] | None
    ) -> HeteroSamplerOutput:
        """Sample one tree for each seed. The trees of both ends of a link in `pairs` (users, items) exclude the link.

        The number of seeds of one type is a multiple of the number of links, and they have the order of the links.
        """
        index = np.concatenate(
            [np.arange(len(nodes)) for nodes in seeds.values()]
        )  # [trees] index among the seeds of its type
        before = np.full(len(index), _NO_LIMIT)
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
        frontier = dict.fromkeys(known, 0)  # first local number of the nodes from the last hop
        num_nodes = {kind: [len(numbering)] for kind, numbering in known.items()}
        for limit in self.num_neighbors:
            ends = {kind: len(numbering) for kind, numbering in known.items()}
            for edge_type, incoming in self._incoming.items():
                source, _, target = edge_type
                trees, heads = known[target].span(frontier[target], ends[target])
                forbidden = np.full(len(heads), -1)
                if pairs is not None:
                    link = index[trees] % len(pairs[0])
                    users, items = pairs[0][link], pairs[1][link]
                    if target != "item":  # a homogeneous graph has both; user and item numbers differ
                        forbidden = np.where(heads == users, items, forbidden)
                    if target != "user":
                        forbidden = np.where(heads == items, users, forbidden)
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
            batch={kind: torch.from_numpy(index[trees]) for kind, (trees, _) in spans.items()},
            num_sampled_nodes=num_nodes,
            num_sampled_edges={edge_type: [len(part) for part in parts] for edge_type, parts in edges.items()},
        )


class _Incoming:
    """The edges into each node of one type, oldest first."""

    def __init__(self, edge_index: Tensor, edge_time: Tensor, num_targets: int) -> None:
        sources, targets = edge_index.numpy()
        self.edges: IntArray = np.lexsort((edge_time.numpy(), targets)).astype(np.int64)  # index in the original graph
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
        """Return the indices [n] of the sampled edges in `sources`, and the index [n] of their target in `nodes`."""
        seed = int(rng.integers(2**32))
        indices, at = _hop(
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
        return indices, at


class _Numbering:
    """Local numbers of (tree, node) pairs, in the order of their first occurrence."""

    def __init__(self, num_nodes: int) -> None:
        self._num_nodes = num_nodes
        self._keys: IntArray = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, trees: IntArray, nodes: IntArray) -> IntArray:
        """Return the local numbers [n]. A node that is new in its tree gets a new number."""
        keys = np.concatenate([self._keys, trees * self._num_nodes + nodes])
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        coming = np.argsort(first)
        number = np.empty(len(first), dtype=np.int64)
        number[coming] = np.arange(len(first))
        local: IntArray = number[inverse][len(self._keys) :]
        self._keys = keys[first[coming]]
        return local

    def span(self, start: int, end: int) -> tuple[IntArray, IntArray]:
        """Return the trees and nodes of the local numbers start:end."""
        return self._keys[start:end] // self._num_nodes, self._keys[start:end] % self._num_nodes


def _one_type(output: HeteroSamplerOutput) -> SamplerOutput:
    """Return the output for the only node type and the only edge type."""
    return SamplerOutput(
        node=output.node[NODE],
        row=output.row[_LINKED],
        col=output.col[_LINKED],
        edge=output.edge[_LINKED],
        batch=output.batch[NODE],
        num_sampled_nodes=output.num_sampled_nodes[NODE],
        num_sampled_edges=output.num_sampled_edges[_LINKED],
        metadata=output.metadata,
    )


def _flat(parts: list[IntArray]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *parts]))


@compiled()
def _hop(  # noqa: PLR0913 - a compiled loop takes arrays and numbers, no object
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
    allowed, indices, at = allocate_samples(offsets, nodes, limit)
    n = 0
    for f in range(len(nodes)):
        first = offsets[nodes[f]]
        end = first + np.searchsorted(times[first : offsets[nodes[f] + 1]], before[f])  # oldest first
        start = n
        if recent or end - first <= limit:
            for index in range(end - 1, first - 1, -1):
                if n == start + limit:
                    break
                if sources[index] != forbidden[f]:
                    indices[n] = index
                    n += 1
            indices[start:n] = indices[start:n][::-1].copy()
            at[start:n] = f
            continue
        tries = tries_for(limit, end - first)
        while tries > 0 and n < start + limit:
            tries -= 1
            index = np.random.randint(first, end)
            if sources[index] != forbidden[f] and not is_among(index, indices, start, n):
                indices[n] = index
                n += 1
        if n < start + limit:
            n = start  # too few were found among many forbidden ones
            count = 0
            for index in range(first, end):
                if sources[index] != forbidden[f]:
                    allowed[count] = index
                    count += 1
            # Floyd's algorithm: for each of the last `limit` i sample one of the first i + 1; if it is taken, take i.
            for i in range(max(0, count - limit), count):
                chosen = allowed[np.random.randint(0, i + 1)]
                indices[n] = allowed[i] if is_among(chosen, indices, start, n) else chosen
                n += 1
        at[start:n] = f
    return indices[:n], at[:n]

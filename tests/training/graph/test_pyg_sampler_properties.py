"""Properties of the sampler on any small graph, in both views: users and items apart, and as nodes of one type."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import EdgeSamplerInput, NodeSamplerInput

from graphstore.snapshots.graph import INTERACTS
from training.graph.neighbor_sampling import INTERACTED_BY
from training.graph.pyg_sampler import TemporalNeighborSampler

USERS, ITEMS = 5, 6
EVENTS = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 8)), min_size=1, max_size=25
)
LIMITS = st.lists(st.integers(1, 3), min_size=1, max_size=3)
MODES = st.sampled_from(["uniform", "recent"])

Edge = tuple[int, int, int]
"""From, to, and the event; items are counted after users."""


def views(events: list[tuple[int, int, int]]) -> tuple[HeteroData, Data]:
    users, items, times = torch.tensor(events).T
    apart = HeteroData()
    apart["user"].num_nodes, apart["item"].num_nodes = USERS, ITEMS
    index = torch.stack([users, items])
    for edge_type, edge_index in ((INTERACTS, index), (INTERACTED_BY, index.flip(0))):
        apart[edge_type].edge_index, apart[edge_type].edge_time = edge_index, times
    joined = torch.stack([users, items + USERS])
    return apart, Data(
        edge_index=torch.cat([joined, joined.flip(0)], dim=1), edge_time=times.repeat(2), num_nodes=USERS + ITEMS
    )


def edges_by_tree(output, num_trees: int, num_events: int) -> list[list[Edge]]:
    """What was sampled into each tree, in the numbering of one type."""
    trees: list[list[Edge]] = [[] for _ in range(num_trees)]
    if not isinstance(output.node, dict):
        for row, column, edge in zip(output.row.tolist(), output.col.tolist(), output.edge.tolist(), strict=True):
            ends = int(output.node[row]), int(output.node[column])
            trees[int(output.batch[column])].append((*ends, edge % num_events))
        return trees
    for edge_type in (INTERACTS, INTERACTED_BY):
        source, _, target = edge_type
        shift = {"user": 0, "item": USERS}
        for row, column, edge in zip(
            *(part[edge_type].tolist() for part in (output.row, output.col, output.edge)), strict=True
        ):
            ends = int(output.node[source][row]) + shift[source], int(output.node[target][column]) + shift[target]
            trees[int(output.batch[target][column])].append((*ends, edge))
    return trees


def full_tree(events: list[tuple[int, int, int]], root: int, before: float, hops: int, barred: set[int]) -> list[Edge]:
    """Every edge before a time into the nodes within reach, by looking at all events in each hop."""
    edges = [
        edge
        for number, (user, item, time) in enumerate(events)
        if time < before and number not in barred
        for edge in ((user, item + USERS, number), (item + USERS, user, number))
    ]
    reached, frontier, found = {root}, {root}, []
    for _ in range(hops):
        found += [edge for edge in edges if edge[1] in frontier]
        frontier = {edge[0] for edge in edges if edge[1] in frontier} - reached
        reached |= frontier
    return found


def from_items(data: HeteroData | Data, items: list[int], times: list[int] | None, limits: list[int], mode: str):
    apart = isinstance(data, HeteroData)
    return TemporalNeighborSampler(data, limits, mode=mode, seed=0).sample_from_nodes(
        NodeSamplerInput(
            torch.arange(len(items)),
            torch.tensor(items) + (0 if apart else USERS),
            None if times is None else torch.tensor(times),
            "item" if apart else None,
        )
    )


@settings(deadline=None, max_examples=60)
@given(
    EVENTS,
    st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(1, 4),
    MODES,
)
def test_all_neighbours_are_the_full_graph_before_the_seed(events, seeds, hops, mode):
    items, times = map(list, zip(*seeds, strict=True))
    for data in views(events):
        trees = edges_by_tree(from_items(data, items, times, [-1] * hops, mode), len(seeds), len(events))
        for tree, item, time in zip(trees, items, times, strict=True):
            assert sorted(tree) == sorted(full_tree(events, item + USERS, time, hops, set()))


@settings(deadline=None, max_examples=60)
@given(EVENTS, LIMITS, MODES)
def test_no_batch_of_a_loader_knows_its_own_time_or_a_later_one(events, limits, mode):
    for data in views(events):
        apart = isinstance(data, HeteroData)
        links = data[INTERACTS].edge_index if apart else data.edge_index[:, : len(events)]
        times = torch.tensor(events)[:, 2]
        loader = LinkLoader(
            data,
            TemporalNeighborSampler(data, limits, mode=mode, seed=0),
            edge_label_index=(INTERACTS, links) if apart else links,
            edge_label_time=times,
            batch_size=4,
        )
        for number, batch in enumerate(loader):
            bound = times[number * 4 : number * 4 + 4]
            stores = (
                [(batch[kind], batch[kind[2]]) for kind in (INTERACTS, INTERACTED_BY)] if apart else [(batch, batch)]
            )
            for edges, nodes in stores:
                assert (edges.edge_time < bound[nodes.batch[edges.edge_index[1]]]).all()
                assert np.bincount(edges.edge_index[1]).max(initial=0) <= max(limits)


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.data(), st.integers(1, 3), MODES)
def test_no_target_is_in_its_own_subgraph_and_everything_else_is(events, data, hops, mode):
    chosen = data.draw(st.lists(st.integers(0, len(events) - 1), min_size=1, max_size=4))
    users, items, _ = torch.tensor(events)[chosen].T
    for view in views(events):
        apart = isinstance(view, HeteroData)
        output = TemporalNeighborSampler(view, [-1] * hops, mode=mode, seed=0).sample_from_edges(
            EdgeSamplerInput(
                torch.arange(len(chosen)),
                users,
                items + (0 if apart else USERS),
                input_type=INTERACTS if apart else None,
            )
        )
        # Both ends of a link share a number, so its two trees come as one.
        found = edges_by_tree(output, len(chosen), len(events))
        for tree, user, item in zip(found, users.tolist(), items.tolist(), strict=True):
            barred = {n for n, event in enumerate(events) if event[:2] == (user, item)}
            assert all(edge[2] not in barred for edge in tree)
            roots = (user, item + USERS)
            assert sorted(tree) == sorted(
                edge for root in roots for edge in full_tree(events, root, float("inf"), hops, barred)
            )

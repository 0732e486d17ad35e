"""The sampler against the full graph: everything is found, nothing of the future, never the target."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.nn import SAGEConv
from torch_geometric.sampler import EdgeSamplerInput, NodeSamplerInput

from graphstore.snapshots.graph import INTERACTS
from training.graph.neighbor_sampling import INTERACTED_BY
from training.graph.pyg_sampler import TemporalNeighborSampler

NUM_USERS, NUM_ITEMS, NUM_EVENTS = 12, 15, 150


@pytest.fixture
def data() -> HeteroData:
    rng = np.random.default_rng(0)
    edge_index = torch.from_numpy(
        np.stack([rng.integers(0, NUM_USERS, NUM_EVENTS), rng.integers(0, NUM_ITEMS, NUM_EVENTS)])
    )
    edge_time = torch.from_numpy(rng.integers(0, 40, NUM_EVENTS))  # many ties, and not sorted
    graph = HeteroData()
    graph["user"].x = torch.randn(NUM_USERS, 4, generator=torch.Generator().manual_seed(1))
    graph["item"].x = torch.randn(NUM_ITEMS, 4, generator=torch.Generator().manual_seed(2))
    for edge_type, index in ((INTERACTS, edge_index), (INTERACTED_BY, edge_index.flip(0))):
        graph[edge_type].edge_index = index
        graph[edge_type].edge_time = edge_time
    return graph


def past(data: HeteroData, edge_type: tuple[str, str, str], node: int, before: int) -> list[int]:
    """Every edge into the node before a time, by looking at all of them."""
    edges = data[edge_type]
    return torch.nonzero((edges.edge_index[1] == node) & (edges.edge_time < before)).flatten().tolist()


def sample_items(sampler: TemporalNeighborSampler, items: list[int], times: list[int] | None):
    return sampler.sample_from_nodes(
        NodeSamplerInput(
            torch.arange(len(items)), torch.tensor(items), None if times is None else torch.tensor(times), "item"
        )
    )


def test_taking_all_is_the_full_neighbourhood_before_the_seed(data):
    sampler = TemporalNeighborSampler(data, [-1, -1], mode="uniform", seed=0)
    times = [5, 20, 39, 1000, 0]
    output = sample_items(sampler, [3, 3, 7, 0, 1], times)
    for tree, (item, time) in enumerate(zip([3, 3, 7, 0, 1], times, strict=True)):
        first = past(data, INTERACTS, item, time)
        users = set(data[INTERACTS].edge_index[0, first].tolist())
        second = sorted(edge for user in users for edge in past(data, INTERACTED_BY, user, time))
        for edge_type, expected in ((INTERACTS, sorted(first)), (INTERACTED_BY, second)):
            ours = output.batch[edge_type[2]][output.col[edge_type]] == tree
            assert sorted(output.edge[edge_type][ours].tolist()) == expected


def test_edges_join_the_nodes_they_join_in_the_graph(data):
    output = sample_items(TemporalNeighborSampler(data, [4, 3], mode="uniform", seed=0), list(range(NUM_ITEMS)), None)
    for edge_type in (INTERACTS, INTERACTED_BY):
        source, _, target = edge_type
        assert torch.equal(
            torch.stack([output.node[source][output.row[edge_type]], output.node[target][output.col[edge_type]]]),
            data[edge_type].edge_index[:, output.edge[edge_type]],
        )
        assert torch.equal(
            output.batch[source][output.row[edge_type]], output.batch[target][output.col[edge_type]]
        )  # a tree of its own for each seed


def test_counts_for_each_hop_add_up(data):
    output = sample_items(TemporalNeighborSampler(data, [4, 3], mode="uniform", seed=0), [1, 2], None)
    for kind in ("user", "item"):
        assert sum(output.num_sampled_nodes[kind]) == len(output.node[kind])
    assert output.num_sampled_nodes["item"][0] == 2
    for edge_type in (INTERACTS, INTERACTED_BY):
        assert sum(output.num_sampled_edges[edge_type]) == len(output.edge[edge_type])


@pytest.mark.parametrize("mode", ["uniform", "recent"])
def test_nothing_at_or_after_the_seed_and_never_too_much(data, mode):
    sampler = TemporalNeighborSampler(data, [3, 2], mode=mode, seed=0)
    times = torch.randint(0, 40, (NUM_ITEMS,), generator=torch.Generator().manual_seed(5))
    output = sample_items(sampler, list(range(NUM_ITEMS)), times.tolist())
    for edge_type, limit in ((INTERACTS, 3), (INTERACTED_BY, 2)):
        tree = output.batch[edge_type[2]][output.col[edge_type]]
        assert (data[edge_type].edge_time[output.edge[edge_type]] < times[tree]).all()
        assert max(Counter(output.col[edge_type].tolist()).values()) <= limit
        assert (
            max(Counter(zip(output.col[edge_type].tolist(), output.edge[edge_type].tolist(), strict=True)).values())
            == 1
        )


def test_recent_takes_the_newest(data):
    output = sample_items(
        TemporalNeighborSampler(data, [3], mode="recent", seed=0), list(range(NUM_ITEMS)), [30] * NUM_ITEMS
    )
    for item in range(NUM_ITEMS):
        edges = output.edge[INTERACTS][output.col[INTERACTS] == item]
        newest = sorted(data[INTERACTS].edge_time[past(data, INTERACTS, item, 30)].tolist())[-3:]
        assert sorted(data[INTERACTS].edge_time[edges].tolist()) == newest


def test_uniform_is_uniform(data):
    sampler = TemporalNeighborSampler(data, [3], mode="uniform", seed=0)
    item = int(data[INTERACTS].edge_index[1].mode().values)
    candidates = past(data, INTERACTS, item, 1000)
    output = sample_items(sampler, [item] * 4000, None)
    drawn = Counter(output.edge[INTERACTS].tolist())
    assert set(drawn) == set(candidates)
    share = np.array([drawn[edge] for edge in candidates]) / 4000
    assert share == pytest.approx(np.full(len(candidates), 3 / len(candidates)), abs=0.04)


def test_an_equal_seed_gives_equal_subgraphs(data):
    ours, theirs, other = (
        sample_items(TemporalNeighborSampler(data, [2, 2], mode="uniform", seed=seed), [1, 2, 3], None)
        for seed in (4, 4, 5)
    )
    assert torch.equal(ours.edge[INTERACTS], theirs.edge[INTERACTS])
    assert not torch.equal(ours.edge[INTERACTS], other.edge[INTERACTS])


def test_without_times_the_target_pair_is_out_and_nothing_else(data):
    sampler = TemporalNeighborSampler(data, [-1, -1], mode="uniform", seed=0)
    users, items = data[INTERACTS].edge_index[:, :20]
    output = sampler.sample_from_edges(EdgeSamplerInput(torch.arange(20), users, items, input_type=INTERACTS))
    for edge_type in (INTERACTS, INTERACTED_BY):
        source, _, target = edge_type
        tree = output.batch[target][output.col[edge_type]]
        ends = {
            source: output.node[source][output.row[edge_type]],
            target: output.node[target][output.col[edge_type]],
        }
        assert not ((ends["user"] == users[tree]) & (ends["item"] == items[tree])).any()
    # The item at the end of link 0 keeps every other event, and so does the user.
    into_item = set(past(data, INTERACTS, int(items[0]), 1000))
    pair = set(
        torch.nonzero((data[INTERACTS].edge_index == torch.stack([users[0], items[0]])[:, None]).all(0))
        .flatten()
        .tolist()
    )
    assert set(output.edge[INTERACTS][output.col[INTERACTS] == 0].tolist()) == into_item - pair


def test_a_network_over_all_neighbours_is_the_network_over_the_graph(data):
    """Two SAGE layers on the loader's subgraphs against the same layers on the graph cut at the seed's time."""
    torch.manual_seed(0)
    up, down = (SAGEConv((4, 4), 4) for _ in range(2))

    @torch.no_grad()
    def embed(graph: HeteroData) -> torch.Tensor:
        user, item = graph["user"].x, graph["item"].x
        user = user + down((item, user), graph[INTERACTED_BY].edge_index).relu()
        return item + up((user, item), graph[INTERACTS].edge_index)

    loader = NodeLoader(
        data,
        TemporalNeighborSampler(data, [-1, -1], mode="uniform", seed=0),
        input_nodes=("item", torch.arange(NUM_ITEMS)),
        input_time=torch.full((NUM_ITEMS,), 25),
        batch_size=4,
    )
    sampled = torch.cat([embed(batch)[: batch["item"].batch_size] for batch in loader])
    cut = data.clone()
    for edge_type in (INTERACTS, INTERACTED_BY):
        cut[edge_type].edge_index = data[edge_type].edge_index[:, data[edge_type].edge_time < 25]
    assert torch.allclose(sampled, embed(cut), atol=1e-6)


def test_links_through_pygs_loader_with_triplets(data):
    events = data[INTERACTS]
    loader = LinkLoader(
        data,
        TemporalNeighborSampler(data, [3, 3], mode="recent", seed=0),
        edge_label_index=(INTERACTS, events.edge_index),
        edge_label_time=events.edge_time,
        neg_sampling="triplet",
        batch_size=50,
    )
    for number, batch in enumerate(loader):
        part = slice(number * 50, number * 50 + 50)
        assert torch.equal(batch["user"].n_id[batch["user"].src_index], events.edge_index[0, part])
        assert torch.equal(batch["item"].n_id[batch["item"].dst_pos_index], events.edge_index[1, part])
        assert batch["item"].dst_neg_index.shape == (50,)
        tree = batch["item"].batch[batch[INTERACTS].edge_index[1]]
        assert (batch[INTERACTS].edge_time < events.edge_time[part][tree]).all()


def test_a_graph_without_events_gives_lonely_seeds(data):
    for edge_type in (INTERACTS, INTERACTED_BY):
        data[edge_type].edge_index = torch.empty(2, 0, dtype=torch.long)
        data[edge_type].edge_time = torch.empty(0, dtype=torch.long)
    output = sample_items(TemporalNeighborSampler(data, [3, 3], mode="uniform", seed=0), [1, 1], [5, 6])
    assert output.node["item"].tolist() == [1, 1]
    assert output.batch["item"].tolist() == [0, 1]
    assert len(output.node["user"]) == 0

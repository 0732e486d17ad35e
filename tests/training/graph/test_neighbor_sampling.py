"""The two ways to train: sampled surroundings give the gradients of the whole graph, and fewer neighbours train too."""

from collections import Counter
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader

from graphstore.snapshots.graph import INTERACTS
from tests.training.checkerboard import DAY_MS, checkerboard, joined, make_log
from tests.training.sage.test_fit import share_of_own_colour
from training.config import SageConfig
from training.data.event_log import EventLog
from training.graph.bipartite import BipartiteGraph
from training.graph.neighbor_sampling import INTERACTED_BY, NeighbourSampler, SampledGraph
from training.graph.pyg_sampler import TemporalNeighborSampler
from training.options import TrainingOptions
from training.sage.baskets import Baskets
from training.sage.fit import fit_sage
from training.sage.model import GraphSAGE
from training.sage.trainer import Trainer

LOG = checkerboard()
GRAPH = BipartiteGraph.from_log(LOG)
FEATURES = torch.randn(LOG.num_items, 3, generator=torch.Generator().manual_seed(0))
NOTHING = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def gradients_of(model: GraphSAGE) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def events_of(log: EventLog) -> HeteroData:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = log.num_users, log.num_items
    edge_index = torch.from_numpy(np.stack([log.users, log.items]))
    for edge_type, index in ((INTERACTS, edge_index), (INTERACTED_BY, edge_index.flip(0))):
        data[edge_type].edge_index, data[edge_type].edge_time = index, torch.from_numpy(log.times)
    return data


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_over_all_neighbours_has_the_gradients_of_the_whole_graph(aggregation, layers, monkeypatch):
    found = []
    for neighbours, share in ((None, 0.0), (None, inf), ((-1,) * 2 * layers, 0.0)):
        monkeypatch.setattr("training.sage.trainer.NEEDED_SHARE", share)
        config = SageConfig(
            dim=8, layers=layers, aggregation=aggregation, neighbours=neighbours, graph_edges=10**9, negatives=5_000
        )
        torch.manual_seed(0)
        model = GraphSAGE(LOG.num_items, 3, config)
        counts = np.bincount(LOG.items, minlength=LOG.num_items)
        descent = Trainer(
            model, FEATURES, GRAPH, counts, config=config, learning_rate=0.01, rng=np.random.default_rng(0)
        )
        loss = descent.loss(Baskets.from_log(LOG, repeats=True), np.arange(5, 60, 7))
        loss.backward()
        found.append((loss.detach(), gradients_of(model)))
    (loss, gradients), *others = found
    for other_loss, other_gradients in others:
        torch.testing.assert_close(other_loss, loss)
        assert gradients.keys() == other_gradients.keys() == dict(model.named_parameters()).keys()
        for name, gradient in gradients.items():
            assert gradient.abs().max() > 1e-4, name
            torch.testing.assert_close(other_gradients[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


def test_a_step_in_a_large_catalogue_embeds_only_what_its_items_hear_of():
    """A thousand items of which nobody hears beside the checkerboard."""
    config = SageConfig(dim=4, graph_edges=10**9, negatives=8)
    log = replace(LOG, num_items=LOG.num_items + 1_000)
    model = GraphSAGE(log.num_items, 0, config)
    rows = []
    encode = model.encode_items
    model.encode_items = lambda features, graph: rows.append(graph.nodes) or encode(features, graph)
    counts = np.bincount(log.items, minlength=log.num_items)
    trainer = Trainer(
        model,
        torch.zeros(log.num_items, 0),
        BipartiteGraph.from_log(log),
        counts,
        config=config,
        learning_rate=0.01,
        rng=np.random.default_rng(0),
    )
    trainer.step(Baskets.from_log(log, repeats=True), np.arange(5))
    assert len(rows[0]) <= LOG.num_items


def test_pygs_link_loader_has_the_gradients_of_the_whole_graph_without_each_target():
    """Links in trees of their own, their pair taken out, against the whole graph without that pair, link by link."""
    rng = np.random.default_rng(3)
    rows = [(int(rng.integers(9)), int(rng.integers(11)), time) for time in range(60)]  # pairs come again
    log = make_log(rows, num_users=9, num_items=11)
    graph, data = BipartiteGraph.from_log(log), events_of(log)
    torch.manual_seed(0)
    model = GraphSAGE(11, 3, SageConfig(dim=8))
    features, links = FEATURES[:11], data[INTERACTS].edge_index[:, 10:30]

    for user, item in links.T.numpy():
        keep = np.ones(len(graph), dtype=np.bool_)
        keep[graph.find(np.array([user]), np.array([item]))] = False
        without = graph.only(keep)
        items = model.encode_items(features, without)
        ((without.items_of_users @ items)[user] @ items[item]).sigmoid().backward()
    whole = gradients_of(model)

    model.zero_grad(set_to_none=True)
    # A link's user needs the embeddings of its items, four hops for two layers: five in all.
    loader = LinkLoader(
        data,
        TemporalNeighborSampler(data, [-1] * 5, mode="uniform", seed=0),
        edge_label_index=(INTERACTS, links),
        batch_size=8,
    )
    for batch in loader:
        sampled = SampledGraph.from_batch(batch)
        items = model.encode_items(features, sampled)
        users, targets = batch[INTERACTS].edge_label_index
        ((sampled.items_of_users @ items)[users] * items[targets]).sum(dim=1).sigmoid().sum().backward()
    sampled_gradients = gradients_of(model)
    assert whole.keys() == sampled_gradients.keys() >= {"item_id", "project.weight", "layers.1.weight"}
    for name, gradient in whole.items():
        assert gradient.abs().max() > 1e-3, name
        torch.testing.assert_close(sampled_gradients[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


def pairs_of(rows: torch.Tensor, columns: torch.Tensor) -> list[tuple[int, int]]:
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def heard(graph: SampledGraph) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(item, place of user) and (place of user, item) of the two matrices."""
    by_item, by_user = (
        (torch.repeat_interleave(torch.arange(matrix.num_rows), matrix.offsets.diff()), matrix.columns)
        for matrix in (graph.users_of_items, graph.items_of_users)
    )
    return pairs_of(graph.nodes[by_item[0]], by_item[1]), pairs_of(by_user[0], graph.nodes[by_user[1]])


def test_never_too_many_neighbours_none_twice_and_no_excluded_pair():
    sample = NeighbourSampler(GRAPH, (3, 2)).sample
    barred = (GRAPH.users[::2], GRAPH.items[::2])
    left = set(zip(GRAPH.users[1::2].tolist(), GRAPH.items[1::2].tolist(), strict=True))
    seeds = np.array([2, 5, 6])
    for seed in range(20):
        sampled = sample(seeds, without=barred, rng=np.random.default_rng(seed))
        assert sampled.nodes[:3].tolist() == seeds.tolist()
        assert len(set(sampled.nodes.tolist())) == len(sampled.nodes)
        by_item, by_user = heard(sampled)
        assert len(set(by_item)) == len(by_item)
        assert {item for item, _ in by_item} <= set(seeds.tolist())
        assert max(Counter(item for item, _ in by_item).values()) <= 3
        assert max(Counter(user for user, _ in by_user).values()) <= 2
        # Which user a place stands for follows from no single pair, but one must fit all of its own.
        for place in range(sampled.items_of_users.num_rows):
            own = {item for user, item in by_user if user == place} | {item for item, user in by_item if user == place}
            assert any(all((user, item) in left for item in own) for user in range(GRAPH.num_users))


def test_excluded_pairs_are_excluded_for_one_call_only():
    neighbour_sampler, rng = NeighbourSampler(GRAPH, (-1, -1)), np.random.default_rng(0)
    seeds = np.arange(GRAPH.num_items)
    neighbour_sampler.sample(seeds, without=(GRAPH.users, GRAPH.items), rng=rng)
    sampled = neighbour_sampler.sample(seeds, without=NOTHING, rng=rng)
    assert len(sampled.users_of_items.columns) == len(sampled.items_of_users.columns) == len(GRAPH)


def test_every_neighbour_is_as_likely():
    item = int(np.bincount(GRAPH.items).argmax())
    neighbour_sampler, rng = NeighbourSampler(GRAPH, (1, -1)), np.random.default_rng(0)
    owners = {tuple(sorted(GRAPH.items[GRAPH.users == user])): user for user in GRAPH.users[GRAPH.items == item]}
    drawn: Counter[int] = Counter()
    for _ in range(2_000):
        sampled = neighbour_sampler.sample(np.array([item]), without=NOTHING, rng=rng)
        assert sampled.items_of_users.num_rows == 1
        drawn[owners[tuple(sorted(sampled.nodes[sampled.items_of_users.columns].tolist()))]] += 1
    shares = np.array([drawn[user] for user in owners.values()]) / 2_000
    assert shares == pytest.approx(np.full(len(owners), 1 / len(owners)), abs=0.05)


def test_of_many_neighbours_a_few_are_drawn_none_twice_none_excluded_and_all_equally_often():
    """One item of 400 users, of whom the first half are excluded: far more than are read one by one."""
    rows = [(user, item, user) for user in range(400) for item in (0, 1 + user)]  # a second item tells who it is
    graph = BipartiteGraph.from_log(make_log(rows, num_users=400, num_items=401))
    users, popular = np.arange(400), np.zeros(400, dtype=np.int64)
    sampler, rng = NeighbourSampler(graph, (3, -1)), np.random.default_rng(0)
    drawn: Counter[int] = Counter()
    for _ in range(3_000):
        sampled = sampler.sample(np.array([0]), without=(users[:200], popular[:200]), rng=rng)
        neighbours = sampled.nodes[sampled.nodes > 0] - 1
        assert len(neighbours) == 3
        drawn.update(neighbours.tolist())
    assert min(drawn) == 200
    counts = np.array([drawn[user] for user in range(200, 400)])
    assert counts.mean() == 45
    assert counts.var() == pytest.approx(45, rel=0.4)  # as of a fair die

    few_left = sampler.sample(np.array([0]), without=(users[2:], popular[2:]), rng=rng)
    assert few_left.nodes.tolist() == [0, 1, 2]  # drawing finds hardly any, so all are read


def test_what_is_reached_is_bounded_however_large_the_graph():
    """One item that everybody has, and everybody has a hundred more: a seed reaches 4 users and 4 × 5 items."""
    rows = [(user, item, user) for user in range(2_000) for item in (0, *range(1 + user, 101 + user))]
    graph = BipartiteGraph.from_log(make_log(rows, num_users=2_000, num_items=2_200))
    sampled = NeighbourSampler(graph, (4, 5)).sample(np.array([0]), without=NOTHING, rng=np.random.default_rng(0))
    assert sampled.items_of_users.num_rows == 4
    assert len(sampled.items_of_users.columns) == 20
    assert len(sampled.nodes) <= 21


def test_items_without_neighbours_stand_alone():
    graph = BipartiteGraph.from_log(make_log([(0, 1, 5)], num_users=1, num_items=3))
    sampled = NeighbourSampler(graph, (-1, -1)).sample(np.array([0, 2]), without=NOTHING, rng=np.random.default_rng(0))
    assert sampled.nodes.tolist() == [0, 2]
    config = SageConfig(dim=4, layers=1)
    model = GraphSAGE(3, 0, config)
    whole = model.encode_items(torch.zeros(3, 0), graph)
    torch.testing.assert_close(model.encode_items(torch.zeros(3, 0), sampled), whole[[0, 2]])


def test_a_fit_on_sampled_neighbours_learns_the_own_colour_and_is_reproducible():
    config = SageConfig(
        dim=16, half_lives_ranks=(2.0, float("inf")), batch_size=64, learning_rate=0.02, max_steps=60, repeats=False,
        neighbours=(4, 3, 3, 2),
    )  # fmt: skip
    term = fit_sage(LOG, torch.zeros(LOG.num_items, 0), config=config, options=TrainingOptions(seed=0))
    assert share_of_own_colour(term, LOG) == 1.0
    again = fit_sage(LOG, torch.zeros(LOG.num_items, 0), config=config, options=TrainingOptions(seed=0))
    assert torch.equal(term.item_embeddings, again.item_embeddings)
    new = make_log([(user, 0, 10 * DAY_MS) for user in range(9)], num_users=40, num_items=25)
    term.update(joined(LOG, new), features=torch.zeros(25, 0))
    assert term.item_embeddings.shape == (25, 16)


def test_hops_must_be_two_a_layer():
    with pytest.raises(ValidationError, match="2 layers over item - user - item take 4"):
        SageConfig(neighbours=(5, 5))
    with pytest.raises(ValidationError):
        SageConfig(neighbours=(5, 5, 5, -2))
    assert SageConfig(layers=0, neighbours=()).neighbours == ()

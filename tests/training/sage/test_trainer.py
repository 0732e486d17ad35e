"""A step: the answer is not in the graph, and what a shopper had is no negative where repeats are not allowed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.checkerboard import checkerboard
from training.config import SageConfig
from training.graph.bipartite import BipartiteGraph
from training.sage.baskets import Baskets
from training.sage.model import GraphSAGE
from training.sage.trainer import Trainer, sample_indices

LOG = checkerboard()
ITEMS = torch.randn(LOG.num_items, 3, generator=torch.Generator().manual_seed(0))


def make_descent(**settings: object) -> tuple[Trainer, Baskets]:
    config = SageConfig.model_validate({"dim": 8, "batch_size": 40, **settings})
    torch.manual_seed(0)
    descent = Trainer(
        GraphSAGE(LOG.num_items, 0, config),
        torch.zeros(LOG.num_items, 0),
        BipartiteGraph.from_log(LOG),
        np.bincount(LOG.items, minlength=LOG.num_items),
        config=config,
        learning_rate=0.01,
        rng=np.random.default_rng(0),
    )
    return descent, Baskets.from_log(LOG, repeats=config.repeats)


def spy_on_graphs(descent: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[BipartiteGraph]:
    graphs: list[BipartiteGraph] = []
    encode = descent.model.encode_items

    def spy(features: torch.Tensor, graph: BipartiteGraph) -> torch.Tensor:
        graphs.append(graph)
        return encode(features, graph)

    monkeypatch.setattr(descent.model, "encode_items", spy)
    return graphs


def test_target_pairs_are_out_of_the_graph_of_their_step(monkeypatch):
    descent, baskets = make_descent()
    graphs = spy_on_graphs(descent, monkeypatch)
    chosen = np.arange(30)
    descent.step(baskets, chosen)
    rows, items = baskets.targets_of(chosen)
    pairs = baskets.users[chosen][rows], items
    without = descent.sampled_graph(*pairs)
    assert len(without.find(*pairs)) == 0
    assert len(graphs[0]) == len(without) == len(descent.graph) - 30
    assert np.array_equal(graphs[0].items, without.items)
    found, expected = ((graph.users_of_items @ (graph.items_of_users @ ITEMS)) for graph in (graphs[0], without))
    assert torch.equal(found, expected)


def test_a_step_samples_about_so_many_edges(monkeypatch):
    descent, baskets = make_descent(graph_edges=60)
    graphs = spy_on_graphs(descent, monkeypatch)
    for _ in range(50):
        descent.step(baskets, np.arange(1))
    sizes = [len(graph) for graph in graphs]
    assert np.mean(sizes) == pytest.approx(60, rel=0.1)
    assert len({graph.items.tobytes() for graph in graphs}) > 1


def test_batches_hold_every_basket_once():
    descent, baskets = make_descent()
    batches = list(descent.batches(baskets, np.arange(len(baskets))))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(baskets)))
    assert all(len(batch) == 40 for batch in batches[:-1])


@pytest.mark.parametrize("repeats", [True, False])
def test_what_the_shopper_had_is_a_negative_only_with_repeats(repeats):
    """The bias of an item moves down when it serves as a negative: with a past of all items there is none."""
    descent, baskets = make_descent(repeats=repeats, negatives=10_000)
    chosen = np.array([len(baskets) - 1])
    descent.step(baskets, chosen)
    past = baskets.profiles(chosen, last=100).items
    moved = descent.model.item_bias.detach()[torch.from_numpy(past)] < 0
    assert moved.all() if repeats else not moved.any()


def test_only_the_softmax_takes_log_q_off():
    """Items drawn in every step have log Q of zero, rarer ones less: the correction lifts these."""
    for loss in ("softmax", "bce", "bpr"):
        descent, _ = make_descent(loss=loss, negatives=4)
        bias = descent.bias_of(np.arange(LOG.num_items)).detach()
        if loss == "softmax":
            assert torch.equal(bias, -descent.negatives.log_inclusion())
            assert (bias > 0.1).all()
        else:
            assert not bias.any()


def test_passes_hold_every_basket_once_and_differ():
    descent, baskets = make_descent()
    first, second = (np.concatenate([descent.next_batch(baskets) for _ in range(5)]) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(len(baskets)))
    assert first.tolist() != second.tolist()


def test_with_a_half_life_baskets_are_drawn_by_their_age():
    descent, baskets = make_descent(target_half_life_spans=0.2)
    drawn = np.concatenate([descent.next_batch(baskets) for _ in range(1_000)])
    assert drawn.dtype == np.int64
    shares = np.bincount(drawn, minlength=len(baskets)) / len(drawn)
    expected = baskets.recency(0.2) / baskets.recency(0.2).sum()
    assert expected.max() > 5 * expected.min() > 0
    assert np.abs(shares - expected).max() < 5 * np.sqrt(expected.max() / len(drawn))


def test_a_descent_by_age_goes_on_from_its_state():
    descent, baskets = make_descent(target_half_life_spans=0.2)
    descent.step(baskets, descent.next_batch(baskets))
    again, _ = make_descent(target_half_life_spans=0.2)
    again.restore(descent.state())
    assert all(np.array_equal(descent.next_batch(baskets), again.next_batch(baskets)) for _ in range(3))


def test_the_average_follows_the_weights():
    descent, baskets = make_descent(weight_average=0.9)
    for chosen in descent.batches(baskets, np.arange(len(baskets))):
        descent.step(baskets, chosen)
    averaged, present = descent.average.item_bias, descent.model.item_bias
    assert not torch.equal(averaged, present)
    assert torch.nn.functional.cosine_similarity(averaged, present, dim=0) > 0.9


def test_losses_fall():
    for loss in ("softmax", "bce", "bpr"):
        descent, baskets = make_descent(loss=loss)
        values = [
            descent.step(baskets, chosen)
            for _ in range(10)
            for chosen in descent.batches(baskets, np.arange(len(baskets)))
        ]
        assert np.mean(values[-5:]) < np.mean(values[:5])


@given(length=st.integers(0, 400), share=st.floats(1e-6, 1.5), seed=st.integers(0, 2**32 - 1))
def test_drawn_places_are_distinct_ascending_places(length, share, seed):
    places = sample_indices(length, share, np.random.default_rng(seed))
    assert places.dtype == np.int64
    assert (np.diff(places) > 0).all()
    assert not len(places) or (places[0] >= 0 and places[-1] < length)
    assert share < 1 or len(places) == length


def test_every_place_is_drawn_by_itself_with_its_probability():
    """The first and the last like any other, and no place tells of its neighbour."""
    rng = np.random.default_rng(0)
    drawn = np.zeros((4_000, 12))
    for row in drawn:
        row[sample_indices(12, 0.3, rng)] = 1.0
    assert drawn.mean(axis=0) == pytest.approx(np.full(12, 0.3), abs=0.03)
    covariance = np.cov(drawn.T)
    assert np.abs(covariance - np.eye(12) * 0.21).max() < 0.02
    assert drawn.sum(axis=1).var() == pytest.approx(12 * 0.21, rel=0.1)

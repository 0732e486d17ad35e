"""The two towers against their formulas written out in dense matrices."""

from math import inf

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import SAGEConv

from tests.training.checkerboard import checkerboard
from training.config import SageConfig
from training.data.event_log import Histories
from training.graph.bipartite import BipartiteGraph
from training.graph.profiles import Profiles
from training.sage.model import GraphSAGE

CONFIG = SageConfig(dim=8, half_lives_ranks=(1.0, inf))
GRAPH = BipartiteGraph.from_log(checkerboard(num_users=10, num_items=12))
FEATURES = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def model() -> GraphSAGE:
    torch.manual_seed(0)
    return GraphSAGE(12, 5, CONFIG)


def profiles(rows: list[list[tuple[int, int, int]]]) -> Profiles:
    return Profiles.from_histories(Histories.from_rows(rows), last=5, num_items=12)


@torch.no_grad()
def test_items_are_two_residual_layers_averaged(model):
    adjacency = torch.zeros(10, 12)
    adjacency[torch.from_numpy(GRAPH.users), torch.from_numpy(GRAPH.items)] = 1
    to_users = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)
    to_items = adjacency.T / adjacency.sum(0)[:, None].clamp(min=1)
    x0 = model.item_id + FEATURES @ model.project.weight.T
    x1 = x0 + F.relu(model.layers[0](torch.cat([x0, to_items @ to_users @ x0], dim=1)))
    x2 = x1 + F.relu(model.layers[1](torch.cat([x1, to_items @ to_users @ x1], dim=1)))
    assert torch.allclose(model.encode_items(FEATURES, GRAPH), (x0 + x1 + x2) / 3, atol=1e-6)


def convolution(aggregation: str, linear: nn.Linear | None, **settings: bool) -> SAGEConv:
    """PyTorch Geometric's own layer, from nodes of one kind to nodes of another; its output is never normalised.

    `linear` is what relu(W x + b) makes of neighbours before a maximum, which is called `project` there.
    """
    made = SAGEConv((8, 8), 8, aggr=aggregation, normalize=False, project=linear is not None, **settings)
    if linear is not None:
        made.lin.load_state_dict(linear.state_dict())
    return made


@torch.no_grad()
@pytest.mark.parametrize("aggregation", ["mean", "max"])
def test_each_layer_is_two_convolutions_of_the_library(aggregation):
    """Users hear their items: the neighbours alone, as they are. Items hear their users: of our weight W [dim, 2 · dim]
    the first half is the root's, the second the neighbours', which carry the bias. The relu, the residual and the mean
    over the layers stand outside."""
    graph = BipartiteGraph.from_log(checkerboard(num_users=9, num_items=12, bought=2))
    assert len(set(graph.items)) < 12  # nobody has some of the items
    torch.manual_seed(1)
    model = GraphSAGE(12, 5, CONFIG.model_copy(update={"aggregation": aggregation}))
    to_users = torch.from_numpy(np.stack([graph.items, graph.users]))
    x = model.item_id + model.project(FEATURES)
    states = [x]
    for layer, of_items, of_users in zip(model.layers, model.to_users, model.to_items, strict=True):
        users_hear = convolution(aggregation, getattr(of_items, "linear", None), root_weight=False, bias=False)
        users_hear.lin_l.weight.copy_(torch.eye(8))
        items_hear = convolution(aggregation, getattr(of_users, "linear", None))
        items_hear.lin_r.weight.copy_(layer.weight[:, :8])
        items_hear.lin_l.weight.copy_(layer.weight[:, 8:])
        items_hear.lin_l.bias.copy_(layer.bias)
        users = users_hear((x, None), to_users, size=(12, 9))
        x = x + items_hear((users, x), to_users.flip(0), size=(9, 12)).relu()
        states.append(x)
    expected = torch.stack(states).mean(dim=0)
    torch.testing.assert_close(model.encode_items(FEATURES, graph), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_user_is_the_sum_of_heads_on_decayed_means(model):
    items = model.encode_items(FEATURES, GRAPH)
    model.heads.copy_(torch.randn(2, 8, 8))
    users = model.encode_users(items, profiles([[(4, 10, 3), (7, 20, 3)]]))
    decayed, level = (2 * items[7] + items[4]) / 3, (items[7] + items[4]) / 2
    assert torch.allclose(users[0], decayed @ model.heads[0] + level @ model.heads[1], atol=1e-6)


@torch.no_grad()
def test_an_empty_history_is_the_zero_vector_and_scores_the_bias(model):
    items = model.encode_items(FEATURES, GRAPH)
    model.item_bias.copy_(torch.arange(12.0))
    users = model.encode_users(items, profiles([[]]))
    assert not users.any()
    assert torch.equal(model.score(users, items, model.item_bias)[0], torch.arange(12.0))


@torch.no_grad()
def test_the_score_is_a_cosine_over_the_temperature(model):
    items = model.encode_items(FEATURES, GRAPH)
    score = model.score(items[:1] * 5, items, torch.zeros(12))
    assert score[0, 0].item() == pytest.approx(10.0, rel=1e-5)
    assert score.abs().max() <= 10.0001


@pytest.mark.parametrize("aggregation", ["mean", "max", "lstm"])
@pytest.mark.parametrize("decoder", ["cosine", "dot", "mlp"])
def test_every_weight_has_a_gradient(aggregation, decoder):
    torch.manual_seed(0)
    model = GraphSAGE(12, 5, CONFIG.model_copy(update={"aggregation": aggregation, "decoder": decoder}))
    items = model.encode_items(FEATURES, GRAPH)
    users = model.encode_users(items, profiles([[(4, 10, 3), (7, 20, 3)]]))
    F.cross_entropy(model.score(users, items, model.item_bias), torch.tensor([3])).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_without_features_the_id_stands_alone():
    model = GraphSAGE(12, 0, CONFIG)
    assert model.project is None
    assert model.encode_items(torch.zeros(12, 0), GRAPH).shape == (12, 8)


@torch.no_grad()
def test_new_items_come_last_and_move_no_old_one(model):
    before = model.encode_items(FEATURES, GRAPH)
    model.item_bias.copy_(torch.arange(12.0))
    model.extend(14)
    features = torch.cat([FEATURES, torch.ones(2, 5)])
    wider = BipartiteGraph(GRAPH.users, GRAPH.items, 10, 14)
    after = model.encode_items(features, wider)
    assert torch.allclose(after[:12], before, atol=1e-6)
    assert torch.allclose(after[12], after[13])
    assert after[12].any()
    assert model.item_bias[12:].tolist() == [5.5, 5.5]

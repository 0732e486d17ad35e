"""Decoders: all pairs and single pairs agree, blocks change nothing, and each formula by hand."""

import pytest
import torch
import torch.nn.functional as F

from training.sage import decoders
from training.sage.decoders import DECODERS, Cosine, Dot, Mlp

GENERATOR = torch.Generator().manual_seed(0)
USERS, ITEMS, BIAS = (torch.randn(size, generator=GENERATOR) for size in ((5, 6), (7, 6), (7,)))


@pytest.mark.parametrize("name", DECODERS)
def test_single_pairs_score_as_all_pairs_do(name):
    torch.manual_seed(1)
    decoder = DECODERS[name](6)
    prepared = decoder.prepare(ITEMS)
    table = decoder.score(USERS, prepared, BIAS)
    rows, columns = torch.tensor([0, 4, 4, 2]), torch.tensor([6, 0, 3, 3])
    assert table.shape == (5, 7)
    torch.testing.assert_close(decoder.score_pairs(USERS[rows], prepared[columns], BIAS[columns]), table[rows, columns])
    torch.testing.assert_close(decoder.score(USERS, prepared, BIAS + 1), table + 1)


def test_cosine_and_dot_by_hand():
    cosine, dot = Cosine(6), Dot(6)
    expected = F.normalize(USERS, dim=1) @ F.normalize(ITEMS, dim=1).T / 0.1 + BIAS
    torch.testing.assert_close(cosine.score(USERS, cosine.prepare(ITEMS), BIAS), expected)
    torch.testing.assert_close(dot.score(USERS, dot.prepare(ITEMS), BIAS), USERS @ ITEMS.T + BIAS)


@torch.no_grad()
def test_the_network_by_hand():
    torch.manual_seed(1)
    mlp = Mlp(6)
    user, item = USERS[3], ITEMS[2]
    weight = torch.cat([mlp.of_user.weight, mlp.of_item.weight, mlp.of_product.weight], dim=1)
    hidden = torch.relu(weight @ torch.cat([user, item, user * item]) + mlp.of_user.bias)
    torch.testing.assert_close(mlp.score(USERS, ITEMS, BIAS)[3, 2], mlp.out.weight[0] @ hidden + BIAS[2])


@pytest.mark.parametrize("name", ["cosine", "dot"])
def test_a_zero_vector_scores_the_bias(name):
    decoder = DECODERS[name](6)
    assert torch.equal(decoder.score(torch.zeros(1, 6), decoder.prepare(ITEMS), BIAS)[0], BIAS)


def test_blocks_bound_what_the_network_holds_and_change_neither_scores_nor_gradients(monkeypatch):
    torch.manual_seed(1)
    mlp = Mlp(6)
    largest: list[int] = []
    mlp.out.register_forward_pre_hook(lambda _, inputs: largest.append(inputs[0].numel()))

    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        mlp.zero_grad()
        users, items = USERS.clone().requires_grad_(), ITEMS.clone().requires_grad_()
        scores = mlp.score(users, items, BIAS)
        scores.square().sum().backward()
        return scores.detach(), [users.grad, items.grad, *(weight.grad.clone() for weight in mlp.parameters())]

    whole, gradients = run()
    assert max(largest) == 5 * 7 * 6
    largest.clear()
    monkeypatch.setattr(decoders, "BLOCK_CELLS", 2 * 7 * 6)
    parts, gradients_of_parts = run()
    assert max(largest) == 2 * 7 * 6
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(gradients_of_parts, gradients)
    with torch.no_grad():
        torch.testing.assert_close(mlp.score(USERS, ITEMS, BIAS), whole)


def test_nobody_and_nothing_have_no_scores():
    for name, kind in DECODERS.items():
        decoder = kind(6)
        prepared = decoder.prepare(ITEMS)
        assert decoder.score(USERS[:0], prepared, BIAS).shape == (0, 7), name
        assert decoder.score(USERS, prepared[:0], BIAS[:0]).shape == (5, 0), name

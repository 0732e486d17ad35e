"""The nets learn what no line can part, alike for a seed, and come back from their state."""

import pytest
import torch
from torch import Tensor

from training.terms.habit.net import LARGEST_INPUT, NUM_NETS, Nets


def unlike(count: int = 4_000) -> tuple[Tensor, Tensor]:
    """Columns of two coins and noise: the label is whether the coins differ. A column that never moves."""
    generator = torch.Generator().manual_seed(7)
    coins = torch.randint(0, 2, (count, 2), generator=generator)
    noise = torch.randn(count, 1, generator=generator)
    return torch.cat([coins.float() * 50, noise, torch.ones(count, 1)], dim=1), coins[:, 0] != coins[:, 1]


@pytest.fixture(scope="module")
def nets() -> Nets:
    return Nets.fit(*unlike(), seed=0)


def test_coins_that_differ_are_told_from_coins_that_are_alike(nets: Nets) -> None:
    columns, labels = unlike(500)
    found = nets.probabilities(columns)
    assert found.shape == (500,)
    assert found[labels].min() > 0.9
    assert found[~labels].max() < 0.1


def test_the_probability_is_the_mean_of_nets_that_differ(nets: Nets) -> None:
    columns, _ = unlike(50)
    inputs = nets.inputs(columns)
    logits = nets.logits(inputs.expand(NUM_NETS, -1, -1))
    assert logits.shape == (NUM_NETS, 50)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    torch.testing.assert_close(nets.probabilities(columns), logits.sigmoid().mean(dim=0))
    by_hand = inputs @ nets.weights[0][0] + nets.biases[0][0]
    for layer in (1, 2):
        by_hand = torch.nn.functional.silu(by_hand) @ nets.weights[layer][0] + nets.biases[layer][0]
    torch.testing.assert_close(by_hand[:, 0], logits[0])


def test_inputs_are_standardised_and_clipped(nets: Nets) -> None:
    columns, _ = unlike()
    inputs = nets.inputs(columns)
    torch.testing.assert_close(inputs[:, :3].mean(dim=0), torch.zeros(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(inputs[:, :2].std(dim=0), torch.ones(2), atol=1e-2, rtol=0)
    assert not inputs[:, 3].any()
    far = nets.inputs(torch.tensor([[1e9, -1e9, 0.0, 1.0]]))[0]
    assert far[:2].tolist() == [LARGEST_INPUT, -LARGEST_INPUT]


def test_equal_seeds_give_equal_nets_and_leave_the_seed_of_torch_alone(nets: Nets) -> None:
    columns, labels = unlike(300)
    before = torch.get_rng_state()
    one, same, other = (Nets.fit(columns, labels, seed=seed).state() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one | same)
    assert not torch.equal(one["weight_0"], other["weight_0"])


def test_a_state_brings_the_same_nets_back(nets: Nets) -> None:
    again = Nets.from_state({"of the term": torch.ones(1), **nets.state()})
    columns, _ = unlike(50)
    assert torch.equal(again.probabilities(columns), nets.probabilities(columns))
    sizes = ((4 + 1) * 32, (32 + 1) * 32, 32 + 1)
    assert again.num_parameters == NUM_NETS * sum(sizes)
    assert not any(one.requires_grad for one in nets.state().values())

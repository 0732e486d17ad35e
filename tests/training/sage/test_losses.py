"""Losses against what they should tend to, and hand-made cases."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.sage.losses import (
    NegativeSampler,
    bayesian_personalised_ranking,
    binary_cross_entropy,
    sampled_softmax,
)

ROWS = torch.tensor([0, 0, 1])
POSITIVE = torch.tensor([2.0, 0.0, -1.0])
NEGATIVE = torch.tensor([[1.0, -1.0], [0.5, 3.0]])
NONE = torch.empty(2, 0, dtype=torch.long)


def test_with_every_item_as_negative_the_softmax_is_full():
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([4, 0, 2])
    loss = sampled_softmax(scores[range(3), target], torch.arange(3), scores, torch.stack([torch.arange(3), target]))
    assert loss.item() == pytest.approx(F.cross_entropy(scores, target).item())


def test_taking_off_log_q_makes_few_negatives_estimate_the_full_softmax():
    """Popular items are drawn far more often; without the correction the normaliser would be theirs."""
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=400)).float()
    sampler = NegativeSampler.from_counts(rng.integers(1, 1000, 400), power=1.0, draws=200)
    log_q = sampler.log_inclusion()
    estimates = []
    for _ in range(300):
        drawn = sampler.draw(rng)
        estimates.append(torch.exp(scores[drawn] - log_q[drawn]).sum().item())
    assert np.mean(estimates) == pytest.approx(torch.exp(scores).sum().item(), rel=0.05)


def test_inclusion_probabilities_are_those_of_the_draws():
    rng = np.random.default_rng(1)
    sampler = NegativeSampler.from_counts(np.array([1, 0, 16, 81]), power=0.75, draws=4)
    assert sampler.probabilities.tolist() == pytest.approx([1 / 36, 0, 8 / 36, 27 / 36])
    included = np.zeros(4)
    for _ in range(4000):
        drawn = sampler.draw(rng)
        assert len(np.unique(drawn)) == len(drawn)
        included[drawn] += 1
    assert included / 4000 == pytest.approx(sampler.log_inclusion().exp().numpy(), abs=0.03)


def test_an_excluded_negative_does_not_count():
    excluded = torch.tensor([[0, 0], [1, 1]])  # named twice
    for loss in (sampled_softmax, binary_cross_entropy, bayesian_personalised_ranking):
        moved = NEGATIVE.clone()
        moved[0, 1] = 50.0
        assert loss(POSITIVE, ROWS, NEGATIVE, excluded) == loss(POSITIVE, ROWS, moved, excluded)
        assert loss(POSITIVE, ROWS, NEGATIVE, NONE) != loss(POSITIVE, ROWS, moved, NONE)


def test_excluding_all_negatives_of_a_basket_leaves_a_finite_gradient():
    negative = NEGATIVE.clone().requires_grad_()
    for loss in (sampled_softmax, binary_cross_entropy, bayesian_personalised_ranking):
        value = loss(POSITIVE, ROWS, negative, torch.ones(2, 2).nonzero().T)
        (gradient,) = torch.autograd.grad(value, negative)
        assert torch.isfinite(gradient).all()


def test_binary_cross_entropy_by_hand():
    expected = np.log1p(np.exp(-POSITIVE.numpy())).mean() + np.log1p(np.exp(NEGATIVE.numpy())).mean()
    assert binary_cross_entropy(POSITIVE, ROWS, NEGATIVE, NONE).item() == pytest.approx(expected)


def test_bpr_by_hand():
    margins = np.array([[-1.0, -3.0], [1.0, -1.0], [1.5, 4.0]])  # negative minus positive of the same basket
    expected = np.log1p(np.exp(margins)).mean()
    assert bayesian_personalised_ranking(POSITIVE, ROWS, NEGATIVE, NONE).item() == pytest.approx(expected)


def test_the_softmax_is_that_of_autograd_forward_and_backward():
    """Against log-sum-exp and masks written out, where an excluded negative is far the largest."""
    generator = torch.Generator().manual_seed(0)
    positive, negative = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((7,), (4, 9)))
    rows, excluded = torch.tensor([0, 0, 1, 2, 2, 3, 3]), torch.tensor([[0, 2, 2], [3, 8, 8]])
    negative[2, 8] = 1e4
    mask = torch.zeros(4, 9, dtype=torch.bool)
    mask[[0, 2], [3, 8]] = True
    ours, theirs = ((positive.clone().requires_grad_(), negative.clone().requires_grad_()) for _ in range(2))
    value = sampled_softmax(ours[0], rows, ours[1], excluded)
    against = theirs[1].masked_fill(mask, -torch.inf).logsumexp(dim=1)
    expected = torch.log1p(torch.exp(against[rows] - theirs[0])).mean()
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours[0].grad, theirs[0].grad)
    torch.testing.assert_close(ours[1].grad, theirs[1].grad)


def test_scores_are_left_as_they_were():
    negative = NEGATIVE.clone()
    sampled_softmax(POSITIVE, ROWS, negative, torch.tensor([[0], [1]]))
    assert torch.equal(negative, NEGATIVE)

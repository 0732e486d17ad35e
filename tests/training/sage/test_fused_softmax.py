"""The fused softmax against the softmax of autograd, with blocks smaller than the batch."""

import pytest
import torch

from training.sage import fused_softmax as module
from training.sage.fused_softmax import fused_softmax
from training.sage.losses import sampled_softmax


@pytest.mark.parametrize("rows_of_a_block", [1, 3, 1000])
def test_loss_and_gradients_are_those_of_autograd(rows_of_a_block, monkeypatch):
    """Baskets with one target, with three and with none; excluded entries out of order, one of them twice."""
    monkeypatch.setattr(module, "FEWEST_ROWS", rows_of_a_block)
    monkeypatch.setattr(module, "BLOCK_SCORES", 1)
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = drawn(7, 4), drawn(9, 4), drawn(9), drawn(8)
    rows = torch.tensor([0, 1, 1, 1, 3, 4, 5, 6])
    excluded = torch.tensor([[6, 0, 4, 0], [8, 3, 0, 3]])
    ours, theirs = ([one.clone().requires_grad_() for one in inputs] for _ in range(2))
    value = fused_softmax(*ours, rows, excluded)
    users, items, bias, positive = theirs
    expected = sampled_softmax(positive, rows, torch.addmm(bias, users, items.T), excluded)
    torch.testing.assert_close(value, expected)
    (3 * value).backward()
    (3 * expected).backward()
    for own, other in zip(ours, theirs, strict=True):
        assert other.grad is not None
        assert other.grad.abs().max() > 1e-3
        torch.testing.assert_close(own.grad, other.grad)


def test_without_excluded_entries_all_negatives_count():
    users, items = torch.ones(2, 1), torch.ones(3, 1)
    nothing = torch.empty(2, 0, dtype=torch.long)
    loss = fused_softmax(users, items, torch.zeros(3), torch.ones(2), torch.arange(2), nothing)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(4.0)).item())  # a target and three equal negatives

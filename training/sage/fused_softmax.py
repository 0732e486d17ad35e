"""Fused softmax: the sampled softmax of dot products, with its gradients, a few baskets at a time.

Arrives: vectors of the baskets in a step and of the negatives, the scores of the positives. Leaves: the loss of
`training.sage.losses.sampled_softmax`. Next: `training.sage.trainer` minimises it, for decoders that are dot products.

The loss is a mean over the targets, and each basket's part depends on its own row of [B, K] scores alone. So a block of
rows is scored, and its gradients are ready, while it is in the cache; the whole matrix is never in memory. With 2,048
baskets and 1,024 negatives the scores, the loss and their gradients take 60 to 65 % of the CPU time that autograd takes
for them. Rejected: products in bfloat16, which save as much on processors that have them, but other ones are slower
and end with another model. Rejected: fewer negatives. With half of them a fit needs 1.6 times as many steps.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from training.sage.losses import EXCLUDED

BLOCK_SCORES = 1 << 18
"""Scores of one block: a megabyte of float32."""

FEWEST_ROWS = 32
"""Baskets in one block at least: a product with fewer rows is slow."""


class _FusedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, bias: Tensor, positive: Tensor, *given: Tensor) -> Tensor:
        """`given` are the basket of each positive, and the excluded entries by ascending basket."""
        rows, excluded = given
        size = max(FEWEST_ROWS, BLOCK_SCORES // len(items))
        starts = torch.arange(0, len(users) + size, size)
        first_positive = torch.searchsorted(rows, starts).tolist()
        first_excluded = torch.searchsorted(excluded[0].contiguous(), starts).tolist()
        memory = users.new_empty(min(size, len(users)), len(items))
        of_users, of_positive = torch.empty_like(users), torch.empty_like(positive)
        of_items, of_bias = torch.zeros_like(items), torch.zeros_like(bias)
        total = users.new_zeros(())
        for block, start in enumerate(starts[:-1].tolist()):
            own = users[start : start + size]
            targets = slice(first_positive[block], first_positive[block + 1])
            entries = excluded[:, first_excluded[block] : first_excluded[block + 1]]
            powers = torch.addmm(bias, own, items.T, out=memory[: len(own)])  # [b, K]
            powers[entries[0] - start, entries[1]] = EXCLUDED
            top = powers.amax(dim=1, keepdim=True)
            powers.sub_(top).exp_()
            sums = powers.sum(dim=1, keepdim=True)  # [b, 1], at least 1
            row = rows[targets] - start
            margins = (sums.log() + top)[row, 0] - positive[targets]  # of the negatives above each positive
            total += F.softplus(margins).sum()
            slopes = torch.sigmoid(margins).div_(len(rows))
            torch.neg(slopes, out=of_positive[targets])
            of_sums = users.new_zeros(len(own)).index_add_(0, row, slopes)
            gradient = powers.mul_(of_sums[:, None] / sums)
            torch.mm(gradient, items, out=of_users[start : start + size])
            of_items.addmm_(gradient.T, own)
            of_bias += gradient.sum(dim=0)
        ctx.save_for_backward(of_users, of_items, of_bias, of_positive)
        return total / len(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(own * gradient for own in ctx.saved_tensors), None, None


def fused_softmax(
    users: Tensor, items: Tensor, bias: Tensor, positive: Tensor, rows: Tensor, excluded: Tensor
) -> Tensor:
    """Return the sampled softmax of the scores users · items + bias.

    Args:
        users: [B, dim] a vector of each basket.
        items: [K, dim] a vector of each negative.
        bias: [K] of the negatives, minus log Q.
        positive: [n] scores of the targets, minus log Q.
        rows: [n] the basket of each target, ascending.
        excluded: [2, m] the entries (basket, negative) that are no negatives, in any order.
    """
    loss: Tensor = _FusedSoftmax.apply(  # type: ignore[no-untyped-call]
        users, items, bias, positive, rows, excluded[:, excluded[0].argsort()]
    )
    return loss

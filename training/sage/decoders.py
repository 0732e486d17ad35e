"""Decoders: the score of a user vector and an item embedding, as cosine, dot product or a small network.

Arrives: vectors of `training.sage.model`. Leaves: scores of all pairs or of given pairs. Next: the losses in
`training.sage.losses`, and `training.sage.term`.

Each decoder adds the bias of the item. `prepare` computes the item part once, so a score for one user does not repeat
it. A zero user vector (an empty history) scores only the bias with cosine and dot product; the network adds a learned
preference.
"""

from collections.abc import Callable
from math import log
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FIRST_TEMPERATURE = 0.1

BLOCK_CELLS = 1 << 20
"""Hidden units (pairs × width) of one block: a few times 4 MB for any batch size."""


class Decoder(Protocol):
    """Scores users and items in two steps: `prepare` once for the items, then the scores."""

    def prepare(self, items: Tensor) -> Tensor:
        """Return the item part of the scores [n, dim] from item embeddings [n, dim]."""
        ...

    def factor(self, users: Tensor) -> Tensor | None:
        """Return the user part of the scores [B, dim]: prepared · this + bias. None where they are no such product."""
        ...

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Return scores [B, n] of user vectors [B, dim], prepared items [n, dim] and their bias [n]."""
        ...

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Return scores [n] of pairs: user vectors [n, dim], prepared items [n, dim] and their bias [n]."""
        ...


class Cosine(nn.Module):
    """cos(user, item) / temperature + bias, with a learned temperature."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(log(FIRST_TEMPERATURE)))

    def prepare(self, items: Tensor) -> Tensor:
        """Return unit vectors divided by the temperature."""
        return F.normalize(items, dim=1) * torch.exp(-self.log_temperature)

    def factor(self, users: Tensor) -> Tensor:
        """Return unit vectors."""
        return F.normalize(users, dim=1)

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Score all pairs with one matrix product."""
        return torch.addmm(bias, self.factor(users), prepared.T)

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Score single pairs."""
        return (self.factor(users) * prepared).sum(dim=1) + bias


class Dot(nn.Module):
    """user · item + bias. Vector length counts, so popularity is in the length and in the bias."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def prepare(self, items: Tensor) -> Tensor:
        """Return the embeddings unchanged."""
        return items

    def factor(self, users: Tensor) -> Tensor:
        """Return the vectors unchanged."""
        return users

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Score all pairs with one matrix product."""
        return torch.addmm(bias, users, prepared.T)

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Score single pairs."""
        return (users * prepared).sum(dim=1) + bias


class _InBlocks(torch.autograd.Function):
    """Scores [B, n] by `function` in blocks of `size` users. The backward pass computes the blocks again.

    Rejected: `torch.utils.checkpoint`, because it loads TorchDynamo (400 MB). All blocks write to one result: separate
    small results between large buffers fragment the memory, which doubles it.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], size: int, users: Tensor, *others: Tensor) -> Tensor:
        """`others` are the two item inputs of `function` [n, …], then the weights that it uses."""
        ctx.function, ctx.size = function, size
        ctx.save_for_backward(users, *others)
        scores = users.new_empty(len(users), len(others[0]))
        for start in range(0, len(users), size):
            scores[start : start + size] = function(users[start : start + size], *others[:2])
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        users, *others = ctx.saved_tensors
        items = [other.detach().requires_grad_() for other in others[:2]]
        of_users, of_others = torch.empty_like(users), [torch.zeros_like(other) for other in others]
        for start in range(0, len(users), ctx.size):
            block = users[start : start + ctx.size].detach().requires_grad_()
            with torch.enable_grad():
                scores = ctx.function(block, *items)
            found = torch.autograd.grad(scores, [block, *items, *others[2:]], gradient[start : start + ctx.size])
            of_users[start : start + ctx.size] = found[0]
            for total, part in zip(of_others, found[1:], strict=True):
                total += part
        return None, None, of_users, *of_others


class Mlp(nn.Module):
    """v · relu(A user + B item + C (user ∘ item) + a) + bias.

    The product is necessary: a network of sums learns it badly. C (user ∘ item) multiplies the items by one matrix for
    each user, so a pair costs dim² multiplications, `dim` times the cost of a dot product. With 64 dimensions a step
    takes about 30 times as long. Users are processed in blocks, which the backward pass computes again, so
    `BLOCK_CELLS` bounds the memory beside the scores.

    Source: He et al., "Neural collaborative filtering", 2017; Rendle et al., "Neural collaborative filtering vs. matrix
    factorization revisited", 2020.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_user = nn.Linear(dim, dim)
        self.of_item = nn.Linear(dim, dim, bias=False)
        self.of_product = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, 1, bias=False)  # no bias: a constant changes no ranking

    def prepare(self, items: Tensor) -> Tensor:
        """Return the embeddings unchanged. The product with B costs little beside the product with C."""
        return items

    def factor(self, users: Tensor) -> None:
        """Return None: a score is no product of two vectors."""

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Score users in blocks of at most `BLOCK_CELLS` hidden units, with at least one user."""
        size = max(1, BLOCK_CELLS // max(1, prepared.numel()))
        weights = [*self.of_user.parameters(), *self.of_product.parameters(), *self.out.parameters()]
        own = self.of_item(prepared)  # [n, dim]
        scores: Tensor = _InBlocks.apply(self._block, size, users, prepared, own, *weights)  # type: ignore[no-untyped-call]
        return scores + bias

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Score single pairs, with [n, dim] hidden units."""
        hidden = self.of_user(users) + self.of_item(prepared) + self.of_product(users * prepared)
        return self._read(hidden) + bias

    def _block(self, users: Tensor, items: Tensor, own: Tensor) -> Tensor:
        """Return scores [b, n] without the bias."""
        matrices = users[:, :, None] * self.of_product.weight.T  # [b, dim, dim]: items @ it is C (user ∘ item)
        hidden = torch.matmul(items, matrices) + own + self.of_user(users)[:, None]  # [b, n, dim]
        return self._read(hidden)

    def _read(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.out(torch.relu(hidden))
        return scores[..., 0]


DECODERS: dict[str, type[Cosine] | type[Dot] | type[Mlp]] = {"cosine": Cosine, "dot": Dot, "mlp": Mlp}

"""How a user vector and an item embedding become a score: cosine over a temperature, dot product, or a small network.

Arrives: vectors of `training.sage.model`. Leaves: scores of all pairs, or of given ones. Next: the losses of
`training.sage.losses`, and `training.sage.term`.

Every decoder adds the item's bias. What depends on the item alone is computed once by `prepare`, so that scoring one
shopper does not go over the whole catalogue twice. A user vector of zero (an empty history) scores the bias under
cosine and dot product; the network gives it a learned preference besides.
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
"""Hidden units, pairs × width, that the network holds at a time: 4 MB, a few times, whatever the batch."""


class Decoder(Protocol):
    """Scores of users and items, in two steps."""

    def prepare(self, items: Tensor) -> Tensor:
        """What scores need of item embeddings [n, dim]: [n, dim]."""
        ...

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Scores [B, n] of user vectors [B, dim] with n prepared items and their bias [n]."""
        ...

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Scores [n] of pairs: user vectors [n, dim], prepared items [n, dim] and their bias [n]."""
        ...


class Cosine(nn.Module):
    """cos(user, item) / temperature + bias; the temperature is learned."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(log(FIRST_TEMPERATURE)))

    def prepare(self, items: Tensor) -> Tensor:
        """Unit vectors over the temperature."""
        return F.normalize(items, dim=1) * torch.exp(-self.log_temperature)

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """One matrix product for all pairs."""
        return torch.addmm(bias, F.normalize(users, dim=1), prepared.T)

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """The same for single pairs."""
        return (F.normalize(users, dim=1) * prepared).sum(dim=1) + bias


class Dot(nn.Module):
    """user · item + bias: length counts, so popularity has two places to hide in."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def prepare(self, items: Tensor) -> Tensor:
        """The embeddings as they are."""
        return items

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """One matrix product for all pairs."""
        return torch.addmm(bias, users, prepared.T)

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """The same for single pairs."""
        return (users * prepared).sum(dim=1) + bias


class _InBlocks(torch.autograd.Function):
    """Scores [B, n] by `function` on `size` users at a time, computed again for the gradient instead of kept.

    `torch.utils.checkpoint` would do for one block, and loads TorchDynamo for it: 400 MB. Blocks are written into one
    result, because small results between large buffers leave holes that no buffer fits into: as much memory again.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], size: int, users: Tensor, *others: Tensor) -> Tensor:
        """`others` are the items and what else `function` takes [n, …], then the weights that it reads."""
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
    """v · relu(A user + B item + C (user ∘ item) + a) + bias, after He et al., "Neural collaborative filtering" (2017).

    The product is needed: sums of the two alone learn it badly (Rendle et al., "Neural collaborative filtering vs.
    matrix factorization revisited", 2020). C (user ∘ item) is a product of the items with one matrix a user, so a pair
    costs dim² multiplications, `dim` times what a dot product does: at 64 dimensions a step takes some thirty times as
    long. Users come in blocks, and while fitting a block is computed again for its gradient instead of kept: memory is
    bounded by `BLOCK_CELLS` beside the scores themselves.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_user = nn.Linear(dim, dim)
        self.of_item = nn.Linear(dim, dim, bias=False)
        self.of_product = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, 1, bias=False)  # a constant would change no ranking: the bias of the items has it

    def prepare(self, items: Tensor) -> Tensor:
        """The embeddings as they are: their own product with B is small beside that with C."""
        return items

    def score(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """Users in blocks of at most `BLOCK_CELLS` hidden units, one user at least."""
        size = max(1, BLOCK_CELLS // max(1, prepared.numel()))
        weights = [*self.of_user.parameters(), *self.of_product.parameters(), *self.out.parameters()]
        own = self.of_item(prepared)  # [n, dim]
        scores: Tensor = _InBlocks.apply(self._block, size, users, prepared, own, *weights)  # type: ignore[no-untyped-call]
        return scores + bias

    def score_pairs(self, users: Tensor, prepared: Tensor, bias: Tensor) -> Tensor:
        """The same for single pairs: [n, dim] hidden units."""
        hidden = self.of_user(users) + self.of_item(prepared) + self.of_product(users * prepared)
        return self._read(hidden) + bias

    def _block(self, users: Tensor, items: Tensor, own: Tensor) -> Tensor:
        """Scores [b, n] without the bias."""
        matrices = users[:, :, None] * self.of_product.weight.T  # [b, dim, dim]: items @ it is C (user ∘ item)
        hidden = torch.matmul(items, matrices) + own + self.of_user(users)[:, None]  # [b, n, dim]
        return self._read(hidden)

    def _read(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.out(torch.relu(hidden))
        return scores[..., 0]


DECODERS: dict[str, type[Cosine] | type[Dot] | type[Mlp]] = {"cosine": Cosine, "dot": Dot, "mlp": Mlp}

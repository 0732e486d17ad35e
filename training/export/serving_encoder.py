"""Serving encoder: GraphSAGE's score as one module of plain tensors, for runtimes without this code.

Arrives: a fitted `SageTerm`. Leaves: `ServingEncoder`, which maps the rows of a user's last items to a vector and
scores. Next: `training.export.encoder` writes it in three formats.

It is the GraphSAGE term and not the whole blend. ONNX has no operator for the sparse products of the linear filters,
the trend changes every hour, and the repeat term needs times. An exported sum would be outdated at once. The module is
enough for GraphSAGE scores, or for GraphSAGE vectors in another index.

The module uses only ordinary tensor algebra, so scripting, exporting and ONNX need no special case. It compares every
event with all newer events to find a user's newest distinct items: N² comparisons for N events.
"""

from math import isinf
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.sage.decoders import Mlp
from training.sage.term import SageTerm


class ServingEncoder(nn.Module):
    """Vectors and scores of users from the rows of their last items.

    Memory is [B, num_items] for the scores and [B, N, N] for the comparisons. With the MLP decoder the scores need [B,
    num_items, dim].
    """

    decoder: Final[str]
    last: Final[int]
    embeddings: Tensor  # [num_items, dim]
    prepared: Tensor  # [num_items, dim], the decoder's item input
    bias: Tensor  # [num_items]
    heads: Tensor  # [H, dim, dim]
    rates: Tensor  # [H], halvings for each rank
    of_user: Tensor  # [dim, dim]; this and all buffers below belong to the MLP decoder and are empty without it
    of_user_bias: Tensor  # [dim]
    own: Tensor  # [num_items, dim]
    of_product: Tensor  # [dim, dim]
    out: Tensor  # [dim]

    def __init__(self, term: SageTerm) -> None:
        super().__init__()
        model, embeddings = term.model, term.state()["embeddings"]
        decoder = cast("nn.Module", model.decoder)
        self.decoder = term.config.decoder
        self.last = term.config.last_items
        rates = [0.0 if isinf(half_life) else 1.0 / half_life for half_life in model.half_lives]
        tensors = {
            "embeddings": embeddings,
            "prepared": model.decoder.prepare(embeddings),
            "bias": model.item_bias,
            "heads": model.heads,
            "rates": torch.tensor(rates),
        }
        if isinstance(decoder, Mlp):
            tensors |= {
                "of_user": decoder.of_user.weight,
                "of_user_bias": decoder.of_user.bias,
                "own": decoder.of_item(embeddings),
                "of_product": decoder.of_product.weight,
                "out": decoder.out.weight[0],
            }
        else:  # a scripted module needs all its attributes
            nothing = torch.zeros(0)
            tensors |= dict.fromkeys(("of_user", "of_user_bias", "own", "of_product", "out"), nothing)
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.detach().clone())

    def forward(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors [B, dim] and scores [B, num_items] for item rows [B, N] int64, newest event first.

        Row −1 is no item, at any index. A repeated item counts at its newest event. Only the `last` newest distinct
        items count. Vectors have unit length, or are zero without an item. Scores come from the decoder, with its bias
        and without any mask.
        """
        known = items >= 0  # [B, N]
        same = items.unsqueeze(2) == items.unsqueeze(1)  # [B, N, N]
        newer = torch.tril(torch.ones_like(same, dtype=torch.float32), diagonal=-1) > 0
        kept = known & ~(same & newer).any(dim=2)
        ranks = kept.to(torch.float32).cumsum(dim=1) - 1.0
        kept = kept & (ranks < self.last)
        powers = torch.exp2(-ranks.unsqueeze(1) * self.rates.unsqueeze(1))  # [B, H, N]
        weights = powers * kept.to(torch.float32).unsqueeze(1)
        weights = weights / weights.sum(dim=2, keepdim=True).clamp(min=1.0)  # a single item has the weight one
        gathered = self.embeddings[items.clamp(min=0)]  # [B, N, dim]
        means = torch.matmul(weights, gathered).transpose(0, 1)  # [H, B, dim]
        users = torch.matmul(means, self.heads).sum(dim=0)  # [B, dim]
        unit = F.normalize(users, dim=1)
        if self.decoder == "mlp":
            products = torch.matmul(users.unsqueeze(1) * self.prepared, self.of_product.t())  # [B, num_items, dim]
            of_users = (torch.matmul(users, self.of_user.t()) + self.of_user_bias).unsqueeze(1)
            scores = torch.matmul(torch.relu(products + self.own + of_users), self.out)
        else:
            towards = unit if self.decoder == "cosine" else users
            scores = torch.matmul(towards, self.prepared.t())
        return unit, scores + self.bias

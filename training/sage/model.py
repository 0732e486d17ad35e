"""GraphSAGE on the bipartite graph, causal: items have embeddings, user vectors come from the last items.

Arrives: item features, a `BipartiteGraph`, `Profiles`. Leaves: item embeddings and user vectors. Next:
`training.sage.fit` fits the weights, `training.sage.term` computes scores.

An item layer is x + relu(W [x, mean over the item's users of the mean over their items]), or with a maximum or an LSTM
instead of the means (`training.sage.aggregators`). With the mean or the maximum a layer is two `SAGEConv` layers of
PyTorch Geometric (`training.export.pyg`). The residual is necessary: without it all embeddings become equal.

Users have no embedding. A user vector is a sum over half-lives: the decayed mean of the last items before the scored
time, each with a linear head. So a cold user has a vector from the first event on, and no vector contains the future.
Users in the graph only pass messages, so the graph needs no times.

Source: Hamilton et al., "Inductive representation learning on large graphs", 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.config import SageConfig
from training.graph.bipartite import MessageGraph
from training.graph.profiles import Profiles
from training.sage.aggregators import AGGREGATIONS
from training.sage.decoders import DECODERS, Decoder

ID_SCALE = 0.1
"""Standard deviation of the initial ID embeddings."""


class GraphSAGE(nn.Module):
    """Item tower, user tower, and a decoder that computes the score with the bias of the item.

    Args:
        num_items: the number of rows of the ID embedding.
        feature_width: the width of the item features. 0: no features.
        config: the shape: `dim`, `layers`, `half_lives_ranks`, `aggregation` and `decoder`.
    """

    def __init__(self, num_items: int, feature_width: int, config: SageConfig) -> None:
        super().__init__()
        dim = config.dim
        self.half_lives: Sequence[float] = config.half_lives_ranks
        self.item_id: Tensor = nn.Parameter(torch.randn(num_items, dim) * ID_SCALE)  # [num_items, dim]
        self.item_bias: Tensor = nn.Parameter(torch.zeros(num_items))  # [num_items]
        self.project = nn.Linear(feature_width, dim, bias=False) if feature_width else None
        self.layers = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(config.layers))
        aggregator = AGGREGATIONS[config.aggregation]
        self.to_users = nn.ModuleList(aggregator(dim) for _ in range(config.layers))
        self.to_items = nn.ModuleList(aggregator(dim) for _ in range(config.layers))
        # Heads start as scaled identities, so an initial user vector is the plain mean over the half-lives.
        self.heads = nn.Parameter(torch.eye(dim).repeat(len(self.half_lives), 1, 1) / len(self.half_lives))  # [H, d, d]
        self.decoder: Decoder = DECODERS[config.decoder](dim)

    @torch.no_grad()
    def extend(self, num_items: int) -> None:
        """Add rows for new items at the end (see `reset_cold_items`)."""
        known, missing = self.item_id.size(0), num_items - self.item_id.size(0)
        if missing > 0:
            self.item_id = nn.Parameter(torch.cat([self.item_id, torch.zeros(missing, self.item_id.size(1))]))
            self.item_bias = nn.Parameter(torch.cat([self.item_bias, torch.zeros(missing)]))
            self.reset_cold_items(torch.arange(num_items) >= known)

    @torch.no_grad()
    def reset_cold_items(self, items: Tensor) -> None:
        """Reset cold items, in the mask `items` [num_items]: zero ID embedding, and the mean bias of the other items.

        Then only features represent them.
        """
        self.item_id[items] = 0.0
        self.item_bias[items] = self.item_bias[~items].mean()

    def encode_items(self, features: Tensor, graph: MessageGraph) -> Tensor:
        """Return the embeddings [n, dim] of the items in the graph, from all item `features` [num_items, width].

        Layer 0 is the ID embedding plus the projected features.
        """
        nodes = graph.nodes
        x = self.item_id if nodes is None else self.item_id.index_select(0, nodes)  # [n, dim]
        if self.project is not None:
            x = x + self.project(features if nodes is None else features.index_select(0, nodes))
        return self.propagate(x, graph)

    def encode_arrivals(self, ids: Tensor, features: Tensor | None, graph: MessageGraph) -> Tensor:
        """Return the embeddings [n, dim] of the items of a small graph, from their `ids` [n, dim] and features.

        A new item has a zero ID. Without features (None) only the IDs are the input.
        """
        x = ids if self.project is None or features is None else ids + self.project(features)
        return self.propagate(x, graph)

    def propagate(self, x: Tensor, graph: MessageGraph) -> Tensor:
        """Return the embeddings [n, dim] of the items in the graph, the mean over the layers, from layer 0 [n, dim]."""
        total = x
        for layer, to_users, to_items in zip(self.layers, self.to_users, self.to_items, strict=True):
            users = to_users(graph.items_of_users, x)  # [num_users, dim]
            neighbours = to_items(graph.users_of_items, users)  # [n, dim]
            x = x + torch.relu_(layer(torch.cat([x, neighbours], dim=1)))
            total = total + x
        return total / (len(self.layers) + 1)

    def encode_users(self, items: Tensor, profiles: Profiles) -> Tensor:
        """Return user vectors [B, dim] from item embeddings [num_items, dim]. An empty profile gives zero."""
        vectors = torch.zeros(len(profiles), items.size(1))
        decayed = profiles.decay_weights(self.half_lives)
        for matrix, head in zip(decayed, self.heads, strict=True):
            # All half-lives have the same sparsity pattern, which is transposed once for all gradients.
            vectors = vectors + (decayed[0].with_weights(matrix.weights) @ items) @ head
        return vectors

    def score(self, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
        """Return scores [B, n] of user vectors [B, dim], item embeddings [n, dim] and their bias [n]."""
        return self.decoder.score(users, self.decoder.prepare(items), bias)

    def score_pairs(self, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
        """Return scores [n] of pairs: user vectors [n, dim], item embeddings [n, dim] and their bias [n]."""
        return self.decoder.score_pairs(users, self.decoder.prepare(items), bias)

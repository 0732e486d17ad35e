"""GraphSAGE over the bipartite graph, causal: items have embeddings, shoppers are what they did last.

Arrives: item features, a `BipartiteGraph`, `Profiles`. Leaves: item embeddings and user vectors. Next:
`training.sage.fit` fits the weights, `training.sage.term` scores with them.

Items: x + relu(W [x, mean of the item's users, each the mean of its items]) a layer, after Hamilton et al., "Inductive
representation learning on large graphs" (2017); a maximum or an LSTM instead of the means, as there
(`training.sage.aggregators`). With the mean or the maximum a layer is two of PyTorch Geometric's `SAGEConv`
(`training.export.pyg` says how). The residual is needed: without it the embeddings collapse to one point. Users have no
embedding of their own: a vector is a sum over a few half-lives of the decayed mean of the last items before the moment
that is scored, one linear head each, so that a new shopper works with the first event, and no vector ever holds the
future. The graph needs no such care for users: they pass messages only.
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
"""Standard deviation of the first ID embeddings."""


class GraphSAGE(nn.Module):
    """Item tower, user tower, and the decoder that makes a score of both, the bias of the item included.

    Args:
        num_items: rows of the ID embedding.
        feature_width: width of the item features, 0 for none.
        config: `dim`, `layers`, `half_lives_ranks`, `aggregation` and `decoder` shape the model.
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
        # Each head starts as the identity, so the first user vector is the plain sum of its means.
        self.heads = nn.Parameter(torch.eye(dim).repeat(len(self.half_lives), 1, 1) / len(self.half_lives))  # [H, d, d]
        self.decoder: Decoder = DECODERS[config.decoder](dim)

    @torch.no_grad()
    def extend(self, num_items: int) -> None:
        """Room for new items at the end, as `without_events` leaves them."""
        known, missing = self.item_id.size(0), num_items - self.item_id.size(0)
        if missing > 0:
            self.item_id = nn.Parameter(torch.cat([self.item_id, torch.zeros(missing, self.item_id.size(1))]))
            self.item_bias = nn.Parameter(torch.cat([self.item_bias, torch.zeros(missing)]))
            self.without_events(torch.arange(num_items) >= known)

    @torch.no_grad()
    def without_events(self, items: Tensor) -> None:
        """Let features alone speak for the marked `items` [num_items]: no ID, and the mean bias of the others."""
        self.item_id[items] = 0.0
        self.item_bias[items] = self.item_bias[~items].mean()

    def encode_items(self, features: Tensor, graph: MessageGraph) -> Tensor:
        """Item embeddings [n, dim] of the graph's items, all of them or its `nodes`, from all `features`.

        The mean over the layers, layer 0 being ID plus projected features.
        """
        nodes = graph.nodes
        x = self.item_id if nodes is None else self.item_id.index_select(0, nodes)  # [n, dim]
        if self.project is not None:
            x = x + self.project(features if nodes is None else features.index_select(0, nodes))
        total = x
        for layer, to_users, to_items in zip(self.layers, self.to_users, self.to_items, strict=True):
            users = to_users(graph.items_of_users, x)  # [num_users, dim]
            neighbours = to_items(graph.users_of_items, users)  # [n, dim]
            x = x + torch.relu_(layer(torch.cat([x, neighbours], dim=1)))
            total = total + x
        return total / (len(self.layers) + 1)

    def encode_users(self, items: Tensor, profiles: Profiles) -> Tensor:
        """User vectors [B, dim] from item embeddings [num_items, dim]; zero for an empty profile."""
        vectors = torch.zeros(len(profiles), items.size(1))
        decayed = profiles.decayed(self.half_lives)
        for matrix, head in zip(decayed, self.heads, strict=True):
            # The places are the same under every half-life: transposed once for all gradients.
            vectors = vectors + (decayed[0].with_weights(matrix.weights) @ items) @ head
        return vectors

    def score(self, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
        """Scores [B, n] of user vectors [B, dim] with n items: embeddings [n, dim] and bias [n]."""
        return self.decoder.score(users, self.decoder.prepare(items), bias)

    def score_pairs(self, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
        """Scores [n] of pairs: user vectors [n, dim], item embeddings [n, dim] and their bias [n]."""
        return self.decoder.score_pairs(users, self.decoder.prepare(items), bias)

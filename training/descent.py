"""Steps of gradient descent on baskets, and the moving average of the weights that is kept.

Arrives: a `GraphSAGE`, its graph and features, `Baskets`. Leaves: the averaged model. Next: `training.train` fits with
it from nothing, `training.sage` goes on from a fitted model.
"""

import copy
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.baskets import Baskets
from training.config import SageConfig
from training.histories import IntArray
from training.losses import NegativeSampler, loss_of_step
from training.model import GraphSAGE
from training.profiles import Profiles
from training.propagation import BipartiteGraph


class Descent:
    """AdamW (Loshchilov and Hutter, 2019) on `model`, in place; `average` is the model to keep.

    Every step samples `graph_edges` pairs of the graph anew and takes the pairs of its own targets out: an embedding
    must not have been told the answer.
    """

    def __init__(
        self,
        model: GraphSAGE,
        features: Tensor,
        graph: BipartiteGraph,
        counts: npt.NDArray[np.int64],
        *,
        config: SageConfig,
        learning_rate: float,
        rng: np.random.Generator,
    ) -> None:
        self.model = model
        self.average = copy.deepcopy(model)
        self.features = features  # [num_items, width]
        self.graph = graph
        self.config = config
        self.rng = rng
        self.steps = 0
        self.negatives = NegativeSampler.from_counts(counts, power=config.negative_power, draws=config.negatives)
        self.log_inclusion = self.negatives.log_inclusion()  # [num_items]
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=config.weight_decay)

    def batches(self, baskets: Baskets, chosen: IntArray) -> Iterator[IntArray]:
        """The `chosen` baskets [B] in random order, in batches of about `batch_size` targets."""
        size = max(1, round(self.config.batch_size / baskets.targets_per_basket))
        shuffled = self.rng.permutation(chosen)
        for start in range(0, len(shuffled), size):
            yield shuffled[start : start + size]

    def step(self, baskets: Baskets, chosen: IntArray) -> float:
        """One step on the `chosen` baskets [B]; the loss before it."""
        rows, targets = baskets.targets_of(chosen)  # [n], [n]
        graph = self._sampled_graph(baskets.users[chosen][rows], targets)
        items = self.model.encode_items(self.features, graph)  # [num_items, dim]
        profiles = baskets.profiles(chosen, last=self.config.last_items)
        users = self.model.encode_users(items, profiles)  # [B, dim]
        loss = self._loss(users, items, torch.from_numpy(rows), torch.from_numpy(targets), profiles)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.steps += 1
        take_average(self.average, self.model, decay=self.config.weight_average, steps=self.steps)
        return loss.item()

    def _loss(self, users: Tensor, items: Tensor, rows: Tensor, targets: Tensor, profiles: Profiles) -> Tensor:
        drawn = self.negatives.draw(self.rng)  # [K]
        positive = self.model.score_pairs(users[rows], items[targets], self.model.item_bias[targets])  # [n]
        negative = self.model.score(users, items[drawn], self.model.item_bias[drawn])  # [B, K]
        column = torch.full((items.size(0),), -1)
        column[drawn] = torch.arange(len(drawn))
        excluded = torch.zeros(negative.shape, dtype=torch.bool)
        # Own positives are no negatives; nor is what a shopper had, where it is no candidate.
        others = (targets, rows), (torch.from_numpy(profiles.items), torch.from_numpy(profiles.rows()))
        for barred, owners in others[: 1 if self.config.repeats else 2]:
            at = column[barred]
            excluded[owners[at >= 0], at[at >= 0]] = True
        return loss_of_step(
            self.config.loss,
            positive,
            rows,
            negative,
            excluded,
            log_q=(self.log_inclusion[targets], self.log_inclusion[drawn]),
        )

    def _sampled_graph(self, users: IntArray, items: IntArray) -> BipartiteGraph:
        graph = self.graph
        keep = self.rng.random(len(graph)) * len(graph) < self.config.graph_edges
        keep[graph.find(users, items)] = False
        return graph.only(keep)


@torch.no_grad()
def take_average(average: nn.Module, model: nn.Module, *, decay: float, steps: int) -> None:
    """Move the weights of `average` towards those of `model`, in place, after so many steps."""
    # Early on the decay is smaller, else the average would keep the first random weights.
    decay = min(decay, steps / (steps + 10))
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)

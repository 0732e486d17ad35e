"""Trainer: gradient steps of GraphSAGE on baskets, and the moving average of the weights.

Arrives: a `GraphSAGE`, its graph and features, `Baskets`. Leaves: the averaged model. Next: `training.sage.fit` fits a
new model with it, `training.sage.term` continues a fitted model.

A step samples `graph_edges` pairs of the whole graph for message passing, and embeds what the batch needs of it. With
`neighbours` it samples a neighbourhood of the batch instead (`training.graph.neighbor_sampling`).
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphstore.arrays import Float64Array, IntArray
from training.config import SageConfig
from training.graph.bipartite import BipartiteGraph, MessageGraph
from training.graph.neighbor_sampling import NeighbourSampler, surroundings
from training.graph.profiles import Profiles
from training.sage.baskets import Baskets
from training.sage.fused_softmax import fused_softmax
from training.sage.losses import CORRECTED, LOSSES, NegativeSampler, sample_by_weight
from training.sage.model import GraphSAGE

NEEDED_SHARE = 0.75
"""A step that surely needs a smaller share of the catalogue embeds only the needed items and their surroundings."""


class Trainer:
    """AdamW (Loshchilov and Hutter, 2019) on `model`, in place. `average` is the result: the averaged model.

    Each step samples a new graph without the pairs of its own targets. Otherwise an embedding would contain the target.
    """

    def __init__(
        self,
        model: GraphSAGE,
        features: Tensor,
        graph: BipartiteGraph,
        counts: IntArray,
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
        self.waiting: IntArray = np.empty(0, dtype=np.int64)
        """The remaining baskets of the current epoch of `next_batch`."""
        self.cumulative: Float64Array | None = None
        """Cumulative probabilities of the baskets, when `next_batch` samples by age."""
        self.neighbour_sampler = None if config.neighbours is None else NeighbourSampler(graph, config.neighbours)
        self.negatives = NegativeSampler.from_counts(counts, power=config.negative_power, draws=config.negatives)
        self.log_inclusion = self.negatives.log_inclusion()  # [num_items]
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def batches(self, baskets: Baskets, chosen: IntArray) -> Iterator[IntArray]:
        """Yield the `chosen` baskets [B] in random order, in batches of about `batch_size` targets."""
        size = self._size(baskets)
        shuffled = self.rng.permutation(chosen)
        for start in range(0, len(shuffled), size):
            yield shuffled[start : start + size]

    def next_batch(self, baskets: Baskets) -> IntArray:
        """Return the next baskets [B] of the current epoch. A finished epoch starts again in another order.

        With `target_half_life_spans` there are no epochs: baskets are sampled with replacement, recent ones more often.
        A shop with a changing assortment then needs a third of the steps. `baskets` must be the same in every call.
        """
        size = self._size(baskets)
        if self.config.target_half_life_spans is not None:
            if self.cumulative is None:
                recency = baskets.recency(self.config.target_half_life_spans)
                self.cumulative = np.cumsum(recency / recency.sum())
            return sample_by_weight(self.cumulative, size, self.rng)
        if not len(self.waiting):
            self.waiting = self.rng.permutation(np.arange(len(baskets)))
        batch, self.waiting = self.waiting[:size], self.waiting[size:]
        return batch

    def _size(self, baskets: Baskets) -> int:
        return max(1, round(self.config.batch_size / baskets.targets_per_basket))

    def step(self, baskets: Baskets, chosen: IntArray) -> float:
        """Take one step on the `chosen` baskets [B] and return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(baskets, chosen)
        loss.backward()  # type: ignore[no-untyped-call]
        total = self.reduce_loss(loss.item())
        self.optimizer.step()
        self.steps += 1
        update_average(self.average, self.model, decay=self.config.weight_average, steps=self.steps)
        return total

    def reduce_loss(self, loss: float) -> float:
        """Return the loss of the step. It is called when the gradients are ready.

        `training.sage.data_parallel` overrides it to sum gradients and loss over all processes.
        """
        return loss

    def own_part(self, chosen: IntArray) -> IntArray:
        """Return the part of the `chosen` baskets [B] for this process: all of them."""
        return chosen

    def loss(self, baskets: Baskets, chosen: IntArray) -> Tensor:
        """Return the loss of the `chosen` baskets [B], with a sampled graph and sampled negatives.

        Both are sampled for all chosen baskets and not only for `own_part`, so that all processes of a group sample the
        same.
        """
        rows, targets = baskets.targets_of(chosen)  # [n], [n]
        pairs = baskets.users[chosen][rows], targets
        profiles = baskets.profiles(chosen, last=self.config.last_items)
        sampled = self.sampled_graph(*pairs).compact() if self.neighbour_sampler is None else None
        negatives = self.negatives.draw(self.rng)  # [K]
        needed = np.zeros(self.graph.num_items, dtype=np.bool_)
        for part in (targets, profiles.items, negatives):
            needed[part] = True
        graph = self._message_graph(sampled, np.flatnonzero(needed), pairs)
        items = self.model.encode_items(self.features, graph)  # [nodes of the graph, dim]
        own = self.own_part(chosen)
        if own is not chosen:
            rows, targets = baskets.targets_of(own)
            profiles = baskets.profiles(own, last=self.config.last_items)
        local_targets, local_negatives, local_profiles = targets, negatives, profiles
        if graph.nodes is not None:  # the needed items come first
            row_of = np.cumsum(needed) - 1
            local_targets, local_negatives = row_of[targets], row_of[negatives]
            local_profiles = Profiles(profiles.offsets, row_of[profiles.items], items.size(0))
        users = self.model.encode_users(items, local_profiles)  # [B, dim]
        positive = self.model.score_pairs(  # [n]
            users.index_select(0, torch.from_numpy(rows)),
            items.index_select(0, torch.from_numpy(local_targets)),
            self.bias_of(targets),
        )
        negative = items.index_select(0, torch.from_numpy(local_negatives))  # [K, dim]
        of_rows, bias = torch.from_numpy(rows), self.bias_of(negatives)
        excluded = torch.from_numpy(self._excluded(negatives, targets, rows, profiles))
        factor = self.model.decoder.factor(users) if self.config.loss == "softmax" else None
        if factor is not None:
            return fused_softmax(factor, self.model.decoder.prepare(negative), bias, positive, of_rows, excluded)
        return LOSSES[self.config.loss](positive, of_rows, self.model.score(users, negative, bias), excluded)

    def _message_graph(
        self, sampled: BipartiteGraph | None, needed: IntArray, pairs: tuple[IntArray, IntArray]
    ) -> MessageGraph:
        """Return the graph for the embeddings of the `needed` items [n], without the `pairs` (users, items).

        It has the needed items first, or all items of the catalogue.
        """
        if sampled is None:
            assert self.neighbour_sampler is not None
            return self.neighbour_sampler.sample(needed, without=pairs, rng=self.rng)
        if len(needed) + len(sampled) > NEEDED_SHARE * sampled.num_items:  # each pair leads to one further item
            return sampled
        return surroundings(sampled, needed, layers=self.config.layers)

    def bias_of(self, items: IntArray) -> Tensor:
        """Return the bias of `items` [n], minus log Q when the loss needs corrected scores."""
        indices = torch.from_numpy(items)
        bias = self.model.item_bias.index_select(0, indices)
        return bias - self.log_inclusion[indices] if self.config.loss in CORRECTED else bias

    def _excluded(self, negatives: IntArray, targets: IntArray, rows: IntArray, profiles: Profiles) -> IntArray:
        """Return the entries [2, m] (basket, negative) that are not negatives: own targets, and known items."""
        column = np.full(self.graph.num_items, -1)
        column[negatives] = np.arange(len(negatives))
        excluded, owners = targets, rows
        if not self.config.repeats:  # then known items are no candidates
            excluded, owners = np.concatenate([excluded, profiles.items]), np.concatenate([owners, profiles.rows()])
        at = column[excluded]
        return np.stack([owners[at >= 0], at[at >= 0]])

    def sampled_graph(self, users: IntArray, items: IntArray) -> BipartiteGraph:
        """Return a sample of about `graph_edges` pairs without the given pairs. A smaller graph is returned whole."""
        graph = self.graph
        indices = sample_indices(len(graph), self.config.graph_edges / max(len(graph), 1), self.rng)
        excluded = graph.find(users, items)
        at = np.searchsorted(indices, excluded)
        hits = at[at < len(indices)]
        hits = hits[indices[hits] == excluded[at < len(indices)]]
        return graph.take(np.delete(indices, hits))

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "waiting": torch.from_numpy(self.waiting.copy()),  # a view would save the whole epoch
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state` with the same settings. Later steps are equal bit for bit."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.waiting = state["waiting"].numpy()
        self.steps = state["steps"]


def sample_indices(length: int, share: float, rng: np.random.Generator) -> IntArray:
    """Sample ascending indices in 0:length. Each index is chosen independently with probability `share`.

    The gaps between samples are geometric, so one random number for each sample is enough. Rejected: one for each
    index, because that costs five milliseconds in a step with a million edges.
    """
    if share >= 1.0:
        return np.arange(length)
    scale = -1.0 / np.log1p(-share)  # the floor of an exponential is geometric, at a third of the cost of rng.geometric
    last, parts = -1, []
    while last < length - 1:
        expected = (length - last) * share
        exponentials = rng.standard_exponential(int(expected + 4 * expected**0.5) + 1)  # enough in nearly all cases
        gaps = 1 + np.minimum(exponentials * scale, length).astype(np.int64)
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    indices: IntArray = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    return indices[: np.searchsorted(indices, length)]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float, steps: int) -> None:
    """Move the weights of `average` towards `model` in place. `steps` is the number of steps so far."""
    # The decay is smaller in early steps. Otherwise the average would keep the random initial weights.
    decay = min(decay, steps / (steps + 10))
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)

"""Steps of gradient descent on baskets, and the moving average of the weights that is kept.

Arrives: a `GraphSAGE`, its graph and features, `Baskets`. Leaves: the averaged model. Next: `training.sage.fit` fits
with it from nothing, `training.sage.term` goes on from a fitted model.

Up to some ten million edges a step takes messages over a sample of the whole graph, `graph_edges` of its pairs; beyond,
`neighbours` makes it sample the surroundings of the items it needs instead (`training.graph.neighbor_sampling`).
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphstore.arrays import Float64Array, IntArray, distinct
from training.config import SageConfig
from training.graph.bipartite import BipartiteGraph
from training.graph.neighbor_sampling import Neighbourhoods
from training.graph.profiles import Profiles
from training.sage.baskets import Baskets
from training.sage.losses import CORRECTED, LOSSES, NegativeSampler, drawn_by_weight
from training.sage.model import GraphSAGE


class Trainer:
    """AdamW (Loshchilov and Hutter, 2019) on `model`, in place; `average` is the model to keep.

    Every step samples the graph anew and takes the pairs of its own targets out: an embedding must not have been told
    the answer.
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
        """Baskets that the present pass of `next_batch` has not come to."""
        self.cumulative: Float64Array | None = None
        """Sums of the first baskets' probabilities, where `next_batch` draws by age."""
        self.neighbourhoods = None if config.neighbours is None else Neighbourhoods(graph, config.neighbours)
        self.negatives = NegativeSampler.from_counts(counts, power=config.negative_power, draws=config.negatives)
        self.log_inclusion = self.negatives.log_inclusion()  # [num_items]
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def batches(self, baskets: Baskets, chosen: IntArray) -> Iterator[IntArray]:
        """The `chosen` baskets [B] in random order, in batches of about `batch_size` targets."""
        size = self._size(baskets)
        shuffled = self.rng.permutation(chosen)
        for start in range(0, len(shuffled), size):
            yield shuffled[start : start + size]

    def next_batch(self, baskets: Baskets) -> IntArray:
        """Baskets [B] of the present pass over all of them, or of a new one in another order.

        With `target_half_life_spans` there is no pass: they are drawn with replacement, recent ones more often. A shop
        whose assortment changes then learns today's in a third of the steps. `baskets` are the same in every call.
        """
        size = self._size(baskets)
        if self.config.target_half_life_spans is not None:
            if self.cumulative is None:
                recency = baskets.recency(self.config.target_half_life_spans)
                self.cumulative = np.cumsum(recency / recency.sum())
            return drawn_by_weight(self.cumulative, size, self.rng)
        if not len(self.waiting):
            self.waiting = self.rng.permutation(np.arange(len(baskets)))
        batch, self.waiting = self.waiting[:size], self.waiting[size:]
        return batch

    def _size(self, baskets: Baskets) -> int:
        return max(1, round(self.config.batch_size / baskets.targets_per_basket))

    def step(self, baskets: Baskets, chosen: IntArray) -> float:
        """One step on the `chosen` baskets [B]; the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(baskets, chosen)
        loss.backward()  # type: ignore[no-untyped-call]
        told = self.agreed(loss.item())
        self.optimizer.step()
        self.steps += 1
        take_average(self.average, self.model, decay=self.config.weight_average, steps=self.steps)
        return told

    def agreed(self, loss: float) -> float:
        """The step's loss, the gradients being ready; where a step is shared (`training.sage.data_parallel`), of all
        parts."""
        return loss

    def part_of(self, chosen: IntArray) -> IntArray:
        """Which of the `chosen` baskets [B] this process learns from: all."""
        return chosen

    def loss(self, baskets: Baskets, chosen: IntArray) -> Tensor:
        """The loss of the `chosen` baskets [B] over a graph and negatives that are drawn for them.

        Both are drawn for all of them, whatever `part_of` leaves: then every process that shares the step draws the
        same.
        """
        rows, targets = baskets.targets_of(chosen)  # [n], [n]
        pairs = baskets.users[chosen][rows], targets
        profiles = baskets.profiles(chosen, last=self.config.last_items)
        if self.neighbourhoods is None:
            graph = self.sampled_graph(*pairs).compact()
            drawn = self.negatives.draw(self.rng)  # [K]
            items = self.model.encode_items(self.features, graph)  # [num_items, dim]
        else:
            drawn = self.negatives.draw(self.rng)  # [K]
            wanted = distinct(np.concatenate([targets, profiles.items, drawn]))
            surroundings = self.neighbourhoods.around(wanted, without=pairs, rng=self.rng)
            items = self.model.encode_items(self.features, surroundings)[: len(wanted)]
        own = self.part_of(chosen)
        if own is not chosen:
            rows, targets = baskets.targets_of(own)
            profiles = baskets.profiles(own, last=self.config.last_items)
        local_targets, local_drawn, local_profiles = targets, drawn, profiles
        if self.neighbourhoods is not None:
            local_targets, local_drawn = np.searchsorted(wanted, targets), np.searchsorted(wanted, drawn)
            local_profiles = Profiles(profiles.offsets, np.searchsorted(wanted, profiles.items), len(wanted))
        users = self.model.encode_users(items, local_profiles)  # [B, dim]
        positive = self.model.score_pairs(  # [n]
            users.index_select(0, torch.from_numpy(rows)),
            items.index_select(0, torch.from_numpy(local_targets)),
            self.bias_of(targets),
        )
        negative = self.model.score(users, items.index_select(0, torch.from_numpy(local_drawn)), self.bias_of(drawn))
        excluded = torch.from_numpy(self._excluded(drawn, targets, rows, profiles))
        return LOSSES[self.config.loss](positive, torch.from_numpy(rows), negative, excluded)

    def bias_of(self, items: IntArray) -> Tensor:
        """Bias of `items` [n], less log Q where the loss is on corrected scores: one sum for a row of them all."""
        places = torch.from_numpy(items)
        bias = self.model.item_bias.index_select(0, places)
        return bias - self.log_inclusion[places] if self.config.loss in CORRECTED else bias

    def _excluded(self, drawn: IntArray, targets: IntArray, rows: IntArray, profiles: Profiles) -> IntArray:
        """Places [2, m] of (basket, negative) that are no negatives: own targets, and what is no candidate."""
        column = np.full(self.graph.num_items, -1)
        column[drawn] = np.arange(len(drawn))
        barred, owners = targets, rows
        if not self.config.repeats:  # then what a shopper had is no candidate
            barred, owners = np.concatenate([barred, profiles.items]), np.concatenate([owners, profiles.rows()])
        at = column[barred]
        return np.stack([owners[at >= 0], at[at >= 0]])

    def sampled_graph(self, users: IntArray, items: IntArray) -> BipartiteGraph:
        """About `graph_edges` pairs of the graph, without the given ones; all others where there are not more."""
        graph = self.graph
        places = drawn_places(len(graph), self.config.graph_edges / max(len(graph), 1), self.rng)
        barred = graph.find(users, items)
        at = np.searchsorted(places, barred)
        hits = at[at < len(places)]
        hits = hits[places[hits] == barred[at < len(places)]]
        return graph.take(np.delete(places, hits))

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "waiting": torch.from_numpy(self.waiting.copy()),  # a view would save the whole pass
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of the same settings: the same steps follow, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.waiting = state["waiting"].numpy()
        self.steps = state["steps"]


def drawn_places(length: int, share: float, rng: np.random.Generator) -> IntArray:
    """Ascending places in 0:length, each taken by itself with probability `share`.

    By the gaps between them, which are geometric: a number for each place taken, where a number for each place would
    cost a step of a million edges five milliseconds.
    """
    if share >= 1.0:
        return np.arange(length)
    scale = -1.0 / np.log1p(-share)  # a floor of exponential numbers is geometric, at a third of rng.geometric's cost
    last, parts = -1, []
    while last < length - 1:
        expected = (length - last) * share
        drawn = rng.standard_exponential(int(expected + 4 * expected**0.5) + 1)  # nearly always enough
        gaps = 1 + np.minimum(drawn * scale, length).astype(np.int64)
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    places: IntArray = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    return places[: np.searchsorted(places, length)]


@torch.no_grad()
def take_average(average: nn.Module, model: nn.Module, *, decay: float, steps: int) -> None:
    """Move the weights of `average` towards those of `model`, in place, after so many steps."""
    # Early on the decay is smaller, else the average would keep the first random weights.
    decay = min(decay, steps / (steps + 10))
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)

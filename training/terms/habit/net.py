"""Nets of the habit term: the probability that a shopper comes back to a known item within the horizon.

Arrives: columns and labels of pairs. Leaves: `Nets`, the mean of several small networks. Next:
`training.terms.habit.term`.

Rejected: gradient-boosted trees, which rank no better and need a library; logistic regression, which has up
to a third less of the gain.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_NETS = 2
"""The mean of two nets gains 0.1 to 0.2 % of NDCG@20 over one."""
HIDDEN = 32
LARGEST_INPUT = 5.0
"""Standardised inputs are clipped, so that a shopper unlike all others is still near the training pairs."""

EPOCHS = 6
BATCH_SIZE = 2_048
FEWEST_STEPS = 100
"""Steps for few pairs, which are fewer than so many batches."""
LEARNING_RATE = 8e-3
WARM_UP = 0.3
"""Share of the steps in which the learning rate rises (one cycle; Smith & Topin, 2019)."""
WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class Nets:
    """E networks of two hidden layers with SiLU, evaluated together."""

    mean: Tensor  # [C] of the training columns
    scale: Tensor  # [C] standard deviations
    weights: tuple[Tensor, ...]  # of each layer [E, inputs, outputs]
    biases: tuple[Tensor, ...]  # of each layer [E, 1, outputs]

    @classmethod
    def fit(cls, columns: Tensor, labels: Tensor, *, seed: int) -> Self:
        """Fit on columns [P, C] float32 and labels [P] of 0 and 1 by cross entropy. Equal seeds give equal nets.

        Each net has its own start and its own order of the pairs.
        """
        generator = torch.Generator().manual_seed(seed)
        mean, scale = columns.mean(dim=0), columns.std(dim=0, correction=0).clamp_min(1e-3)
        sizes = (columns.size(1), HIDDEN, HIDDEN, 1)
        weights = tuple(_start((NUM_NETS, *size), size[0], generator) for size in pairwise(sizes))
        biases = tuple(_start((NUM_NETS, 1, size[1]), size[0], generator) for size in pairwise(sizes))
        nets = cls(mean, scale, weights, biases)
        inputs, targets = nets.inputs(columns), labels.to(torch.float32)
        batch = min(BATCH_SIZE, len(inputs))
        steps = max(FEWEST_STEPS, EPOCHS * len(inputs) // batch)
        optimiser = torch.optim.AdamW([*weights, *biases], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=LEARNING_RATE, total_steps=steps, pct_start=WARM_UP
        )
        order = torch.empty(NUM_NETS, 0, dtype=torch.int64)
        with torch.enable_grad():
            for weight in (*weights, *biases):
                weight.requires_grad_(True)
            for _ in range(steps):
                if order.size(1) < batch:
                    order = torch.stack([torch.randperm(len(inputs), generator=generator) for _ in range(NUM_NETS)])
                rows, order = order[:, :batch], order[:, batch:]
                logits = nets.logits(inputs[rows])
                loss = F.binary_cross_entropy_with_logits(logits, targets[rows])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
        return cls(mean, scale, tuple(one.detach() for one in weights), tuple(one.detach() for one in biases))

    def inputs(self, columns: Tensor) -> Tensor:
        """Return the columns [P, C] standardised and clipped."""
        return ((columns - self.mean) / self.scale).clamp(-LARGEST_INPUT, LARGEST_INPUT)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the log-odds [E, P] of each net for its own inputs [E, P, C]."""
        values = inputs
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, values if layer == 0 else F.silu(values), weight)
        return values[:, :, 0]

    @torch.no_grad()
    def probabilities(self, columns: Tensor) -> Tensor:
        """Return the mean probability [P] over the nets for columns [P, C]."""
        inputs = self.inputs(columns).expand(len(self.weights[0]), -1, -1)
        return torch.sigmoid(self.logits(inputs)).mean(dim=0)

    @property
    def num_parameters(self) -> int:
        """Learned weights of all nets."""
        return sum(one.numel() for one in (*self.weights, *self.biases))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        named = {f"weight_{layer}": one for layer, one in enumerate(self.weights)}
        named |= {f"bias_{layer}": one for layer, one in enumerate(self.biases)}
        return {"column_mean": self.mean, "column_scale": self.scale, **named}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Restore the nets from `state`, which may hold other tensors, too."""
        layers = range(sum(name.startswith("weight_") for name in state))
        return cls(
            state["column_mean"],
            state["column_scale"],
            tuple(state[f"weight_{layer}"] for layer in layers),
            tuple(state[f"bias_{layer}"] for layer in layers),
        )


def _start(shape: tuple[int, ...], inputs: int, generator: torch.Generator) -> Tensor:
    """Return uniform numbers between ±1/√inputs, as the layers of torch begin."""
    bound = inputs**-0.5
    return torch.rand(shape, generator=generator).mul_(2 * bound).sub_(bound)

"""SASRec: a small causal transformer that predicts the next item from a user's last events.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

The loss is cross entropy, over all items of a small catalogue or over a shared sample of a big one. Rejected: the
single sampled negative of the paper, because its results are clearly lower.

Source: Kang & McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018); Klenitskiy & Vasilev, "Turning Dross
Into Gold Loss" (RecSys 2023), for the loss.
"""

import copy
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphstore.arrays import IntArray
from training.baselines.popularity import add_popularity
from training.baselines.tuning import FittedBaseline, Tuning, settings_of, train_steps
from training.data.event_log import AsOf, EventLog, Histories
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions
from training.sage.losses import NegativeSampler
from training.sage.trainer import update_average

DIM, HEADS, BLOCKS = 64, 2, 2
LAST_EVENTS = 50
LAST_EVENTS_OF_BASKETS = 200
TARGETS = 3_200
"""Targets in one step. The batch size is this number divided by the window length."""

FULL_SOFTMAX_ITEMS = 4_000
NEGATIVES = 1_024
NEGATIVE_POWER = 0.75
LEARNING_RATE = 4e-3
AVERAGE = 0.98
"""Decay of the moving average of the weights. The average scores, so one step more or less changes little."""

EVERY, PATIENCE = 25, 6
PASSES = 25
"""Maximum passes over the log, within these limits of steps:"""
MIN_STEPS, MAX_STEPS = 400, 2_000

SCORED_USERS = 512


@dataclass(frozen=True)
class SasrecSettings:
    last_events: int = LAST_EVENTS
    dropout: float = 0.2
    steps: int = 0


class TransformerBlock(nn.Module):
    """Attention to earlier events, then a feed-forward layer. Both are residual with the normalisation first."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(DIM), nn.LayerNorm(DIM)])
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.out = nn.Linear(DIM, DIM)
        self.feed = nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), nn.Dropout(dropout), nn.Linear(DIM, DIM))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, length, DIM]. Padding is at the end, where the causal mask hides it from the real events."""
        batch, length, _ = x.shape
        heads = self.qkv(self.norms[0](x)).view(batch, length, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        x = x + self.dropout(self.out(attended.transpose(1, 2).reshape(batch, length, DIM)))
        fed: Tensor = x + self.dropout(self.feed(self.norms[1](x)))
        return fed


class Sasrec(nn.Module):
    """Item embeddings (also the output weights), position embeddings, and the transformer blocks."""

    def __init__(self, num_items: int, settings: SasrecSettings) -> None:
        super().__init__()
        self.num_items = num_items
        self.last_events = settings.last_events
        self.items = nn.Embedding(num_items + 1, DIM)  # the last row is the padding
        self.positions = nn.Embedding(settings.last_events, DIM)
        nn.init.normal_(self.items.weight, std=DIM**-0.5)
        nn.init.normal_(self.positions.weight, std=DIM**-0.5)
        self.blocks = nn.ModuleList([TransformerBlock(settings.dropout) for _ in range(BLOCKS)])
        self.norm = nn.LayerNorm(DIM)
        self.dropout = nn.Dropout(settings.dropout)

    @property
    def num_parameters(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, windows: Tensor) -> Tensor:
        """Return a prediction vector for each event of `windows` [B, length]: [B, length, DIM]."""
        x = self.dropout(self.items(windows) + self.positions.weight[: windows.size(1)])
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def frozen_copy(self) -> Self:
        """Return a copy in evaluation mode."""
        return copy.deepcopy(self).eval()

    def score(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items] after the last events, and zeros for an empty history."""
        parts = [torch.zeros(0, self.num_items)]
        for start in range(0, len(histories), SCORED_USERS):
            part = histories.block(start, min(start + SCORED_USERS, len(histories)))
            ends = part.offsets[1:]
            starts = np.maximum(part.offsets[:-1], ends - self.last_events)
            windows = pad(part.items, starts, ends, padding=self.num_items)
            lengths = torch.from_numpy(ends - starts)
            last = self(windows)[torch.arange(len(part)), (lengths - 1).clamp_min(0)]
            parts.append((last * (lengths > 0)[:, None]) @ self.items.weight[: self.num_items].T)
        return torch.cat(parts)


@dataclass(frozen=True)
class SasrecScorer:
    """A frozen model as a `training.evaluation.ranking.Scorer`, because a module's own call is already `forward`."""

    model: Sasrec

    @property
    def num_parameters(self) -> int:
        return self.model.num_parameters

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        return self.model.score(histories, as_of=as_of)


class SasrecTrainer:
    """Trains on windows that end at random events of a log. Every event of a window predicts the next one."""

    def __init__(self, log: EventLog, settings: SasrecSettings, seed: int) -> None:
        torch.manual_seed(seed)  # for the initial weights and the dropout, which accept no generator
        self.rng = np.random.default_rng(seed)
        self.model = Sasrec(log.num_items, settings)
        self.average = self.model.frozen_copy()
        self.steps = 0
        order = np.argsort(log.users, kind="stable")
        users = log.users[order]
        self.items = log.items[order]
        self.starts = np.searchsorted(users, users, side="left")  # [num_events] first event of the same user
        self.ends = np.flatnonzero(np.arange(len(users)) > self.starts)  # events with an earlier event of the user
        counts = np.bincount(log.items, minlength=log.num_items)
        self.negatives = NegativeSampler.from_counts(counts, power=NEGATIVE_POWER, draws=NEGATIVES)
        self.log_inclusion = self.negatives.log_inclusion()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)

    def step(self) -> None:
        """Run one step on a batch of windows."""
        if not len(self.ends):
            return
        length = self.model.last_events
        ends = self.rng.choice(self.ends, max(TARGETS // length, 1))
        starts = np.maximum(self.starts[ends], ends - length)
        padding = self.model.num_items
        hidden = self.model(pad(self.items, starts, ends, padding=padding))
        targets = pad(self.items, starts + 1, ends + 1, padding=padding)
        present = targets != padding
        loss = self._loss(hidden[present], targets[present])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        update_average(self.average, self.model, decay=AVERAGE, steps=self.steps)

    def _loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        weights = self.model.items.weight
        if self.model.num_items <= FULL_SOFTMAX_ITEMS:
            return F.cross_entropy(hidden @ weights[: self.model.num_items].T, targets)
        drawn = torch.from_numpy(self.negatives.draw(self.rng))
        against = hidden @ weights[drawn].T - self.log_inclusion[drawn]
        against = against.masked_fill(targets[:, None] == drawn, -torch.inf)
        own = (hidden * weights[targets]).sum(dim=1) - self.log_inclusion[targets]
        return F.cross_entropy(torch.cat([own[:, None], against], dim=1), torch.zeros_like(targets))

    def scorer(self) -> SasrecScorer:
        """Return the current average of the weights as a scorer."""
        return SasrecScorer(self.average.frozen_copy())


def pad(items: IntArray, starts: IntArray, ends: IntArray, *, padding: int) -> Tensor:
    """Return items[starts[b]:ends[b]] as rows [B, longest], filled with `padding` at the end."""
    length = max(int((ends - starts).max(initial=0)), 1)
    indices = starts[:, None] + np.arange(length)
    inside = indices < ends[:, None]
    rows = np.full(indices.shape, padding, dtype=np.int64)
    rows[inside] = items[indices[inside]]
    return torch.from_numpy(rows)


def fit_sasrec(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit SASRec: tune the steps, then popularity."""
    tuning = Tuning(split, "sasrec", options.progress)
    last_events = LAST_EVENTS_OF_BASKETS if split.validation.repeats else LAST_EVENTS
    at_most = min(MAX_STEPS, max(MIN_STEPS, PASSES * len(split.past) // TARGETS))
    settings = SasrecSettings(last_events=last_events)
    steps, model, _ = tuning.stop_early(
        SasrecTrainer(split.past, settings, options.seed),
        at_most=at_most,
        every=EVERY,
        patience=PATIENCE,
        shares=(0.0, 0.6),
    )
    settings = replace(settings, steps=steps)

    def refit() -> SasrecScorer:
        return train_steps(SasrecTrainer(split.known, settings, options.seed), split.refit_steps(steps))

    return add_popularity(split, tuning, model, refit, settings_of(settings))

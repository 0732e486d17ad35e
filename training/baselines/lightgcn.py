"""LightGCN: embeddings of users and items, smoothed over their bipartite graph.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

The model and its BPR loss come from PyTorch Geometric. The normalised adjacency is symmetric, so the sparse product of
`training.graph.bipartite` computes the forward and the backward pass. It is much faster than message passing edge by
edge.

Source: He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation" (SIGIR 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.nn import LightGCN

from training.baselines.factors import OWN, PROFILES, UNTIMED_PROFILES, Factors, UserFingerprints
from training.baselines.popularity import add_popularity
from training.baselines.tuning import FittedBaseline, Tuning, settings_of, train_steps
from training.data.event_log import EventLog
from training.data.splits import EvaluationSplit
from training.graph.bipartite import BipartiteGraph, Csr
from training.options import TrainingOptions

DIM = 64
BATCH = 8_192
LAYERS = (2, 3)
LEARNING_RATES = (0.01, 0.03)
EVERY, PATIENCE = 25, 8
MIN_STEPS, MAX_STEPS = 100, 1_000
STEP_PAIRS = 1_000_000_000
"""Pairs × steps of one fit. It limits the steps on a big graph."""

REGULARISATION = 1e-4
"""L2 penalty on the unsmoothed embeddings of a batch."""

RUN_SHARE = 0.5 / 3
"""Share of the whole search for each of the three fits."""

EARLY_PROFILES: Sequence[float | str] = (OWN, 5.0)
"""Early stopping counts the better of the two. All profiles are tried after the last step."""


@dataclass(frozen=True)
class LightGCNSettings:
    layers: int = 2
    learning_rate: float = LEARNING_RATES[0]
    steps: int = 0
    profile: float | str = OWN


class Convolution(torch.nn.Module):
    """One layer of LightGCN: the product with the normalised adjacency."""

    def forward(self, x: Tensor, adjacency: Csr, _weights: None = None) -> Tensor:
        """Return node embeddings [num_nodes, dim]."""
        return adjacency @ x


class LightGCNTrainer:
    """Trains LightGCN on the pairs of a log, one batch each step."""

    def __init__(self, log: EventLog, settings: LightGCNSettings, seed: int) -> None:
        torch.manual_seed(seed)  # for the initial embeddings, because the library accepts no generator
        self.rng = np.random.default_rng(seed)
        self.settings = settings
        self.graph = BipartiteGraph.from_log(log)
        self.fingerprints = UserFingerprints(log)
        self.adjacency = _normalise(self.graph)
        self.model = LightGCN(log.num_users + log.num_items, DIM, settings.layers)
        self.model.convs = torch.nn.ModuleList([Convolution() for _ in range(settings.layers)])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate)

    def step(self) -> None:
        """Run one step on random pairs with one negative each."""
        graph = self.graph
        drawn = self.rng.integers(len(graph), size=BATCH)
        users, positives = graph.users[drawn], graph.items[drawn]
        negatives = self.rng.integers(graph.num_items, size=len(drawn))
        taken = graph.contains(users, negatives)  # drawn once more; few are positives a second time
        negatives[taken] = self.rng.integers(graph.num_items, size=int(taken.sum()))
        nodes = torch.from_numpy(np.concatenate([users, graph.num_users + positives, graph.num_users + negatives]))
        user, positive, negative = self.model.get_embedding(self.adjacency)[nodes].chunk(3)
        loss = self.model.recommendation_loss(
            (user * positive).sum(dim=1),
            (user * negative).sum(dim=1),
            node_id=nodes,
            lambda_reg=REGULARISATION,
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def scorer(self) -> Factors:
        """Return the current smoothed embeddings."""
        nodes: Tensor = self.model.get_embedding(self.adjacency)
        users, items = nodes[: self.graph.num_users], nodes[self.graph.num_users :]
        return Factors(users, items, torch.zeros(len(items)), self.fingerprints, self.settings.profile)


def fit_lightgcn(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit LightGCN: tune layers, learning rate and steps, then profile and popularity."""
    tuning = Tuning(split, "lightgcn", options.progress)
    at_most = max(MIN_STEPS, min(MAX_STEPS, STEP_PAIRS // max(len(split.past), 1)))
    profiles = EARLY_PROFILES if split.timed else EARLY_PROFILES[:1]

    def try_settings(settings: LightGCNSettings, share: float) -> tuple[float, LightGCNSettings, Factors]:
        steps, factors, ndcg = tuning.stop_early(
            LightGCNTrainer(split.past, settings, options.seed),
            at_most=at_most,
            every=EVERY,
            patience=PATIENCE,
            shares=(share, share + RUN_SHARE),
            variants=lambda factors: [factors.with_profile(profile) for profile in profiles],
        )
        return ndcg, replace(settings, steps=steps, profile=factors.profile), factors

    runs = [try_settings(LightGCNSettings(layers=layers), RUN_SHARE * index) for index, layers in enumerate(LAYERS)]
    best = max(runs, key=lambda run: run[0])
    faster = replace(best[1], learning_rate=LEARNING_RATES[1])
    _, settings, fitted = max(best, try_settings(faster, len(LAYERS) * RUN_SHARE), key=lambda run: run[0])
    settings, model = tuning.greedy(
        settings,
        lambda candidate: fitted.with_profile(candidate.profile),
        {"profile": PROFILES if split.timed else UNTIMED_PROFILES},
        built=fitted,
        shares=(0.5, 0.6),
    )

    def refit() -> Factors:
        return train_steps(LightGCNTrainer(split.known, settings, options.seed), split.refit_steps(settings.steps))

    return add_popularity(split, tuning, model, refit, settings_of(settings))


def _normalise(graph: BipartiteGraph) -> Csr:
    """Return D^(−1/2) A D^(−1/2); the users' rows come first, then the items' rows."""
    num_nodes = graph.num_users + graph.num_items
    items = graph.num_users + graph.items
    degrees = np.bincount(np.concatenate([graph.users, items]), minlength=num_nodes)
    values = (1.0 / np.sqrt(degrees[graph.users] * degrees[items])).astype(np.float32)
    cells = (np.concatenate([graph.users, items]), np.concatenate([items, graph.users]))
    matrix = sparse.csr_array(sparse.coo_array((np.tile(values, 2), cells), shape=(num_nodes, num_nodes)))
    return Csr(
        offsets=torch.from_numpy(matrix.indptr.astype(np.int64)),
        columns=torch.from_numpy(matrix.indices.astype(np.int64)),
        weights=torch.from_numpy(matrix.data),
        num_columns=num_nodes,
    )

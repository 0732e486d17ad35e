"""Matrix factorisation: weighted ALS and BPR, fitted by the library `implicit`.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it.

ALS computes a user's vector from any profile in closed form, so it also scores users that it was not fitted on.

Source: Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), for ALS; Rendle et
al., "Bayesian Personalized Ranking" (UAI 2009), for BPR.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import inf

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphstore.errors import missing_extra
from training.baselines.factors import OWN, PROFILES, UNTIMED_PROFILES, Factors, UserFingerprints
from training.baselines.popularity import add_popularity
from training.baselines.profile import HALF_LIVES, decayed_profiles
from training.baselines.tuning import FittedBaseline, Tuning, settings_of
from training.data.event_log import AsOf, EventLog, Histories
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions
from training.terms.gram import interactions

BPR_DRAWS = 40_000_000
"""Limits the passes of BPR over a big log. One pass draws each distinct pair once."""
BPR_PASSES = (30, 100, 300)

SYSTEM_CELLS = 8_000_000
"""Users × dim² in one batch of linear systems."""


@dataclass(frozen=True)
class AlsSettings:
    alpha: float = 4.0
    """Confidence of a pair, beyond the confidence 1 of a missing pair."""
    regularisation: float = 10.0
    factors: int = 64
    iterations: int = 15
    profile_half_life: float = inf


class Als:
    """Item factors; a ridge regression on them gives each user's vector."""

    def __init__(self, items: Tensor, num_users: int, settings: AlsSettings) -> None:
        self.items = items  # [num_items, dim]
        self.num_parameters = items.numel() + num_users * items.size(1)
        self.settings = settings
        self._gram = items.T @ items + settings.regularisation * torch.eye(items.size(1))

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        dim = self.items.size(1)
        step = max(1, SYSTEM_CELLS // dim**2)
        parts = [histories.block(start, min(start + step, len(histories))) for start in range(0, len(histories), step)]
        vectors = [self._users(part) for part in parts]
        return torch.cat([torch.zeros(0, dim), *vectors]) @ self.items.T

    def _users(self, histories: Histories) -> Tensor:
        """Return user vectors x [B, dim]: (YᵀY + λI + Σ w α y yᵀ) x = Σ w (1 + α) y, where w is the decay.

        With a full decay (w = 0) an event counts as a missing pair.
        """
        half_life, alpha = self.settings.profile_half_life, self.settings.alpha
        profiles = decayed_profiles(histories, half_life, num_items=len(self.items))
        systems = self._gram.repeat(len(histories), 1, 1)
        for row, (start, end) in enumerate(zip(profiles.indptr[:-1], profiles.indptr[1:], strict=True)):
            taken = self.items[torch.from_numpy(profiles.indices[start:end].astype(np.int64))]
            weights = torch.from_numpy(profiles.data[start:end])
            systems[row] += alpha * (taken * weights[:, None]).T @ taken
        wanted = torch.from_numpy((1 + alpha) * (profiles @ self.items.numpy()))
        vectors: Tensor = torch.linalg.solve(systems, wanted)
        return vectors


@dataclass(frozen=True)
class BprSettings:
    iterations: int = 100
    regularisation: float = 0.01
    learning_rate: float = 0.05
    factors: int = 64
    profile: float | str = OWN


def fit_als(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit ALS: tune confidence, regularisation, dimension and iterations, then profile and popularity."""
    tuning = Tuning(split, "als", options.progress)

    def build(log: EventLog, settings: AlsSettings) -> Als:
        _, items = fit_implicit(
            "als",
            "AlternatingLeastSquares",
            interactions(log) * np.float32(1 + settings.alpha),
            factors=settings.factors,
            regularization=settings.regularisation,
            iterations=settings.iterations,
            random_state=options.seed,
        )
        return Als(items, log.num_users, settings)

    grid = {
        "alpha": (1.0, 4.0, 16.0, 40.0),
        "regularisation": (0.1, 1.0, 10.0, 40.0, 100.0),
        "factors": (32, 64, 128),
        "iterations": (5, 15, 30),
    }
    settings, model = tuning.greedy(
        AlsSettings(), lambda candidate: build(split.past, candidate), grid, shares=(0.0, 0.5)
    )
    if split.timed:
        items = model.items
        settings, model = tuning.greedy(
            settings,
            lambda candidate: Als(items, split.past.num_users, candidate),
            {"profile_half_life": HALF_LIVES},
            built=model,
            shares=(0.5, 0.6),
        )

    return add_popularity(split, tuning, model, lambda: build(split.known, settings), settings_of(settings))


def fit_bpr(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit BPR: tune passes, regularisation, learning rate and dimension, then profile and popularity."""
    tuning = Tuning(split, "bpr", options.progress)
    most = max(BPR_DRAWS // max(interactions(split.past).nnz, 1), 1)
    passes = tuple(dict.fromkeys(min(count, most) for count in BPR_PASSES))
    start = BprSettings(iterations=min(BprSettings.iterations, most))

    def build(log: EventLog, settings: BprSettings) -> Factors:
        users, items = fit_implicit(
            "bpr",
            "BayesianPersonalizedRanking",
            interactions(log),
            factors=settings.factors,
            learning_rate=settings.learning_rate,
            regularization=settings.regularisation,
            iterations=settings.iterations,
            random_state=options.seed,
        )
        # The library keeps an item's bias as the last factor.
        return Factors(users[:, :-1], items[:, :-1], items[:, -1], UserFingerprints(log), settings.profile)

    grid = {
        "iterations": passes,
        "regularisation": (0.001, 0.01, 0.05),
        "learning_rate": (0.01, 0.05, 0.1),
        "factors": (64, 128),
    }
    settings, model = tuning.greedy(start, lambda candidate: build(split.past, candidate), grid, shares=(0.0, 0.5))
    settings, model = tuning.greedy(
        settings,
        lambda candidate: model.with_profile(candidate.profile),
        {"profile": PROFILES if split.timed else UNTIMED_PROFILES},
        built=model,
        shares=(0.5, 0.6),
    )

    return add_popularity(split, tuning, model, lambda: build(split.known, settings), settings_of(settings))


def fit_implicit(kind: str, model_name: str, matrix: sparse.csr_array, **settings: float) -> tuple[Tensor, Tensor]:
    """Return the user and item factors of a model of the library `implicit`, which only the benchmark needs.

    Raises `MissingExtra` when the library is not installed.
    """
    if find_spec("implicit") is None:
        raise missing_extra("implicit", "benchmark")
    library = import_module(f"implicit.cpu.{kind}")
    # The library warns about a BLAS that has its own threads. Results repeat with a seed only on one thread.
    with import_module("threadpoolctl").threadpool_limits(1, "blas"):
        model = getattr(library, model_name)(num_threads=1, **settings)
        model.fit(sparse.csr_matrix(matrix), show_progress=False)
    return torch.from_numpy(np.asarray(model.user_factors)), torch.from_numpy(np.asarray(model.item_factors))

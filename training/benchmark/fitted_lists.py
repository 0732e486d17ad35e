"""Fitted lists: what one fit of one model leaves behind, its lists for the test window.

Arrives: an `EvaluationSplit`, and a function that tunes and fits a model. Leaves: `FittedLists`, in plain values. Next:
`training.benchmark.run` calls `fit_lists` in the process of the model and measures the lists, and
`training.benchmark.unfinished` keeps them until the whole benchmark is done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import torch
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray
from graphstore.progress import Progress
from training.benchmark.comparison import plain
from training.config import TrainingConfig
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.data.windows import Window
from training.evaluation.ranking import Scorer, recommend
from training.options import TrainingOptions


class FittedModel(Protocol):
    """A scorer with its number of parameters and its chosen settings. It may have `parts`: more scorers to show."""

    @property
    def num_parameters(self) -> int: ...

    @property
    def settings(self) -> Any: ...

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor: ...


class Fit(Protocol):
    """Tunes on the validation window of a split and fits on all known events. It must be picklable."""

    def __call__(self, split: EvaluationSplit, options: TrainingOptions) -> FittedModel: ...


@dataclass(frozen=True)
class FeatureFit:
    """A fit that also needs item features [num_items, width] (None: there are none), the configuration and a budget."""

    fit: Callable[..., FittedModel]
    features: Float32Array | None
    config: TrainingConfig
    budget_seconds: float = inf
    """CPU seconds for the whole fit."""

    def __call__(self, split: EvaluationSplit, options: TrainingOptions) -> FittedModel:
        features = None if self.features is None else torch.from_numpy(self.features)
        return self.fit(split, features, config=self.config, options=options, budget_seconds=self.budget_seconds)


@dataclass(frozen=True)
class PartLists:
    """The recommendations of one part of a model, which is shown beside the whole."""

    lists: IntArray  # [U, K]
    num_parameters: int | None
    """None where the part does not say it."""
    settings: Any


@dataclass(frozen=True)
class FittedLists:
    """One model's recommendations for the users of the test window, for one seed."""

    lists: IntArray  # [U, K]
    parts: dict[str, PartLists]
    num_parameters: int
    settings: Any
    """In a form that JSON can hold, so that a kept fit equals one that was just made."""


def fit_lists(fit: Fit, split: EvaluationSplit, seed: int, k: int, progress: Progress) -> FittedLists:
    """Fit a model and make its lists. It runs in the process of the model.

    Raises `ValueError` when a score is not finite.
    """
    model = fit(split, TrainingOptions(seed=seed, progress=progress))
    progress("lists", 0.99)
    parts: Mapping[str, Scorer] = getattr(model, "parts", {})
    return FittedLists(
        lists=_lists(model, split.test, k),
        parts={
            name: PartLists(
                lists=_lists(part, split.test, k),
                num_parameters=getattr(part, "num_parameters", None),
                settings=plain(getattr(part, "settings", {})),
            )
            for name, part in parts.items()
        },
        num_parameters=model.num_parameters,
        settings=plain(model.settings),
    )


@torch.no_grad()
def _lists(scorer: Scorer, window: Window, k: int) -> IntArray:
    lists, finite = recommend(scorer, window, k=k)
    if not finite:
        raise ValueError("some scores are not finite")
    return lists

"""Run: fits our model and the baselines on one split, each in its own process.

Arrives: an `EvaluationSplit`, and for each model a function that tunes and fits it. Leaves: `Results` of
`training.benchmark.comparison`. Next: the command line writes them as JSON and as a table.

A model returns only lists for the test window. The measures are computed here in the same way for all models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from graphstore.arrays import Float32Array, IntArray
from graphstore.errors import UserError
from graphstore.progress import Progress
from training.benchmark.comparison import Evaluator, ModelResult, Results, compare
from training.benchmark.isolated import Cost, run_isolated
from training.config import TrainingConfig
from training.data.dataset import TooFewEvents
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.data.windows import Window
from training.evaluation.beyond_accuracy import KnownItems, Slices
from training.evaluation.ranking import Scorer, recommend
from training.options import TrainingOptions
from training.process import FaultInProcess, SpawnedProcessFailed

DETERMINISTIC = frozenset({"popular", "recent", "itemknn", "ease", "personal-frequency"})
"""Baselines that are fitted once, because another seed would give the same lists."""

CUTOFF = 20

BEGINS = "tuning and fit"
"""The first progress line of each fit ends with this text."""


class ModelFailed(UserError):
    """A model could not be fitted or scored. The message names it."""


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
    """A fit that also needs item features [num_items, width] (None without features) and the configuration."""

    fit: Callable[..., FittedModel]
    features: Float32Array | None
    config: TrainingConfig

    def __call__(self, split: EvaluationSplit, options: TrainingOptions) -> FittedModel:
        features = None if self.features is None else torch.from_numpy(self.features)
        return self.fit(split, features, config=self.config, options=options)


@dataclass(frozen=True)
class FittedLists:
    """One model's recommendations for the users of the test window, for one seed."""

    lists: IntArray  # [U, K]
    parts: dict[str, tuple[IntArray, int | None, Any]]
    """By part: its lists, and its number of parameters and settings where the part has them."""
    num_parameters: int
    settings: Any


Launch = Callable[..., tuple[Any, Cost]]


def run(
    split: EvaluationSplit,
    fits: Mapping[str, Fit],
    *,
    seeds: int,
    cutoffs: Sequence[int],
    progress: Progress,
    launch: Launch = run_isolated,
) -> Results:
    """Fit every model (ours is `OURS`) with seeds 0 … seeds − 1, measure the lists on the test window, and compare.

    The measures always include NDCG@20 and recall@20. Raises `TooFewEvents` when a window has no users. Raises
    `ModelFailed` when one model fails, `FaultInProcess` when a fault of ours stops it: a benchmark without one of its
    baselines could favour our model.
    """
    if not fits or seeds < 1:
        raise ValueError(f"{len(fits)} models and {seeds} seeds")
    if not len(split.validation) or not len(split.test):
        raise TooFewEvents(f"{len(split.validation)} users to choose settings on and {len(split.test)} to judge on")
    cutoffs = tuple(sorted({*cutoffs, CUTOFF}))
    jobs = [(name, seed) for name in fits for seed in range(1 if name in DETERMINISTIC else seeds)]
    runs: dict[str, list[tuple[FittedLists, Cost]]] = {name: [] for name in fits}
    for done, (name, seed) in enumerate(jobs):

        def report(line: str, share: float, name: str = name, seed: int = seed, done: int = done) -> None:
            shown = line if line.startswith(name) else f"{name}, seed {seed}: {line}"
            progress(shown, (done + share) / len(jobs))

        report(BEGINS, 0.0)
        try:
            runs[name].append(launch(fit_lists, fits[name], split, seed, max(cutoffs), progress=report))
        except SpawnedProcessFailed as error:
            raise ModelFailed(f"{name}, seed {seed}: {error}") from error
        except FaultInProcess as error:
            error.add_note(f"{name}, seed {seed}")
            raise
    progress("measures", 1.0)
    return compare(_rows(split, runs, cutoffs), split=split.name, seeds=seeds, cutoffs=cutoffs)


@torch.no_grad()
def _lists(scorer: Scorer, window: Window, k: int) -> IntArray:
    lists, finite = recommend(scorer, window, k=k)
    if not finite:
        raise ValueError("some scores are not finite")
    return lists


def fit_lists(fit: Fit, split: EvaluationSplit, seed: int, k: int, progress: Progress) -> FittedLists:
    """Fit a model and make its lists. It runs in the process of the model."""
    model = fit(split, TrainingOptions(seed=seed, progress=progress))
    progress("lists", 0.99)
    parts: Mapping[str, Scorer] = getattr(model, "parts", {})
    return FittedLists(
        lists=_lists(model, split.test, k),
        parts={
            name: (_lists(part, split.test, k), getattr(part, "num_parameters", None), getattr(part, "settings", {}))
            for name, part in parts.items()
        },
        num_parameters=model.num_parameters,
        settings=model.settings,
    )


def _rows(
    split: EvaluationSplit, runs: Mapping[str, list[tuple[FittedLists, Cost]]], cutoffs: Sequence[int]
) -> dict[str, ModelResult]:
    evaluator = Evaluator(split.test, KnownItems.of(split.known), Slices.of(split.test, split.known), cutoffs)
    rows = {}
    for name, fitted in runs.items():
        found = [one for one, _ in fitted]
        rows[name] = evaluator.result(
            [one.lists for one in found],
            num_parameters=found[0].num_parameters,
            settings=[one.settings for one in found],
            costs=[cost for _, cost in fitted],
        )
        for part, (_, num_parameters, _) in found[0].parts.items():
            theirs = [one.parts[part] for one in found if part in one.parts]
            rows[f"{name}-{part}"] = evaluator.result(
                [one[0] for one in theirs],
                num_parameters=num_parameters,
                settings=[one[2] for one in theirs],
                costs=[],
            )
    return rows

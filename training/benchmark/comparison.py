"""Comparison: every model's measures over the seeds, and our model against the best baseline.

Arrives: each model's lists for one test window, for each seed. Leaves: `Results`, as JSON for programs. Next:
`training.benchmark.report` shows them to people.

The best baseline is the one with the best score on the test window itself. This choice favours the baselines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from training.benchmark.isolated import Cost
from training.data.windows import Window
from training.evaluation.beyond_accuracy import KnownItems, Slices, list_measures
from training.evaluation.ranking import METRIC, accuracy

OURS = "sagestream"

RATIOS = (METRIC, "recall@20")

RESAMPLES = 10_000
CONFIDENCE = 0.95
RESAMPLE_CELLS = 4_000_000
"""Resamples × users drawn at a time. It limits the memory of the bootstrap."""


@dataclass(frozen=True)
class ModelResult:
    """The results of one model. A measure is first a mean over users for each seed, then mean and deviation over
    seeds."""

    measures: dict[str, tuple[float, float]]
    """By name, such as "ndcg@20": mean and sample standard deviation over the seeds. One seed has deviation 0."""
    slices: dict[str, dict[str, float | None]]
    per_user: dict[str, Float64Array]
    """[U], mean over the seeds."""
    num_parameters: int | None
    settings: tuple[Any, ...]
    """The chosen settings, for each seed."""
    cpu_seconds: float | None
    """Mean over the seeds for tuning, fitting and one scoring. None for a part, because a part is not fitted alone."""
    peak_rss_mb: float | None
    """The maximum over the seeds."""


@dataclass(frozen=True)
class Results:
    """The results of all models, and our model against the best baseline. Without one of the two, the latter is
    None."""

    split: str
    cutoffs: tuple[int, ...]
    seeds: int
    models: dict[str, ModelResult]
    best_baseline: str | None = None
    ratio: dict[str, float | None] = field(default_factory=dict)
    difference: dict[str, dict[str, float]] = field(default_factory=dict)
    """Our model minus the best baseline, paired by user: mean, and the bounds of the 95 % bootstrap interval."""

    def as_json(self, dataset: str, *, understood: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object that `sagestream benchmark --json` writes. `understood` is by file."""
        return {
            "dataset": dataset,
            "understood": dict(understood),
            "split": self.split,
            "models": {name: _row(result) for name, result in self.models.items()},
            "best_baseline": self.best_baseline,
            "ratio": self.ratio,
            "difference": self.difference,
        }


@dataclass(frozen=True)
class Evaluator:
    """Measures the lists of all models against one test window."""

    window: Window
    known: KnownItems
    slices: Slices
    cutoffs: Sequence[int]

    def result(
        self,
        lists: Sequence[IntArray],
        *,
        num_parameters: int | None,
        settings: Sequence[Any],
        costs: Sequence[Cost],
    ) -> ModelResult:
        """Return one model's result from its lists [U, K] for the window, one array for each seed."""
        cutoffs = self.cutoffs
        per_seed = [accuracy(one, self.window, cutoffs=cutoffs) for one in lists]
        means = [
            {name: float(values.mean()) for name, values in per_user.items()}
            | list_measures(one, self.window, self.known, cutoffs=cutoffs)
            for per_user, one in zip(per_seed, lists, strict=True)
        ]
        parts = [self.slices.means(values, one, cutoffs=cutoffs) for values, one in zip(per_seed, lists, strict=True)]
        return ModelResult(
            measures={name: _mean_and_deviation([seed[name] for seed in means]) for name in means[0]},
            slices={
                part: {name: _mean([seed[part][name] for seed in parts]) for name in values}
                for part, values in parts[0].items()
            },
            per_user={name: np.mean([seed[name] for seed in per_seed], axis=0) for name in per_seed[0]},
            num_parameters=num_parameters,
            settings=tuple(settings),
            cpu_seconds=float(np.mean([cost.cpu_seconds for cost in costs])) if costs else None,
            peak_rss_mb=max(cost.peak_rss_mb for cost in costs) if costs else None,
        )


def compare(models: dict[str, ModelResult], *, split: str, seeds: int, cutoffs: tuple[int, ...]) -> Results:
    """Compare our model with the best baseline. A model `sagestream-…` is a part of ours and no baseline."""
    shown: dict[str, Any] = {"split": split, "cutoffs": cutoffs, "seeds": seeds, "models": models}
    baselines = [name for name in models if name != OURS and not name.startswith(f"{OURS}-")]
    if not baselines:
        return Results(**shown)
    best = max(baselines, key=lambda name: models[name].measures[METRIC][0])
    if OURS not in models:
        return Results(**shown, best_baseline=best)
    ours, theirs = models[OURS], models[best]
    mean, low, high = paired_bootstrap(ours.per_user[METRIC] - theirs.per_user[METRIC], seed=0)
    return Results(
        **shown,
        best_baseline=best,
        ratio={name: _ratio(ours.measures[name][0], theirs.measures[name][0]) for name in RATIOS},
        difference={METRIC: {"mean": mean, "low": low, "high": high}},
    )


def paired_bootstrap(difference: Float64Array, *, seed: int, resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """Return the mean of the users' differences [U] and the 95 % bounds of its resampled means (Efron, 1979)."""
    if not len(difference):
        return 0.0, 0.0, 0.0
    rng = np.random.default_rng(seed)
    step = max(1, RESAMPLE_CELLS // len(difference))
    means = np.concatenate(
        [
            difference[rng.integers(0, len(difference), (min(step, resamples - done), len(difference)))].mean(axis=1)
            for done in range(0, resamples, step)
        ]
    )
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(difference.mean()), float(low), float(high)


def _row(result: ModelResult) -> dict[str, Any]:
    return {
        **{name: {"mean": mean, "std": deviation} for name, (mean, deviation) in result.measures.items()},
        **result.slices,
        "params": result.num_parameters,
        "cpu_seconds": None if result.cpu_seconds is None else round(result.cpu_seconds, 3),
        "peak_rss_mb": None if result.peak_rss_mb is None else round(result.peak_rss_mb, 1),
        "settings": plain(result.settings),
    }


def plain(value: Any) -> Any:
    """Return the value in a form that JSON can hold: infinities and unknown objects as text, NumPy as plain values."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return known[0] if isinstance(known[0], int) else float(np.mean(known))


def _ratio(ours: float, theirs: float) -> float | None:
    return ours / theirs if theirs > 0 else None

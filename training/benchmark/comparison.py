"""Comparison: every model's measures over the seeds, and our model against the best baseline.

Arrives: each model's lists for the test window of each seed. Leaves: `Results`, as JSON for programs. Next:
`training.benchmark.report` shows them to people.

The best baseline is the one with the best score on the test window itself. This choice favours the baselines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from training.benchmark.isolated import Cost
from training.data.split_draws import Ties
from training.data.splits import EvaluationSplit
from training.data.windows import Window
from training.evaluation.beyond_accuracy import KnownItems, Slices, list_measures
from training.evaluation.propensity import debiased_accuracy, inverse_propensities
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
    seeds: int
    """The number of fits that the means are over."""


@dataclass(frozen=True)
class Results:
    """The results of all models, and our model against the best baseline. Without one of the two, and while fits are
    missing, the latter is None."""

    split: str
    cutoffs: tuple[int, ...]
    seeds: int
    models: dict[str, ModelResult]
    best_baseline: str | None = None
    ratio: dict[str, float | None] = field(default_factory=dict)
    difference: dict[str, dict[str, float]] = field(default_factory=dict)
    """Our model minus the best baseline, paired by user: mean, and the bounds of the 95 % bootstrap interval."""
    ties: Ties | None = None
    """Users whose held-out events are drawn; None for a split that draws no event."""
    missing: tuple[tuple[str, int], ...] = ()
    """Model and seed of each fit that is still missing. Empty: the results are finished."""

    def as_json(self, dataset: str, *, understood: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object that `sagestream benchmark --json` writes. `understood` is by file."""
        return {
            "dataset": dataset,
            "understood": dict(understood),
            "split": self.split,
            "ties": None if self.ties is None else self.ties.as_json(),
            "finished": not self.missing,
            "missing": [{"model": model, "seed": seed} for model, seed in self.missing],
            "models": {name: _row(result) for name, result in self.models.items()},
            "best_baseline": self.best_baseline,
            "ratio": self.ratio,
            "difference": self.difference,
        }


@dataclass(frozen=True)
class Measured:
    """The measures of one model's lists for one seed."""

    means: dict[str, float]
    slices: dict[str, dict[str, float | None]]
    per_user: dict[str, Float64Array]  # [U] each


@dataclass(frozen=True)
class Evaluator:
    """Measures the lists of all models against one test window."""

    window: Window
    known: KnownItems
    slices: Slices
    cutoffs: Sequence[int]

    @classmethod
    def of(cls, split: EvaluationSplit, cutoffs: Sequence[int]) -> Self:
        """Return the evaluator of the test window of a split."""
        return cls(split.test, KnownItems.of(split.known), Slices.of(split.test, split.known), cutoffs)

    def measure(self, lists: IntArray) -> Measured:
        """Measure one model's lists [U, K] for the window."""
        per_user = accuracy(lists, self.window, cutoffs=self.cutoffs)
        inverse = inverse_propensities(self.known.users)
        debiased = debiased_accuracy(lists, self.window, inverse, cutoffs=self.cutoffs)
        means = {name: float(values.mean()) for name, values in (per_user | debiased).items()}
        return Measured(
            means=means | list_measures(lists, self.window, self.known, cutoffs=self.cutoffs),
            slices=self.slices.means(per_user, lists, cutoffs=self.cutoffs),
            per_user=per_user,
        )


def model_result(
    measured: Sequence[Measured], *, num_parameters: int | None, settings: Sequence[Any], costs: Sequence[Cost]
) -> ModelResult:
    """Return one model's result from its measures for each seed. The windows of all seeds have the same users."""
    first = measured[0]
    return ModelResult(
        measures={name: _mean_and_deviation([one.means[name] for one in measured]) for name in first.means},
        slices={
            part: {name: _mean([one.slices[part][name] for one in measured]) for name in values}
            for part, values in first.slices.items()
        },
        per_user={name: np.mean([one.per_user[name] for one in measured], axis=0) for name in first.per_user},
        num_parameters=num_parameters,
        settings=tuple(settings),
        cpu_seconds=float(np.mean([cost.cpu_seconds for cost in costs])) if costs else None,
        peak_rss_mb=max(cost.peak_rss_mb for cost in costs) if costs else None,
        seeds=len(measured),
    )


def compare(
    models: Mapping[str, ModelResult],
    *,
    split: str,
    seeds: int,
    cutoffs: tuple[int, ...],
    ties: Ties | None = None,
    missing: Sequence[tuple[str, int]] = (),
) -> Results:
    """Compare our model with the best baseline. A model `sagestream-…` is a part of ours and no baseline.

    While fits are `missing` (model, seed), there is no best baseline and no comparison: the missing one may be better.
    """
    shown: dict[str, Any] = {
        "split": split,
        "cutoffs": cutoffs,
        "seeds": seeds,
        "models": dict(models),
        "ties": ties,
        "missing": tuple(missing),
    }
    baselines = [name for name in models if name != OURS and not name.startswith(f"{OURS}-")]
    if missing or not baselines:
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
        "seeds": result.seeds,
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
    # Where ties are drawn, the users of a slice differ a little by seed.
    return round(float(np.mean(known))) if isinstance(known[0], int) else float(np.mean(known))


def _ratio(ours: float, theirs: float) -> float | None:
    return ours / theirs if theirs > 0 else None

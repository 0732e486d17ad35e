"""Curves: the figures of each model on each slice, their means, and the table.

Arrives: metrics and CPU seconds, slice by slice. Leaves: the JSON of one data set, and Markdown for all. Next:
`benchmarks.incremental` writes both.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from training.evaluation.ranking import METRIC

MODELS = ("none", "inductive", "incremental", "full", "recent")
RUNS = ("incremental", "full")
METRICS = (METRIC, "recall@20")

ENDS = 5
"""The number of slices at each end that are compared to find a decay."""

Points = dict[int, float]
"""A value for each slice that has one."""


class Curves:
    """The figures of one data set by model and slice."""

    def __init__(self) -> None:
        self.metrics: dict[str, dict[str, Points]] = {metric: {name: {} for name in MODELS} for metric in METRICS}
        self.cpu_seconds: dict[str, Points] = {name: {} for name in RUNS}

    @classmethod
    def from_json(cls, found: dict[str, Any] | None, *, again: Collection[str] = ()) -> "Curves":
        """Restore what `as_json` returned, without the metrics of the models `again`. None: no figures.

        CPU seconds stay until they are measured again, because a bundle that exists is not fitted again.
        """
        curves = cls()
        if found is not None:
            for metric, by_name in curves.metrics.items():
                for name in by_name.keys() - set(again):
                    by_name[name] = _points(found["curves"][metric][name])
            curves.cpu_seconds = {name: _points(found["cpu_seconds_by_slice"][name]) for name in RUNS}
        return curves

    def add(self, model: str, index: int, metrics: dict[str, float]) -> None:
        """Add the metrics of a model on a slice."""
        for metric, value in metrics.items():
            self.metrics[metric][model][index] = value

    def spend(self, run: str, index: int, seconds: float | None) -> None:
        """Add the CPU seconds of the run before a slice. None: it did not run again, so older seconds stay."""
        if seconds is not None:
            self.cpu_seconds[run][index] = seconds

    def line(self, index: int) -> str:
        """Return NDCG@20 of all models on a slice."""
        curves = self.metrics[METRIC]
        return ", ".join(f"{name} {points[index]:.4f}" for name, points in curves.items() if index in points)

    def as_json(self) -> dict[str, Any]:
        """Return the means over the slices with a full model (all slices without one), ratios, and all figures."""
        ndcg = self.metrics[METRIC]
        slices = 1 + max((index for points in ndcg.values() for index in points), default=-1)
        compared = sorted(ndcg["full"]) or list(range(slices))
        half = (len(compared) + 1) // 2
        means = {
            metric: {name: _mean(points, compared) for name, points in by_name.items()}
            for metric, by_name in self.metrics.items()
        }
        # Full runs grow with the events, so updates of the same slices are compared with them.
        cpu = {
            name: _mean(points, [index for index in compared if index in points])
            for name, points in self.cpu_seconds.items()
        }

        def gain(over: str, chosen: Sequence[int]) -> float | None:
            return _ratio(_mean(ndcg["incremental"], chosen), _mean(ndcg[over], chosen))

        return {
            "slices": slices,
            **means,
            "cpu_seconds": cpu,
            "incremental_to_full": {
                **{metric: _ratio(means[metric]["incremental"], means[metric]["full"]) for metric in METRICS},
                "cpu_seconds": _ratio(cpu["incremental"], cpu["full"]),
                "first_half": gain("full", compared[:half]),
                "last_half": gain("full", compared[-half:]),
            },
            "incremental_to_recent": {
                f"first_{ENDS}": gain("recent", range(min(ENDS, slices))),
                f"last_{ENDS}": gain("recent", range(max(slices - ENDS, 0), slices)),
            },
            "slices_with_full": [index + 1 for index in sorted(ndcg["full"])],
            "curves": {
                metric: {name: _values(points, slices) for name, points in by_name.items()}
                for metric, by_name in self.metrics.items()
            },
            "cpu_seconds_by_slice": {name: _values(points, slices) for name, points in self.cpu_seconds.items()},
        }


def as_markdown(report: dict[str, Any]) -> str:
    """Return the table of all data sets."""
    lines = [
        "| data set | " + " | ".join(MODELS) + " | incremental / full | CPU s incremental · full | ratio |",
        "|---" * (len(MODELS) + 4) + "|",
    ]
    for name, found in report["sets"].items():
        ratio, cpu = found["incremental_to_full"], found["cpu_seconds"]
        cells = [_shown(found[METRIC][model], ".4f") for model in MODELS]
        cells += [
            _shown(ratio[METRIC], ".1%"),
            f"{_shown(cpu['incremental'], '.1f')} · {_shown(cpu['full'], '.1f')}",
            _shown(ratio["cpu_seconds"], ".1%"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _points(values: Sequence[float | None]) -> Points:
    return {index: value for index, value in enumerate(values) if value is not None}


def _values(points: Points, slices: int) -> list[float | None]:
    return [points.get(index) for index in range(slices)]


def _mean(points: Points, chosen: Sequence[int]) -> float | None:
    """Return the mean over the chosen slices, None when one of them has no value."""
    if not chosen or any(index not in points for index in chosen):
        return None
    return float(np.mean([points[index] for index in chosen]))


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base

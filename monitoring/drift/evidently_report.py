"""Drift test: compare the newest traffic with the traffic before it, with Evidently.

Arrives: two windows of `traffic`. Leaves: a `DriftResult` and Evidently's snapshot. Next: `reports` writes the files,
`triggers` may request a retrain.

The import of Evidently takes seconds and about 200 MB. So only `drift_job`, a child process, imports this module, and
it loads only the necessary parts of Evidently.

Every column uses the same method, the population stability index (PSI): sum((p - q) · ln(p / q)) over bins. Rejected:
Evidently's own choice of method, because it changes with the number of rows and flags several times as many columns.
Without drift the index is about (bins - 1) · (1/n + 1/m). So a column needs `min_rows` values in both windows.

The verdict depends on the share of drifted columns. Evidently's automatic tests are switched off, because they also
fail when the number of rows changes.
"""

import dataclasses
import logging
import math
import os
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently reads it during its import

import evidently.legacy.ui.dashboards.utils  # noqa: F401  # side effect: the colours of the figures
import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter
from evidently.presets import DataDriftPreset

from monitoring.ctr import CtrFigure
from monitoring.traffic import CATEGORICAL, NUMERICAL, Traffic
from monitoring.verdict import DriftResult

logger = logging.getLogger(__name__)

MIN_ROWS = 200
"""The number of values that a column needs in each window. With fewer values, the index is mostly noise."""


class ClickThroughRate(SingleValueMetric):  # type: ignore[misc]
    """The click-through rate in Evidently's report. SQL counts it; the report only shows it.

    The metric always has a rate, because NaN makes the report's JSON invalid. Without impressions there is no metric.
    """

    impressions: int
    clicks: int
    rate: float
    low: float
    high: float
    reference_rate: float | None

    @classmethod
    def of(cls, reference: CtrFigure, current: CtrFigure) -> "ClickThroughRate":
        """Return the metric of these rates. Raises `ValueError` if the current window has no impressions."""
        if current.value is None:
            raise ValueError("no impressions, hence no rate")
        return cls(
            impressions=current.impressions,
            clicks=current.clicks,
            rate=current.value,
            low=current.low,
            high=current.high,
            reference_rate=reference.value,
        )


class ClickThroughRateCalculation(SingleValueCalculation[ClickThroughRate]):  # type: ignore[misc]
    """The calculation of the metric for Evidently, which finds it by the type argument."""

    def calculate(self, _context: Any, _current: Any, _reference: Any) -> tuple[SingleValue, SingleValue | None]:
        """Return the given values as a result with a widget."""
        metric = self.metric
        result = self.result(metric.rate)
        result.widget = [
            counter(
                title="Click-through rate of served lists",
                size=WidgetSize.FULL,
                counters=[
                    CounterData("current", _percent(metric.rate)),
                    CounterData("95 % interval", f"{_percent(metric.low)} – {_percent(metric.high)}"),
                    CounterData("reference", _percent(metric.reference_rate)),
                    CounterData("clicks of impressions", f"{metric.clicks:,} of {metric.impressions:,}"),
                ],
            )
        ]
        return result, None if metric.reference_rate is None else self.result(metric.reference_rate)

    def display_name(self) -> str:
        """Return the name of the metric in the report."""
        return "Click-through rate of served lists"


def _percent(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.2%}"


def measure_drift(
    reference: Traffic,
    current: Traffic,
    *,
    psi: float,
    share: float,
    min_rows: int = MIN_ROWS,
    rates: tuple[CtrFigure, CtrFigure] | None = None,
) -> tuple[DriftResult, Any | None]:
    """Test for drift; return the verdict and Evidently's snapshot (None if there is not enough data).

    Args:
        reference: the traffic before the current window.
        current: the newest traffic.
        psi: a column has drifted if its PSI is at least this value.
        share: the traffic has drifted if at least this share of the tested columns has drifted.
        min_rows: a column is tested if it has at least so many values in each window.
        rates: the click-through rates of (reference, current). The report shows them beside the drift.
    """
    usable, skipped = _usable_columns(reference, current, min_rows)
    for column, why in skipped.items():
        logger.warning("drift: column %s is not tested: %s", column, why)
    nothing = DriftResult(
        "insufficient",
        f"not enough data: {reference.rows} and {current.rows} events, {min_rows} needed in each window",
        reference.window,
        current.window,
        reference.events,
        current.events,
        skipped=skipped,
    )
    if not usable:
        logger.warning("drift: %s", nothing.reason)
        return nothing, None
    snapshot = _run(reference, current, usable, psi=psi, share=share, rates=rates)
    found, scores = _read(snapshot)
    drifted = [column for column, score in scores.items() if score >= psi]
    reason = f"{len(drifted)} of {len(scores)} columns reached a PSI of {psi:g}"
    if drifted:
        reason += ": " + ", ".join(f"{column} {scores[column]:.2f}" for column in drifted)
    result = dataclasses.replace(
        nothing,
        verdict="drift" if found >= share else "stable",
        reason=reason,
        share=found,
        scores=scores,
        drifted=drifted,
    )
    return result, snapshot


def _usable_columns(reference: Traffic, current: Traffic, min_rows: int) -> tuple[list[str], dict[str, str]]:
    """Return the columns with enough values in both windows, and why the others are skipped.

    Evidently raises on empty windows and on columns without values.
    """
    usable, skipped = [], {}
    for column in (*CATEGORICAL, *NUMERICAL):
        counts = [sum(value is not None for value in side.columns[column]) for side in (reference, current)]
        if min(counts) >= min_rows:
            usable.append(column)
        else:
            skipped[column] = f"{counts[0]} and {counts[1]} values, {min_rows} needed in each window"
    return usable, skipped


def _run(
    reference: Traffic,
    current: Traffic,
    columns: list[str],
    *,
    psi: float,
    share: float,
    rates: tuple[CtrFigure, CtrFigure] | None,
) -> Any:
    definition = DataDefinition(
        categorical_columns=[column for column in CATEGORICAL if column in columns],
        numerical_columns=[column for column in NUMERICAL if column in columns],
    )
    sides = [
        Dataset.from_pandas(pd.DataFrame({c: side.columns[c] for c in columns}), data_definition=definition)
        for side in (current, reference)
    ]
    metrics: list[Any] = [DataDriftPreset(columns=columns, method="psi", threshold=psi, drift_share=share)]
    if rates is not None and rates[1].impressions:
        metrics.append(ClickThroughRate.of(*rates))
    # Evidently also computes correlations, and a constant column divides by its standard deviation of 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        return Report(metrics, include_tests=False).run(*sides)


def _read(snapshot: Any) -> tuple[float, dict[str, float]]:
    """Return the share of drifted columns and the score of each column. Metrics are found by name, not by index."""
    found: float | None = None
    scores: dict[str, float] = {}
    for metric in snapshot.dict()["metrics"]:
        kind = str(metric["config"]["type"]).rsplit(":", 1)[-1]
        if kind == "DriftedColumnsCount":
            found = float(metric["value"]["share"])
        elif kind == "ValueDrift":
            scores[metric["config"]["column"]] = float(metric["value"])
    if found is None or not all(map(math.isfinite, scores.values())):
        raise RuntimeError(f"Evidently gave no drift of every column: share {found}, scores {scores}")
    return found, scores

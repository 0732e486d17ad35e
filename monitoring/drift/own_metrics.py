"""Own metrics: what Evidently's report and its trend panels show besides Evidently's metrics.

Arrives: figures in tables beside the data of a report (`additional_tables`). Leaves: metrics for Evidently. Next:
`evidently_report` puts them into the report, `workspace` draws their course.

A panel draws one line for each set of a metric's parameters. So the figures are no parameters: they would make a new
line in each report. That is also why the course of the drift is a metric of its own, and not Evidently's score, whose
threshold is a parameter."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from evidently import Dataset
from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter
from evidently.metrics import ValueDrift

from monitoring.counts import Counts

CLICKS, LIMITS = "clicks", "limits"
METHOD = "psi"
MOST = 10.0
"""The largest share of a threshold that is drawn. A thousand would press all other columns onto the axis."""


def additional_tables(
    limits: Mapping[str, float], clicks: tuple[Counts, float | None] | None
) -> tuple[dict[str, Any], list[Any]]:
    """Return the tables that the own metrics need, and the metrics: one for each column, and the click-through rate.

    `limits` are the thresholds by column, `clicks` the counts of the current window and the rate of the reference.
    Without impressions there is no rate, because NaN makes the report's JSON invalid.
    """
    tables = {LIMITS: pd.DataFrame([limits])}
    metrics: list[Any] = [ShareOfLimit(column=column) for column in limits]
    if clicks is not None and (rate := clicks[0].ctr()).value is not None:
        shown = clicks[0]
        figures = {"clicks": shown.clicks, "impressions": shown.impressions, "before": clicks[1]}
        tables[CLICKS] = pd.DataFrame([{**figures, "rate": rate.value, "low": rate.low, "high": rate.high}])
        metrics.append(ClickThroughRate())
    return {name: Dataset.from_pandas(table) for name, table in tables.items()}, metrics


def _figures(context: Any, table: str) -> dict[str, Any]:
    figures: dict[str, Any] = context.additional_data[table].as_dataframe().iloc[0].to_dict()
    return figures


class ShareOfLimit(SingleValueMetric):  # type: ignore[misc]
    """The drift score of a column divided by its threshold. Above 1 the column has drifted; 10 is ten times or more."""

    column: str


class ShareOfLimitCalculation(SingleValueCalculation[ShareOfLimit]):  # type: ignore[misc]
    """The calculation of the metric for Evidently, which finds it by the type argument."""

    def calculate(self, context: Any, _current: Any, _reference: Any) -> tuple[SingleValue, None]:
        """Return the value without a widget: the table of columns shows the score."""
        limit = float(_figures(context, LIMITS)[self.metric.column])
        score = context.get_metric_result(ValueDrift(column=self.metric.column, method=METHOD, threshold=limit)).value
        result = self.result(min(float(score) / limit, MOST))
        result.widget = []
        return result, None

    def display_name(self) -> str:
        """Return the name of the metric in the report."""
        return f"Drift of {self.metric.column}, 1: its threshold"


class ClickThroughRate(SingleValueMetric):  # type: ignore[misc]
    """The click-through rate of served lists. SQL counts it; the report only shows it."""


class ClickThroughRateCalculation(SingleValueCalculation[ClickThroughRate]):  # type: ignore[misc]
    """The calculation of the metric for Evidently, which finds it by the type argument."""

    def calculate(self, context: Any, _current: Any, _reference: Any) -> tuple[SingleValue, SingleValue | None]:
        """Return the given values as a result with a widget."""
        figures = _figures(context, CLICKS)
        before = None if pd.isna(figures["before"]) else float(figures["before"])
        result = self.result(float(figures["rate"]))
        result.widget = [
            counter(
                title="Click-through rate of served lists",
                size=WidgetSize.FULL,
                counters=[
                    CounterData("current", f"{figures['rate']:.2%}"),
                    CounterData("95 % interval", f"{figures['low']:.2%} – {figures['high']:.2%}"),
                    CounterData("reference", "none" if before is None else f"{before:.2%}"),
                    CounterData("clicks of impressions", f"{figures['clicks']:,} of {figures['impressions']:,}"),
                ],
            )
        ]
        return result, None if before is None else self.result(before)

    def display_name(self) -> str:
        """Return the name of the metric in the report."""
        return "Click-through rate of served lists"

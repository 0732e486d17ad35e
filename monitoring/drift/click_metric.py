"""Click metric: the click-through rate in Evidently's report.

Arrives: the `Counts` of the current window, and the rate before it. Leaves: a metric for Evidently, with a widget. Next: `evidently_report`.
"""

from typing import Any

from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter

from monitoring.counts import Counts


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
    def of(cls, current: Counts, reference_rate: float | None) -> "ClickThroughRate":
        """Return the metric of these figures. Raises `ValueError` if the current window has no impressions."""
        rate = current.ctr()
        if rate.value is None:
            raise ValueError("no impressions, hence no rate")
        return cls(
            impressions=current.impressions,
            clicks=current.clicks,
            rate=rate.value,
            low=rate.low,
            high=rate.high,
            reference_rate=reference_rate,
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

"""Prometheus metrics: the figures of the monitor, shown on its port.

Arrives: the figures of a pass of `run`. Leaves: gauges in the registry of the process. Next: Prometheus scrapes
`/metrics`.

A rate without impressions and a drift without a verdict are absent, not 0: an alert on a low CTR must not fire in a
shop without traffic. The labels are bounded (`graphstore.metric_labels`), whatever the events name.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from prometheus_client import Counter, Gauge

from graphstore.metric_labels import largest
from monitoring.drift.verdict import DriftResult
from monitoring.metric_segments import newest_figures
from monitoring.windows import Figure

CTR = Gauge("sagestream_ctr", "Click-through rate of the newest window with impressions", ["segment"])
CTR_LOW = Gauge("sagestream_ctr_low", "Lower end of its 95 % interval", ["segment"])
CTR_HIGH = Gauge("sagestream_ctr_high", "Upper end of its 95 % interval", ["segment"])
CTR_IMPRESSIONS = Gauge("sagestream_ctr_impressions", "Impressions in that window", ["segment"])
ATTRIBUTED = Counter("sagestream_attributed_total", "Credits of events to lists that were added, changed or removed")
DIRTY_SHOPPERS = Gauge("sagestream_dirty_shoppers", "Shoppers whose events wait to be attributed")
DIRTY_WINDOWS = Gauge("sagestream_dirty_windows", "Hours and days that wait to be counted again")
DRIFT_SHARE = Gauge(
    "sagestream_drift_share", "Share of drifted columns in the newest report with a verdict", ["verdict"]
)
DRIFT_PSI = Gauge("sagestream_drift_psi", "Population stability index in that report", ["column"])
DRIFT_THRESHOLD = Gauge("sagestream_drift_threshold", "Index from which that column has drifted", ["column"])
DRIFT_REPORTS = Counter("sagestream_drift_reports_total", "Drift reports, by verdict or failed", ["outcome"])
RETRAIN_REQUESTS = Counter("sagestream_retrain_requests_total", "Retrain requests that monitoring made")
PROBATION_RATE = Gauge("sagestream_probation_rate", "Rate of a model in the running probation", ["rate", "model"])
PROBATION_DIFFERENCE = Gauge(
    "sagestream_probation_difference", "Rate of the new champion minus that of the previous one", ["rate", "bound"]
)
PROBATIONS = Counter("sagestream_probations_total", "Probations that have ended, by outcome", ["outcome"])
SAMPLE_RATIO = Gauge(
    "sagestream_experiment_sample_ratio_p",
    "P-value that the shoppers of a running experiment divide as the shares say",
    ["experiment"],
)
ALARMS = Counter("sagestream_alarms_total", "Alarms that have started", ["alarm"])
ALARM = Gauge("sagestream_alarm", "1 while the alarm lasts, else 0", ["alarm"])
ALARM_DELIVERIES = Counter(
    "sagestream_alarm_deliveries_total", "Attempts to post an alarm to the webhook, by outcome", ["outcome"]
)
DASHBOARD_PAGES = Counter(
    "sagestream_dashboard_pages_total", "Pages of the dashboard: written, failed (Redis away) or faulty", ["outcome"]
)
ERRANDS = Counter("sagestream_errands_total", "Errands of the dashboard that ended", ["kind", "outcome"])
PASSES = Counter("sagestream_monitor_passes_total", "Passes of the monitor", ["outcome"])
LAST_PASS = Gauge("sagestream_monitor_last_pass_timestamp_seconds", "When the monitor last measured the loop")
PASS_SECONDS = Gauge("sagestream_monitor_pass_seconds", "How long that pass took, drift report included")

MAX_EXPERIMENTS = 20
"""Running experiments with a series of their own."""
MAX_COLUMNS = 50
"""Columns of a drift report with a series of their own, those that drift most."""


class ComparedRate(Protocol):
    """A rate of two models, as `monitoring.probation.Rate` has it."""

    @property
    def new(self) -> float: ...
    @property
    def previous(self) -> float: ...
    @property
    def difference(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def show_ctr(figures: Iterable[Figure], *, slots: Collection[str]) -> None:
    """Set the CTR gauges to the newest window with a rate, for each segment that has a series. Others disappear.

    `slots` are the configured ones. A segment without an interval has no `low` and no `high`.
    """
    for gauge in (CTR, CTR_LOW, CTR_HIGH, CTR_IMPRESSIONS):
        gauge.clear()  # removes the segments of retired models
    for segment, figure in newest_figures(figures, slots=slots).items():
        for gauge, value in ((CTR, figure.value), (CTR_LOW, figure.low), (CTR_HIGH, figure.high)):
            if value is not None:
                gauge.labels(segment).set(value)
        CTR_IMPRESSIONS.labels(segment).set(figure.detail["impressions"])


def show_probation(rates: Mapping[str, ComparedRate]) -> None:
    """Set the gauges of the running probation. Without one they disappear."""
    PROBATION_RATE.clear()
    PROBATION_DIFFERENCE.clear()
    for name, rate in rates.items():
        PROBATION_RATE.labels(name, "new").set(rate.new)
        PROBATION_RATE.labels(name, "previous").set(rate.previous)
        for bound, value in (("estimate", rate.difference), ("low", rate.low), ("high", rate.high)):
            if value is not None:
                PROBATION_DIFFERENCE.labels(name, bound).set(value)


def show_alarms(names: Iterable[str], *, lasting: Collection[str]) -> None:
    """Set the gauge of each alarm that there is: 1 while it lasts, else 0."""
    for name in names:
        ALARM.labels(name).set(name in lasting)


def show_experiments(sample_ratios: Mapping[str, float]) -> None:
    """Set the gauge of each running experiment, at most `MAX_EXPERIMENTS`, the least likely first.

    Stopped ones disappear.
    """
    SAMPLE_RATIO.clear()
    for name in sorted(sample_ratios, key=lambda name: (sample_ratios[name], name))[:MAX_EXPERIMENTS]:
        SAMPLE_RATIO.labels(name).set(sample_ratios[name])


def show_drift(result: DriftResult) -> None:
    """Replace the values of the drift gauges, and count the report."""
    DRIFT_REPORTS.labels(result.verdict).inc()
    DRIFT_SHARE.clear()
    DRIFT_PSI.clear()
    DRIFT_THRESHOLD.clear()
    if result.share is not None:
        DRIFT_SHARE.labels(result.verdict).set(result.share)
    for column in largest(result.scores, keep=MAX_COLUMNS):
        DRIFT_PSI.labels(column).set(result.scores[column])
        if column in result.thresholds:
            DRIFT_THRESHOLD.labels(column).set(result.thresholds[column])

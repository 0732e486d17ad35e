"""Prometheus metrics: the figures of the monitor, shown on its port.

Arrives: the figures of a pass of `run`. Leaves: gauges in the registry of the process. Next: Prometheus scrapes
`/metrics`.

A rate without impressions and a drift without a verdict are absent, not 0: an alert on a low CTR must not fire in a
shop without traffic.
"""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from monitoring.verdict import DriftResult
from monitoring.windows import Figure

CTR = Gauge("sagestream_ctr", "Click-through rate of the newest window with impressions", ["segment"])
CTR_LOW = Gauge("sagestream_ctr_low", "Lower end of its 95 % interval", ["segment"])
CTR_HIGH = Gauge("sagestream_ctr_high", "Upper end of its 95 % interval", ["segment"])
CTR_IMPRESSIONS = Gauge("sagestream_ctr_impressions", "Impressions in that window", ["segment"])
ATTRIBUTED = Counter("sagestream_attributed_total", "Interactions matched with the list that led to them")
DRIFT_SHARE = Gauge(
    "sagestream_drift_share", "Share of drifted columns in the newest report with a verdict", ["verdict"]
)
DRIFT_PSI = Gauge("sagestream_drift_psi", "Population stability index in that report", ["column"])
DRIFT_REPORTS = Counter("sagestream_drift_reports_total", "Drift reports, by verdict or failed", ["outcome"])
RETRAIN_REQUESTS = Counter("sagestream_retrain_requests_total", "Retrain requests that monitoring made")
PASSES = Counter("sagestream_monitor_passes_total", "Passes of the monitor", ["outcome"])
LAST_PASS = Gauge("sagestream_monitor_last_pass_timestamp_seconds", "When the monitor last measured the loop")
PASS_SECONDS = Gauge("sagestream_monitor_pass_seconds", "How long that pass took, drift report included")


def show_ctr(figures: Iterable[Figure]) -> None:
    """Set the CTR gauges to the newest window with a rate, for each segment. Other segments disappear."""
    newest: dict[str, Figure] = {}
    for figure in figures:
        known = newest.get(figure.segment)
        if figure.value is not None and (known is None or figure.window > known.window):
            newest[figure.segment] = figure
    for gauge in (CTR, CTR_LOW, CTR_HIGH, CTR_IMPRESSIONS):
        gauge.clear()  # removes the segments of retired models
    for segment, figure in newest.items():
        CTR.labels(segment).set(figure.value or 0.0)
        CTR_LOW.labels(segment).set(figure.low or 0.0)
        CTR_HIGH.labels(segment).set(figure.high or 0.0)
        CTR_IMPRESSIONS.labels(segment).set(figure.detail["impressions"])


def show_drift(result: DriftResult) -> None:
    """Replace the values of the drift gauges, and count the report."""
    DRIFT_REPORTS.labels(result.verdict).inc()
    DRIFT_SHARE.clear()
    DRIFT_PSI.clear()
    if result.share is not None:
        DRIFT_SHARE.labels(result.verdict).set(result.share)
    for column, score in result.scores.items():
        DRIFT_PSI.labels(column).set(score)

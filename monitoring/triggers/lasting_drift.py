"""Lasting drift: a drift of the traffic asks for a retrain once, however many reports find it again.

Arrives: the verdict of a drift report. Leaves: a `Reason`, or None. Next: `ask`.

Each report compares the newest traffic with a reference, so one change of the traffic is found by every report until
the reference holds the new traffic, too. Only its first verdict asks. The drift is over when the reports were calm for
a day; the next drift asks again. A report without enough data says neither.
"""

import json
from collections.abc import Iterable

from sqlalchemy import Connection, select

from graphstore.retention import DAY_MS
from graphstore.tables import metric_windows, retrain_requests
from monitoring.drift.verdict import METRIC, DriftResult
from monitoring.triggers.ask import REQUESTED_BY, Reason
from monitoring.triggers.hold import left_out
from monitoring.windows import ALL

CALM_MS = DAY_MS
"""So long nothing but stable verdicts: a score near its threshold goes to and fro."""


def drift_reason(connection: Connection, result: DriftResult | None) -> Reason | None:
    """Return the reason for a retrain in this verdict, or None. Too little data is no reason.

    Neither is a drift of traffic that holds hours of a tracking outage.
    """
    if result is None or result.verdict != "drift":
        return None
    outages = left_out(connection, since=result.current.start, now=result.current.end)
    if any(span.start < result.current.end and result.current.start < span.end for span in outages):
        return None
    asked_at = _asked_at(connection)
    if asked_at is not None and not calm(_verdicts(connection, since=asked_at)):
        return None
    figures = {"share": result.share, "psi": result.scores, "thresholds": result.thresholds, "drifted": result.drifted}
    return Reason(f"drift: {result.reason}", {"drift": figures})


def calm(verdicts: Iterable[tuple[int, str]]) -> bool:
    """Return whether the verdicts (epoch ms, word), oldest first, were stable for long enough, at any time."""
    since: int | None = None
    for time, verdict in verdicts:
        if verdict == "drift":
            since = None
        elif verdict == "stable":
            since = time if since is None else since
            if time - since >= CALM_MS:
                return True
    return False


def _asked_at(connection: Connection) -> int | None:
    """Return when drift was the last time a reason of a request (epoch ms)."""
    rows = connection.execute(
        select(retrain_requests.c.requested_at, retrain_requests.c.figures)
        .where(retrain_requests.c.requested_by == REQUESTED_BY)
        .order_by(retrain_requests.c.requested_at.desc())
    )
    return next((row.requested_at for row in rows if "drift" in json.loads(row.figures)), None)


def _verdicts(connection: Connection, *, since: int) -> Iterable[tuple[int, str]]:
    rows = connection.execute(
        select(metric_windows.c.window_end, metric_windows.c.detail)
        .where(metric_windows.c.metric == METRIC, metric_windows.c.segment == ALL, metric_windows.c.window_end >= since)
        .order_by(metric_windows.c.window_end)
    )
    return ((row.window_end, json.loads(row.detail)["verdict"]) for row in rows)

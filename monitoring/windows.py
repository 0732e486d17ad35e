"""Figures: measured values over time windows, the rows of `metric_windows`.

Arrives: the figures of `ctr` and `drift`. Leaves: one row for each (metric, segment, window); a new measurement
replaces it. Next: `triggers` compares windows, `metrics` exposes the newest, the dashboard draws them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select, text

from graphstore.tables import ID_LENGTH, metric_windows

ALL = "all"
"""The segment of all data together."""


@dataclass(frozen=True, order=True)
class TimeWindow:
    """A time interval, start <= t < end, in epoch ms."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"the window ends at {self.end}, before its start {self.start}")


@dataclass(frozen=True)
class Figure:
    """One measured value with its interval. `value` is None when there was nothing to measure."""

    metric: str
    segment: str
    window: TimeWindow
    value: float | None
    low: float | None = None
    high: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


_UPSERT = text("""
INSERT INTO metric_windows (metric, segment, window_start, window_end, value, low, high, detail)
VALUES (:metric, :segment, :window_start, :window_end, :value, :low, :high, :detail)
ON CONFLICT (metric, segment, window_start, window_end) DO UPDATE
SET value = excluded.value, low = excluded.low, high = excluded.high, detail = excluded.detail
""")


def segment_name(kind: str, value: str) -> str:
    """Return `kind:value`. A name too long for the column is cut and ends in a digest, so that no two are equal."""
    name = f"{kind}:{value}"
    if len(name) <= ID_LENGTH:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[: ID_LENGTH - len(digest) - 1]}~{digest}"


def write_figures(connection: Connection, figures: Iterable[Figure]) -> int:
    """Insert or replace rows and return their number. Sorted, so that two writers lock rows in the same order."""
    rows = [
        {
            "metric": figure.metric,
            "segment": figure.segment,
            "window_start": figure.window.start,
            "window_end": figure.window.end,
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "detail": json.dumps(dict(figure.detail), sort_keys=True),
        }
        for figure in sorted(figures, key=lambda f: (f.metric, f.segment, f.window))
    ]
    if rows:
        connection.execute(_UPSERT, rows)
    return len(rows)


def read_figures(
    connection: Connection, metric: str, *, segment: str | None = ALL, until: int | None = None, limit: int = 1
) -> list[Figure]:
    """Return the newest `limit` windows of a metric that end at or before `until` (epoch ms), newest first.

    `segment` None reads all segments: `limit` then counts rows, not windows.
    """
    query = select(metric_windows).where(metric_windows.c.metric == metric)
    if segment is not None:
        query = query.where(metric_windows.c.segment == segment)
    if until is not None:
        query = query.where(metric_windows.c.window_end <= until)
    newest = query.order_by(
        metric_windows.c.window_end.desc(), metric_windows.c.window_start.desc(), metric_windows.c.segment
    ).limit(limit)
    return [stored_figure(row) for row in connection.execute(newest)]


def stored_figure(row: Row[Any]) -> Figure:
    """Return the figure of a row of `metric_windows`."""
    return Figure(
        metric=row.metric,
        segment=row.segment,
        window=TimeWindow(row.window_start, row.window_end),
        value=row.value,
        low=row.low,
        high=row.high,
        detail=json.loads(row.detail),
    )

"""Hours: the click-through evidence of single hours, as the monitor stored it.

Arrives: the hourly rows of `metric_windows`, metric `ctr`, segment `all`. Leaves: an `Hour` for each row, and the share
of the clicks that has come after so many hours. Next: `level_watch` compares hours, `tracking` looks for outages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text

from graphstore.retention import DAY_MS
from graphstore.tables import EVENT_TYPES, HOUR_MS, metric_windows
from monitoring.counts import METRIC
from monitoring.windows import ALL

HISTORY_DAYS = 182
"""How far back the hours of the reference reach: half a year, so that a small shop has enough of them."""
LATE_DAYS = 28
"""The lists of this time tell how late clicks come."""
LATE_HOURS = 24
"""After this time all clicks of an hour have come: it is the window of a click."""

_LAGS = text(f"""
SELECT event_time / {HOUR_MS} - list_time / {HOUR_MS} AS hours, COUNT(*) AS clicks
FROM attributions
WHERE list_time >= :since AND list_time < :until AND event_type = {EVENT_TYPES.index("click")}
GROUP BY event_time / {HOUR_MS} - list_time / {HOUR_MS}
""")


@dataclass(frozen=True)
class Hour:
    """What was shown and clicked in one clock hour. `start` is epoch ms; the squares and products sum over shoppers."""

    start: int
    impressions: float
    clicks: float
    squares: float
    """Σ x², x is the number of impressions of one shopper."""
    click_squares: float = 0.0
    """Σ y², y is the number of clicks of the same shopper."""
    products: float = 0.0
    """Σ x · y"""
    confirmed: float = 0.0
    """Lists that the shop's page confirmed as shown."""
    served: float = 0.0
    """All lists that were served, also those that were merely fetched."""

    @property
    def end(self) -> int:
        """The end of the hour, epoch ms."""
        return self.start + HOUR_MS


def read_hours(connection: Connection, *, since: int, until: int, segment: str = ALL) -> list[Hour]:
    """Return the stored hours that begin in since <= start < until (epoch ms), oldest first.

    Rows without sums over shoppers, which older versions wrote, are left out.
    """
    query = (
        select(metric_windows.c.window_start, metric_windows.c.detail)
        .where(
            metric_windows.c.metric == METRIC,
            metric_windows.c.segment == segment,
            metric_windows.c.window_start >= since,
            metric_windows.c.window_start < until,
            metric_windows.c.window_end == metric_windows.c.window_start + HOUR_MS,
        )
        .order_by(metric_windows.c.window_start)
    )
    rows = ((start, json.loads(detail)) for start, detail in connection.execute(query))
    return [_hour(start, detail) for start, detail in rows if "cluster" in detail]


def _hour(start: int, detail: Mapping[str, Any]) -> Hour:
    sums = detail["cluster"]
    return Hour(
        start,
        detail["impressions"],
        detail["clicks"],
        sums["xx"],
        sums["yy"],
        sums["xy"],
        confirmed=detail["lists"] - detail["shown_by_event"],
        served=detail["lists"] + detail["fetched"],
    )


def shares_seen(connection: Connection, *, now: int) -> list[float]:
    """Return the share of an hour's clicks that has come when 0, 1, 2, … hours after it are complete.

    The newest hours lack their late clicks. Without this share they would always look like a fall. It comes from the
    delays of the clicks on lists that are a day old at least. Without any such click the share is 1.
    """
    until = now - LATE_HOURS * HOUR_MS
    rows = connection.execute(_LAGS, {"since": until - LATE_DAYS * DAY_MS, "until": until})
    return cumulative({max(int(row.hours), 0): int(row.clicks) for row in rows})


def cumulative(clicks: Mapping[int, int]) -> list[float]:
    """Return the share of the clicks with a delay of at most 0, 1, 2, … hours, from the clicks of each delay."""
    total = sum(clicks.values())
    if not total:
        return [1.0]
    shares, seen = [], 0
    for hours in range(min(max(clicks), LATE_HOURS) + 1):
        seen += clicks.get(hours, 0)
        shares.append(seen / total)
    return shares


def seen_of(shares: Sequence[float], hour: Hour, *, until: int) -> float:
    """Return the share of this hour's clicks that has come when all hours before `until` (epoch ms) are complete."""
    after = (until - hour.end) // HOUR_MS
    return shares[after] if 0 <= after < len(shares) else 1.0

"""CTR: the click-through rate of served lists, with its confidence interval.

Arrives: `impressions` and `attributions`. Leaves: figures in `metric_windows`, metric `ctr`, for all lists together and
for each model version, slot, variant and position. Next: `triggers`, `metrics`, the report and the dashboard.

An impression is one item at one position of one served list. An impression counts as clicked if it has at least one
attributed click, cart or purchase. A second click on it does not count again. A purchase without a click event counts,
because the user came from the list. Views do not count, because shops send them for pages that only show an item.
Ratings do not count. The rate belongs to the window in which the list was served, even if the click comes later.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Row, text

from graphstore.tables import EVENT_TYPES
from monitoring.windows import ALL, Figure, TimeWindow, segment_name, write_figures

METRIC = "ctr"
CLICK_TYPES = tuple(EVENT_TYPES.index(name) for name in ("click", "cart", "purchase"))
OPEN_WINDOWS = 3
"""The number of newest windows that each pass counts again, because of late clicks. It includes the current window."""
LAST_POSITION = 20
"""The last position with its own rate: the first page of a list."""
CONFIDENCE_Z = 1.959964
"""The quantile of the normal distribution for a two-sided 95 % interval."""

_CELLS = text(f"""
SELECT m.event_time / :width AS number, m.model_version, m.slot, m.variant, m.position,
       COUNT(*) AS impressions,
       SUM(CASE WHEN EXISTS (
           SELECT 1 FROM attributions a
           WHERE a.request_id = m.request_id AND a.position = m.position
             AND a.event_type IN ({", ".join(map(str, CLICK_TYPES))})
       ) THEN 1 ELSE 0 END) AS clicks
FROM impressions m
WHERE m.event_time >= :start AND m.event_time < :end
GROUP BY m.event_time / :width, m.model_version, m.slot, m.variant, m.position
""")


@dataclass(frozen=True)
class CtrFigure:
    """Clicks divided by impressions, with the Wilson interval. Without impressions the rate is None, not 0."""

    impressions: int
    clicks: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, impressions: int, clicks: int) -> "CtrFigure":
        """Return the rate of these counts."""
        if impressions == 0:
            return cls(0, 0, None, None, None)
        low, high = wilson_interval(clicks, impressions)
        return cls(impressions, clicks, clicks / impressions, low, high)


def wilson_interval(successes: int, trials: int, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Return the score interval of a proportion: centre (p + z²/2n) / (1 + z²/n).

    Unlike p ± z·sqrt(p(1-p)/n) it stays within 0 and 1, and its width is not 0 when there are 0 clicks. This matters,
    because a CTR is close to 0. Raises `ValueError` unless 0 <= successes <= trials and trials > 0.

    Source: Wilson, JASA 22, 1927.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a proportion")
    p = successes / trials
    shrink = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / shrink
    # The ends are exact at 0 and 1. Rounding must not move them past p.
    low = 0.0 if successes == 0 else min(max(centre - half, 0.0), p)
    high = 1.0 if successes == trials else max(min(centre + half, 1.0), p)
    return low, high


def ctr(connection: Connection, *, start: int, end: int, segment: str | None = None) -> CtrFigure:
    """Return the rate of the lists served in start <= t < end (epoch ms).

    `segment` None means all lists, else `model:…`, `slot:…`, `variant:…` or `position:…`.
    """
    return ctr_by_segment(connection, start=start, end=end).get(segment or ALL, CtrFigure.of(0, 0))


def ctr_by_segment(
    connection: Connection, *, start: int, end: int, last_position: int | None = None
) -> dict[str, CtrFigure]:
    """Return the rate of each segment with impressions in the window, and always the rate of `all`.

    The segments `position:…` are the position curve, up to `last_position` (None: all positions).
    """
    windows = _by_window(connection, TimeWindow(start, end), max(end - start, 1), last_position)
    total: dict[str, tuple[int, int]] = {ALL: (0, 0)}
    for segments in windows.values():  # two windows, if the start is not a multiple of the width
        for segment, (impressions, clicks) in segments.items():
            before = total.get(segment, (0, 0))
            total[segment] = (before[0] + impressions, before[1] + clicks)
    return {segment: CtrFigure.of(*counts) for segment, counts in total.items()}


def write_ctr_windows(
    connection: Connection,
    *,
    now: int,
    window_seconds: int,
    open_windows: int = OPEN_WINDOWS,
    last_position: int = LAST_POSITION,
) -> list[Figure]:
    """Measure the newest windows again and store them; return the figures, oldest window first.

    Windows begin at multiples of their length since the epoch. The newest window contains `now` (epoch ms) and is not
    complete yet. The `open_windows` newest windows are counted again in each pass; older windows do not change. The
    caller owns the transaction.
    """
    width = window_seconds * 1000
    newest = now // width
    span = TimeWindow((newest - open_windows + 1) * width, (newest + 1) * width)
    counted = _by_window(connection, span, width, last_position)
    figures = []
    for number in range(span.start // width, span.end // width):
        segments = {ALL: (0, 0)} | counted.get(number, {})
        for segment, (impressions, clicks) in sorted(segments.items()):
            rate = CtrFigure.of(impressions, clicks)
            window = TimeWindow(number * width, (number + 1) * width)
            detail = {"impressions": impressions, "clicks": clicks}
            figures.append(Figure(METRIC, segment, window, rate.value, rate.low, rate.high, detail))
    write_figures(connection, figures)
    return figures


def _by_window(
    connection: Connection, span: TimeWindow, width: int, last_position: int | None
) -> dict[int, dict[str, tuple[int, int]]]:
    """Return (impressions, clicks) by window number (time // width) and segment, from one query over the span."""
    cells = connection.execute(_CELLS, {"start": span.start, "end": span.end, "width": width})
    counted: dict[int, dict[str, tuple[int, int]]] = {}
    for cell in cells:
        segments = counted.setdefault(int(cell.number), {})
        for segment in _segments(cell, last_position):
            impressions, clicks = segments.get(segment, (0, 0))
            segments[segment] = (impressions + int(cell.impressions), clicks + int(cell.clicks))
    return counted


def _segments(cell: Row[tuple[object, ...]], last_position: int | None) -> Iterator[str]:
    yield ALL
    yield segment_name("model", cell.model_version)
    yield segment_name("slot", cell.slot)
    yield segment_name("variant", cell.variant)
    if last_position is None or cell.position <= last_position:
        yield segment_name("position", str(cell.position))

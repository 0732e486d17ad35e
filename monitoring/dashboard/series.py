"""Series: the stored windows of click-through and sales, as counts, in the order of time.

Arrives: rows of `metric_windows`, metric `ctr`. Leaves: `Stored` windows by segment, and counts of several windows
together. Next: the pages. No impression is read here, so a page costs the same in a large shop as in a small one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, text

from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS
from monitoring.counts import METRIC, Counts
from monitoring.intervals import Rate
from monitoring.windows import ALL, TimeWindow

HOUR, DAY = HOUR_MS, DAY_MS
"""The two widths of stored windows, ms."""

SEGMENTS_AT_ONCE = 500

_decode = msgspec.json.Decoder(dict[str, Any]).decode

_WINDOWS = text("""
SELECT segment, window_start, window_end, value, low, high, detail FROM metric_windows
WHERE metric = :metric AND segment IN :segments AND window_start >= :since AND window_start < :until
  AND window_end - window_start = :width
ORDER BY segment, window_start
""").bindparams(bindparam("segments", expanding=True))

# A loose index scan: one step for each segment, however many windows each has.
_SEGMENTS = text("""
WITH RECURSIVE found(segment) AS (
    SELECT MIN(segment) FROM metric_windows WHERE metric = :metric
    UNION ALL
    SELECT (SELECT MIN(segment) FROM metric_windows WHERE metric = :metric AND segment > found.segment)
    FROM found WHERE found.segment IS NOT NULL
)
SELECT segment FROM found WHERE segment IS NOT NULL
""")


@dataclass(frozen=True)
class Stored:
    """One stored window: its counts, and the click-through rate with its interval."""

    window: TimeWindow
    ctr: Rate
    counts: Counts


def read_series(connection: Connection, *, width: int, since: int, until: int, segment: str = ALL) -> list[Stored]:
    """Return the windows of one segment that begin in since <= t < until (epoch ms), oldest first."""
    return read_segments(connection, [segment], width=width, since=since, until=until).get(segment, [])


def read_segments(
    connection: Connection, segments: Collection[str], *, width: int, since: int, until: int
) -> dict[str, list[Stored]]:
    """Return the windows of each segment that has any, as `read_series`. Windows of an older version are left out."""
    found: dict[str, list[Stored]] = {}
    names = sorted(segments)
    for start in range(0, len(names), SEGMENTS_AT_ONCE):
        values = {"metric": METRIC, "segments": names[start : start + SEGMENTS_AT_ONCE], "width": width}
        for row in connection.execute(_WINDOWS, values | {"since": since, "until": until}):
            stored = _stored(row)
            if stored is not None:
                found.setdefault(row.segment, []).append(stored)
    return found


def segment_names(connection: Connection) -> list[str]:
    """Return every segment that has a stored window, such as `slot:home`."""
    return list(connection.scalars(_SEGMENTS, {"metric": METRIC}))


def values_of(kind: str, segments: Iterable[str]) -> dict[str, str]:
    """Return the value of each segment of this kind: `slot:home` becomes `home`."""
    return {name: name.removeprefix(f"{kind}:") for name in segments if name.startswith(f"{kind}:")}


def pooled(windows: Iterable[Stored]) -> Counts:
    """Return the counts of several windows together.

    A shopper counts once in each window: viewers become shopper-hours or shopper-days, and intervals take these as
    independent. They are a little too narrow where the same shoppers come back.
    """
    sums: dict[str, Any] = {}
    for stored in windows:
        for name in Counts.__dataclass_fields__:
            value = getattr(stored.counts, name)
            known = sums.get(name)
            if isinstance(value, Mapping):
                known = {} if known is None else known
                sums[name] = {**known, **{key: known.get(key, 0) + part for key, part in value.items()}}
            else:
                sums[name] = (known or 0) + value
    return Counts(**sums)


def span_of(windows: Sequence[Stored], *, now: int) -> TimeWindow | None:
    """Return the time from the first to the last window, at most until now (epoch ms); None without any window."""
    if not windows:
        return None
    start = windows[0].window.start
    return TimeWindow(start, max(min(windows[-1].window.end, now), start))


def _stored(row: Row[Any]) -> Stored | None:
    try:
        counts = Counts.of_detail(_decode(row.detail))
    except KeyError:  # counted by an older version, and not counted again yet
        return None
    rate = Rate(row.value, row.low, row.high, counts.impressions)
    return Stored(TimeWindow(row.window_start, row.window_end), rate, counts)

"""Lists: what shoppers were shown and whether they clicked, for the drift test and for Evidently's ranking report.

Arrives: `impressions`, `seen_items`, `attributions`. Leaves: `Lists`, their columns, and the items of some lists. Next:
`judgement` and `evidently_report`.

A list is clicked if it has an attributed click, cart or purchase within its own day. Without that bound the lists of
the current window, which lacks its late clicks, would always look worse than older ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, bindparam, select, text

from graphstore.arrays import Float64Array
from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS, metric_windows
from monitoring.counts import METRIC
from monitoring.drift.columns import Column
from monitoring.drift.references import Reference
from monitoring.drift.traffic import READ_ROWS, Observed, is_sampled
from monitoring.shown import CLICK_TYPES
from monitoring.windows import ALL, TimeWindow

SAMPLE_LISTS = 100_000
RANKED_LISTS = 500
"""Lists of each side in the ranking report. Its metrics are means over lists, and 500 are read in a fraction of a
second."""
CHUNK = 400

_CLICK_TYPES = ", ".join(map(str, CLICK_TYPES))
_SHOWN = """
FROM impressions m
WHERE m.event_time >= :start AND m.event_time < :end AND m.position = 0 AND NOT m.robot
  AND (m.confirmed OR EXISTS (SELECT 1 FROM seen_items s WHERE s.request_id = m.request_id))
"""
_COUNT = text(f"SELECT COUNT(*) {_SHOWN}")
_LISTS = text(f"""
SELECT m.request_id, m.user_id, m.event_time, m.score,
       (SELECT MIN(a.event_time) FROM attributions a
        WHERE a.request_id = m.request_id AND a.event_type IN ({_CLICK_TYPES})) AS clicked_at
{_SHOWN}
""")
_ITEMS = text(f"""
SELECT m.request_id, m.item_id, m.score,
       (SELECT MIN(a.event_time) FROM attributions a
        WHERE a.request_id = m.request_id AND a.position = m.position
          AND a.event_type IN ({_CLICK_TYPES})) AS clicked_at
FROM impressions m WHERE m.request_id IN :lists ORDER BY m.request_id, m.position
""").bindparams(bindparam("lists", expanding=True))


@dataclass(frozen=True, kw_only=True)
class Lists(Observed):
    """Served lists. `scores` are those of the first item, `clicked` is 1 or 0."""

    request_ids: list[str]
    scores: Float64Array
    clicked: Float64Array


class Ranked(NamedTuple):
    """An item of a served list. `clicked` is 1 or 0."""

    request_id: str
    item_id: str
    score: float
    clicked: int


def read_lists(
    connection: Connection, reference: Reference, current: TimeWindow, *, sample_lists: int = SAMPLE_LISTS
) -> Lists:
    """Return about `sample_lists` lists of the reference's windows and of the current window, or all of them."""
    spans = (reference.span, current)
    total = sum(int(connection.scalar(_COUNT, _bounds(span)) or 0) for span in spans)
    share = min(1.0, sample_lists / max(total, 1))
    rows: list[tuple[Any, ...]] = []
    sizes = []
    for span in spans:
        before = len(rows)
        executed = connection.execute(_LISTS, _bounds(span), execution_options={"yield_per": READ_ROWS})
        rows += sorted((tuple(row) for row in executed if share == 1 or is_sampled(row[0], share)), key=lambda r: r[2])
        sizes.append(len(rows) - before)
    people = {name: number for number, name in enumerate({row[1] for row in rows})}
    times = np.array([row[2] for row in rows], dtype=np.int64)
    ends = current.end + ((times - current.end) // DAY_MS + 1) * DAY_MS
    clicked_at = np.array([np.inf if row[4] is None else row[4] for row in rows], dtype=np.float64)
    return Lists(
        times=times,
        shoppers=np.array([people[row[1]] for row in rows], dtype=np.int64),
        first_current=sizes[0],
        end=current.end,
        share=share,
        request_ids=[row[0] for row in rows],
        scores=np.array([row[3] for row in rows], dtype=np.float64),
        clicked=(clicked_at < ends).astype(np.float64),
    )


def list_columns(lists: Lists) -> list[Column]:
    """Return the columns of the lists. The scores are no column: each model has a scale of its own."""
    return [Column("list_clicked", lists.clicked, ("no", "yes"), falls=True)]


def read_ranked(connection: Connection, lists: Lists, rows: slice, *, limit: int = RANKED_LISTS) -> list[Ranked]:
    """Return the items of at most `limit` of these lists. They are chosen by the hash of their id."""
    ids = lists.request_ids[rows]
    ends = dict(zip(ids, (lists.end + (lists.days[rows] + 1) * DAY_MS).tolist(), strict=True))
    share = limit / max(len(ids), 1)
    chosen = [name for name in ids if is_sampled(name, share)][:limit] if share < 1 else ids
    found = []
    for first in range(0, len(chosen), CHUNK):
        for row in connection.execute(_ITEMS, {"lists": chosen[first : first + CHUNK]}):
            clicked = row[3] is not None and row[3] < ends[row[0]]
            found.append(Ranked(row[0], row[1], float(row[2]), int(clicked)))
    return found


def stored_rate(connection: Connection, windows: Sequence[TimeWindow]) -> float | None:
    """Return the click-through rate of the whole hours inside these windows, from `metric_windows`. None: no hour.

    The hours are counted already, and a count of four more days would take longer than all the rest of a report.
    """
    shown = clicks = 0
    for window in windows:
        query = select(metric_windows.c.detail).where(
            metric_windows.c.metric == METRIC,
            metric_windows.c.segment == ALL,
            metric_windows.c.window_start >= window.start,
            metric_windows.c.window_end <= window.end,
            metric_windows.c.window_end - metric_windows.c.window_start == HOUR_MS,
        )
        for (detail,) in connection.execute(query):
            counted = json.loads(detail)
            shown, clicks = shown + counted["impressions"], clicks + counted["clicks"]
    return clicks / shown if shown else None


def _bounds(span: TimeWindow) -> dict[str, int]:
    return {"start": span.start, "end": span.end}

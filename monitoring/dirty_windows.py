"""Dirty windows: count again the hours and days whose lists, clicks or shoppers have changed.

Arrives: marks in `dirty_windows`, from `monitoring.attribution` and from erasures. Leaves: the figures of
`monitoring.counts` in `metric_windows`, so that what is stored equals a recount of the rows. Next: `triggers`,
`metrics` and the dashboard read them.

A window is counted in a read transaction. Then a short write transaction replaces its rows, and takes the mark away
unless it was made again meanwhile. A counted hour marks its day. Counting a day takes longer and changes little with
each pass, so a day is counted every ten minutes at most, and once more when it is over.

Hours of which retention has deleted lists are not counted again: their figures stay as they were (`LISTS_HORIZON`).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, func, select

from graphstore.dirty import mark_windows
from graphstore.retention import DAY_MS
from graphstore.session import read, write
from graphstore.state import get_states
from graphstore.tables import HOUR_MS, LISTS_HORIZON, dirty_windows, metric_windows
from monitoring.counts import METRIC, recount
from monitoring.windows import Figure, TimeWindow, stored_figure, write_figures

NEWEST_HOURS = 3
"""The hours that the gauges look at: the newest one with a rate is shown."""
DAY_PAUSE_MS = 600_000
"""The shortest time between two counts of the same day."""


@dataclass
class Recounting:
    """What one monitor remembers from pass to pass. Nothing is lost with it: the marks are in the database."""

    below: float = math.inf
    """The pass before had no time for older hours than this (epoch ms)."""
    days: dict[int, int] = field(default_factory=dict)
    """When each day was counted last, by its start (epoch ms)."""


def recount_dirty(
    engine: Engine,
    *,
    now: int,
    memory: Recounting | None = None,
    budget_seconds: float = math.inf,
    timer: Callable[[], float] = time.monotonic,
) -> int:
    """Count dirty windows again at `now` (epoch ms) until the time is over; return how many.

    The newest hour is always the first, because people and triggers look at it. The hours before it follow, from where
    the pass before has stopped. Then the days. `budget_seconds` holds for hours and for days each; at least one of each
    is counted.
    """
    memory = Recounting() if memory is None else memory
    with read(engine) as connection:
        horizon = get_states(connection).get(LISTS_HORIZON, 0)
    _drop_old(engine, horizon)
    dirty = sorted(_dirty(engine, HOUR_MS), reverse=True)
    behind = [window for window in dirty[1:] if window.start < memory.below]
    hours = [*dirty[:1], *behind, *(window for window in dirty[1:] if window.start >= memory.below)]
    counted = _count_each(engine, hours, budget_seconds, timer)
    memory.below = hours[counted - 1].start if counted < len(hours) else math.inf
    due = [window for window in sorted(_dirty(engine, DAY_MS), reverse=True) if _due(window, memory, now)]
    days = _count_each(engine, due, budget_seconds, timer)
    memory.days |= {window.start: now for window in due[:days]}
    return counted + days


def count_dirty_windows(connection: Connection) -> int:
    """Return how many hours and days wait to be counted again."""
    return connection.scalar(select(func.count()).select_from(dirty_windows)) or 0


def newest_hours(connection: Connection, *, now: int, hours: int = NEWEST_HOURS) -> list[Figure]:
    """Return the stored figures of the hour of `now` (epoch ms) and the hours before it, `hours` in all."""
    first = (now // HOUR_MS - hours + 1) * HOUR_MS
    query = select(metric_windows).where(
        metric_windows.c.metric == METRIC,
        metric_windows.c.window_start >= first,
        metric_windows.c.window_end == metric_windows.c.window_start + HOUR_MS,
    )
    return [stored_figure(row) for row in connection.execute(query.order_by(metric_windows.c.window_start))]


def _dirty(engine: Engine, width: int) -> list[TimeWindow]:
    with read(engine) as connection:
        rows = connection.execute(select(dirty_windows.c.window_start, dirty_windows.c.window_end)).all()
    return [TimeWindow(int(start), int(end)) for start, end in rows if end - start == width]


def _drop_old(engine: Engine, horizon: int) -> None:
    old = dirty_windows.c.window_start < horizon
    with read(engine) as connection:
        found = connection.scalar(select(func.count()).select_from(dirty_windows).where(old))
    if found:
        with write(engine) as connection:
            connection.execute(delete(dirty_windows).where(old))


def _due(day: TimeWindow, memory: Recounting, now: int) -> bool:
    last = memory.days.get(day.start)
    return last is None or now - last >= DAY_PAUSE_MS or last < day.end <= now


def _count_each(engine: Engine, windows: list[TimeWindow], budget_seconds: float, timer: Callable[[], float]) -> int:
    began = timer()
    for number, window in enumerate(windows):
        if number and timer() - began >= budget_seconds:
            return number
        _count(engine, window)
    return len(windows)


def _count(engine: Engine, window: TimeWindow) -> None:
    """Count one window and store its figures, unless its mark is gone: then another monitor was faster."""
    mark = dirty_windows.c.window_start == window.start, dirty_windows.c.window_end == window.end
    generation = select(dirty_windows.c.generation).where(*mark)
    with read(engine) as connection:
        seen = connection.scalar(generation)
        figures = recount(connection, [window])
    with write(engine) as connection:
        present = connection.scalar(generation.with_for_update())
        if present is None or seen is None:
            return
        connection.execute(
            delete(metric_windows).where(
                metric_windows.c.metric == METRIC,
                metric_windows.c.window_start == window.start,
                metric_windows.c.window_end == window.end,
            )
        )
        write_figures(connection, figures)
        if window.end - window.start == HOUR_MS:
            day = window.start // DAY_MS * DAY_MS
            mark_windows(connection, [(day, day + DAY_MS)])
        if present == seen:
            connection.execute(delete(dirty_windows).where(*mark))

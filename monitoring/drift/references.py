"""References: which windows of the past the current window is compared with.

Arrives: the time of the newest event, the champion's snapshot. Leaves: one or two `Reference`. Next: `traffic` reads
their events.

A reference is a row of windows, each as long as the current one, a day apart, which begin and end at the same time of
day. The current window is compared with the same days of the week only. All windows together show how much the days of
a quiet shop differ (`resampling`).

- `trailing`: the windows directly before the current one. It finds what is new this week.
- `training`: the windows directly before the champion's snapshot. It finds what has changed since the champion learned.
"""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, select

from graphstore.retention import DAY_MS
from graphstore.tables import interactions, models, snapshots
from monitoring.windows import TimeWindow
from training.lifecycle.registry import CHAMPION

WEEK_DAYS = 7

ReferenceName = Literal["trailing", "training"]


@dataclass(frozen=True)
class Reference:
    """The windows of a reference, oldest first, a day apart. `shift_days` is from the newest to the current window."""

    name: ReferenceName
    windows: tuple[TimeWindow, ...]
    shift_days: int

    @property
    def span(self) -> TimeWindow:
        """The time from the first window's start to the last window's end."""
        return TimeWindow(self.windows[0].start, self.windows[-1].end)

    def days_before(self, index: int) -> int:
        """Return how many days before the current window this window lies."""
        return self.shift_days + len(self.windows) - 1 - index

    def same_weekdays(self) -> tuple[int, ...]:
        """Return the windows that lie whole weeks before the current window."""
        return tuple(k for k in range(len(self.windows)) if self.days_before(k) % WEEK_DAYS == 0)


@dataclass(frozen=True)
class Comparison:
    """The current window and its references: `trailing`, and `training` where it is another one."""

    current: TimeWindow
    references: tuple[Reference, ...]


def plan_comparison(
    connection: Connection, *, now: int, window_seconds: int, reference_seconds: int
) -> Comparison | None:
    """Return what is compared at `now` (epoch ms), or None if there is no event yet.

    The current window ends with the newest event at or before `now`, not at `now`. So it holds the newest traffic also
    in a quiet night, or when old history is replayed.
    """
    newest = connection.scalar(select(func.max(interactions.c.event_time)).where(interactions.c.event_time <= now))
    if newest is None:
        return None
    champion = select(snapshots.c.as_of).join(models, models.c.snapshot_id == snapshots.c.snapshot_id)
    trained = connection.scalar(champion.where(models.c.status == CHAMPION))
    return comparison(int(newest) + 1, window_seconds, reference_seconds, trained_at=trained)


def comparison(end: int, window_seconds: int, reference_seconds: int, *, trained_at: int | None) -> Comparison:
    """Return the comparison of the window that ends at `end` (epoch ms) with a champion of `trained_at`, if any."""
    current = TimeWindow(end - window_seconds * 1000, end)
    days = max(WEEK_DAYS, round(reference_seconds * 1000 / DAY_MS))
    # A window longer than a day overlaps its neighbour: the newest window of a reference still ends before `current`.
    nearest = -(-(window_seconds * 1000) // DAY_MS)
    trailing = _reference("trailing", current, nearest, days)
    found = [trailing]
    if trained_at is not None:
        shift = max(nearest, -(-(end - trained_at) // DAY_MS))
        # Within a week the same days of the week are those of the trailing reference.
        if shift > WEEK_DAYS:
            found.append(_reference("training", current, shift, days))
    return Comparison(current, tuple(found))


def _reference(name: ReferenceName, current: TimeWindow, shift_days: int, days: int) -> Reference:
    shifts = [(shift_days + k) * DAY_MS for k in reversed(range(days))]
    return Reference(name, tuple(TimeWindow(current.start - s, current.end - s) for s in shifts), shift_days)

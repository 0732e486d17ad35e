"""Fall: whether the click-through rate has fallen for good, as a reason for a retrain.

Arrives: the stored hours. Leaves: a `Reason`, or None. Next: `ask`.

The answer is a pure function of the rows, so each pass may ask again. It changes when another hour is complete. One
fall asks once: after a request of the monitor, the watch begins again with any level, so a level that stays low is the
new normal, and only a further fall asks again. It begins again, too, with the first promotion after such a request and
with a rollback, because they change the level on purpose. Other promotions do not: a shop that gets an update every
hour would never be watched for longer than an hour.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import log

from sqlalchemy import Connection, select

from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS, promotions, retrain_requests
from monitoring.triggers.ask import REQUESTED_BY, Reason
from monitoring.triggers.hold import left_out
from monitoring.triggers.hours import HISTORY_DAYS, Hour, read_hours, seen_of, shares_seen
from monitoring.triggers.level_watch import Evidence, LevelWatch, correlation, working_rate
from monitoring.windows import TimeWindow
from training.lifecycle.promotions import ROLLBACK

FALSE_ALARM_HOURS = 2160
"""Without a fall there is at most one request in so many hours on average: 90 days."""
SETTLE_MS = 300_000
"""An hour is judged this long after its end: clicks take a moment from the shop to the table."""


@dataclass(frozen=True)
class Course:
    """What a watch needs to know beside the hours."""

    restarts: Sequence[int] = ()
    """Times (epoch ms) after which any level is new."""
    left_out: Sequence[TimeWindow] = ()
    """Hours in these spans are no evidence."""
    shares: Sequence[float] = (1.0,)
    """The share of an hour's clicks that has come after 0, 1, 2, … hours."""
    until: int = 0
    """The end of the newest complete hour, epoch ms."""


def watched(hours: Sequence[Hour], course: Course) -> Evidence:
    """Return the evidence of a fall after these hours, oldest first. Hours after `course.until` are not complete."""
    counted = [
        hour
        for hour in hours
        if hour.impressions > 0
        and hour.end <= course.until
        and not any(span.start < hour.end and hour.start < span.end for span in course.left_out)
    ]
    rate = working_rate(counted)
    if not 0 < rate < 1:
        return Evidence()
    watch, restarts, begun = LevelWatch(rate, correlation(counted)), sorted(course.restarts), 0
    for hour in counted:
        # The hour in which something changed belongs to what comes after it.
        passed = bisect_left(restarts, hour.end)
        if passed > begun:
            watch.restart()
            begun = passed
        watch.add(hour, seen=seen_of(course.shares, hour, until=course.until))
    # After a restart that no hour has followed, there is no evidence yet.
    return Evidence() if any(restart >= counted[-1].end for restart in restarts) else watch.evidence()


def fallen(evidence: Evidence) -> bool:
    """Return whether the evidence is enough for a request."""
    return evidence.log_e_value >= log(FALSE_ALARM_HOURS)


def ctr_reason(connection: Connection, *, now: int) -> Reason | None:
    """Return the reason for a retrain in the click-through rate, or None. `now` is epoch ms."""
    until = complete_until(now)
    since = until - HISTORY_DAYS * DAY_MS
    hours = read_hours(connection, since=since, until=until)
    course = Course(
        restarts=_restarts(connection, since=since),
        left_out=left_out(connection, since=since, now=now),
        shares=shares_seen(connection, now=now),
        until=until,
    )
    evidence = watched(hours, course)
    if not fallen(evidence):
        return None
    fresh = [hour for hour in hours if hour.start >= evidence.since]
    rate, shown = working_rate(fresh), sum(hour.impressions for hour in fresh)
    begun = datetime.fromtimestamp(evidence.since / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Reason(
        f"ctr: {rate:.4f} of {shown:,.0f} impressions since {begun}, a fall by {evidence.fall:.0%} against the same "
        "hours of the week before",
        {"ctr": asdict(evidence) | {"rate": rate, "impressions": shown}},
    )


class FallJudge:
    """Asks `ctr_reason` once for each complete hour, restart and outage, because nothing else changes its answer much.

    A pass comes every few seconds, and half a year of hours costs some tenths of a second.
    """

    def __init__(self) -> None:
        self._known: tuple[object, ...] | None = None
        self._reason: Reason | None = None

    def reason(self, connection: Connection, *, now: int) -> Reason | None:
        """Return what `ctr_reason` says."""
        until = complete_until(now)
        since = until - HISTORY_DAYS * DAY_MS
        outages = left_out(connection, since=since, now=until)
        key = (until, max(_restarts(connection, since=since), default=0), *outages)
        if key != self._known:
            self._reason, self._known = ctr_reason(connection, now=now), key
        return self._reason


def complete_until(now: int) -> int:
    """Return the end of the newest hour that is complete at `now` (epoch ms)."""
    return (now - SETTLE_MS) // HOUR_MS * HOUR_MS


def _restarts(connection: Connection, *, since: int) -> list[int]:
    asked = connection.scalars(
        select(retrain_requests.c.requested_at).where(
            retrain_requests.c.requested_by == REQUESTED_BY, retrain_requests.c.requested_at >= since
        )
    ).all()
    changes = connection.execute(select(promotions.c.at, promotions.c.action).where(promotions.c.at >= since)).all()
    back = [change.at for change in changes if change.action == ROLLBACK]
    return sorted({*asked, *back, *_answers(asked, sorted(change.at for change in changes))})


def _answers(asked: Iterable[int], changes: Sequence[int]) -> list[int]:
    """Return the first change of the champion after each request."""
    places = (bisect_left(changes, time) for time in asked)
    return [changes[place] for place in places if place < len(changes)]

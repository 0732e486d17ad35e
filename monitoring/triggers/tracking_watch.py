"""Tracking watch: looks for a tracking outage at each pass, and says when it is over.

Arrives: the stored hours and the events of each hour. Leaves: what the alarm `tracking_outage` shall be. Next:
`monitoring.alarms.lasting` starts and ends it; `hold` keeps triggers and probations still meanwhile.
"""

from dataclasses import asdict

from sqlalchemy import Connection, text

from graphstore.retention import DAY_MS
from graphstore.tables import COUNT_COLUMNS, HOUR_MS
from monitoring.alarms.conditions import TRACKING_OUTAGE
from monitoring.alarms.lasting import Found, lasting
from monitoring.triggers.hold import left_out
from monitoring.triggers.hours import Hour, read_hours, shares_seen
from monitoring.triggers.level_watch import correlation, working_rate
from monitoring.triggers.tracking import LEAST_ALIVE, WEEKS, Finding, Past, Recent, alive, judge, recent_hours
from monitoring.windows import TimeWindow, segment_name
from serving.routing import PREVIOUS_VARIANT
from training.lifecycle.promotions import running_probation

CONFIRM_MS = 300_000
"""A silence must be seen for so long: after a downtime the monitor needs some passes to count what has come."""
RECENT_HOURS = 72
"""A small shop needs many hours until a silence is certain."""
CHANGING_HOURS = 26
"""Older hours change seldom, so they are read once an hour: weeks of them at each pass would be many."""
KNOWN_CLICKS = 50
"""With fewer clicks in the past, their rate is not known."""
_SETTLED_HOURS = 2

_EVENTS = text(f"""
SELECT hour, SUM({" + ".join(COUNT_COLUMNS)}) AS events FROM item_buckets WHERE hour >= :since AND hour < :until GROUP
BY hour
""")


class TrackingWatch:
    """Remembers since when a silence is seen, and the events of older hours. One for each monitor."""

    def __init__(self) -> None:
        self._seen_since: int | None = None
        self._shares: tuple[int, list[float]] = (-1, [1.0])
        self._hours: tuple[int, dict[int, Hour]] = (-1, {})
        self._events: dict[int, float] = {}
        self._events_until = 0
        self.suspected = False
        """Whether something seems to vanish, so that nothing shall be asked now."""

    def look(self, connection: Connection, *, now: int) -> Found | None:
        """Return the outage that lasts at `now` (epoch ms), or None."""
        recent = self._recent(connection, now=now)
        known = lasting(connection).get(TRACKING_OUTAGE)
        if known is not None:
            figures = known.figures
            self._seen_since, self.suspected = None, True
            over = alive(recent, figures.get("vanished", []), since=int(figures.get("since", known.started_at)))
            return None if over else Found(known.text, figures)
        finding = judge(recent)
        if "clicks" in finding.suspected and self._others_click(connection, finding, now=now):
            finding = _without_clicks(finding)
        self.suspected = bool(finding.suspected)
        if not finding.vanished:
            self._seen_since = None
            return None
        self._seen_since = now if self._seen_since is None else self._seen_since
        if now - self._seen_since < CONFIRM_MS:
            return None
        figures = {
            "since": finding.since,
            "vanished": list(finding.vanished),
            "counts": {kind: asdict(finding.counts[kind]) for kind in finding.vanished},
        }
        return Found(finding.text, figures)

    def _recent(self, connection: Connection, *, now: int) -> list[Recent]:
        since = now // HOUR_MS * HOUR_MS - (WEEKS * 7 + 1) * DAY_MS
        hours = self._read_hours(connection, since=since, now=now)
        spans = left_out(connection, since=since, now=now)
        sound = [hour for hour in hours.values() if not _within(spans, hour.start) and hour.end <= now]
        enough = sum(hour.clicks for hour in sound) >= KNOWN_CLICKS
        past = Past(
            hours,
            self._count_events(connection, since=since, now=now),
            spans,
            working_rate(sound) if enough else 0.0,
            _design_effect(sound),
        )
        return recent_hours(past, now=now, shares=self._shares_seen(connection, now=now), hours=RECENT_HOURS)

    def _read_hours(self, connection: Connection, *, since: int, now: int) -> dict[int, Hour]:
        number, hours = self._hours
        again = since if number != now // HOUR_MS else now - CHANGING_HOURS * HOUR_MS
        kept = {start: hour for start, hour in hours.items() if start < again and number == now // HOUR_MS}
        hours = kept | {hour.start: hour for hour in read_hours(connection, since=again, until=now)}
        self._hours = (now // HOUR_MS, hours)
        return hours

    def _shares_seen(self, connection: Connection, *, now: int) -> list[float]:
        """The delays of clicks change slowly: they are counted once an hour."""
        if self._shares[0] != now // HOUR_MS:
            self._shares = (now // HOUR_MS, shares_seen(connection, now=now))
        return self._shares[1]

    def _count_events(self, connection: Connection, *, since: int, now: int) -> dict[int, float]:
        """Return the events of each hour. Older hours are counted once: weeks of them are many rows."""
        first = max(self._events_until, since)
        rows = connection.execute(_EVENTS, {"since": first // HOUR_MS, "until": now // HOUR_MS + 1})
        self._events = {start: events for start, events in self._events.items() if since <= start < first}
        self._events |= {int(row.hour) * HOUR_MS: float(row.events) for row in rows}
        self._events_until = (now // HOUR_MS - _SETTLED_HOURS) * HOUR_MS
        return self._events

    def _others_click(self, connection: Connection, finding: Finding, *, now: int) -> bool:
        """Return whether those who keep the previous champion still click: then the new one is bad, not tracking."""
        if running_probation(connection) is None:
            return False
        segment = segment_name("variant", PREVIOUS_VARIANT)
        hours = read_hours(connection, since=finding.since or now - DAY_MS, until=now, segment=segment)
        count = finding.counts["clicks"]
        shown = sum(hour.impressions for hour in read_hours(connection, since=finding.since or now - DAY_MS, until=now))
        expected = count.expected * sum(hour.impressions for hour in hours) / max(shown, 1.0)
        return sum(hour.clicks for hour in hours) >= max(LEAST_ALIVE, expected / 2)


def _without_clicks(finding: Finding) -> Finding:
    return Finding(
        tuple(kind for kind in finding.vanished if kind != "clicks"),
        tuple(kind for kind in finding.suspected if kind != "clicks"),
        finding.since,
        finding.counts,
    )


def _within(spans: list[TimeWindow], time: int) -> bool:
    return any(span.start <= time < span.end for span in spans)


def _design_effect(hours: list[Hour]) -> float:
    """Return how many clicks count as one independent click."""
    impressions = sum(hour.impressions for hour in hours)
    if not impressions:
        return 1.0
    return 1 + correlation(hours) * (sum(hour.squares for hour in hours) / impressions - 1)

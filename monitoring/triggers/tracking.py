"""Tracking: finds out that the shop's tracking is broken, by traffic that vanishes, not by a rate that falls.

Arrives: the counts of the newest hours, and what the same hours of the week had at least. Leaves: a `Finding`. Next:
`tracking_watch` makes it an alarm.

Four counts are watched: clicks for what is shown, lists that the page confirms, lists that are served, and all events
together. A count has vanished when 5 % or less of what must be expected has come, over a time in which even a slow hour
would have shown some. A rate that falls to a half or a third is another thing: shoppers may have lost their interest,
and that asks for a retrain. So a champion that nobody clicks on could look like an outage, too; but the shoppers who
keep the previous champion then still click, and it is none.

Expected are at least: as many as in the poorest of the same hours of the last four weeks; with one such week half of
it; before that, half of the poorest of the same hours of the last days. A count that has no past is not judged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS
from monitoring.triggers.hours import Hour
from monitoring.windows import TimeWindow

Kind = Literal["clicks", "confirmed lists", "served lists", "events"]

VANISHED = 0.05
"""The share of the expected count below which it has vanished. More than a robot that is not known as one."""
ALIVE = 0.3
"""The share from which it is there again."""
CERTAIN = 12.0
"""So many independent clicks, lists or shoppers must be expected: without a fault, none of them comes with e⁻¹²."""
SUSPECTED = 6.0
"""From here nothing is asked, although it is no alarm yet."""
LEAST_ALIVE = 3.0
"""So much of what is expected tells that a count is there again."""
LEAST_MS = HOUR_MS // 2
"""A silence is not judged before: clicks follow a list after seconds or minutes."""
SLOW_HOUR = 0.7
"""The rate of the poorest hours of a day, as a share of the mean."""
WEEKS = 4
"""Same hours of the week that are looked at."""
EVENTS_A_SHOPPER = 5.0
"""Events of one shopper come together. Its true number is not counted for each hour."""


@dataclass(frozen=True)
class Count:
    """What came in an hour, and what must be expected at least. `alike` of them belong to one shopper."""

    observed: float = 0.0
    expected: float = 0.0
    alike: float = 1.0


@dataclass(frozen=True)
class Recent:
    """One of the newest hours. The last one may be open: `length` (ms) is its part that has passed."""

    start: int
    length: int
    counts: Mapping[Kind, Count]


@dataclass(frozen=True)
class Finding:
    """What is broken. `since` is the start of the first broken hour, epoch ms."""

    vanished: tuple[Kind, ...] = ()
    suspected: tuple[Kind, ...] = ()
    since: int = 0
    counts: Mapping[str, Count] = field(default_factory=dict)
    """Of the whole silence, by kind."""

    @property
    def text(self) -> str:
        """The finding in words."""
        return "; ".join(
            f"{kind} have vanished: {self.counts[kind].observed:.0f} came where at least "
            f"{self.counts[kind].expected:.0f} are usual"
            for kind in self.vanished
        )


KINDS: tuple[Kind, ...] = ("served lists", "confirmed lists", "clicks", "events")


def judge(recent: Sequence[Recent]) -> Finding:
    """Return what has vanished in these hours, oldest first."""
    silences = {kind: silence for kind in KINDS if (silence := _silence(recent, kind)) is not None}
    vanished = tuple(kind for kind in KINDS if kind in silences and _independent(silences[kind][1]) >= CERTAIN)
    since = min((silences[kind][0] for kind in vanished), default=0)
    return Finding(vanished, tuple(silences), since, {kind: count for kind, (_, count) in silences.items()})


def alive(recent: Sequence[Recent], kinds: Sequence[str], *, since: int) -> bool:
    """Return whether the counts that had vanished since `since` (epoch ms) are there again."""
    after = [hour for hour in recent if hour.start >= since]
    return all(_alive(after, kind) for kind in KINDS if kind in kinds) and not judge(after).vanished


def _alive(recent: Sequence[Recent], kind: Kind) -> bool:
    total, length = Count(), 0
    for hour in reversed(recent):
        total, length = _add(total, hour.counts.get(kind, Count())), length + hour.length
        if length >= LEAST_MS and _independent(total) >= LEAST_ALIVE and total.observed >= ALIVE * total.expected:
            return True
    # An outage may outlast all that was known before it. Then anything is a beginning.
    return total.expected == 0 and total.observed > 0


def _silence(recent: Sequence[Recent], kind: Kind) -> tuple[int, Count] | None:
    """Return the start and the sums of the silence that lasts until now, if it is long enough to be suspected."""
    total, length, found = Count(), 0, None
    for hour in reversed(recent):
        total, length = _add(total, hour.counts.get(kind, Count())), length + hour.length
        if total.observed > VANISHED * total.expected:
            if _independent(total) >= LEAST_ALIVE:
                break
            continue  # one click of a robot in the first minutes of an hour
        if length >= LEAST_MS and _independent(total) >= SUSPECTED:
            found = hour.start, total
    return found


def _add(one: Count, other: Count) -> Count:
    return Count(one.observed + other.observed, one.expected + other.expected, max(one.alike, other.alike))


def _independent(count: Count) -> float:
    return count.expected / count.alike


@dataclass(frozen=True)
class Past:
    """The hours before, by their start, and which spans of them do not count. `events` counts all events."""

    hours: Mapping[int, Hour]
    events: Mapping[int, float]
    left_out: Sequence[TimeWindow] = ()
    rate: float = 0.0
    """The mean click-through rate of the past; 0 while it is not known."""
    clicks_alike: float = 1.0
    """The design effect of clicks."""

    @cached_property
    def begun(self) -> int:
        """The first hour that can be compared with (epoch ms): the one before it is seldom a whole one."""
        return min((*self.hours, *self.events), default=0) + HOUR_MS


def recent_hours(past: Past, *, now: int, shares: Sequence[float], hours: int) -> list[Recent]:
    """Return the newest `hours` hours with what must be expected of them, oldest first. `now` is epoch ms."""
    newest = now // HOUR_MS * HOUR_MS
    starts = range(newest - (hours - 1) * HOUR_MS, newest + HOUR_MS, HOUR_MS)
    return [_recent(past, start, now=now, shares=shares) for start in starts]


def _recent(past: Past, start: int, *, now: int, shares: Sequence[float]) -> Recent:
    hour = past.hours.get(start, Hour(start, 0.0, 0.0, 0.0))
    length = min(now - start, HOUR_MS)
    after = (now - start) // HOUR_MS - 1
    # Of the clicks for the open hour some have not come yet: half of what a complete hour has.
    seen = shares[0] / 2 if after < 0 else shares[min(after, len(shares) - 1)]
    lists = _lists_alike(hour)

    def lowest(value: Callable[[int], float]) -> float:
        return _least(past, value, start) * length / HOUR_MS

    def served(time: int) -> float:
        return past.hours[time].served if time in past.hours else 0.0

    def confirmed(time: int) -> float:
        return past.hours[time].confirmed if time in past.hours else 0.0

    def events(time: int) -> float:
        return past.events.get(time, 0.0)

    clicks = hour.impressions * past.rate * SLOW_HOUR * seen
    return Recent(
        start,
        length,
        {
            "clicks": Count(hour.clicks, clicks, past.clicks_alike),
            "confirmed lists": Count(hour.confirmed, lowest(confirmed), lists),
            "served lists": Count(hour.served, lowest(served), lists),
            "events": Count(events(start), lowest(events), EVENTS_A_SHOPPER),
        },
    )


def _lists_alike(hour: Hour) -> float:
    """Return the lists of one shopper, weighted by their number; 3 where nothing is known."""
    if not hour.served or not hour.impressions:
        return 3.0
    return max(hour.squares / hour.impressions / (hour.impressions / hour.served), 1.0)


def _least(past: Past, value: Callable[[int], float], start: int) -> float:
    def known(step: int, times: int) -> list[float]:
        places = (start - step * back for back in range(1, times + 1))
        return [
            value(place)
            for place in places
            if place >= past.begun and not any(span.start <= place < span.end for span in past.left_out)
        ]

    weeks = known(7 * DAY_MS, WEEKS)
    if len(weeks) > 1:
        return min(weeks)
    return min(weeks or known(DAY_MS, 7), default=0.0) / 2

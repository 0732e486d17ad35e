"""Wording: times, windows and differences in words, the same on every page of the dashboard. All times are UTC."""

from graphstore.retention import DAY_MS
from monitoring.intervals import Rate
from monitoring.windows import TimeWindow
from stream.events import utc


def moment(at: int) -> str:
    """Return a time (epoch ms) to the minute."""
    return f"{utc(at):%Y-%m-%d %H:%M}"


def window(span: TimeWindow) -> str:
    """Return a window as its first and last minute, or as days where it begins and ends at midnight."""
    if span.start % DAY_MS == 0 and span.end % DAY_MS == 0 and span.end > span.start:
        first, last = f"{utc(span.start):%Y-%m-%d}", f"{utc(span.end - DAY_MS):%Y-%m-%d}"
        return f"{first} UTC" if first == last else f"{first} to {last} UTC"
    begin, end = utc(span.start), utc(span.end)
    same = begin.date() == end.date()
    return f"{begin:%Y-%m-%d %H:%M} to {end:{'%H:%M' if same else '%Y-%m-%d %H:%M'}} UTC"


def age(milliseconds: int) -> str:
    """Return a duration in the largest unit of which there are two or more."""
    seconds = max(milliseconds, 0) // 1000
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {name}"
    return f"{seconds} seconds"


def points(change: Rate, since: str) -> str:
    """Return a difference of two shares in percentage points with its interval, or nothing where it is not known."""
    if change.value is None:
        return ""
    said = f"{100 * change.value:+.2f} points from {since}"
    if change.low is None or change.high is None:
        return f"{said} (no interval: too few shoppers)"
    return f"{said} (95 %: {100 * change.low:+.2f} to {100 * change.high:+.2f})"


def short(text: str, most: int) -> str:
    """Return the text with at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"

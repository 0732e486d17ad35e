"""Traffic: click-through, conversion and revenue over the days and over the hours of the last week.

Arrives: stored windows and marks. Leaves: the page `traffic`. Next: `monitoring.dashboard.show` writes it.
"""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace
from sqlalchemy import Connection

from monitoring.counts import Counts
from monitoring.dashboard.charts import count_line, currencies, over_time, rate_line
from monitoring.dashboard.marks import MAX_MARKS, read_marks
from monitoring.dashboard.series import DAY, HOUR, Stored, read_series, span_of
from monitoring.dashboard.wording import window
from serving.dashboard.blocks import Chart, Mark, Page

MAX_DAYS = 1_000
HOURS = 7 * 24
NOTHING = "No served list was stored in this time: once readers get lists, the figures begin here."


def compose(connection: Connection, *, now: int) -> Page:
    """Return the page as of `now` (epoch ms)."""
    day, hour = now // DAY * DAY, now // HOUR * HOUR
    days = read_series(connection, width=DAY, since=day - (MAX_DAYS - 1) * DAY, until=now)
    hours = read_series(connection, width=HOUR, since=hour - (HOURS - 1) * HOUR, until=now)
    marks = read_marks(connection, since=days[0].window.start if days else now)
    fine = read_marks(connection, since=hours[0].window.start if hours else now, requests=True)
    blocks = [*_charts(days, "day", DAY, now, marks), *_charts(hours, "hour", HOUR, now, fine)]
    return Page(name="traffic", title="Traffic", made_at=now, blocks=list(blocks))


def _charts(windows: Sequence[Stored], word: str, width: int, now: int, marks: list[Mark]) -> list[Chart]:
    span = span_of(windows, now=now)
    said = "" if span is None else window(span)
    shown = sum(stored.counts.impressions for stored in windows)
    orders = sum(stored.counts.orders for stored in windows)
    note = "" if shown else NOTHING
    open_one = f" The last {word} is not over yet, and clicks still come for it." if shown else ""
    rates = [
        rate_line("clicked", windows, width=width, of=lambda stored: stored.ctr),
        rate_line("bought", windows, width=width, of=lambda stored: stored.counts.conversion()),
    ]
    charts = [
        over_time(f"Click-through by {word}", rates[:1], "share", window=said, n=shown, n_of="impressions"),
        over_time(f"Conversion by {word}", rates[1:], "share", window=said, n=shown, n_of="impressions"),
    ]
    charts = [
        replace(chart, note=note or f"Of people, with the 95 % interval clustered by shopper.{open_one}")
        for chart in charts
    ]
    for currency in currencies(windows) or [""]:
        lines = [
            count_line("revenue", windows, width=width, of=partial(_revenue, currency)),
            count_line("taken back", windows, width=width, of=partial(_refunds, currency)),
        ]
        made = over_time(f"Revenue by {word}", lines, "money", window=said, n=orders, n_of="orders")
        charts.append(replace(made, currency=currency, note=note or _money_note(currency)))
    lines = [
        count_line("impressions of people", windows, width=width, of=_impressions),
        count_line("impressions of robots", windows, width=width, of=_robots),
    ]
    made = over_time(f"Impressions by {word}", lines, "count", window=said, n=shown, n_of="impressions")
    charts.append(replace(made, note=note or "An impression is one item at one position that a shopper was shown."))
    bounded = f" Marks: the newest {MAX_MARKS} of each kind." if len(marks) >= MAX_MARKS else ""
    return [replace(chart, marks=marks, note=chart.note + bounded) for chart in charts]


def _money_note(currency: str) -> str:
    named = f"in {currency}" if currency else "in the shop's currency, which its orders do not name"
    return f"Purchases that came from a list, {named}; it counts at the time of the list."


def _revenue(currency: str, counts: Counts) -> float:
    return counts.revenue.get(currency, 0.0)


def _refunds(currency: str, counts: Counts) -> float:
    return counts.refunds.get(currency, 0.0)


def _impressions(counts: Counts) -> float:
    return counts.impressions


def _robots(counts: Counts) -> float:
    return counts.robot_impressions

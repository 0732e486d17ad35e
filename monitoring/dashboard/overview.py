"""Overview: today at a glance, and what is wrong now.

Arrives: stored windows of today and yesterday, marks, freshness, the champion, problems. Leaves: the page `overview`.
Next: `monitoring.dashboard.show` writes it.

Today's rates are those of the stored day. It is counted every ten minutes; while its hours know more, they are taken
together, and a shopper counts once in each. The rates are compared with the same whole hours of yesterday, because
shoppers click otherwise by night than by day.
"""

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy import Connection, func, select

from graphstore.tables import alarms, models, retrain_requests
from monitoring.counts import Counts
from monitoring.dashboard.charts import currencies, over_time, rate_line
from monitoring.dashboard.freshness import Freshness, read_freshness
from monitoring.dashboard.marks import read_marks
from monitoring.dashboard.series import DAY, HOUR, Stored, pooled, read_series, span_of
from monitoring.dashboard.wording import age, moment, points, window
from monitoring.intervals import Rate, difference
from monitoring.windows import TimeWindow
from serving.dashboard.blocks import Page, State, Tile, Tiles
from stream.events import utc
from training.lifecycle.registry import CHAMPION, WAITING

CHART_HOURS = 48
SLOW_SECONDS = 60.0
"""A median wait of an event above this is marked."""
EVENT_SHARE = 0.5
"""From this share of lists that events alone prove on, the rate is too high, and the page says so."""


def compose(connection: Connection, problems: list[str], *, now: int) -> Page:
    """Return the page as of `now` (epoch ms)."""
    day, hour = now // DAY * DAY, now // HOUR * HOUR
    hours = read_series(connection, width=HOUR, since=hour - (CHART_HOURS - 1) * HOUR, until=now)
    today = read_series(connection, width=DAY, since=day, until=now)
    since_midnight = [stored for stored in hours if stored.window.start >= day]
    if pooled(since_midnight).impressions > pooled(today).impressions:
        today = since_midnight
    whole = [stored for stored in hours if day <= stored.window.start and stored.window.end <= now]
    before = [stored for stored in hours if day - DAY <= stored.window.start and stored.window.end + DAY <= hour]
    recent = [stored for stored in hours if stored.window.start > hour - 24 * HOUR]
    blocks = [
        Tiles(title="Today", note=_shown_note(today), tiles=_day_tiles(today, whole, before, now)),
        Tiles(title="Last 24 hours", note=_HOURS_NOTE, tiles=_recent_tiles(recent, now)),
        Tiles(title="The loop", tiles=[*_loop_tiles(connection, now), _alarm_tile(connection)]),
    ]
    line = rate_line("clicked", hours, width=HOUR, of=lambda stored: stored.ctr)
    span = span_of(hours, now=now)
    shown = sum(stored.counts.impressions for stored in hours)
    chart = over_time(
        f"Click-through in the last {CHART_HOURS} hours",
        [line],
        "share",
        window="" if span is None else window(span),
        n=shown,
        n_of="impressions",
    )
    marks = read_marks(connection, since=hour - CHART_HOURS * HOUR, requests=True)
    note = "Of people, by hour. Clicks still come for the newest hours." if shown else "No served list was stored yet."
    return Page(
        name="overview",
        title="Overview",
        made_at=now,
        blocks=[*blocks, replace(chart, marks=marks, note=note)],
        warnings=problems,
    )


_HOURS_NOTE = "Of whole hours and the running one. A shopper counts once in each hour."


def _shown_note(today: Sequence[Stored]) -> str:
    counts = pooled(today)
    if counts.lists and counts.shown_by_event > EVENT_SHARE * counts.lists:
        return (
            f"{counts.shown_by_event:,} of {counts.lists:,} lists are known as shown only because a shopper acted on "
            "them, so these rates are too high: let the shop's page confirm what it shows."
        )
    return "Figures of people, robots left out. A figure belongs to the day on which the list was served."


def _day_tiles(today: Sequence[Stored], whole: Sequence[Stored], before: Sequence[Stored], now: int) -> list[Tile]:
    counts, span = pooled(today), TimeWindow(now // DAY * DAY, now)
    said = window(span)
    now_counts, then_counts = pooled(whole), pooled(before)
    since = "the same hours of yesterday"
    tiles = [
        replace(tile, change=points(difference(now_counts.sums(mark), then_counts.sums(mark)), since))
        for tile, mark in zip(_rates(counts, said), ("clicked", "carted", "purchased"), strict=True)
    ]
    tiles += _money_tiles(counts, today, said, now, then_counts)
    return [*tiles, *_volume_tiles(counts, said)]


def _recent_tiles(recent: Sequence[Stored], now: int) -> list[Tile]:
    counts = pooled(recent)
    said = window(TimeWindow(now // HOUR * HOUR - 23 * HOUR, now))
    return [*_rates(counts, said), *_money_tiles(counts, recent, said, now), *_volume_tiles(counts, said)]


def _rates(counts: Counts, said: str) -> list[Tile]:
    return [
        _rate_tile("Click-through", counts.ctr(), said, href="/dashboard/traffic/"),
        _rate_tile("Put into the cart", counts.cart_rate(), said, href="/dashboard/funnel/"),
        _rate_tile("Conversion", counts.conversion(), said, href="/dashboard/funnel/"),
    ]


def _rate_tile(label: str, rate: Rate, said: str, *, href: str) -> Tile:
    return Tile(
        label=label,
        value=rate.value,
        unit="share",
        low=rate.low,
        high=rate.high,
        n=rate.n,
        n_of="impressions",
        window=said,
        note="" if rate.n else "no list was shown in this time",
        href=href,
    )


def _money_tiles(
    counts: Counts, windows: Sequence[Stored], said: str, now: int, before: Counts | None = None
) -> list[Tile]:
    found = currencies(windows)
    if not found:
        nothing = "no order came from a list in this time" if counts.lists else "no list was shown in this time"
        return [
            Tile(label="Revenue", value=None, unit="money", n=counts.orders, n_of="orders", window=said, note=nothing)
        ]
    tiles = []
    for currency in found:
        back = counts.refunds.get(currency, 0.0)
        then = None if before is None else before.revenue.get(currency)
        until = f"{utc(now // HOUR * HOUR):%H:%M}"
        tiles.append(
            Tile(
                label="Revenue",
                value=counts.revenue.get(currency, 0.0),
                unit="money",
                currency=currency,
                n=counts.orders,
                n_of="orders",
                window=said,
                change="" if then is None else f"yesterday until {until}: {then:,.2f} {currency}".rstrip(),
                note=f"{back:,.2f} of earlier purchases was taken back" if back else "",
                href="/dashboard/traffic/",
            )
        )
    return tiles


def _volume_tiles(counts: Counts, said: str) -> list[Tile]:
    robots = f"; robots had {counts.robot_impressions:,} more" if counts.robot_impressions else ""
    seen = bool(counts.lists or counts.fetched or counts.robot_impressions)
    return [
        Tile(
            label="Impressions",
            value=float(counts.impressions) if seen else None,
            unit="count",
            n=counts.lists,
            n_of="lists shown",
            window=said,
            note=f"{counts.fetched:,} more lists were merely fetched{robots}" if seen else "no list was served",
            href="/dashboard/slots/",
        )
    ]


def _loop_tiles(connection: Connection, now: int) -> list[Tile]:
    tiles = [_freshness_tile(read_freshness(connection), now)]
    query = select(models.c.model_version, models.c.kind, models.c.promoted_at, models.c.created_at)
    row = connection.execute(query.where(models.c.status == CHAMPION)).one_or_none()
    if row is None:
        tiles.append(Tile(label="Champion", value=None, note="no model serves yet", href="/dashboard/models/"))
    else:
        since = row.promoted_at or row.created_at
        tiles.append(
            Tile(
                label="Champion",
                value=row.model_version,
                window=f"since {moment(since)} UTC",
                note=f"{row.kind}, serves for {age(now - since)}",
                href="/dashboard/models/",
            )
        )
    waiting = connection.scalar(
        select(func.count()).select_from(retrain_requests).where(retrain_requests.c.status == WAITING)
    )
    tiles.append(
        Tile(
            label="Requests for a retrain that wait",
            value=float(waiting or 0),
            unit="count",
            window=f"at {moment(now)} UTC",
            href="/dashboard/models/",
        )
    )
    return tiles


def _freshness_tile(found: Freshness | None, now: int) -> Tile:
    label = "From event to graph (median)"
    if found is None:
        return Tile(
            label=label, value=None, unit="seconds", note="no event was stored yet", href="/dashboard/operations/"
        )
    state: State = "warn" if found.p50 > SLOW_SECONDS else "ok"
    return Tile(
        label=label,
        value=found.p50,
        unit="seconds",
        n=found.events,
        n_of="newest events",
        window=window(TimeWindow(min(found.first_at, found.last_at), found.last_at)),
        note=f"99 % within {found.p99:,.1f} s; the newest was stored {age(now - found.last_at)} ago; imported history "
        "makes it long",
        state=state,
        href="/dashboard/operations/",
    )


def _alarm_tile(connection: Connection) -> Tile:
    lasting = connection.scalar(select(func.count()).select_from(alarms).where(alarms.c.ended_at.is_(None))) or 0
    return Tile(
        label="Alarms that last",
        value=float(lasting),
        unit="count",
        state="bad" if lasting else "ok",
        window="now",
        href="/dashboard/operations/",
    )
